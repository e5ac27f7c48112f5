-- A closing takes its partitions along, and holds each once; what was archived stays.
DO $$
DECLARE
    closed bigint;
BEGIN
    INSERT INTO stockfoil.closing (run_id, closed_before, role, transactions, system_identifier, mapping)
    VALUES (1, '2026-01-01Z', 'r', '1:1:', 's', 'm') RETURNING id INTO closed;
    INSERT INTO stockfoil.closing_partition VALUES (closed, 7, 'public', 'p', 'FOR VALUES IN (1)', 'true', NULL);
    BEGIN
        INSERT INTO stockfoil.closing_partition VALUES (closed, 7, 'public', 'q', 'FOR VALUES IN (1)', 'true', NULL);
        ASSERT false, 'a partition is there once';
    EXCEPTION WHEN unique_violation THEN NULL;
    END;
    INSERT INTO stockfoil.archived_partition (run_id, role, schema_name, table_name, bounds, replacement)
    VALUES (1, 'r', 'public', 'p', 'FOR VALUES IN (1)', 7);
    DELETE FROM stockfoil.closing WHERE id = closed;
    ASSERT NOT EXISTS (SELECT FROM stockfoil.closing_partition WHERE closing_id = closed);
    ASSERT EXISTS (SELECT FROM stockfoil.archived_partition WHERE archived_at IS NULL);
END
$$
