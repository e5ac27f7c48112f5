//! The unique keys within an organization, by which rows that arrive there are compared with those that it has.

use crate::{
    catalog::UniqueKey,
    model::Model,
    sql::{Fixed, Ident, List, Statement, render},
};

/// A unique key within an organization, as SQL that compares two rows by it.
pub(super) struct KeyParts {
    names: Vec<Ident>,
    /// Its parts but for the organization, for a select list over a row of the table.
    pub(super) selected: List<Statement>,
    /// Which rows of the table it is about.
    pub(super) predicate: Statement,
    /// The operator that says that two rows have the same.
    pub(super) same: Fixed,
}

impl KeyParts {
    pub(super) fn of(model: &Model, key: &UniqueKey) -> Self {
        let org = Some(model.org_column.as_str());
        let others = key.columns.iter().zip(&key.parts).filter(|(column, _)| column.as_deref() != org);
        // A key of the organization's column alone has no other part: `true` then stands for "any two rows".
        let parts = std::iter::once(render("true", &[]))
            .chain(others.map(|(_, part)| render("{part}", &[("part", part)])));
        let (names, selected) = parts
            .enumerate()
            .map(|(at, part)| {
                let name = Ident::joined(&["key", &at.to_string()]);
                let selected = render("{part} AS {name}", &[("part", &part), ("name", &name)]);
                (name, selected)
            })
            .unzip();
        Self {
            names,
            selected: List(selected),
            predicate: match &key.predicate {
                Some(predicate) => render("{predicate}", &[("predicate", predicate)]),
                None => render("true", &[]),
            },
            same: Fixed(if key.nulls_not_distinct { "IS NOT DISTINCT FROM" } else { "=" }),
        }
    }

    /// The parts, selected as `row`.
    pub(super) fn of_row(&self, row: &'static str) -> List<Statement> {
        let each =
            self.names.iter().map(|name| render("{row}.{name}", &[("row", &Fixed(row)), ("name", name)]));
        List(each.collect())
    }
}
