//! The organization's column of a tenant table, with its foreign key and an index that finds an organization's rows.

use sqlx::PgConnection;

use super::{
    change::{self, Kind, MIGRATE_ORG},
    fill::Fill,
    index::{self, Planned, Printed, Shape},
    step::{Goal, Lock, Run, Step, Work},
};
use crate::{
    Error,
    catalog::{self, Part},
    model::Model,
    org_id::OrgId,
    sql::{Definition, Fixed, Fragment, Ident, Literal, QualifiedName, Statement, render},
};

/// The steps that give the table that `parts` begin with the organization's column, NOT NULL and with a default.
///
/// # Errors
/// Database errors.
pub(super) async fn column_steps(
    session: &mut PgConnection,
    model: &Model,
    parts: &[Part],
    default: &OrgId,
) -> Result<Vec<Step>, Error> {
    let Some(root) = parts.first() else { return Ok(Vec::new()) };
    let table = &root.table;
    let column = Column { model, table, default, check: check_name(table, &model.org_column) };
    Ok(match catalog::column(session, table, &model.org_column).await? {
        Some(found) if !found.not_null => {
            column.fill(parts.iter().filter(|part| part.is_leaf).map(|part| part.table.clone()).collect())
        }
        Some(_) => vec![column.drop_check()],
        None => vec![column.altered(
            format!("add {} to {}, existing rows to {default}", model.org_column.as_str(), table.plain()),
            "ALTER TABLE {table} ADD COLUMN {org} {type} NOT NULL DEFAULT {default}",
            column.goal("not null"),
        )],
    })
}

/// The organization's column of one table.
struct Column<'a> {
    model: &'a Model,
    table: &'a QualifiedName,
    default: &'a OrgId,
    /// What stands in for NOT NULL while the rows are filled.
    check: Ident,
}

impl Column<'_> {
    fn render(&self, template: &'static str) -> Statement {
        let kind = Fixed(self.model.org_type.name());
        let default = Literal::new(self.default.as_str());
        let fragments: [(&str, &dyn Fragment); 5] = [
            ("table", self.table),
            ("org", &self.model.org_column),
            ("type", &kind),
            ("default", &default),
            ("check", &self.check),
        ];
        render(template, &fragments)
    }

    fn goal(&self, state: &str) -> Goal {
        let (org, kind) = (self.model.org_column.as_str(), self.model.org_type.name());
        let binds = [self.table.to_string(), org.into(), state.into(), kind.into()];
        Goal::new(include_str!("goals/column.sql"), binds)
    }

    /// A step that alters the column, and remembers what it was.
    fn altered(&self, title: String, template: &'static str, goal: Goal) -> Step {
        let statement = self.render(template);
        Step::short(title, Lock::AccessExclusive, vec![self.table.clone()], vec![statement], goal)
            .remembering(change::note(MIGRATE_ORG, Kind::Column, self.table, self.model.org_column.as_str()))
    }

    fn drop_check(&self) -> Step {
        self.altered(
            format!("drop the check on {} that NOT NULL replaces", self.table.plain()),
            "ALTER TABLE {table} DROP CONSTRAINT {check}",
            Goal::check(self.table, &self.check, "gone"),
        )
    }

    /// A column that was nullable before: its rows, in `leaves`, are filled in batches, and a valid CHECK lets SET NOT
    /// NULL skip the scan. The CHECK goes in a statement of its own; together in one it goes first, and the scan comes back.
    fn fill(&self, leaves: Vec<QualifiedName>) -> Vec<Step> {
        let (name, column, default) = (self.table.plain(), self.model.org_column.as_str(), self.default);
        let checked = |state| Goal::check(self.table, &self.check, state);
        let fill = Fill {
            tables: leaves,
            org: self.model.org_column.clone(),
            default: Literal::new(default.as_str()),
        };
        vec![
            self.altered(
                format!("give {name}.{column} its default"),
                "ALTER TABLE {table} ALTER COLUMN {org} SET DEFAULT {default}",
                self.goal("default"),
            ),
            Step {
                run: Run::Fill(Box::new(fill.clone())),
                work: Work::Fill,
                ..self.altered(
                    format!("give the rows of {name} without {column} to {default}, then forbid more"),
                    "ALTER TABLE {table} ADD CONSTRAINT {check} CHECK ({org} IS NOT NULL) NOT VALID",
                    checked("there"),
                )
            },
            Step {
                run: Run::Refill(Box::new(fill)),
                ..Step::scan(
                    format!("check that every row of {name} has {column}"),
                    vec![self.table.clone()],
                    self.render("ALTER TABLE {table} VALIDATE CONSTRAINT {check}"),
                    checked("valid"),
                )
            },
            self.altered(
                format!("make {name}.{column} NOT NULL"),
                "ALTER TABLE {table} ALTER COLUMN {org} SET NOT NULL",
                self.goal("not null"),
            ),
            self.drop_check(),
        ]
    }
}

/// The check that stands in for NOT NULL while the rows are filled.
pub(super) fn check_name(table: &QualifiedName, org: &Ident) -> Ident {
    Ident::joined(&[table.name.as_str(), org.as_str(), "not_null"])
}

/// A partitioned table takes no foreign key that is NOT VALID, but one that each of its partitions has already costs
/// it nothing.
pub(super) async fn foreign_key_steps(
    session: &mut PgConnection,
    model: &Model,
    parts: &[Part],
) -> Result<Vec<Step>, Error> {
    let (org, organizations) = (&model.org_column, &model.organizations);
    let mut steps = Vec::new();
    let Some(root) = parts.first() else { return Ok(steps) };
    for part in parts.iter().filter(|part| part.is_leaf).chain((!root.is_leaf).then_some(root)) {
        let (table, name) = (&part.table, part.table.plain());
        // One that was there before keeps its name: its definition counts.
        let key = match catalog::foreign_key(session, table, org, organizations).await? {
            Some(found) => found.name,
            None => Ident::joined(&[table.name.as_str(), org.as_str(), "fkey"]),
        };
        let goal = |kind: &str| {
            let binds = [table.to_string(), org.as_str().into(), organizations.to_string(), kind.into()];
            Goal::new(include_str!("goals/foreign_key.sql"), binds)
        };
        let timing = Fixed(if part.is_leaf { " NOT VALID" } else { "" });
        let fragments: [(&str, &dyn Fragment); 5] = [
            ("table", table),
            ("org", org),
            ("key", &key),
            ("organizations", organizations),
            ("timing", &timing),
        ];
        // The quiet table first: whoever holds it waits for nothing else of ours.
        let statements = vec![
            render("LOCK TABLE {organizations} IN SHARE ROW EXCLUSIVE MODE", &fragments),
            render(
                "ALTER TABLE {table} ADD CONSTRAINT {key} FOREIGN KEY ({org}) REFERENCES {organizations} (id){timing}",
                &fragments,
            ),
        ];
        let note = change::note(MIGRATE_ORG, Kind::ForeignKey, table, key.as_str());
        steps.push(
            Step::short(
                format!("add foreign key {} to {name}", key.as_str()),
                Lock::ShareRowExclusive,
                vec![organizations.clone(), table.clone()],
                statements,
                goal(if part.is_leaf { "there" } else { "valid" }),
            )
            .remembering(note.clone()),
        );
        if part.is_leaf {
            steps.push(
                Step::scan(
                    format!("validate foreign key {} of {name}", key.as_str()),
                    vec![organizations.clone(), table.clone()],
                    render("ALTER TABLE {table} VALIDATE CONSTRAINT {key}", &fragments),
                    goal("valid"),
                )
                .remembering(note),
            );
        }
    }
    Ok(steps)
}

/// An index that finds an organization's rows where no key of the table begins with the organization.
pub(super) async fn index_steps(
    session: &mut PgConnection,
    model: &Model,
    parts: &[Part],
    planned: &mut Planned,
) -> Result<Vec<Step>, Error> {
    let Some(root) = parts.first() else { return Ok(Vec::new()) };
    let org = &model.org_column;
    let goal = Goal::new(
        include_str!("goals/lookup_index.sql"),
        [root.table.to_string(), org.as_str().into(), "valid".into()],
    );
    // A longer index that begins with the organization serves as well.
    if goal.is_met(session).await? {
        return Ok(Vec::new());
    }
    let quoted: String = sqlx::query_scalar("SELECT quote_ident($1) || ')'")
        .bind(org.as_str())
        .fetch_one(&mut *session)
        .await?;
    let printed = Printed::new(None, Definition::from_catalog(quoted));
    let shape = Shape::printed(false, Definition::from_catalog("btree".into()), printed);
    let places = index::places(session, parts, &shape, &[org.as_str(), "idx"], planned).await?;
    Ok(index::build(&shape, &places, false, |place| {
        Some(change::note(MIGRATE_ORG, Kind::Index, &place.table, place.index.as_str()))
    }))
}
