use proptest::prelude::*;

use super::*;
use crate::sql::Ident;

fn columns() -> Vec<TableColumn> {
    let column = |name: &str, type_name: &str| TableColumn {
        name: Ident::new(name).unwrap(),
        type_name: Definition::from_catalog(type_name.into()),
        not_null: true,
        is_generated: false,
        default: None,
    };
    vec![column("site", "text"), column("odd \"name\"", "integer"), column("name", "text")]
}

fn sql(text: &str) -> Result<(String, Vec<String>), ConditionError> {
    let mut values = Vec::new();
    let sql = text.parse::<Condition>()?.sql("locations", &columns(), &mut values)?;
    Ok((sql.as_str().to_owned(), values))
}

#[test]
fn conditions_become_sql_with_bound_literals() {
    let (text, values) = sql(r#"site = "North" and not (name like 'A_*' or "odd ""name""" >= 7)"#).unwrap();
    assert_eq!(
        text,
        r#"((t."site" = ($1::text[])[1]::text AND NOT ((t."name"::text LIKE ($1::text[])[2]) OR (t."odd ""name""" >= ($1::text[])[3]::integer))))"#
    );
    assert_eq!(values, ["North", r"A\_%", "7"]);
    let (text, values) = sql(r#"site NOT IN ("a", 'b''c', "*d") or name is not null"#).unwrap();
    assert_eq!(
        text,
        r#"((NOT (t."site" = ($1::text[])[1]::text OR t."site" = ($1::text[])[2]::text OR t."site"::text LIKE ($1::text[])[3])) OR (NOT t."name" IS NULL))"#
    );
    assert_eq!(values, ["a", "b'c", "%d"]);
    assert_eq!(sql(r"site != 'x\*%'").unwrap().1, ["x*%"]);
}

#[test]
fn what_is_no_condition_is_said() {
    for (text, part) in [
        ("", "nothing more"),
        ("site", "nothing more"),
        ("site = North", "a text in quotes"),
        ("site = 'North", "a quote that it does not close"),
        ("site = 'a' 'b'", "and, or, or the end"),
        ("site in 'a'", "a list in parentheses"),
        ("site in ('a' 'b')", "a comma or a closing parenthesis"),
        ("(site = 'a'", "a closing parenthesis"),
        ("site not = 'a'", "in or like"),
        ("site is 'a'", "null"),
        ("site ! 'a'", "operator"),
        ("site > 'a*'", "holds a wildcard"),
        ("site = 'a'; drop table users", "and, or, or the end"),
        ("sites = 'a'", "did you mean \"site\"?"),
        ("nothing_like_it = 'a'", "no column"),
    ] {
        let error = sql(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
    assert!(matches!(sql(&"(".repeat(100_000)), Err(ConditionError::TooDeep(_))));
}

proptest! {
    #[test]
    fn nothing_panics_and_no_literal_gets_into_the_sql(text in ".{0,80}", secret in "[a-z]{12,20}") {
        let _ = sql(&text);
        let (statement, values) = sql(&format!("site = '{secret}' or name in (\"{secret}*\")")).unwrap();
        prop_assert!(!statement.contains(&secret));
        prop_assert_eq!(values, [secret.clone(), format!("{secret}%")]);
    }
}
