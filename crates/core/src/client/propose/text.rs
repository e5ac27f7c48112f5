//! The proposal as a commented `stockfoil.toml`.

use super::{
    Draft, Proposed,
    balances::Balances,
    ledger::{Ledger, Readings},
    postings::Term,
    survey::{SAMPLE_ROWS, Survey},
};
use crate::sql::{Ident, QualifiedName};

/// The file's text.
pub(super) fn write(database: &str, survey: &Survey<'_>, draft: &Draft) -> String {
    let mut file = File { out: String::new(), has_many_schemas: schemas(survey, draft).len() > 1 };
    file.comment(&format!(
        "A proposal for database {database}, by db-generate, from its catalog, its statistics and the first {SAMPLE_ROWS} rows of some tables."
    ));
    file.comment("Nothing here is certain: read the reasons, correct what is wrong, then look at `migrate-all --dry-run`.");
    file.tenancy(survey, draft);
    match &draft.ledger {
        Some(ledger) => {
            file.ledger(ledger, &draft.runners_up);
            file.balances(draft);
        }
        None => {
            file.blank();
            file.comment(
                "No table is likely enough to be the ledger: each entry of one has an item and a quantity,",
            );
            file.comment("and a sign, a direction or two places that say which way it goes. Name it here:");
            file.runners_up(&draft.runners_up);
            for line in
                ["[ledger]", "table = \"\"", "id = \"\"", "item = \"\"", "location = false", "lot = false"]
            {
                file.comment(line);
            }
            file.comment("quantity = \"\"");
            file.comment("created_at = false");
        }
    }
    file.out
}

/// The schemas of the tables that were chosen, the ledger's first.
fn schemas(survey: &Survey<'_>, draft: &Draft) -> Vec<Ident> {
    let first = draft.ledger.as_ref().map(|ledger| ledger.table.schema.clone());
    let used = |schema: &Ident| draft.tables.iter().any(|(table, _)| table.schema == *schema);
    let rest = survey.schemas.iter().filter(|schema| used(schema) && first.as_ref() != Some(schema));
    let mut schemas: Vec<Ident> = first.clone().into_iter().chain(rest.cloned()).collect();
    if schemas.is_empty() {
        schemas.clone_from(&survey.schemas);
    }
    schemas
}

struct File {
    out: String,
    has_many_schemas: bool,
}

impl File {
    fn tenancy(&mut self, survey: &Survey<'_>, draft: &Draft) {
        self.section("[tenancy]");
        let schemas: Vec<String> =
            schemas(survey, draft).iter().map(|schema| quoted(schema.as_str())).collect();
        self.line(&format!("schemas = [{}]", schemas.join(", ")));
        self.comment("Tables whose rows belong to an organization each.");
        self.line("tables = [");
        for (table, reason) in &draft.tables {
            self.inner_comment(&format!("{}; {reason}", survey.size(table)));
            let spelled = self.table(table);
            self.line(&format!("    {spelled},"));
        }
        if !draft.left_out.is_empty() {
            self.inner_comment("Left out; take in those whose rows belong to an organization:");
        }
        for (table, reason) in &draft.left_out {
            let spelled = self.table(table);
            self.inner_comment(&format!("{spelled},  {}; {reason}", survey.size(table)));
        }
        self.line("]");
        self.comment("The column that each of them has, or gets, for its organization.");
        self.key("org_column", &quoted(draft.org_column.as_str()));
        let (kind, reason) = &draft.org_type;
        self.comment(reason);
        self.key("org_type", &quoted(kind));
        self.existing(draft.existing.as_ref());
        if let Some(organizations) = &draft.organizations {
            self.comment("A table called organizations is there already, and means something else.");
            self.key("organizations", &quoted(organizations));
        }
        let is_listed = |items: &&QualifiedName| draft.tables.iter().any(|(table, _)| table == *items);
        match draft.ledger.as_ref().and_then(|ledger| ledger.items.as_ref()).filter(is_listed) {
            Some(items) => {
                self.comment("The ledger's items refer to it; org-list counts its rows.");
                let spelled = self.table(items);
                self.key("items", &spelled);
            }
            None => {
                self.comment("The ledger's items refer to no table of an organization's.");
                self.key("items", "false");
            }
        }
        match &draft.users {
            Some(users) => {
                self.blank();
                self.reasons(&users.table, &users.reasons);
                self.line("[tenancy.users]");
                let spelled = self.table(&users.table);
                self.key("table", &spelled);
                self.key("id", &quoted(users.id.as_str()));
                self.key("email", &quoted(users.email.as_str()));
            }
            None => {
                self.comment("No table of people was found: none has an address and a name that says so.");
                self.key("users", "false");
            }
        }
    }

    /// Organizations that are there already.
    fn existing(&mut self, existing: Option<&Proposed>) {
        if let Some(Proposed { table, reasons }) = existing {
            self.comment(&format!(
                "THERE ARE ORGANIZATIONS ALREADY, it seems: {table}; {}.",
                reasons.join("; ")
            ));
            self.comment("What is written here makes others of its own beside them, with a column of its own. Before it runs, decide which");
            self.comment("are to be kept: migrate-org --adopt-organizations makes an organization for each value of a column that is named here.");
        }
    }

    fn ledger(&mut self, ledger: &Ledger, runners_up: &[(String, i32)]) {
        self.blank();
        self.reasons(&ledger.table, &ledger.reasons);
        self.tested(ledger);
        self.runners_up(runners_up);
        self.line("[ledger]");
        let spelled = self.table(&ledger.table);
        self.key("table", &spelled);
        let id: Vec<String> = ledger.id.iter().map(|column| quoted(column.as_str())).collect();
        self.key("id", &if let [id] = &id[..] { id.clone() } else { format!("[{}]", id.join(", ")) });
        self.key("item", &quoted(ledger.item.as_str()));
        let one = if let [posting] = &ledger.postings[..] { Some(posting) } else { None };
        if let Some(posting) = one {
            self.key("location", &term(&posting.location));
        }
        self.key("lot", &column_or_false(ledger.lot.as_ref()));
        if let Some(posting) = one {
            self.key("quantity", &term(&posting.quantity));
        }
        self.key("created_at", &column_or_false(ledger.created_at.as_ref()));
        if let Some(counts) = &ledger.counts {
            self.key("where", &format!("{{ sql = {} }}", quoted(counts.as_str())));
        }
        if one.is_none() {
            for posting in &ledger.postings {
                self.section("[[ledger.posting]]");
                self.key("location", &term(&posting.location));
                self.key("quantity", &term(&posting.quantity));
            }
        }
    }

    /// What the sums were compared with, and what is a guess.
    fn tested(&mut self, ledger: &Ledger) {
        if let Some(agreement) = ledger.agreement.as_ref().filter(|agreement| !agreement.differing.is_empty())
        {
            self.comment(&format!(
                "  other keys, where balance or entries may be wrong: {}",
                agreement.differing.join("; ")
            ));
        }
        let Some(Readings { reason, readings: [one, other], keys }) = &ledger.readings else { return };
        self.comment(&format!(
            "THE SIGN IS A GUESS: {reason}. What is written here takes it that {one}; else {other}:"
        ));
        for (key, first, second) in keys {
            self.comment(&format!("  {key}: {first} or {second}"));
        }
        if !keys.is_empty() {
            self.comment("Look which of the two lies there, and correct quantity.");
        }
    }

    fn balances(&mut self, draft: &Draft) {
        self.blank();
        for reason in &draft.no_balances {
            self.comment(&format!("Not the balances: {reason}."));
        }
        match &draft.balances {
            Some(balances) => self.adopted(balances),
            None => {
                self.comment("No table holds the ledger's balances yet; migrate-balance makes one.");
                self.line("[balances]");
                self.key("table", &quoted("inventory_balances"));
                let ledger = draft.ledger.as_ref();
                let has_location = ledger.is_some_and(|ledger| {
                    ledger.postings.iter().any(|posting| !matches!(posting.location, Term::Nothing))
                });
                if !has_location {
                    self.key("location", "false");
                }
                if ledger.is_some_and(|ledger| ledger.lot.is_none()) {
                    self.key("lot", "false");
                }
            }
        }
    }

    fn adopted(&mut self, balances: &Balances) {
        self.reasons(&balances.table, &balances.reasons);
        self.line("[balances]");
        let spelled = self.table(&balances.table);
        self.key("table", &spelled);
        self.key("adopt", "true");
        self.comment("Something keeps this table today. Say \"triggers\" once nothing else writes it: two that do count twice.");
        self.key("kept_by", &quoted("application"));
        self.key("item", &quoted(balances.item.as_str()));
        self.key("location", &column_or_false(balances.location.as_ref()));
        self.key("lot", &column_or_false(balances.lot.as_ref()));
        self.key("quantity", &quoted(balances.quantity.as_str()));
        self.key("last_ledger_id", "false");
        self.key("last_updated", &column_or_false(balances.last_updated.as_ref()));
    }

    fn reasons(&mut self, table: &QualifiedName, reasons: &[String]) {
        self.comment(&format!("{}:", table.plain()));
        for reason in reasons {
            self.comment(&format!("  {reason}"));
        }
    }

    fn runners_up(&mut self, runners_up: &[(String, i32)]) {
        for (table, points) in runners_up.iter().take(3) {
            self.comment(&format!("Less likely: {table}, with {points} points."));
        }
    }

    fn section(&mut self, head: &str) {
        self.blank();
        self.line(head);
    }

    fn key(&mut self, name: &str, value: &str) {
        self.line(&format!("{name} = {value}"));
    }

    fn comment(&mut self, text: &str) {
        self.line(&format!("# {}", one_line(text)));
    }

    fn inner_comment(&mut self, text: &str) {
        self.line(&format!("    # {}", one_line(text)));
    }

    fn blank(&mut self) {
        self.out.push('\n');
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    /// A table as the configuration spells it.
    fn table(&self, table: &QualifiedName) -> String {
        let part = |name: &Ident| {
            if name.as_str().contains(['.', '"']) { name.to_string() } else { name.as_str().to_owned() }
        };
        let name = part(&table.name);
        quoted(&if self.has_many_schemas { format!("{}.{name}", part(&table.schema)) } else { name })
    }
}

fn term(term: &Term) -> String {
    match term {
        Term::Column(column) => quoted(column.as_str()),
        Term::Sql(sql) => format!("{{ sql = {} }}", quoted(sql.as_str())),
        Term::Nothing => "false".into(),
    }
}

fn column_or_false(column: Option<&Ident>) -> String {
    column.map_or_else(|| "false".into(), |column| quoted(column.as_str()))
}

/// A text as a TOML string.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A text that can't leave its comment.
pub(super) fn one_line(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        if letter.is_control() { out.extend(letter.escape_default()) } else { out.push(letter) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_stays_on_its_line() {
        assert_eq!(one_line("a\n[ledger]\r\u{0}b"), "a\\n[ledger]\\r\\u{0}b");
    }
}
