-- Remembers what channels were told by the command $1 (keys, channels, severities, summaries, when first, when last:
-- $2 to $7), and forgets what is over (keys $8, channels $9).
-- Locks: rows of stockfoil.alert_state.
WITH over AS (
    DELETE FROM stockfoil.alert_state AS s
    USING unnest($8::text[], $9::text[]) AS o (key, channel)
    WHERE s.source = $1 AND s.key = o.key AND s.channel = o.channel
)
INSERT INTO stockfoil.alert_state AS s (source, key, channel, severity, summary, opened_at, last_sent_at)
SELECT $1, t.*
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[]) AS t
ON CONFLICT (source, key, channel) DO UPDATE
SET severity = EXCLUDED.severity, summary = EXCLUDED.summary,
    opened_at = EXCLUDED.opened_at, last_sent_at = EXCLUDED.last_sent_at
