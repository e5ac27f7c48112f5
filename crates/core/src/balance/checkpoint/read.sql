-- How far the ledger $1 was sealed and what that was made of, and the facts of this snapshot: how far it can be sealed now
-- (below the oldest transaction under way), which cluster this is, and whether everything is marked.
-- Locks: nothing.
SELECT c.watermark, c.system_identifier, c.round, c.mapping, c.sources, c.keepers,
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS next,
       (SELECT system_identifier::text FROM pg_control_system()) AS this_system,
       EXISTS (SELECT FROM stockfoil.dirty_key WHERE org IS NULL) AS is_all_marked,
       (SELECT coalesce(sum(sealed_rows), 0)::bigint FROM stockfoil.checkpoint_total) AS sealed_rows
FROM (SELECT) AS one
LEFT JOIN stockfoil.checkpoint AS c ON c.ledger = $1
