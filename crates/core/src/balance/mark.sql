-- Writes down what each difference is ($2) and whether to repair it ($3), by number ($1).
-- Locks: nothing but a temporary table.
UPDATE pg_temp.stockfoil_difference AS d
SET kind = m.kind, repair = m.repair
FROM unnest($1::int8[], $2::text[], $3::bool[]) AS m (n, kind, repair)
WHERE d.n = m.n
