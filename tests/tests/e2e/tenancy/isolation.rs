//! Isolation: what each organization can reach, the holes, and the way there and back.

use std::collections::HashMap;

use serde_json::Value;
use testkit::{Binary, Mapped, TestDb};

mod accepting;
mod attacks;
mod beside;
mod generated;
mod holes;
mod life;
mod logins;
mod memberships;
mod migration;
mod notifications;
mod online;
mod pooled;
mod rows;
mod server;
mod tools;

/// Held shared by who expects nothing of the cluster's roles, and alone by who makes one that every database would find.
static ROLES: tokio::sync::RwLock<()> = tokio::sync::RwLock::const_new(());

/// A migrated database of two organizations, with roles of its own: a cluster's roles are everybody's.
struct Tenants {
    db: TestDb,
    /// The application's role; `web_...` is its login.
    app: String,
    ops: String,
    /// The organizations' ids.
    a: String,
    b: String,
    tables: Vec<String>,
    org: String,
    config: tempfile::NamedTempFile,
}

impl Tenants {
    async fn of(mapped: Option<Mapped>) -> Tenants {
        let db = match mapped {
            None => TestDb::migrated().await,
            Some(mapped) => TestDb::mapped_migrated(mapped).await,
        };
        Self::in_database(db, mapped).await
    }

    async fn in_database(db: TestDb, mapped: Option<Mapped>) -> Tenants {
        let (app, ops) = (format!("app_{}", db.name()), format!("ops_{}", db.name()));
        let base =
            mapped.map_or_else(String::new, |mapped| std::fs::read_to_string(mapped.config()).unwrap());
        let config = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        let text =
            format!("{base}\n[tenancy.isolation]\napp_role = \"{app}\"\noperations_role = \"{ops}\"\n");
        std::fs::write(config.path(), text).unwrap();
        let (org, default, tables): (_, _, &[&str]) = match mapped {
            None => ("org_id", "default", &super::TABLES),
            Some(Mapped::Prisma) => (
                "organizationId",
                "00000000-0000-0000-0000-000000000001",
                &[
                    "User",
                    "Item",
                    "Location",
                    "Lot",
                    "StockMovement",
                    "StockCount",
                    "StockCountLine",
                    "AuditEvent",
                ],
            ),
            Some(Mapped::Erp) => (
                "org_id",
                "default",
                &[
                    "res_users",
                    "product_template",
                    "product_product",
                    "stock_location",
                    "stock_lot",
                    "stock_picking",
                    "stock_move",
                    "stock_quant",
                ],
            ),
            Some(Mapped::Warehouse) => (
                "org_id",
                "default",
                &["employees", "articles", "warehouses", "documents", "stock_transactions", "reorder_levels"],
            ),
            Some(Mapped::TwoSchemas) => (
                "tenant id",
                "1",
                &[
                    "plant.people",
                    "plant.items",
                    "plant.weigh-bill",
                    "plant.Stock.Entries",
                    "Trade.Hub.people",
                    "Trade.Hub.items",
                    "Trade.Hub.select",
                ],
            ),
        };
        let quoted = |name: &&str| match ["plant", "Trade.Hub"].iter().find_map(|schema| {
            name.strip_prefix(schema).and_then(|rest| rest.strip_prefix('.')).map(|table| (schema, table))
        }) {
            Some((schema, table)) => format!("\"{schema}\".\"{table}\""),
            None => format!("public.\"{name}\""),
        };
        let mut tenants = Tenants {
            app,
            ops,
            a: default.to_owned(),
            b: String::new(),
            tables: tables.iter().map(quoted).collect(),
            org: format!("\"{org}\""),
            config,
            db,
        };
        let made = tenants.run("org-create").args(["--name", "B", "--format", "json"]).await.ok().json();
        tenants.b = made["id"].as_str().unwrap_or_else(|| panic!("no organization in {made}")).to_owned();
        tenants
    }

    fn run(&self, name: &str) -> Binary {
        self.db.run(name).env("STOCKFOIL_CONFIG", self.config.path())
    }

    /// A role that the application logs in as.
    fn web(&self) -> String {
        format!("web_{}", self.db.name())
    }

    async fn isolate(&self) {
        self.run("migrate-org").args(["--finalize", "--isolate", "--yes"]).await.ok();
        self.db.execute(format!("CREATE ROLE {} LOGIN IN ROLE {}", self.web(), self.app)).await;
    }

    /// The URL of a session of the application.
    fn url(&self) -> String {
        self.db.cluster().url_as(&self.web(), self.db.name())
    }

    /// Rows of the default model for the organization A, where there are none.
    async fn fill(&self) {
        self.db
            .execute(
                "INSERT INTO users (id, email, name, org_id) VALUES ('u1', 'u1@example.com', 'U', 'default');
                 INSERT INTO items (id, item_number, name, org_id) SELECT 'i' || n, 'I-' || n, 'I', 'default' FROM generate_series(1, 5) AS n;
                 INSERT INTO locations (id, site, name, org_id) SELECT 'l' || n, 'S', 'P' || n, 'default' FROM generate_series(1, 3) AS n;
                 INSERT INTO inventory_ledger (item_id, location_id, lot_id, qty_canonical, created_by, org_id)
                 SELECT 'i' || 1 + n % 5, 'l' || 1 + n % 3, CASE WHEN n % 2 = 0 THEN 'lot' END, n, 'u1', 'default' FROM generate_series(1, 60) AS n;
                 INSERT INTO count_sheets (id, count_number, location_id, counted_by, org_id) VALUES ('c1', 'C-1', 'l1', 'u1', 'default');
                 INSERT INTO count_lines (id, count_sheet_id, item_id, qty_counted, org_id) VALUES ('cl1', 'c1', 'i1', 1, 'default');
                 INSERT INTO audit_logs (id, user_id, action, entity, org_id) VALUES ('al1', 'u1', 'x', 'items', 'default');
                 INSERT INTO feature_flags (id, key, org_id) VALUES ('f1', 'k', 'default')",
            )
            .await;
    }

    /// One row of B in each table, as A has it, that refers to B's own; returned by table.
    async fn copy_to_b(&self) -> HashMap<String, Value> {
        let mut rows = HashMap::new();
        for table in &self.tables {
            let row = self.row_of_b(table, &rows).await;
            rows.insert(table.clone(), row);
        }
        rows
    }

    /// The columns of `table` that an insert may name.
    async fn columns(&self, table: &str) -> String {
        self.db
            .value(format!(
                "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
                 WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''"
            ))
            .await
    }

    /// The foreign keys of `table` between tenant tables: own columns, table referred to, its columns; without the
    /// organizations'.
    async fn foreign_keys(&self, table: &str) -> Vec<(Vec<String>, String, Vec<String>)> {
        let rows = self
            .db
            .rows(format!(
                "SELECT (SELECT json_agg(a.attname ORDER BY p.place) FROM unnest(k.conkey) WITH ORDINALITY AS p (attnum, place)
                         JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = p.attnum AND a.attname <> '{org}'),
                        format('%I.%I', n.nspname, r.relname),
                        (SELECT json_agg(a.attname ORDER BY p.place) FROM unnest(k.confkey) WITH ORDINALITY AS p (attnum, place)
                         JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = p.attnum AND a.attname <> '{org}')
                 FROM pg_constraint AS k JOIN pg_class AS r ON r.oid = k.confrelid JOIN pg_namespace AS n ON n.oid = r.relnamespace
                 WHERE k.contype = 'f' AND k.conrelid = '{table}'::regclass AND k.conparentid = 0 AND cardinality(k.conkey) > 1",
                org = self.org.trim_matches('"'),
            ))
            .await;
        let names = |text: &String| serde_json::from_str::<Vec<String>>(text).unwrap();
        let known = |name: &String| {
            let plain = name.replace('"', "");
            self.tables.iter().find(|table| table.replace('"', "") == plain).cloned()
        };
        rows.iter().filter_map(|row| Some((names(&row[0]), known(&row[1])?, names(&row[2])))).collect()
    }

    /// A's row as it would be of B, with a key that nobody has and what it refers to among `rows`.
    async fn as_of_b(&self, table: &str, rows: &HashMap<String, Value>) -> Value {
        let org = &self.org;
        // Everything that a key may be made of; a CHECK may know but some values.
        let key = format!(
            "SELECT jsonb_object_agg(a.attname, CASE
                        WHEN a.atttypid = 'uuid'::regtype THEN to_jsonb(gen_random_uuid())
                        WHEN t.typcategory = 'N' THEN to_jsonb(20000 + (random() * 10000)::int)
                        WHEN t.typcategory <> 'S' OR r.row ->> a.attname IS NULL THEN r.row -> a.attname
                        WHEN length(r.row ->> a.attname) + 8 > l.length THEN to_jsonb(left(md5(random()::text), l.length))
                        ELSE to_jsonb((r.row ->> a.attname) || 10000000 + (random() * 10000000)::int) END)
             FROM (SELECT to_jsonb(t) AS row FROM {table} AS t WHERE {org} = '{a}' LIMIT 1) AS r, pg_attribute AS a
             JOIN pg_type AS t ON t.oid = a.atttypid
             CROSS JOIN LATERAL (SELECT coalesce(nullif(greatest(a.atttypmod, t.typtypmod), -1) - 4, 1000) AS length) AS l
             WHERE a.attrelid = '{table}'::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
               AND (t.typcategory = 'S' AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conrelid = a.attrelid AND k.contype IN ('c', 'f') AND a.attnum = ANY (k.conkey))
                    OR EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = a.attrelid AND i.indisunique AND a.attnum = ANY (i.indkey::int2[])))",
            a = self.a,
        );
        let row = self
            .db
            .value(format!("SELECT to_jsonb(t) FROM {table} AS t WHERE {org} = '{}' LIMIT 1", self.a))
            .await;
        let mut row: Value = serde_json::from_str(&row).unwrap();
        let key: Value = serde_json::from_str(&self.db.value(key).await).unwrap();
        for (name, value) in key.as_object().unwrap() {
            row[name] = value.clone();
        }
        row[org.trim_matches('"')] = self.b.clone().into();
        for (columns, referenced, theirs) in self.foreign_keys(table).await {
            for (column, theirs) in columns.iter().zip(&theirs) {
                row[column] = rows.get(&referenced).map_or(Value::Null, |parent| parent[theirs].clone());
            }
        }
        row
    }

    async fn row_of_b(&self, table: &str, rows: &HashMap<String, Value>) -> Value {
        let row = self.as_of_b(table, rows).await;
        let insert = self.insert(table, &row).await;
        let (org, b) = (&self.org, &self.b);
        // The ledger's triggers made the balance already.
        if !table.contains("stock_quant") {
            self.db.execute(format!("SET app.org_id = '{b}'; {insert}")).await;
        }
        let row =
            self.db.value(format!("SELECT to_jsonb(t) FROM {table} AS t WHERE {org} = '{b}' LIMIT 1")).await;
        serde_json::from_str(&row).unwrap()
    }

    /// The statement that inserts `row`.
    async fn insert(&self, table: &str, row: &Value) -> String {
        let columns = self.columns(table).await;
        let text = row.to_string().replace('\'', "''");
        format!(
            "INSERT INTO {table} AS t ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM jsonb_populate_record(NULL::{table}, '{text}')"
        )
    }

    /// All rows of A, balances too.
    async fn digest_of_a(&self) -> Vec<String> {
        let mut digests = Vec::new();
        for table in &self.tables {
            digests.push(
                self.db
                    .value(format!(
                        "SELECT '{table} ' || count(*) || ' ' || coalesce(md5(string_agg(t::text, ',' ORDER BY t::text)), '') FROM {table} AS t WHERE {} = '{}'",
                        self.org, self.a
                    ))
                    .await,
            );
        }
        digests
    }
}
