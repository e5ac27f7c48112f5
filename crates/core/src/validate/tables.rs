//! What `migrate-org` claims of each tenant table: its column, its rows, and its keys.

use sqlx::PgConnection;

use super::Checks;
use crate::{
    Error, balance,
    catalog::{self, UniqueKey},
    db::Context as _,
    migration::keys,
    model::Model,
    sql::{Ident, QualifiedName},
    tenancy::global_keys,
};

impl Checks {
    /// Checks one tenant table, and returns how many rows it has.
    pub(super) async fn table(
        &mut self,
        session: &mut PgConnection,
        model: &Model,
        table: &QualifiedName,
        organizations: bool,
    ) -> Result<i64, Error> {
        let (object, org) = (table.plain(), model.org_column.as_str());
        let column = catalog::column(session, table, &model.org_column).await?;
        let (holds, evidence) = match &column {
            None => (false, format!("there is no column {org}")),
            Some(column) => {
                let null = if column.not_null { "NOT NULL" } else { "nullable" };
                (
                    column.type_name == model.org_type.name() && column.not_null,
                    format!("{org} is {}, {null}", column.type_name),
                )
            }
        };
        self.add("column", object.clone(), holds, evidence, "migrate-org");
        if !organizations || column.is_none_or(|column| column.type_name != model.org_type.name()) {
            return Ok(0);
        }
        let rows = self.rows(session, model, table).await?;
        self.children(session, model, table).await?;
        self.insert_default(session, model, table).await?;
        let parts = catalog::parts(session, table).await?;
        for part in &parts {
            // A partition's key is a part of its parent's, unless it is the partition's alone.
            let is_root = part.table == *table;
            self.foreign_key(session, model, &part.table, is_root).await?;
            self.unique_keys(session, model, &part.table).await?;
        }
        self.remembered_keys(session, model, table).await?;
        Ok(rows)
    }

    /// Rows of a child are the table's too, and none of its keys and triggers are the child's.
    async fn children(
        &mut self,
        session: &mut PgConnection,
        model: &Model,
        table: &QualifiedName,
    ) -> Result<(), Error> {
        let tenants: Vec<String> = model.tenant_tables.iter().map(ToString::to_string).collect();
        let names: Option<String> = sqlx::query_scalar(include_str!("children.sql"))
            .bind(table.to_string())
            .bind(tenants)
            .fetch_one(session)
            .await
            .context(format!("look for children of {}", table.plain()))?;
        if let Some(names) = names {
            let evidence =
                format!("{names} inherit from it, whose rows are in none of its keys and triggers");
            let remedy =
                "move their rows into it and drop them, or make them partitions of a partitioned table";
            self.add("children", table.plain(), false, evidence, remedy);
        }
        Ok(())
    }

    async fn foreign_key(
        &mut self,
        session: &mut PgConnection,
        model: &Model,
        table: &QualifiedName,
        is_root: bool,
    ) -> Result<(), Error> {
        let key = catalog::foreign_key(session, table, &model.org_column, &model.organizations).await?;
        let (holds, evidence) = match &key {
            Some(key) if key.valid && key.asked && !is_root => return Ok(()),
            None => (false, "no foreign key onto organizations".to_owned()),
            Some(key) if !key.asked => {
                (false, format!("{} is not asked: its triggers are disabled", key.name.as_str()))
            }
            Some(key) if key.valid => (true, format!("{} is valid", key.name.as_str())),
            Some(key) => (false, format!("{} is NOT VALID", key.name.as_str())),
        };
        let remedy = match key {
            Some(key) if !key.asked => format!(
                "look for rows of an unknown organization, then ALTER TABLE {table} ENABLE TRIGGER ALL; ALTER TABLE {} ENABLE TRIGGER ALL",
                model.organizations
            ),
            _ => "migrate-org".to_owned(),
        };
        self.add("foreign_key", table.plain(), holds, evidence, &remedy);
        Ok(())
    }

    async fn rows(
        &mut self,
        session: &mut PgConnection,
        model: &Model,
        table: &QualifiedName,
    ) -> Result<i64, Error> {
        // The few organizations are the hashed side, so this is one scan of the table whatever its size.
        let statement = model.render_with(
            "SELECT count(*), count(*) FILTER (WHERE t.{org} IS NULL), count(*) FILTER (WHERE t.{org} IS NOT NULL AND o.id IS NULL)
             FROM {table} t LEFT JOIN {organizations} o ON o.id = t.{org}",
            &[("table", table)],
        );
        let (rows, none, unknown): (i64, i64, i64) = sqlx::query_as(statement.sql())
            .fetch_one(session)
            .await
            .context(format!("count the rows of {}", table.plain()))?;
        self.add(
            "rows",
            table.plain(),
            none == 0 && unknown == 0,
            format!("{rows} rows: {none} without an organization, {unknown} of an unknown one"),
            "give them to an organization that exists (UPDATE), then run migrate-org",
        );
        Ok(rows)
    }

    async fn unique_keys(
        &mut self,
        session: &mut PgConnection,
        model: &Model,
        table: &QualifiedName,
    ) -> Result<(), Error> {
        let org = Some(model.org_column.as_str());
        let keys = catalog::unique_keys(session, table).await?;
        let balance_key = (model.balances.is_adopted && *table == model.balances.table)
            .then(|| Ident::joined(&[table.name.as_str(), "balance_key"]));
        for key in &keys {
            if !key.valid
                && balance_key.as_ref().is_some_and(|own| key.name.as_str().starts_with(own.as_str()))
            {
                // A build of migrate-balance that ended early; it is judged with the balances, and made again there.
                continue;
            }
            if !key.valid && !key.has_column(&model.org_column) {
                // Nobody knows what it should keep unique: it's the application's to mend.
                self.warn_of_index(
                    table,
                    key.name.as_str(),
                    "REINDEX INDEX CONCURRENTLY it, or DROP INDEX CONCURRENTLY it; then migrate-org",
                );
                continue;
            }
            let columns: Vec<&str> =
                key.columns.iter().map(|column| column.as_deref().unwrap_or("an expression")).collect();
            let leads = columns.first().copied() == org;
            if !key.has_column(&model.org_column) && keys::has_twin(session, model, key).await? {
                self.contract_pending(key, &columns);
                continue;
            }
            let evidence = match (leads, key.valid) {
                (true, true) => format!("({}) is valid", columns.join(", ")),
                (true, false) => format!("({}) is INVALID", columns.join(", ")),
                (false, _) => {
                    format!("({}) does not begin with {}", columns.join(", "), model.org_column.as_str())
                }
            };
            let object = format!("{}.{}", table.plain(), key.name.as_str());
            self.add(
                "unique_key",
                object,
                leads && key.valid,
                evidence,
                "drop it if it is a left-over, then migrate-org",
            );
        }
        self.natural_keys(session, model, table, &keys).await?;
        self.invalid_indexes(session, model, table).await
    }

    /// What stays unique across organizations, and is not said to be known.
    pub(super) async fn global_keys(
        &mut self,
        session: &mut PgConnection,
        model: &Model,
    ) -> Result<(), Error> {
        let (keys, none) = global_keys::unknown(session, model).await?;
        for key in keys {
            let meaning = key.meaning();
            self.warn("global_key", key.name, meaning, global_keys::REMEDY);
        }
        for name in none {
            let evidence =
                "is known ([tenancy] global_keys), and is no key that stays unique across organizations";
            self.add("global_key", name, false, evidence.into(), "take it out of the list");
        }
        Ok(())
    }

    /// Says that a key reaches across organizations beside one that does not, until the application is ready.
    fn contract_pending(&mut self, key: &UniqueKey, columns: &[&str]) {
        let evidence = format!(
            "pending: ({}) still reaches across organizations; its key per organization is there and valid",
            columns.join(", ")
        );
        let remedy = "migrate-org --contract, once the application names the organization in ON CONFLICT";
        self.warn("contract", format!("{}.{}", key.table.plain(), key.name.as_str()), evidence, remedy);
    }

    /// What the model says is unique within an organization.
    async fn natural_keys(
        &mut self,
        session: &mut PgConnection,
        model: &Model,
        table: &QualifiedName,
        keys: &[UniqueKey],
    ) -> Result<(), Error> {
        let org = model.org_column.as_str();
        'wanted: for wanted in model.natural_keys.iter().filter(|wanted| wanted.table == *table) {
            for column in &wanted.columns {
                if catalog::column(session, table, column).await?.is_none() {
                    // The application calls it something else, or has none.
                    continue 'wanted;
                }
            }
            let columns: Vec<&str> = wanted.columns.iter().map(|column| column.as_str()).collect();
            let of_org =
                || keys.iter().filter(|key| key.valid && key.columns.first() == Some(&Some(org.to_owned())));
            let plain = of_org().find(|key| {
                key.columns.iter().skip(1).map(Option::as_deref).eq(columns.iter().copied().map(Some))
            });
            // An application's own notion of the same key, such as one without case.
            let found = plain.or_else(|| of_org().find(|key| is_over(key, &columns)));
            let evidence = match (plain, found) {
                (Some(key), _) => format!("kept unique per organization by {}", key.name.as_str()),
                (None, Some(key)) => {
                    format!("{} keeps an expression over it unique per organization", key.name.as_str())
                }
                (None, None) => "nothing keeps it unique per organization".to_owned(),
            };
            let object = format!("{}({})", table.plain(), columns.join(", "));
            self.add(
                "natural_key",
                object,
                found.is_some(),
                evidence,
                "add the unique key again, then migrate-org",
            );
        }
        Ok(())
    }

    async fn invalid_indexes(
        &mut self,
        session: &mut PgConnection,
        model: &Model,
        table: &QualifiedName,
    ) -> Result<(), Error> {
        let invalid: Vec<(String, bool)> = sqlx::query_as(
            "SELECT c.relname::text, a.attname IS NOT DISTINCT FROM $2
             FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
             LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
             WHERE i.indrelid = to_regclass($1) AND NOT i.indisunique AND NOT (i.indisvalid AND i.indisready)
               -- What migrate-balance builds is looked at by its definition, with the balances.
               AND a.attname IS DISTINCT FROM 'stockfoil_tx' AND c.relname <> ALL ($3)
             ORDER BY 1",
        )
        .bind(table.to_string())
        .bind(model.org_column.as_str())
        .bind(balance::own_indexes(&mut *session, model, table).await?)
        .fetch_all(session)
        .await
        .context(format!("look for INVALID indexes of {}", table.plain()))?;
        for (name, is_own) in invalid {
            if !is_own {
                self.warn_of_index(
                    table,
                    &name,
                    "REINDEX INDEX CONCURRENTLY it, or DROP INDEX CONCURRENTLY it",
                );
                continue;
            }
            let object = format!("{}.{name}", table.plain());
            self.add(
                "index",
                object,
                false,
                "it is INVALID".into(),
                "DROP INDEX CONCURRENTLY it, then migrate again",
            );
        }
        Ok(())
    }

    /// Says that the application has an INVALID index, which no migration touches.
    fn warn_of_index(&mut self, table: &QualifiedName, name: &str, remedy: &str) {
        let evidence = "it is INVALID, left by a build that failed or was killed, and is the application's";
        self.warn("index", format!("{}.{name}", table.plain()), evidence.into(), remedy);
    }

    /// What an insert without an organization gets: nothing, something of the application's own, or the default
    /// organization, counted; the constant default is from before the migration was over.
    async fn insert_default(
        &mut self,
        session: &mut PgConnection,
        model: &Model,
        table: &QualifiedName,
    ) -> Result<(), Error> {
        let column = catalog::column(session, table, &model.org_column).await?;
        let Some(default) = column.and_then(|column| column.default) else { return Ok(()) };
        let is_counted = default.contains("default_org(");
        let function: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_proc WHERE oid = to_regprocedure('stockfoil.default_org(text)') AND prosecdef
                            AND prosrc LIKE '%app.org_id%' AND prosrc LIKE '%setval%' AND proconfig = '{\"search_path=pg_catalog, pg_temp\"}')",
        )
        .fetch_one(&mut *session)
        .await
        .context("look at the function of the default organization")?;
        let denied: Vec<String> = match is_counted && function {
            true => sqlx::query_scalar(include_str!("denied_inserts.sql"))
                .bind(table.to_string())
                .fetch_all(session)
                .await
                .context("look who may insert and not have the default")?,
            false => Vec::new(),
        };
        let function = function && denied.is_empty();
        let evidence = match (is_counted, function) {
            (true, false) if !denied.is_empty() => format!(
                "{} may insert, but not execute stockfoil.default_org: an insert that names no organization is denied",
                denied.join(", ")
            ),
            (true, true) => {
                "inserts without an organization go to the default one, and are counted".to_owned()
            }
            (true, false) => "stockfoil.default_org is not as it should be".to_owned(),
            (false, _) => format!("the application's own: {default}"),
        };
        let object = format!("{}.{}", table.plain(), model.org_column.as_str());
        self.add("default", object, !is_counted || function, evidence, "migrate-org");
        Ok(())
    }

    /// Keys that migrate-org replaced: what they kept unique is kept unique within each organization.
    async fn remembered_keys(
        &mut self,
        session: &mut PgConnection,
        model: &Model,
        table: &QualifiedName,
    ) -> Result<(), Error> {
        for (name, found) in keys::replaced(session, model, table).await? {
            let object = format!("{}.{name}", table.plain());
            let evidence = match found {
                true => "it was replaced by one that begins with the organization".to_owned(),
                false => "it was replaced, and what replaced it is gone or was changed".to_owned(),
            };
            let remedy = "add the unique key again as it was, then migrate-org";
            self.add("replaced_key", object, found, evidence, remedy);
        }
        Ok(())
    }
}

/// Whether each part of the key behind its first is one of `columns`, in their order, or an expression that names it.
fn is_over(key: &UniqueKey, columns: &[&str]) -> bool {
    let names = |printed: String, column: &str| {
        printed.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == column)
    };
    key.predicate.is_none()
        && key.parts.len() == 1 + columns.len()
        && key.parts.iter().skip(1).zip(columns).all(|(part, column)| names(part.to_string(), column))
}
