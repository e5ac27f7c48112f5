//! Databases that nobody here designed, in the styles of real systems, each with the `stockfoil.toml` that maps it.

use std::path::PathBuf;

use crate::workspace;

/// A database in the style of a real system, mapped by a `stockfoil.toml` of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapped {
    /// Quoted camel-case names, uuid keys and uuid organizations, unique indexes without constraints.
    Prisma,
    /// An ERP's moves between two locations, of which those that are done count; its quants are adopted.
    Erp,
    /// Integer keys, a direction beside the quantity, no lots, a ledger in monthly partitions.
    Warehouse,
    /// Two schemas with equal table names, bigint organizations, domains, enums, generated columns, a composite key.
    TwoSchemas,
}

impl Mapped {
    /// Each of them.
    pub const ALL: [Mapped; 4] = [Mapped::Prisma, Mapped::Erp, Mapped::Warehouse, Mapped::TwoSchemas];

    /// Its name, which is that of its files.
    pub fn name(self) -> &'static str {
        match self {
            Mapped::Prisma => "prisma",
            Mapped::Erp => "erp",
            Mapped::Warehouse => "warehouse",
            Mapped::TwoSchemas => "two_schemas",
        }
    }

    /// Its `stockfoil.toml`.
    pub fn config(self) -> PathBuf {
        self.folder().join(self.name()).with_extension("toml")
    }

    /// A folder whose `stockfoil.toml` is its own, but for what `changed` makes of it.
    pub fn config_with(self, changed: impl FnOnce(String) -> String) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let text = std::fs::read_to_string(self.config()).unwrap();
        std::fs::write(folder.path().join("stockfoil.toml"), changed(text)).unwrap();
        folder
    }

    /// The statements that make it, as it is before Stockfoil.
    pub fn script(self) -> String {
        std::fs::read_to_string(self.folder().join(self.name()).with_extension("sql")).unwrap()
    }

    fn folder(self) -> PathBuf {
        workspace().join("crates/testkit/src/mapped")
    }

    /// The name of its template database, before Stockfoil and after.
    pub(crate) fn templates(self) -> (&'static str, &'static str) {
        match self {
            Mapped::Prisma => ("prisma", "prisma_migrated"),
            Mapped::Erp => ("erp", "erp_migrated"),
            Mapped::Warehouse => ("warehouse", "warehouse_migrated"),
            Mapped::TwoSchemas => ("two_schemas", "two_schemas_migrated"),
        }
    }

    /// The sums of its migrated ledger by key, by a query of the tests' own: `org`, `item`, `location`, `lot`
    /// (the empty text where there is none), all as text, and `quantity`.
    pub fn entries(self) -> &'static str {
        match self {
            Mapped::Prisma => {
                r#"SELECT "organizationId"::text AS org, "itemId"::text AS item, "locationId"::text AS location,
                          coalesce("lotId"::text, '') AS lot, sum("quantity") AS quantity
                   FROM "StockMovement" GROUP BY 1, 2, 3, 4"#
            }
            Mapped::Erp => {
                "SELECT org, item, location, lot, sum(quantity) AS quantity
                 FROM (SELECT org_id AS org, product_id::text AS item, location_dest_id::text AS location,
                              coalesce(lot_id::text, '') AS lot, quantity FROM stock_move WHERE state = 'done'
                       UNION ALL
                       SELECT org_id, product_id::text, location_id::text, coalesce(lot_id::text, ''), -quantity
                       FROM stock_move WHERE state = 'done') AS p
                 GROUP BY 1, 2, 3, 4"
            }
            Mapped::Warehouse => {
                "SELECT org_id AS org, article_id::text AS item, warehouse_id::text AS location, '' AS lot,
                        coalesce(sum(quantity) FILTER (WHERE direction = 'IN'), 0)
                        - coalesce(sum(quantity) FILTER (WHERE direction = 'OUT'), 0) AS quantity
                 FROM stock_transactions GROUP BY 1, 2, 3, 4"
            }
            Mapped::TwoSchemas => {
                r#"SELECT "tenant id"::text AS org, "item code"::text AS item, "to ""silo"""::text AS location,
                          coalesce("Batch", '') AS lot, sum("net kg") AS quantity
                   FROM plant."Stock.Entries" GROUP BY 1, 2, 3, 4"#
            }
        }
    }

    /// Its stored balances, with the columns of [`entries`](Self::entries).
    pub fn balances(self) -> &'static str {
        match self {
            Mapped::Prisma => {
                r#"SELECT "organizationId"::text AS org, "itemId"::text AS item, "locationId"::text AS location,
                          coalesce("lotId"::text, '') AS lot, "quantity" FROM "StockBalance""#
            }
            Mapped::Erp => {
                "SELECT org_id AS org, product_id::text AS item, location_id::text AS location,
                        coalesce(lot_id::text, '') AS lot, quantity FROM stock_quant"
            }
            Mapped::Warehouse => {
                "SELECT org_id AS org, article_id::text AS item, warehouse_id::text AS location, '' AS lot, quantity
                 FROM stock_on_hand"
            }
            Mapped::TwoSchemas => {
                r#"SELECT "tenant id"::text AS org, "item code"::text AS item, silo::text AS location,
                          coalesce(batch, '') AS lot, kg AS quantity FROM plant."Silo ""Balances""""#
            }
        }
    }

    /// The keys whose stored balance is not the sum of their entries. A balance of zero needs no entry.
    pub fn wrong_keys(self) -> String {
        format!(
            "SELECT org, item, location, lot, trim_scale(e.quantity), trim_scale(b.quantity)
             FROM ({}) AS e FULL JOIN ({}) AS b USING (org, item, location, lot)
             WHERE e.quantity IS DISTINCT FROM b.quantity AND NOT (e.quantity IS NULL AND b.quantity = 0)
             ORDER BY org, item, location, lot",
            self.entries(),
            self.balances()
        )
    }
}
