//! One table's module: its row, its select list, and the functions that find rows.

use std::collections::{HashMap, HashSet};

use super::{
    source::{Source, WIDTH, code, full_name, list, prose, sql_literal},
    types::{Names, array, borrowed, owned},
};
use crate::{
    client::{
        GenerateError,
        names::{Style, identifiers, written},
        schema::{Column, Key, Table, Type},
    },
    sql::Ident,
};

/// Writes the module of `table`.
pub(super) fn table(out: &mut Source, table: &Table, names: &Names<'_>) -> Result<(), GenerateError> {
    let columns = table.columns.iter().map(|column| column.name.as_str());
    let fields = identifiers(&format!("columns of {}", table.name.plain()), Style::Snake, columns)?;
    let writer = TableWriter { table, names, fields };
    out.doc(&writer.about());
    out.open(&format!("pub mod {} {{", written(&names.items[&table.name])));
    let orgs = table.org_column.is_some() || table.columns.iter().any(|column| column.is_org_id);
    if orgs {
        out.line("use super::super::OrgId;");
        out.line("");
    }
    writer.row(out);
    out.line("");
    writer.columns(out);
    if let Some(key) = table.keys.iter().find(|key| key.is_primary) {
        out.line("");
        writer.find(out, "find", &writer.own(key));
    }
    for (name, columns) in writer.unique_lookups()? {
        out.line("");
        writer.find(out, &name, &columns);
    }
    writer.list(out);
    out.close();
    Ok(())
}

/// Writes one table's module.
struct TableWriter<'a> {
    table: &'a Table,
    names: &'a Names<'a>,
    fields: HashMap<&'a str, String>,
}

impl TableWriter<'_> {
    fn about(&self) -> String {
        let name = code(&full_name(&self.table.name));
        let mut facts = Vec::new();
        match self.table.keys.iter().find(|key| key.is_primary) {
            Some(key) => facts.push(format!("primary key {}", list(&key.columns))),
            None => facts.push("no primary key".to_owned()),
        }
        for key in self.table.keys.iter().filter(|key| !key.is_primary) {
            facts.push(format!("unique {}", list(&key.columns)));
        }
        if let Some(org) = &self.table.org_column {
            facts.push(format!("each row belongs to the organization in {}", code(org.as_str())));
        }
        let facts = facts.join("; ");
        match &self.table.comment {
            Some(comment) => format!("{}\n\nThe table {name}: {facts}.", prose(comment)),
            None => format!("The table {name}: {facts}."),
        }
    }

    fn row(&self, out: &mut Source) {
        out.doc(&format!("A row of {}.", code(&full_name(&self.table.name))));
        out.line("#[derive(Debug, Clone, PartialEq, ::sqlx::FromRow)]");
        out.open("pub struct Row {");
        for column in &self.table.columns {
            out.doc(&self.about_column(column));
            let field = written(&self.fields[column.name.as_str()]);
            if field != column.name.as_str() {
                out.line(&format!("#[sqlx(rename = {:?})]", column.name.as_str()));
            }
            let kind = self.owned(column);
            let kind = if column.nullable { format!("Option<{kind}>") } else { kind };
            out.line(&format!("pub {field}: {kind},"));
        }
        out.close();
    }

    fn about_column(&self, column: &Column) -> String {
        let mut facts = vec![code(&column.declared)];
        let is_in = |columns: &[Ident]| columns.contains(&column.name);
        if column.resolved.kind == Type::AsText || column.resolved.kind == array(Type::AsText) {
            facts.push("read as PostgreSQL's text for it".to_owned());
        }
        if self.table.keys.iter().any(|key| key.is_primary && is_in(&key.columns)) {
            facts.push("in the primary key".to_owned());
        }
        for key in self.table.foreign_keys.iter().filter(|key| is_in(&key.columns)) {
            let columns: Vec<&str> = key.foreign_columns.iter().map(Ident::as_str).collect();
            let to = code(&format!("{} ({})", full_name(&key.table), columns.join(", ")));
            match key.columns.as_slice() {
                [_] => facts.push(format!("references {to}")),
                several => facts.push(format!("in {}, which references {to}", list(several))),
            }
        }
        if column.generated {
            facts.push("computed by the database, never written".to_owned());
        }
        if column.identity {
            facts.push("numbered by the database".to_owned());
        }
        let facts = facts.join("; ");
        match &column.comment {
            Some(comment) => format!("{}\n\n{facts}.", prose(comment)),
            None => {
                let table = full_name(&self.table.name);
                format!("Column {} of {}: {facts}.", code(column.name.as_str()), code(&table))
            }
        }
    }

    fn columns(&self, out: &mut Source) {
        // A macro, since only literals can be put together into one.
        out.open("macro_rules! columns {");
        out.open("() => {");
        let indent = format!("\n{}", out.indent());
        out.line(&sql_literal(&self.select_list(), &indent));
        out.depth -= 1;
        out.line("};");
        out.close();
        out.line("");
        out.doc("The select list that a [`Row`] is read from, for queries of your own.");
        out.line("pub const COLUMNS: &str = columns!();");
    }

    /// A function that finds the row by a key; `columns` leaves out the organization.
    fn find(&self, out: &mut Source, name: &str, columns: &[&Column]) {
        let whose = if self.table.org_column.is_some() { "the organization's row" } else { "the row" };
        let by: Vec<Ident> = columns.iter().map(|column| column.name.clone()).collect();
        match by.as_slice() {
            [] => out.doc(&format!("Finds {whose}.")),
            by => out.doc(&format!("Finds {whose} with this {}.", list(by))),
        }
        let mut parameters = self.scope();
        let arguments = self.arguments(columns);
        parameters.extend(
            columns
                .iter()
                .zip(&arguments)
                .map(|(column, argument)| format!("{argument}: {}", self.borrowed(column))),
        );
        out.function(name, &parameters, "::sqlx::Result<Option<Row>>");
        let conditions = format!("WHERE {}", self.conditions(columns, "="));
        out.statement("SQL", &self.clauses([conditions]));
        out.query("", "SQL", &self.binds(&arguments), "fetch_optional");
        out.close();
    }

    /// The functions that find a row by a unique key: their names and the keys' columns without the organization.
    fn unique_lookups(&self) -> Result<Vec<(String, Vec<&Column>)>, GenerateError> {
        let mut seen = HashSet::new();
        let mut wanted = Vec::new();
        for key in &self.table.keys {
            let columns = self.own(key);
            let mut set: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            set.sort_unstable();
            let is_new = seen.insert(set);
            if is_new && !key.is_primary && !columns.is_empty() {
                let fields: Vec<&str> =
                    columns.iter().map(|column| self.fields[column.name.as_str()].as_str()).collect();
                wanted.push((format!("find_by_{}", fields.join("_and_")), columns));
            }
        }
        let mut names = HashSet::new();
        for (name, columns) in &wanted {
            if !names.insert(name) {
                let columns: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
                return Err(GenerateError::SameName {
                    what: format!("unique keys of {}", self.table.name.plain()),
                    name: columns.join(", "),
                    rust: name.clone(),
                });
            }
        }
        Ok(wanted)
    }

    /// A function that reads page after page in the primary key's order. A table without one has no order, and an
    /// organization that is a whole key has no pages.
    fn list(&self, out: &mut Source) {
        let Some(key) = self.table.keys.iter().find(|key| key.is_primary) else { return };
        let columns = self.own(key);
        if columns.is_empty() {
            return;
        }
        let whose = if self.table.org_column.is_some() { "The organization's rows" } else { "The rows" };
        let by: Vec<Ident> = columns.iter().map(|column| column.name.clone()).collect();
        out.line("");
        out.doc(&format!(
            "{whose} in the order of {}: at most `limit`, those behind `after` where one is given.",
            list(&by)
        ));
        let kinds: Vec<String> = columns.iter().map(|column| self.borrowed(column)).collect();
        let after = match kinds.as_slice() {
            [kind] => kind.clone(),
            kinds => format!("({})", kinds.join(", ")),
        };
        let mut parameters = self.scope();
        parameters.push(format!("after: Option<{after}>"));
        parameters.push("limit: i64".into());
        out.function("list", &parameters, "::sqlx::Result<Vec<Row>>");
        // Without the table, a column that is read as text would be sorted as text.
        let sorted = |column: &&Column| format!("{}.{}", self.table.name.name, column.name);
        let order: Vec<String> = columns.iter().map(sorted).collect();
        let order = format!("ORDER BY {}", order.join(", "));
        let scoped = usize::from(self.table.org_column.is_some());
        let limit = |place: usize| format!("LIMIT ${place}");
        let mut first = vec![order.clone(), limit(scoped + 1)];
        if self.table.org_column.is_some() {
            first.insert(0, format!("WHERE {}", self.conditions(&[], "=")));
        }
        let behind = format!("WHERE {}", self.conditions(&columns, ">"));
        out.statement("FIRST", &self.clauses(first));
        out.statement("NEXT", &self.clauses([behind, order, limit(scoped + columns.len() + 1)]));
        let mut behind: Vec<String> = match columns.len() {
            1 => vec!["after".into()],
            count => (0..count).map(|index| format!("after.{index}")).collect(),
        };
        behind.push("limit".into());
        out.open("match after {");
        out.query("None => ", "FIRST", &self.binds(&["limit".to_owned()]), "fetch_all");
        out.query("Some(after) => ", "NEXT", &self.binds(&behind), "fetch_all");
        out.close();
        out.close();
    }

    /// The key's columns without the organization's.
    fn own(&self, key: &Key) -> Vec<&Column> {
        key.columns
            .iter()
            .filter(|name| Some(*name) != self.table.org_column.as_ref())
            .filter_map(|name| self.table.column(name))
            .collect()
    }

    /// The parameters that each function begins with.
    fn scope(&self) -> Vec<String> {
        let mut parameters = vec!["conn: &mut ::sqlx::PgConnection".to_owned()];
        if self.table.org_column.is_some() {
            parameters.push("org: &OrgId".into());
        }
        parameters
    }

    /// Parameter names for `columns` that differ from those of [`scope`](Self::scope).
    fn arguments(&self, columns: &[&Column]) -> Vec<String> {
        let fields: Vec<&String> = columns.iter().map(|column| &self.fields[column.name.as_str()]).collect();
        let own = |field: &&String| {
            let mut name = (*field).clone();
            while matches!(name.as_str(), "conn" | "org") || (name != **field && fields.contains(&&name)) {
                name.push('_');
            }
            written(&name)
        };
        fields.iter().map(own).collect()
    }

    fn binds(&self, arguments: &[String]) -> Vec<String> {
        let org = self.table.org_column.iter().map(|_| "org".to_owned());
        org.chain(arguments.iter().cloned()).collect()
    }

    /// The clauses of a statement behind its select list.
    fn clauses(&self, more: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut lines = vec![String::new(), format!("FROM {}", self.table.name)];
        lines.extend(more);
        lines
    }

    fn select_list(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for column in &self.table.columns {
            let name = &column.name;
            let item = match &column.resolved.read_as {
                Some(kind) => format!("{name}::{kind} AS {name}"),
                None => name.to_string(),
            };
            match lines.last_mut() {
                Some(line) if line.len() + item.len() <= WIDTH - 20 => {
                    line.push_str(", ");
                    line.push_str(&item);
                }
                Some(line) => {
                    line.push(',');
                    lines.push(item);
                }
                None => lines.push(item),
            }
        }
        lines
    }

    /// The organization's rows whose `columns`, as a whole, stand to the parameters in `order`.
    fn conditions(&self, columns: &[&Column], order: &str) -> String {
        let mut parts = Vec::new();
        let mut place = 0;
        let mut parameter = |column: &Column| {
            place += 1;
            match &column.resolved.compare_as {
                Some(kind) => format!("${place}::{kind}"),
                None => format!("${place}"),
            }
        };
        if let Some(org) = self.table.org_column.as_ref().and_then(|org| self.table.column(org)) {
            parts.push(format!("{} = {}", org.name, parameter(org)));
        }
        let places: Vec<String> = columns.iter().map(|column| parameter(column)).collect();
        let names: Vec<String> = columns.iter().map(|column| column.name.to_string()).collect();
        match order {
            "=" => parts.extend(names.iter().zip(&places).map(|(name, place)| format!("{name} = {place}"))),
            _ if names.len() == 1 => parts.push(format!("{} {order} {}", names[0], places[0])),
            _ => parts.push(format!("({}) {order} ({})", names.join(", "), places.join(", "))),
        }
        parts.join(" AND ")
    }

    fn owned(&self, column: &Column) -> String {
        if column.is_org_id { "OrgId".into() } else { owned(&column.resolved.kind, &self.names.paths) }
    }

    fn borrowed(&self, column: &Column) -> String {
        if column.is_org_id { "&OrgId".into() } else { borrowed(&column.resolved.kind, &self.names.paths) }
    }
}
