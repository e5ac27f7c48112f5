-- When the newest of the ledger's rows up to $1 was made, and how many came since; infinite and far times say nothing.
-- Locks: ACCESS SHARE on the ledger; a scan of it, where no index on the time helps.
SELECT
    (SELECT max({created_at}::timestamptz) FROM {ledger} AS entry
     WHERE {created_at}::timestamptz <= $1 AND {created_at}::timestamptz >= '0001-01-01Z'),
    (SELECT count(*) FROM {ledger} AS entry
     WHERE {created_at}::timestamptz > $1 AND {created_at}::timestamptz < '9999-12-31Z')
