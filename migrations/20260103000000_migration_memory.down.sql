-- Locks: ACCESS EXCLUSIVE on the migrations' memory, which goes: after that nothing can be rolled back.

DROP TABLE stockfoil.fill, stockfoil.change;
