-- Whether isolation was begun and not taken back: one of its policies ($1) is on a table, or the migrations remember one that they made
-- ($2 is their name for themselves).
-- Locks: ACCESS SHARE on stockfoil.change.
SELECT EXISTS (SELECT FROM pg_catalog.pg_policy WHERE polname = $1)
    OR EXISTS (SELECT FROM stockfoil.change WHERE command = $2 AND kind = 'policy')
