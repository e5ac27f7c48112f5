-- Copies the rows that have a new key and no copy yet into organization $1.
-- Locks: takes only what it creates, and the rows that the copies refer to against deletion.
INSERT INTO {table} ({org}, {table_key}{copied_columns})
OVERRIDING SYSTEM VALUE
SELECT $1::text::{org.type}, m.new{copied_values}
FROM {copies} AS m
JOIN {table} AS t ON t.{table_key} = m.old
WHERE m.is_new
