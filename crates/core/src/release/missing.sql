-- The first of what the versions of Stockfoil's records leave that is not there; no row where all is.
-- Locks: nothing but the catalog's own.
SELECT m.what
FROM (VALUES
    (1, 'stockfoil.run', to_regclass('stockfoil.run') IS NOT NULL),
    (2, 'stockfoil.alert_state.channel',
     EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('stockfoil.alert_state') AND attname = 'channel' AND NOT attisdropped)),
    (3, 'stockfoil.change', to_regclass('stockfoil.change') IS NOT NULL),
    (4, 'stockfoil.fill', to_regclass('stockfoil.fill') IS NOT NULL),
    (5, 'stockfoil.move', to_regclass('stockfoil.move') IS NOT NULL),
    (6, 'the memory of policies in stockfoil.change',
     EXISTS (SELECT FROM pg_constraint
             WHERE conrelid = to_regclass('stockfoil.change') AND conname = 'change_kind_check' AND pg_get_constraintdef(oid) LIKE '%policy%')),
    (7, 'stockfoil.finding_key_idx', to_regclass('stockfoil.finding_key_idx') IS NOT NULL),
    (8, 'stockfoil.finding.entry_id',
     EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('stockfoil.finding') AND attname = 'entry_id' AND NOT attisdropped)),
    (9, 'stockfoil.finding_open_key_of_sort', to_regclass('stockfoil.finding_open_key_of_sort') IS NOT NULL),
    (10, 'stockfoil.closing_balance', to_regclass('stockfoil.closing_balance') IS NOT NULL),
    (11, 'stockfoil.archived_partition', to_regclass('stockfoil.archived_partition') IS NOT NULL)
) AS m (n, what, is_there)
WHERE NOT m.is_there
ORDER BY m.n
LIMIT 1
