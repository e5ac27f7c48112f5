-- Locks: ACCESS EXCLUSIVE on the record of moved rows, which goes: after that no run can be taken back.

DROP TABLE stockfoil.move;
