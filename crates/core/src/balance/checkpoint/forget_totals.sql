-- Forgets the totals of the organizations $1, or of all. Locks: rows of stockfoil.checkpoint_total.
DELETE FROM stockfoil.checkpoint_total
WHERE $1::text[] IS NULL OR org = ANY ($1::text[]::{org.type}[])
