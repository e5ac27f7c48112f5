//! Every `.sql` file of core is understood by PostgreSQL against the migrated default model: what a query macro would
//! check at build time.

use std::path::Path;

use sqlx::Executor as _;
use stockfoil_core::{
    model::Model,
    sql::{Fixed, Fragment, Statement, render},
};
use testkit::TestDb;

/// Entries of no table.
const ENTRIES: &str = "SELECT NULL::text AS org, NULL::text AS item, NULL::text AS location, NULL::text AS lot, 0::numeric AS quantity, NULL::text AS id, now() AS created_at";

/// What stands in the places that are not the model's own.
const PLACES: &[(&str, &str)] = &[
    ("set_key", ""),
    ("row_key", "b.ctid::text"),
    ("to_item", "k.item::text"),
    ("to_location", "k.location::text"),
    ("to_lot", "k.lot::text"),
    ("after", "true"),
    ("arrives", "true"),
    ("at", "now()"),
    ("batch_entries", ENTRIES),
    ("example.entries", ENTRIES),
    ("example.first", "t.id"),
    ("example.id", "t.id"),
    ("example.second", "t.id"),
    ("held_entries", ENTRIES),
    ("left_alone", ""),
    ("c.key_text", "c.k0"),
    ("cells", "t.id"),
    ("child", "public.audit_logs"),
    ("closure", "pg_temp.stockfoil_closure"),
    ("closure_keys", "k0"),
    ("column", "t.id"),
    ("columns", "t.id"),
    ("command_text", "'migrate-org'"),
    ("condition", "true"),
    ("conditions", "true"),
    ("copies", "pg_temp.stockfoil_copies"),
    ("default", "'default'"),
    ("distinct", "true"),
    ("entry.columns", "org_id, item_id, location_id, lot_id, qty_canonical"),
    ("entry.counts", "true"),
    ("entry.id", "w.id"),
    ("entry.is_exact", "w.qty_canonical = $1::text::numeric"),
    ("entry.keys", "SELECT s.*, $1::text::numeric AS quantity FROM pg_temp.stockfoil_suspect AS s"),
    ("entry.table", "public.inventory_ledger"),
    ("entry.values", "d.org, d.item, d.location, d.lot, d.quantity"),
    ("entry_id", "id"),
    ("entry_tx", "stockfoil_tx"),
    ("fill_key", "id"),
    ("fill_last", "id DESC"),
    ("created_at", "created_at"),
    (
        "from_d",
        "FROM (SELECT ''::text AS org, ''::text AS item, ''::text AS location, ''::text AS lot, 1::bigint AS net) AS d",
    ),
    ("function", "stockfoil.a_function"),
    ("has_lot", "$4 <> ''"),
    ("id", "'default'"),
    ("id_column", "text PRIMARY KEY"),
    ("id_length", "8"),
    ("id_start", "9"),
    ("identity", "t.id"),
    ("is_id", "true"),
    ("a_lot", "$4"),
    ("balances.text", "'public.inventory_balances'"),
    ("fold_text", "'SELECT 1'"),
    ("place", "$3"),
    ("queued", ""),
    ("rows_text", "'SELECT 1'"),
    ("skip", ""),
    ("then", ""),
    ("is_new", "coalesce($5::text IS NULL, $6::timestamptz IS NULL)"),
    ("item", "item_id"),
    ("is_clean", "true"),
    ("items.count", "0"),
    ("items.join", ""),
    ("key", "item_id"),
    ("key_texts", "b.id::text"),
    ("keys", "email AS key_0"),
    ("kind_text", "'index'"),
    ("last", "last text,"),
    ("length_max", "512"),
    ("always", "true"),
    ("going", "SELECT 'a'::text AS org, 'i'::text AS item, 'l'::text AS location, NULL::text AS lot"),
    ("is_same", "true"),
    ("types", "SELECT 0::oid AS attrelid, 0::smallint AS attnum, 'text' AS base_type, true AS has_one_text"),
    ("limit", "10"),
    ("lock", "FOR UPDATE"),
    ("made_key", "'^sf_'"),
    ("made_text", "'{}'"),
    ("mark", ""),
    ("pinned", ""),
    ("styles", ""),
    ("marker", "'@partition@'"),
    ("memberships", "public.users"),
    ("memberships.org", "org_id"),
    ("memberships.user", "id"),
    ("moved", "moved.key_0"),
    ("moves", "false"),
    ("name_text", "'items_pkey'"),
    ("has_user", "SELECT o.id WHERE false"),
    ("name", "'Default Organization'"),
    ("net", ""),
    ("s.net", ""),
    ("uncarried", ""),
    ("new_id", "$1"),
    ("next", "900"),
    ("of_closed", "JOIN pg_temp.stockfoil_closed_key AS k ON c.org_id = k.org"),
    ("of_entries", "JOIN pg_temp.stockfoil_closed_key AS k ON e.org = k.org"),
    ("offset", "0"),
    ("only", "true"),
    ("order", "ORDER BY t.id"),
    ("org_name", "'org_id'"),
    ("organizations.columns", "id, name, subdomain, is_active, created_at"),
    ("organizations_name", "'public.organizations'"),
    ("other", "other.key_0"),
    ("place_and_lot", "location_id text,"),
    (
        "postings",
        "SELECT org_id AS org, item_id AS item, location_id AS location, lot_id AS lot, qty_canonical AS quantity, id, created_at, stockfoil_tx AS tx FROM public.inventory_ledger",
    ),
    ("predicate", "true"),
    ("refers", "c.user_id = t.id"),
    ("refuse", "stockfoil.a_function"),
    ("relation", "public.items"),
    ("round", "0"),
    ("rounds", "7"),
    ("referenced", "public.locations"),
    ("relation_text", "'public.items'"),
    ("same", "="),
    ("same_row", "t.id = r.id"),
    ("same_key", "t.id = b.id"),
    ("schema_text", "'public'"),
    (
        "scope",
        "SELECT ARRAY(SELECT to_regclass(t)::oid FROM unnest($1::text[]) AS t) AS tables, 'org_id'::text AS org",
    ),
    ("statements", "(SELECT ''::text AS query, 0::oid AS dbid, 0::oid AS userid)"),
    ("table_text", "'items'"),
    ("unique_key", "id"),
    ("unknown", "true"),
    ("take_text", "''"),
    ("users.count", "0"),
    ("users.join", ""),
    ("copied_columns", ", item_number, name"),
    ("copied_values", ", t.item_number, t.name"),
    ("is_used", "false"),
    ("keys_from_id", "i.id::text"),
    ("named_keys", "t.id AS k0"),
    ("own_tables", "ARRAY['public.organizations']"),
    ("p.is_c", "p.id = c.k0"),
    ("p.is_pc", "p.id = pc.k0"),
    ("p.key_text", "p.id"),
    ("p.keys", "p.id"),
    ("p.label", "p.id"),
    ("parent", "public.items"),
    ("parent_closure", "pg_temp.stockfoil_closure"),
    ("parent_keys", "k0"),
    ("partition", "public.inventory_ledger"),
    ("pc_keys", "pc.k0"),
    ("nulls", ""),
    ("number_order", "c.k0"),
    ("number_parts", ""),
    ("numbered_keys", "c.k0"),
    ("r.is_c", "r.k0 = c.k0"),
    ("s.is_c", "s.k0 = c.k0"),
    ("repoint", ""),
    ("kept_key", "b.item_id::text"),
    ("kept_quantity", "qty_canonical"),
    ("kept_table", "public.inventory_balances"),
    (
        "signed_entries",
        "SELECT ARRAY[t.item_id::text] AS key, NULL::text AS kind, t.qty_canonical AS quantity FROM public.inventory_ledger AS t",
    ),
    ("parent_key", "id"),
    ("sign", "-"),
    ("signature", "'() returns numeric'"),
    ("t.is_c", "t.id = c.k0"),
    ("t.key_text", "t.id"),
    ("t.keys", "t.id"),
    ("t.moves", "false"),
    ("t.label", "t.id"),
    ("reaching", "SELECT i.* FROM public.items AS i"),
    ("b.refers_p", "b.item_id = p.id"),
    ("kin", "t.item_id = p.item_id"),
    ("p.moves", "false"),
    ("t.refers_p", "t.id IS NOT NULL AND p IS NOT NULL"),
    ("table_key", "id"),
    ("table_key_type", "text"),
    ("u.refers_p", "u.item_id = p.id"),
    ("uncopied", "true"),
    ("unique", "item_number AS key_0"),
    ("used_keys", "used.k0"),
    ("watermark", "800"),
];

/// The same for the names of tables, which stand for tables of the model too.
const TABLES: [(&str, &str); 2] = [("table", "public.items"), ("table_name", "'public.items'")];

#[tokio::test]
async fn every_template_prepares() {
    let db = TestDb::migrated().await;
    let model = crate::model::of(&db, "").await;
    let mut session = db.connect().await;
    // Some statements work on tables that others make, or that a trigger has.
    session.execute("BEGIN").await.unwrap();
    sqlx::query(rendered(&model, "balance/collect.sql").sql())
        .bind(None::<Vec<String>>)
        .execute(&mut session)
        .await
        .unwrap();
    session.execute(rendered(&model, "balance/queue/table.sql").sql()).await.unwrap();
    for name in ["dirty", "turn", "again", "seal_all", "pending", "weigh"] {
        let statement = rendered(&model, &format!("balance/checkpoint/{name}.sql"));
        session.execute(statement.sql()).await.unwrap();
    }
    for name in ["sums", "brought"] {
        session.execute(rendered(&model, &format!("balance/archive/{name}.sql")).sql()).await.unwrap();
    }
    for keys in [
        "CREATE TEMPORARY TABLE stockfoil_suspect AS SELECT org, item, location, lot FROM pg_temp.stockfoil_dirty",
        "CREATE TEMPORARY TABLE stockfoil_closed_key AS SELECT org, item, location, lot FROM pg_temp.stockfoil_dirty",
    ] {
        session.execute(keys).await.unwrap();
    }
    for name in ["closure_table", "stock_table"] {
        session.execute(rendered(&model, &format!("tenancy/data/{name}.sql")).sql()).await.unwrap();
    }
    session
        .execute("CREATE UNIQUE INDEX ON pg_temp.stockfoil_stock (item, location, lot) NULLS NOT DISTINCT")
        .await
        .unwrap();
    session
        .execute(
            "CREATE TEMPORARY TABLE stockfoil_copies (old text, new text, is_new boolean);
             CREATE TEMPORARY TABLE stockfoil_batch (k0 text)",
        )
        .await
        .unwrap();
    for name in ["new_rows", "old_rows"] {
        let rows = render(
            "CREATE TEMPORARY TABLE {name} (LIKE {ledger})",
            &[("name", &Fixed(name)), ("ledger", &model.ledger.table)],
        );
        session.execute(rows.sql()).await.unwrap();
    }

    let mut files = Vec::new();
    collect_files(&root(), &mut files);
    assert!(files.len() > 40, "only {} templates found", files.len());
    for file in files {
        let statement = rendered(&model, &file);
        if let Err(error) = session.prepare(statement.sql()).await {
            panic!("{file}: {error}\n{statement}");
        }
    }
}

#[test]
fn every_template_says_what_it_locks() {
    let mut files = Vec::new();
    collect_files(&root(), &mut files);
    for file in files {
        let text = std::fs::read_to_string(root().join(&file)).unwrap();
        let header: Vec<&str> = text.lines().take_while(|line| line.starts_with("--")).collect();
        assert!(
            header.iter().any(|line| line.contains("Locks: ")),
            "{file} has no header line with `Locks: `"
        );
    }
}

fn rendered(model: &Model, file: &str) -> Statement {
    let text = std::fs::read_to_string(root().join(file)).unwrap();
    let fixed: Vec<_> = PLACES.iter().chain(&TABLES).map(|(name, text)| (*name, Fixed(text))).collect();
    let mut fragments: Vec<(&str, &dyn Fragment)> =
        fixed.iter().map(|(name, text)| (*name, text as &dyn Fragment)).collect();
    // Templates inside templates.
    let mut inner = Vec::new();
    for (name, inner_file) in [
        ("difference", "balance/difference.sql"),
        ("ledger_file", "balance/ledger_file.sql"),
        ("new", "balance/checkpoint/new.sql"),
        ("sums", "balance/entry_sums.sql"),
        ("sums_at", "balance/as_of/sums.sql"),
        ("sums_of_lot", "balance/as_of/sums.sql"),
        ("sums_of_none", "balance/as_of/sums.sql"),
        ("key_entries", "balance/explain/key_entries.sql"),
        ("moved_entries", "balance/moved_entries.sql"),
        ("remove", "balance/take.sql"),
        ("key_query", "migration/preflight/keys.sql"),
        ("given", "validate/isolation/given.sql"),
        ("reach", "validate/isolation/reach.sql"),
        ("ours", "validate/isolation/ours.sql"),
        ("granted", "validate/isolation/granted.sql"),
        ("written", "validate/isolation/written.sql"),
        ("shown", "validate/isolation/shown.sql"),
        ("tied", "migration/isolation/tied.sql"),
        ("definitions", "migration/index/definitions.sql"),
        ("own", "migration/privileges/own.sql"),
        ("on_conflict_query", "migration/preflight/on_conflict.sql"),
    ] {
        if file != inner_file && text.contains(&format!("{{{name}}}")) {
            inner.push((name, rendered(model, inner_file)));
        }
    }
    if text.contains("{taken_entries}") {
        inner.push(("taken_entries", model.entries(&Fixed("ONLY public.inventory_ledger"))));
    }
    if text.contains("{moving_entries}") {
        inner.push(("moving_entries", model.entries(&model.ledger.table)));
    }
    for (name, source) in [("made_rows", "made"), ("gone_rows", "gone")] {
        if text.contains(&format!("{{{name}}}")) {
            inner.push((name, model.balance_rows(&Fixed(source))));
        }
    }
    fragments.extend(inner.iter().map(|(name, statement)| (*name, statement as &dyn Fragment)));
    // A test may leak: templates are texts of the source code.
    model.render_with(text.leak(), &fragments)
}

fn root() -> std::path::PathBuf {
    testkit::workspace().join("crates/core/src")
}

/// The `.sql` files below `folder`, relative to the root.
fn collect_files(folder: &Path, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "sql") {
            files.push(path.strip_prefix(root()).unwrap().display().to_string());
        }
    }
    files.sort();
}
