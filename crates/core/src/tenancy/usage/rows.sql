-- The rows of {table} by organization, and what they take. Locks: ACCESS SHARE, which stops no writer.
SELECT t.{org}::text, count(*), coalesce(sum(pg_column_size(t)), 0)::bigint FROM {table} AS t WHERE t.{org} IS NOT NULL GROUP BY 1
