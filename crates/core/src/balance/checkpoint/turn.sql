-- Puts aside the organizations whose whole history is summed again in round $1 of $2; with $2 = 0 there are none.
-- Locks: nothing but a temporary table.
CREATE TEMPORARY TABLE stockfoil_turn ON COMMIT DROP AS
SELECT o.id AS org
FROM {organizations} AS o
WHERE {rounds} > 0 AND abs(hashtext(o.id::text)::bigint) % greatest({rounds}, 1) = {round} % greatest({rounds}, 1)
