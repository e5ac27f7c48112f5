//! Which table holds the people who use the application.

use std::collections::BTreeSet;

use super::{
    survey::{Survey, primary_key},
    words,
};
use crate::{
    client::schema::Type,
    sql::{Ident, QualifiedName},
};

/// The likely table of people.
pub(super) struct Users {
    pub(super) table: QualifiedName,
    pub(super) id: Ident,
    pub(super) email: Ident,
    pub(super) reasons: Vec<String>,
}

/// The people: a table with an address, a key of one column, and a name that says so.
pub(super) fn find(survey: &Survey<'_>, own: &BTreeSet<QualifiedName>) -> Option<Users> {
    let mut found: Vec<(i32, Users)> = Vec::new();
    for table in survey.tables.iter().filter(|table| !own.contains(&table.name)) {
        let [id] = primary_key(table) else { continue };
        let texts = || table.columns.iter().filter(|column| column.resolved.kind == Type::Text);
        let address = texts().find(|column| words::has(column.name.as_str(), words::EMAIL));
        let login = || texts().find(|column| words::has(column.name.as_str(), words::LOGIN));
        let Some(email) = address.or_else(login) else { continue };
        let name = table.name.name.as_str();
        let mut points = 0;
        let mut reasons = vec![format!("{} is an address or a login", email.name.as_str())];
        if words::has(name, words::USER) {
            points += 3;
            reasons.push("its name is one of people who use an application".into());
        }
        if words::has(name, words::OUTSIDER) {
            points -= 4;
        }
        if table.keys.iter().any(|key| key.columns == [email.name.clone()]) {
            points += 2;
            reasons.push(format!("{} is unique", email.name.as_str()));
        }
        let referring =
            survey.tables.iter().filter(|other| other.foreign_keys.iter().any(|key| key.table == table.name));
        let referring = referring.count();
        if referring > 0 {
            points += 1;
            reasons.push(format!("tables that refer to it: {referring}"));
        }
        let users = Users { table: table.name.clone(), id: id.clone(), email: email.name.clone(), reasons };
        if points >= 2 {
            found.push((points, users));
        }
    }
    found.into_iter().max_by_key(|(points, _)| *points).map(|(_, users)| users)
}
