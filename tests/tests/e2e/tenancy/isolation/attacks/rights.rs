//! Attacks by what policies, roles, rights and keys let through, and by code that runs as somebody else.

use super::{Attack, SECRET, attack};

const NAMES: &str = "SELECT string_agg(name, ',') FROM items";
const REFUSED: &str = "42501";

/// Policies that are not what isolation made, and roles that none binds.
pub(super) fn policies_and_roles() -> Vec<Attack> {
    let app = ["role", "role {app}"];
    let web = ["application_login", "role {web}"];
    vec![
        attack(["policy", "items"], "ALTER TABLE items DISABLE ROW LEVEL SECURITY", [NAMES, SECRET], ""),
        attack(
            ["policy", "items"],
            "DROP POLICY stockfoil_isolation ON items",
            ["INSERT INTO items (item_number, name) VALUES ('n', 'n'); SELECT 'written'", REFUSED],
            "",
        ),
        attack(
            ["policy", "items"],
            "ALTER POLICY stockfoil_isolation ON items USING (org_id = current_setting('app.org_id', true) OR is_active)",
            [NAMES, SECRET],
            "",
        ),
        attack(
            ["policy", "open to all of items"],
            "CREATE POLICY \"open to all\" ON items FOR SELECT USING (is_active)",
            [NAMES, SECRET],
            "",
        ),
        attack(
            app,
            "ALTER ROLE {app} BYPASSRLS",
            ["SET ROLE {app}; SELECT string_agg(name, ',') FROM items", SECRET],
            "",
        ),
        attack(
            app,
            "GRANT {ops} TO {app}",
            ["SET ROLE {ops}; SELECT string_agg(name, ',') FROM items", SECRET],
            "",
        ),
        attack(
            app,
            "ALTER TABLE items OWNER TO {app}",
            ["ALTER TABLE items DISABLE ROW LEVEL SECURITY; SELECT string_agg(name, ',') FROM items", SECRET],
            "GRANT SELECT, INSERT, UPDATE, DELETE ON items TO {app}",
        ),
        attack(
            web,
            "ALTER TABLE items OWNER TO {web}",
            [
                "ALTER TABLE items NO FORCE ROW LEVEL SECURITY; SELECT string_agg(name, ',') FROM items",
                SECRET,
            ],
            "",
        ),
        attack(
            app,
            "GRANT pg_read_all_data TO {app}",
            ["SELECT string_agg(command, ',') FROM stockfoil.run", "org-create"],
            "",
        ),
        attack(
            app,
            "GRANT pg_execute_server_program TO {app}",
            ["COPY (SELECT 1) TO PROGRAM 'cat >/dev/null'; SELECT 'ran'", "ran"],
            "",
        ),
        attack(web, "ALTER ROLE {web} BYPASSRLS", [NAMES, SECRET], ""),
        attack(
            web,
            "GRANT {superuser} TO {web}",
            ["SET ROLE {superuser}; SELECT string_agg(name, ',') FROM items", SECRET],
            "",
        ),
        attack(
            ["setting", "setting app.org_id of role {web} database {name}"],
            "ALTER ROLE {web} IN DATABASE {name} SET app.org_id = '{b}'",
            ["RESET app.org_id; SELECT string_agg(name, ',') FROM items", SECRET],
            "",
        ),
        attack(
            ["setting", "setting app.org_id of database {name}"],
            "ALTER DATABASE {name} SET app.org_id = '{b}'",
            ["RESET app.org_id; SELECT string_agg(name, ',') FROM items", SECRET],
            "",
        ),
    ]
}

/// Rights that no policy asks about.
pub(super) fn rights() -> Vec<Attack> {
    let forges = [
        "INSERT INTO organization_api_keys (key_id, org_id, hash) VALUES ('forged', current_setting('app.org_id'), sha256('a-key-that-nobody-issued'));
         SELECT stockfoil.org_by_api_key('a-key-that-nobody-issued')",
        "default",
    ];
    let empties = ["TRUNCATE feature_flags; SELECT 'emptied'", "emptied"];
    let sets_back = ["SELECT setval('numbers', 777)", "777"];
    vec![
        attack(
            ["grant", "rights on organization_api_keys"],
            "GRANT INSERT ON organization_api_keys TO {app}",
            forges,
            "",
        ),
        attack(["login", "role {web}"], "GRANT INSERT ON organization_api_keys TO {web}", forges, ""),
        attack(
            ["parameter", "parameter session_replication_role"],
            "GRANT SET ON PARAMETER session_replication_role TO {web}",
            [
                "SET LOCAL session_replication_role = replica; SELECT current_setting('session_replication_role')",
                "replica",
            ],
            "",
        ),
        attack(
            ["grant", "rights on organization_api_keys"],
            "GRANT INSERT ON organization_api_keys TO PUBLIC",
            forges,
            "",
        ),
        attack(
            ["grant", "rights on feature_flags"],
            "GRANT TRUNCATE ON feature_flags TO PUBLIC",
            empties,
            "",
        ),
        attack(
            ["grant", "rights on stockfoil.run"],
            "GRANT SELECT ON stockfoil.run TO PUBLIC",
            ["SELECT string_agg(command, ',') FROM stockfoil.run", "org-create"],
            "",
        ),
        attack(["grant", "rights on feature_flags"], "GRANT TRUNCATE ON feature_flags TO {app}", empties, ""),
        attack(["login", "role {web}"], "GRANT ALL ON feature_flags TO {web}", empties, ""),
        attack(
            ["grant", "rights on items"],
            "GRANT TRIGGER ON items TO {app}",
            [
                "CREATE TRIGGER t BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger(); SELECT 'made'",
                "made",
            ],
            "",
        ),
        attack(
            ["grant", "rights on stockfoil.run"],
            "GRANT SELECT ON stockfoil.run TO {app}",
            ["SELECT string_agg(command, ',') FROM stockfoil.run", "org-create"],
            "",
        ),
        attack(
            ["grant", "rights on numbers"],
            "CREATE SEQUENCE numbers OWNED BY items.item_number; GRANT ALL ON SEQUENCE numbers TO {app}",
            sets_back,
            "DROP SEQUENCE numbers",
        ),
        attack(
            ["grant", "rights on numbers"],
            "CREATE SEQUENCE numbers; ALTER TABLE items ALTER item_number SET DEFAULT nextval('numbers'); GRANT ALL ON SEQUENCE numbers TO PUBLIC",
            sets_back,
            "ALTER TABLE items ALTER item_number DROP DEFAULT; DROP SEQUENCE numbers",
        ),
        attack(
            ["schema", "schema public"],
            "GRANT CREATE ON SCHEMA public TO PUBLIC",
            ["CREATE TABLE public.decoy (name text); SELECT 'made'", "made"],
            "",
        ),
    ]
}

/// What reads or writes as its owner.
pub(super) fn owners() -> Vec<Attack> {
    let all_names = "CREATE FUNCTION all_names() RETURNS text SECURITY DEFINER LANGUAGE sql AS $$SELECT string_agg(name, ',') FROM public.items$$";
    vec![
        attack(
            ["view", "view v"],
            "CREATE VIEW v AS SELECT name FROM items; GRANT SELECT ON v TO {app}",
            ["SELECT string_agg(name, ',') FROM v", SECRET],
            "DROP VIEW v",
        ),
        attack(
            ["view", "materialized view m"],
            "CREATE MATERIALIZED VIEW m AS SELECT name FROM items; GRANT SELECT ON m TO {web}",
            ["SELECT string_agg(name, ',') FROM m", SECRET],
            "DROP MATERIALIZED VIEW m",
        ),
        attack(
            ["definer_function", "function all_names()"],
            all_names,
            ["SELECT all_names()", SECRET],
            "DROP FUNCTION all_names()",
        ),
        attack(
            ["definer_function", "procedure move_all(text)"],
            "CREATE PROCEDURE move_all(o text) SECURITY DEFINER LANGUAGE sql AS 'UPDATE public.items SET org_id = o'",
            ["CALL move_all(current_setting('app.org_id')); SELECT string_agg(name, ',') FROM items", SECRET],
            "DROP PROCEDURE move_all(text)",
        ),
        attack(
            ["definer_function", "function on_item()"],
            "CREATE FUNCTION on_item() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS
                 $$BEGIN new.unit := coalesce((SELECT string_agg(name, ',') FROM public.items), 'ea'); RETURN new; END$$;
             REVOKE ALL ON FUNCTION on_item() FROM PUBLIC; CREATE TRIGGER t BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION on_item()",
            ["INSERT INTO items (item_number, name) VALUES ('n', 'n') RETURNING unit", SECRET],
            "DROP FUNCTION on_item() CASCADE",
        ),
        attack(
            ["leakproof_function", "function spy(text)"],
            "CREATE FUNCTION spy(t text) RETURNS boolean LEAKPROOF COST 0.0001 LANGUAGE plpgsql AS $$BEGIN RETURN 1 / strpos(t, 'secret') > 1; END$$;
             INSERT INTO items (item_number, name, org_id) VALUES ('Z', 'none', '{b}'); ANALYZE items",
            ["SELECT count(*) FROM items WHERE spy(name)", "22012"],
            "DROP FUNCTION spy(text); DELETE FROM items WHERE item_number = 'Z'",
        ),
        attack(
            ["rule", "rule also of locations"],
            "CREATE RULE also AS ON INSERT TO locations DO ALSO UPDATE items SET org_id = current_setting('app.org_id')",
            ["INSERT INTO locations (site, name) VALUES ('s', 'n'); SELECT string_agg(name, ',') FROM items", SECRET],
            "",
        ),
        attack(
            ["foreign_key", "foreign key likes of items"],
            "ALTER TABLE items ADD liked text CONSTRAINT likes REFERENCES items (id)",
            ["INSERT INTO items (item_number, name, liked) VALUES ('n', 'n', 'ib'); SELECT 'there is one'", "there is one"],
            "ALTER TABLE items DROP COLUMN liked",
        ),
        attack(
            ["shared_parent", "foreign key shared of items"],
            "CREATE TABLE categories (id text PRIMARY KEY); INSERT INTO categories VALUES ('c');
             ALTER TABLE items ADD category text CONSTRAINT shared REFERENCES categories ON DELETE CASCADE; UPDATE items SET category = 'c' WHERE id = 'ib';
             GRANT DELETE ON categories TO {web}",
            [
                "SELECT 1; DELETE FROM categories; INSERT INTO items (id, item_number, name) VALUES ('ib', 'n', 'n');
                 SELECT 'B has it no more'",
                "B has it no more",
            ],
            "ALTER TABLE items DROP COLUMN category; DROP TABLE categories",
        ),
    ]
}
