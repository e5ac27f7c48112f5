-- The default inventory: its tables, what it keeps unique, what it refuses.
DO $$
BEGIN
    ASSERT (SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename IN
            ('users', 'items', 'locations', 'inventory_ledger', 'count_sheets', 'count_lines', 'audit_logs', 'feature_flags')) = 8;

    INSERT INTO users (id, email, name) VALUES ('u', 'u@example.com', 'U');
    INSERT INTO items (id, item_number, name) VALUES ('i', 'I-1', 'I');
    INSERT INTO locations (id, site, name) VALUES ('l', 'North', 'Bin');
    INSERT INTO inventory_ledger (item_id, location_id, qty_canonical, created_by) VALUES ('i', 'l', -123456789012.123456, 'u');
    INSERT INTO count_sheets (id, count_number, location_id) VALUES ('s', 'C-1', 'l');
    INSERT INTO count_lines (count_sheet_id, item_id, qty_counted) VALUES ('s', 'i', 1);
    ASSERT (SELECT qty_canonical FROM inventory_ledger) = -123456789012.123456, 'quantities are exact';
    ASSERT (SELECT entry_type FROM inventory_ledger) = 'adjustment';
    ASSERT (SELECT role FROM users) = 'member';
    ASSERT (SELECT length(id) FROM inventory_ledger) = 36, 'ids are given by default';

    BEGIN
        INSERT INTO users (email, name) VALUES ('u@example.com', 'again');
        ASSERT false, 'an address is unique';
    EXCEPTION WHEN unique_violation THEN NULL;
    END;
    BEGIN
        INSERT INTO locations (site, name) VALUES ('North', 'Bin');
        ASSERT false, 'a name is unique within its site';
    EXCEPTION WHEN unique_violation THEN NULL;
    END;
    BEGIN
        INSERT INTO inventory_ledger (item_id, location_id, qty_canonical) VALUES ('ghost', 'l', 1);
        ASSERT false, 'an entry is of an item that exists';
    EXCEPTION WHEN foreign_key_violation THEN NULL;
    END;

    DELETE FROM count_sheets;
    ASSERT NOT EXISTS (SELECT FROM count_lines), 'a sheet takes its lines with it';
END
$$
