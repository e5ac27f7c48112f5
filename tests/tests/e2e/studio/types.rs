//! Values of every type that PostgreSQL has, at their ends: each is shown, sorted by and filtered by.

use std::collections::BTreeSet;

use testkit::TestDb;

use super::{Studio, link, links, rows};

/// A type, and values of it as SQL expressions.
const TYPES: &[(&str, &[&str])] = &[
    (
        "timestamptz",
        &[
            "'infinity'",
            "'-infinity'",
            "'294276-12-31 23:59:59.999999Z'",
            "'4713-11-24 00:00Z BC'",
            "'290000-01-01Z'",
        ],
    ),
    ("timestamp", &["'infinity'", "'-infinity'", "'294276-12-31 23:59:59.999999'", "'4713-11-24 BC'"]),
    ("date", &["'infinity'", "'-infinity'", "'5874897-12-31'", "'4713-11-24 BC'"]),
    ("time", &["'24:00:00'", "'00:00'"]),
    ("timetz", &["'24:00:00-15:59:59'", "'00:00+15:59:59'"]),
    ("interval", &["'178000000 years'", "'-178000000 years'", "'1 mon -1 day 00:00:00.000001'"]),
    (
        "numeric",
        &[
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "('9' || repeat('0', 131000))::numeric",
            "('0.' || repeat('0', 16000) || '1')::numeric",
            "-0.0",
        ],
    ),
    ("double precision", &["'NaN'", "'Infinity'", "'-Infinity'", "1e308", "5e-324", "'-0'"]),
    ("real", &["'NaN'", "'Infinity'", "1e38", "1e-45"]),
    ("bigint", &["9223372036854775807", "'-9223372036854775808'"]),
    ("smallint", &["32767", "'-32768'"]),
    ("money", &["'92233720368547758.07'", "'-92233720368547758.08'"]),
    ("boolean", &["true", "false"]),
    (
        "text",
        &[
            "E'tab\\there\\r\\nand \\u001b[31m'",
            "''",
            "' '",
            "repeat('x', 300000)",
            "U&'\\202E\\FEFF\\200B'",
            "E'\\uFFFF'",
        ],
    ),
    ("varchar(5)", &["'abc'", "'abc  '"]),
    ("character(5)", &["'abc'", "''"]),
    ("\"char\"", &["''", "'a'", "E'\\\\377'"]),
    ("name", &["''", "repeat('n', 63)"]),
    ("bytea", &["''", "'\\x00ff'", "decode(repeat('ff', 200000), 'hex')"]),
    ("bit(3)", &["B'101'"]),
    ("bit varying", &["B''", "repeat('1', 5000)::bit varying"]),
    ("uuid", &["'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"]),
    ("inet", &["'0.0.0.0/0'", "'::ffff:1.2.3.4/128'"]),
    ("cidr", &["'::/0'"]),
    ("macaddr8", &["'ff:ff:ff:ff:ff:ff:ff:ff'"]),
    (
        "json",
        &[
            "'{\"a\":1,\"a\":2}'",
            "'\"\\u0000\"'",
            "(repeat('[', 2000) || repeat(']', 2000))::json",
            "'1e999999'",
        ],
    ),
    ("jsonb", &["'null'", "'1e131000'", "(repeat('[', 2000) || repeat(']', 2000))::jsonb"]),
    ("xml", &["'<a><![CDATA[<script>]]></a>'"]),
    ("tsvector", &["''", "'a:1A ''it''''s'':2'"]),
    ("tsquery", &["'a & !b'"]),
    ("point", &["'(NaN,Infinity)'", "'(0,0)'"]),
    ("box", &["'(1,1),(0,0)'"]),
    ("path", &["'[(0,0),(1,1)]'"]),
    ("int4range", &["'empty'", "'(,)'"]),
    ("tstzrange", &["'[-infinity,infinity]'", "'(,290000-01-01Z]'"]),
    ("datemultirange", &["'{}'", "'{[2026-01-01,5874897-12-31)}'"]),
    ("numeric[]", &["'{}'", "'{{NaN,NULL},{1,2}}'", "'[-5:-4]={1,2}'"]),
    ("text[]", &["ARRAY['NULL', NULL, '', '\"', ',{']"]),
    ("timestamptz[]", &["ARRAY['infinity'::timestamptz]"]),
    ("oid", &["4294967295"]),
    ("regclass", &["'pg_class'::regclass"]),
    ("xid8", &["'18446744073709551615'"]),
    ("pg_lsn", &["'FFFFFFFF/FFFFFFFF'"]),
    ("tid", &["'(4294967295,65535)'"]),
    ("odd.mood", &["''", "'a\"b,c'"]),
    ("odd.pair", &["ROW('infinity', NULL)", "ROW(NULL, ROW('NaN', '')::odd.inner)"]),
    ("odd.positive", &["1", "'Infinity'"]),
    ("odd.named", &["'a'"]),
];

/// How many values there are, NULL among them.
fn with_null(sql_type: &str, values: &[&str]) -> usize {
    values.len() + usize::from(sql_type != "odd.named")
}

/// How often each value is there, so that there are more rows than a page takes.
fn repeats(sql_type: &str, values: &[&str]) -> usize {
    51_usize.div_ceil(with_null(sql_type, values))
}

#[tokio::test]
async fn no_value_of_any_type_ends_a_page() {
    let db = TestDb::inventory().await;
    db.execute(
        "CREATE SCHEMA odd;
         CREATE TYPE odd.mood AS ENUM ('', 'a\"b,c');
         CREATE TYPE odd.inner AS (n numeric, t text);
         CREATE TYPE odd.pair AS (at timestamptz, inside odd.inner);
         CREATE DOMAIN odd.positive AS numeric CHECK (VALUE > 0);
         CREATE DOMAIN odd.named AS name NOT NULL",
    )
    .await;
    for (n, (sql_type, values)) in TYPES.iter().enumerate() {
        let repeats = repeats(sql_type, values);
        let nothing = if *sql_type == "odd.named" { "" } else { ", (NULL)" };
        let list =
            values.iter().map(|value| format!("(({value})::{sql_type})")).collect::<Vec<_>>().join(", ");
        // More rows than a page takes, so that a value of the type is where the next page goes on.
        db.execute(format!(
            "CREATE TABLE t{n} (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v {sql_type});
             INSERT INTO t{n} (v) SELECT x.v FROM generate_series(1, {repeats}), (VALUES {list}{nothing}) AS x (v)"
        ))
        .await;
    }
    let studio = Studio::open(&db).await;
    for (n, (sql_type, values)) in TYPES.iter().enumerate() {
        let count = repeats(sql_type, values) * with_null(sql_type, values);
        for query in ["", "?sort=v", "?sort=v&dir=desc"] {
            let mut path = format!("/table/public.t{n}{query}");
            let mut seen = BTreeSet::new();
            loop {
                let answer = studio.get(&path).await;
                if answer.status == 400 && path.contains("sort=v") && answer.body.contains("has no order") {
                    seen.extend((0..count).map(|n| n.to_string()));
                    break;
                }
                assert_eq!(answer.status, 200, "{sql_type} at {path}: {}", answer.body);
                let page = answer.body;
                let shown = rows(&page).len();
                assert!(shown > 0, "{sql_type} at {path}: {page}");
                let of_page: Vec<String> = links(&page)
                    .into_iter()
                    .filter(|link| link.starts_with(&format!("/row/public.t{n}?")))
                    .collect();
                assert_eq!(of_page.iter().collect::<BTreeSet<_>>().len(), shown, "{sql_type} at {path}");
                for row in &of_page {
                    assert!(seen.insert(row.clone()), "{sql_type}: {row} is on two pages of {query}");
                }
                match link(&page, "rel=\"next\"") {
                    Some(next) => path = next,
                    None => break,
                }
            }
            assert_eq!(seen.len(), count, "{sql_type}{query}");
            for row in seen.iter().filter(|row| row.starts_with('/') && query.is_empty()).take(values.len()) {
                studio.page(row).await;
            }
        }
        for operator in ["eq", "lt", "contains"] {
            for value in ["infinity", "1%27"] {
                let answer = studio.get(&format!("/table/public.t{n}?col=v&op={operator}&val={value}")).await;
                assert!([200, 400].contains(&answer.status), "{sql_type} {operator} {value}: {answer:?}");
            }
        }
    }
}
