-- A version is recorded once, with the text that it had; one that was not run has no duration.
DO $$
BEGIN
    INSERT INTO stockfoil.migration (version, description, checksum) VALUES (1, 'first', '\x00');
    ASSERT (SELECT duration_ms IS NULL AND recorded_by IS NULL AND recorded_at <= clock_timestamp()
            FROM stockfoil.migration WHERE version = 1), 'a record needs no more';
    BEGIN
        INSERT INTO stockfoil.migration (version, description, checksum) VALUES (1, 'again', '\x01');
        ASSERT false, 'a version is recorded once';
    EXCEPTION WHEN unique_violation THEN NULL;
    END;
    BEGIN
        INSERT INTO stockfoil.migration (version, description, checksum, duration_ms) VALUES (2, 'second', '\x00', -1);
        ASSERT false, 'a duration is not below zero';
    EXCEPTION WHEN check_violation THEN NULL;
    END;
END
$$
