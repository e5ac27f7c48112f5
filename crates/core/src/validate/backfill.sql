-- How many organizations were backfilled, and which have ledger entries and were not. One that was created after the
-- first backfill had the triggers from its beginning.
-- Locks: ACCESS SHARE on what it reads; one index probe an organization.
SELECT (SELECT count(*) FROM stockfoil.backfill),
       ARRAY(SELECT o.id FROM {organizations} o
             WHERE NOT EXISTS (SELECT FROM stockfoil.backfill b WHERE b.org_id = o.id)
               AND EXISTS (SELECT FROM {ledger} l WHERE l.{org} = o.id)
               AND NOT EXISTS (SELECT FROM stockfoil.backfill b WHERE b.finished_at < o.created_at)
             ORDER BY o.id)
