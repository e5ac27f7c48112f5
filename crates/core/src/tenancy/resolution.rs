//! How an application finds a request's organization and makes it the transaction's: functions in the schema
//! `stockfoil`, for whatever language and driver.
//!
//! They run with their owner's rights, so that the application's role needs none on the tables of organizations and
//! keys; nobody may call them who was not granted that.

use super::api_key;
use crate::{
    model::{Model, Routine},
    org_id::KeyType,
    org_id::OrgId,
    sql::{Definition, Fixed, Fragment, Literal, Statement, render},
};

/// What an application's role may execute, as `GRANT EXECUTE ON FUNCTION` takes it; beside it the role needs USAGE on
/// the schema `stockfoil`.
pub const APPLICATION_FUNCTIONS: [Fixed; 8] = [
    Fixed("stockfoil.org_by_id(text)"),
    Fixed("stockfoil.org_by_subdomain(text)"),
    Fixed("stockfoil.org_by_api_key(text)"),
    Fixed("stockfoil.org_by_api_key_hash(text)"),
    Fixed("stockfoil.api_key(text)"),
    Fixed("stockfoil.api_key_by_hash(text)"),
    Fixed("stockfoil.resolve_org(text, text, text)"),
    Fixed("stockfoil.set_org(text)"),
];

/// Their names, which no other function in the schema has.
pub const NAMES: [&str; 8] = [
    "org_by_id",
    "org_by_subdomain",
    "org_by_api_key",
    "org_by_api_key_hash",
    "api_key",
    "api_key_by_hash",
    "resolve_org",
    "set_org",
];

/// The one that a sign-in may execute before it knows the organization, and no application by its role.
pub const SIGN_IN: &str = "orgs_of_user";

/// One of those functions.
#[derive(Debug, Clone)]
pub struct Function {
    /// Its name and its parameters' types.
    pub signature: Fixed,
    /// Creates or replaces it, and keeps it from whoever was not granted it.
    pub create: [Statement; 2],
    /// Removes it.
    pub drop: Statement,
    /// What the catalog holds of it: body, parameters, volatility as `pg_proc.provolatile` has it, and result.
    pub facts: [String; 4],
}

/// The functions, in the order in which they call each other; `default` is who a request is for that names nobody.
pub fn functions(model: &Model, default: &OrgId) -> [Function; 9] {
    let form = api_key::form();
    let number = Definition::number;
    let (is_id, default) = (is_id(model.org_type), Literal::new(default.as_str()));
    let has_user = match (&model.users, &model.memberships) {
        (_, Some(_)) => model.render(include_str!("resolution/has_member.sql")),
        (Some(_), None) => model.render(include_str!("resolution/has_user.sql")),
        (None, None) => render("SELECT o.id WHERE false", &[]),
    };
    let fragments: [(&str, &dyn Fragment); 7] = [
        ("has_user", &has_user),
        ("is_id", &is_id),
        ("default", &default),
        ("made_key", &form.made),
        ("id_start", &number(form.id.0)),
        ("id_length", &number(form.id.1)),
        ("length_max", &number(form.length_max)),
    ];
    let function = |signature: Fixed, template, parameters: &str, [volatility, result]: [&str; 2]| {
        let Routine { create, body } = model.routine(template, &fragments);
        let name: [(&str, &dyn Fragment); 1] = [("function", &signature)];
        Function {
            signature,
            create: [create, render("REVOKE ALL ON FUNCTION {function} FROM PUBLIC", &name)],
            drop: render("DROP FUNCTION IF EXISTS {function}", &name),
            facts: [body, parameters.to_owned(), volatility.to_owned(), result.to_owned()],
        }
    };
    let [by_id, by_subdomain, by_api_key, by_api_key_hash, key, key_by_hash, resolve, set] =
        APPLICATION_FUNCTIONS;
    const KEY: [&str; 2] = ["v", "TABLE(org_id text, label text, scopes text)"];
    let given =
        "header text DEFAULT NULL::text, subdomain text DEFAULT NULL::text, api_key text DEFAULT NULL::text";
    [
        function(by_id, include_str!("resolution/org_by_id.sql"), "id text", ["s", "text"]),
        function(
            by_subdomain,
            include_str!("resolution/org_by_subdomain.sql"),
            "subdomain text",
            ["s", "text"],
        ),
        function(
            by_api_key_hash,
            include_str!("resolution/org_by_api_key_hash.sql"),
            "hash text",
            ["v", "text"],
        ),
        function(by_api_key, include_str!("resolution/org_by_api_key.sql"), "api_key text", ["v", "text"]),
        function(key_by_hash, include_str!("resolution/api_key_by_hash.sql"), "hash text", KEY),
        function(key, include_str!("resolution/api_key.sql"), "api_key text", KEY),
        function(resolve, include_str!("resolution/resolve_org.sql"), given, ["v", "text"]),
        function(set, include_str!("resolution/set_org.sql"), "org text", ["v", "text"]),
        function(
            Fixed("stockfoil.orgs_of_user(text)"),
            include_str!("resolution/orgs_of_user.sql"),
            "address text",
            ["s", "SETOF text"],
        ),
    ]
}

/// Whether it reads what is said of a key, which a table of an earlier release has no columns for.
pub fn reads_key_texts(function: &Function) -> bool {
    function.signature.to_string().starts_with("stockfoil.api_key_by_hash(")
}

/// Whether the parameter `id` of `org_by_id` can be cast to the type of ids.
fn is_id(org_type: KeyType) -> Fixed {
    Fixed(match org_type {
        KeyType::Text => "org_by_id.id ~ '^[A-Za-z0-9._-]{1,63}$'",
        KeyType::Uuid => "org_by_id.id ~* '^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$'",
        KeyType::Bigint | KeyType::Integer | KeyType::Smallint => {
            "CASE WHEN org_by_id.id ~ '^[0-9]{1,19}$' THEN org_by_id.id::numeric <= 9223372036854775807 END"
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_signatures_are_of_the_same_functions() {
        for (name, signature) in NAMES.iter().zip(APPLICATION_FUNCTIONS) {
            assert!(signature.to_string().starts_with(&format!("stockfoil.{name}(")), "{signature}");
        }
    }
}
