-- Back to one row a problem: of several channels the one that was told last.
-- Locks: ACCESS EXCLUSIVE on stockfoil.alert_state, which is small, and on the indexes that go.

DROP INDEX stockfoil.finding_opened_run_idx, stockfoil.finding_last_run_idx, stockfoil.finding_closed_run_idx,
    stockfoil.finding_closed_at_idx;

DELETE FROM stockfoil.alert_state AS s
USING stockfoil.alert_state AS other
WHERE s.source = other.source AND s.key = other.key
    AND (s.last_sent_at, s.channel) < (other.last_sent_at, other.channel);
ALTER TABLE stockfoil.alert_state
    DROP CONSTRAINT alert_state_pkey,
    DROP CONSTRAINT alert_state_severity_check,
    DROP COLUMN channel,
    DROP COLUMN summary,
    ALTER COLUMN last_sent_at DROP NOT NULL,
    ADD CONSTRAINT alert_state_pkey PRIMARY KEY (source, key);
COMMENT ON TABLE stockfoil.alert_state IS 'One row an open problem, so that it is not sent again at every run.';
