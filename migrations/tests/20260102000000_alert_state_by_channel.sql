-- What channels were told: one row a problem and channel, with all that a recovery needs.
DO $$
BEGIN
    INSERT INTO stockfoil.alert_state (source, key, channel, severity, summary, last_sent_at)
    VALUES ('test', 'k', 'log', 'critical', 's', now()), ('test', 'k', 'slack', 'critical', 's', now());
    ASSERT (SELECT count(*) FROM stockfoil.alert_state WHERE opened_at IS NOT NULL) = 2;
    BEGIN
        INSERT INTO stockfoil.alert_state (source, key, channel, severity, summary, last_sent_at)
        VALUES ('test', 'k', 'slack', 'warning', 's', now());
        ASSERT false, 'a channel is told of a problem once';
    EXCEPTION WHEN unique_violation THEN NULL;
    END;
    BEGIN
        UPDATE stockfoil.alert_state SET severity = 'perhaps';
        ASSERT false, 'a severity is one of those known';
    EXCEPTION WHEN check_violation THEN NULL;
    END;
    BEGIN
        INSERT INTO stockfoil.alert_state (source, key, severity, summary, last_sent_at)
        VALUES ('test', 'other', 'warning', 's', now());
        ASSERT false, 'somebody was told';
    EXCEPTION WHEN not_null_violation THEN NULL;
    END;
    ASSERT (SELECT count(*) FROM pg_index
            WHERE indrelid = 'stockfoil.finding'::regclass AND indisvalid AND indexrelid::regclass::text ~ '_(opened|last|closed)_run_idx$') = 3;
END
$$
