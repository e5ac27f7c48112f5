//! SQL over the queue: deltas that writers put aside because another writer held their balance, each visible with the entry
//! that it is of and gone with the change of the balance that it was folded into. A balance is its row and what is queued.

/// The queue's table.
pub(crate) const QUEUE: &str = "stockfoil.balance_queue";

/// That `q`, of the queue, is of `d`'s key.
pub(super) const IS_D: &str = "q.org = d.org AND q.item = d.item AND q.location = d.location \
     AND q.lot_key = coalesce(d.lot::text, '')";

/// What is queued, as balances.
pub(super) const ROWS: &str =
    "SELECT q.org, q.item, q.location, q.lot, {delta} AS quantity FROM stockfoil.balance_queue AS q";

/// The statement that adds deltas to balances, before the query of them and after it.
///
/// A row that nobody else holds is locked and gets its delta, and with it what is queued for it: the lock keeps others from
/// folding the same. Others are skipped, never waited for, and their deltas queued. A row that is not there yet is inserted,
/// which waits for whoever inserts the same. Under the stricter isolation levels a row that changed since the snapshot can't
/// be locked without an error: there all deltas are queued, and no balance is read.
pub(super) const ADD: [&str; 2] = [
    "WITH d AS MATERIALIZED (
    SELECT d.*
    FROM",
    "
    ), free AS MATERIALIZED (
        SELECT d.*, coalesce(d.lot::text, '') AS lot_key
        FROM {balances} AS b
        JOIN d ON {is_d}
        WHERE {is_current}
        ORDER BY {order}
        FOR NO KEY UPDATE OF b SKIP LOCKED
    ), folded AS (
        DELETE FROM stockfoil.balance_queue AS q
        WHERE q.ctid = ANY (ARRAY(
            SELECT o.ctid
            FROM free AS d
            CROSS JOIN LATERAL (SELECT q.ctid FROM stockfoil.balance_queue AS q WHERE {q.is_d} LIMIT 1000) AS o))
        RETURNING q.org, q.item, q.location, q.lot_key, q.delta
    ), changed AS (
        UPDATE {balances} AS b SET {set_folded}
        FROM free AS d
        LEFT JOIN (
            SELECT org, item, location, lot_key, sum(delta) AS delta FROM folded GROUP BY 1, 2, 3, 4
        ) AS f ON f.org = d.org AND f.item = d.item AND f.location = d.location AND f.lot_key = d.lot_key
        WHERE {is_d}
    ), queued AS (
        INSERT INTO stockfoil.balance_queue (org, item, location, lot, lot_key, delta)
        SELECT d.org, d.item, d.location, d.lot, coalesce(d.lot::text, ''), d.delta
        FROM d
        WHERE NOT EXISTS (SELECT FROM free AS f
                          WHERE f.org = d.org AND f.item = d.item AND f.location = d.location
                            AND f.lot_key = coalesce(d.lot::text, ''))
          AND (NOT {is_current} OR EXISTS (SELECT FROM {balances} AS b WHERE {is_d}))
    )
    INSERT INTO {balances} AS b ({columns})
    SELECT {values}
    FROM d
    WHERE {is_current} AND NOT EXISTS (SELECT FROM {balances} AS b WHERE {is_d})
    ORDER BY {order}
    {add}",
];

/// Whether each statement sees what was committed before it.
pub(super) const IS_CURRENT: &str =
    "(current_setting('transaction_isolation') IN ('read committed', 'read uncommitted'))";
