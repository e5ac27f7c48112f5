-- What isolation changed is remembered too: roles, rights, policies, owners of functions.
-- Also run by hand of the command that needs it, so every statement holds when it is there already.
-- Locks: stockfoil.change against everybody, for a moment.

ALTER TABLE stockfoil.change DROP CONSTRAINT IF EXISTS change_kind_check;
ALTER TABLE stockfoil.change ADD CONSTRAINT change_kind_check CHECK (kind IN (
    'table', 'column', 'foreign_key', 'index', 'unique_key', 'role', 'grant', 'policy', 'function'));
