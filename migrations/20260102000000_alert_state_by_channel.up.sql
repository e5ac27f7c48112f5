-- What each channel was told: one row a problem and channel, so that one that was down is told later, and each is told
-- of the recovery. Indexes for the retention of runs. Also run by hand of the commands that need it, so every statement
-- holds when it is there already.
-- Locks: ACCESS EXCLUSIVE on stockfoil.alert_state, which is small; SHARE on stockfoil.finding while it is indexed.

ALTER TABLE stockfoil.alert_state
    ADD COLUMN IF NOT EXISTS channel text NOT NULL DEFAULT 'log',
    ADD COLUMN IF NOT EXISTS summary text NOT NULL DEFAULT '';
ALTER TABLE stockfoil.alert_state
    ALTER COLUMN channel DROP DEFAULT,
    ALTER COLUMN summary DROP DEFAULT,
    DROP CONSTRAINT IF EXISTS alert_state_severity_check,
    ADD CONSTRAINT alert_state_severity_check CHECK (severity IN ('warning', 'critical'));
UPDATE stockfoil.alert_state SET last_sent_at = opened_at WHERE last_sent_at IS NULL;
ALTER TABLE stockfoil.alert_state ALTER COLUMN last_sent_at SET NOT NULL;
ALTER TABLE stockfoil.alert_state
    DROP CONSTRAINT IF EXISTS alert_state_pkey,
    ADD CONSTRAINT alert_state_pkey PRIMARY KEY (source, key, channel);
COMMENT ON TABLE stockfoil.alert_state IS 'One row an open problem and channel that was told of it, until the channel is told that it is over.';

CREATE INDEX IF NOT EXISTS finding_opened_run_idx ON stockfoil.finding (opened_run);
CREATE INDEX IF NOT EXISTS finding_last_run_idx ON stockfoil.finding (last_run);
CREATE INDEX IF NOT EXISTS finding_closed_run_idx ON stockfoil.finding (closed_run);
CREATE INDEX IF NOT EXISTS finding_closed_at_idx ON stockfoil.finding (closed_at) WHERE closed_at IS NOT NULL;
