-- Tables that hold rows of the organizations of tables $1, and have no column $2. Locks: none.
SELECT regexp_replace(t.oid::regclass::text, '^public\.', ''), t.why FROM ({tied}) AS t WHERE t.why IS NOT NULL ORDER BY 1
