-- Locks: stockfoil.change against everybody, for a moment.
DELETE FROM stockfoil.change WHERE kind IN ('role', 'grant', 'policy', 'function');
ALTER TABLE stockfoil.change DROP CONSTRAINT change_kind_check;
ALTER TABLE stockfoil.change ADD CONSTRAINT change_kind_check CHECK (kind IN ('table', 'column', 'foreign_key', 'index', 'unique_key'));
