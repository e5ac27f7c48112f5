//! The tables of organizations and of their API keys, one statement an object.

use crate::{
    model::Model,
    org_id::{KeyType, OrgId},
    sql::{Fixed, Fragment, Ident, Literal, QualifiedName, Statement, render},
};

/// Creates the table of organizations, with the sequence of its ids where they are numbers: it begins behind
/// `default`.
pub fn create_organizations(model: &Model, default: &OrgId) -> Vec<Statement> {
    let sequence = sequence(model);
    let table =
        |id: &dyn Fragment| model.render_with(include_str!("create_organizations.sql"), &[("id_column", id)]);
    match model.org_type {
        KeyType::Text => vec![table(&Fixed("text PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9._-]{1,63}$')"))],
        KeyType::Uuid => vec![table(&Fixed("uuid PRIMARY KEY"))],
        KeyType::Bigint | KeyType::Integer | KeyType::Smallint => {
            let next = Literal::new(&sequence.to_string());
            let id = model.render_with(
                "{org.type} PRIMARY KEY DEFAULT nextval({next}) CHECK (id > 0)",
                &[("next", &next)],
            );
            let first = Literal::new(default.as_str());
            let fragments: [(&str, &dyn Fragment); 3] =
                [("sequence", &sequence), ("next", &next), ("first", &first)];
            vec![
                render("CREATE SEQUENCE {sequence}", &fragments),
                render("SELECT setval({next}, greatest(1, {first}::bigint))", &fragments),
                table(&id),
                model.render_with("ALTER SEQUENCE {sequence} OWNED BY {organizations}.id", &fragments),
            ]
        }
    }
}

/// The id of a new organization: the one bound as `$1`, else the next of the sequence where ids are numbers.
pub(super) fn new_id(model: &Model) -> Statement {
    match model.org_type {
        KeyType::Text | KeyType::Uuid => model.render("$1::text::{org.type}"),
        KeyType::Bigint | KeyType::Integer | KeyType::Smallint => {
            let next = Literal::new(&sequence(model).to_string());
            model.render_with("coalesce($1::text::{org.type}, nextval({next}))", &[("next", &next)])
        }
    }
}

fn sequence(model: &Model) -> QualifiedName {
    let organizations = &model.organizations;
    QualifiedName::new(organizations.schema.clone(), Ident::joined(&[organizations.name.as_str(), "id_seq"]))
}

/// Creates the table of API keys' hashes; the table of organizations is there.
pub fn create_api_keys(model: &Model) -> Statement {
    model.render(include_str!("create_api_keys.sql"))
}

/// Inserts the organization that existing rows are given to; one that is there already is left as it is.
pub fn insert_default(model: &Model, id: &OrgId, name: &str) -> Statement {
    model.render_with(
        include_str!("insert_default.sql"),
        &[("id", &Literal::new(id.as_str())), ("name", &Literal::new(name))],
    )
}
