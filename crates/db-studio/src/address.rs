//! The studio's addresses: what a link says, and reading it back.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use stockfoil_core::{
    browse::{Edge, Filter, Operator, Sort, Start, View},
    sql::QualifiedName,
};

/// What a path segment may hold as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A request's query: the organization, and which rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query {
    /// The organization's id; `None` is all of them.
    pub(crate) org: Option<String>,
    /// Which rows, in which order, from where.
    pub(crate) view: View,
}

impl Query {
    /// Reads what [`Root::table`] and [`Root::row`] write and what the filter form sends: `col`, `op` and `val`, repeated.
    pub(crate) fn parse(text: &str) -> Query {
        let mut query = Query::default();
        let mut sort = None;
        let mut descending = false;
        let (mut after, mut before) = (Vec::new(), Vec::new());
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            let value = value.into_owned();
            let filters = &mut query.view.filters;
            match &*name {
                "org" if !value.is_empty() => query.org = Some(value),
                "col" => {
                    filters.push(Filter { column: value, operator: Operator::Equal, value: String::new() })
                }
                "op" => {
                    if let (Some(filter), Some(operator)) = (filters.last_mut(), operator(&value)) {
                        filter.operator = operator;
                    }
                }
                "val" => {
                    if let Some(filter) = filters.last_mut() {
                        filter.value = value;
                    }
                }
                "sort" if !value.is_empty() => sort = Some(value),
                "dir" => descending = value == "desc",
                "after" => after.extend(edge(&value)),
                "before" => before.extend(edge(&value)),
                "offset" => {
                    query.view.start = value
                        .parse()
                        .ok()
                        .filter(|rows| (1..=i64::MAX as u64).contains(rows))
                        .map_or(Start::First, Start::Offset);
                }
                _ => {}
            }
        }
        // The form was sent with nothing to look for.
        query.view.filters.retain(|filter| {
            let looks_for_nothing = filter.operator == Operator::Contains && filter.value.is_empty();
            !filter.column.is_empty() && !looks_for_nothing
        });
        for filter in &mut query.view.filters {
            if !filter.operator.takes_value() {
                filter.value.clear();
            }
        }
        query.view.sort = sort.map(|column| Sort { column, descending });
        if !after.is_empty() {
            query.view.start = Start::After(after);
        } else if !before.is_empty() {
            query.view.start = Start::Before(before);
        }
        query
    }

    /// The values that name a row.
    pub(crate) fn row_values(&self) -> Vec<(String, String)> {
        self.view.filters.iter().map(|filter| (filter.column.clone(), filter.value.clone())).collect()
    }
}

/// Below which path all addresses of this run are: a slash and a secret.
pub(crate) struct Root(String);

impl Root {
    /// The root that `secret` names; letters and digits.
    pub(crate) fn new(secret: String) -> Root {
        Root(format!("/{secret}"))
    }

    /// The path, without a slash at its end.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The list of tables.
    pub(crate) fn overview(&self, org: Option<&str>) -> String {
        finish(self.under("/"), org, |_| {})
    }

    /// A table's page.
    pub(crate) fn table(&self, name: &QualifiedName, org: Option<&str>, view: &View) -> String {
        finish(self.under(&format!("/table/{}", segment(name))), org, |query| {
            for (name, value) in pairs(view) {
                query.append_pair(name, &value);
            }
            match &view.start {
                Start::First => {}
                Start::After(position) => position.iter().for_each(|edge| append_edge(query, "after", edge)),
                Start::Before(position) => {
                    position.iter().for_each(|edge| append_edge(query, "before", edge));
                }
                Start::Offset(rows) => {
                    query.append_pair("offset", &rows.to_string());
                }
            }
        })
    }

    /// A row's page; `values` are columns and what they hold in that row.
    pub(crate) fn row<'a>(
        &self,
        name: &QualifiedName,
        org: Option<&str>,
        values: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> String {
        finish(self.under(&format!("/row/{}", segment(name))), org, |query| {
            for (column, value) in values {
                query.append_pair("col", column).append_pair("val", value);
            }
        })
    }

    /// The style sheet.
    pub(crate) fn style(&self) -> String {
        self.under("/style.css")
    }

    /// What the printed link opens.
    pub(crate) fn login(&self, token: &str) -> String {
        self.under(&format!("/login?token={token}"))
    }

    /// `path`, which begins with a slash, below the root.
    pub(crate) fn under(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

/// A view's filters and sort, as a form's hidden fields; its start is left out.
pub(crate) fn pairs(view: &View) -> Vec<(&'static str, String)> {
    let mut pairs = Vec::new();
    for filter in &view.filters {
        pairs.extend([("col", filter.column.clone()), ("op", word(filter.operator).to_owned())]);
        if filter.operator.takes_value() {
            pairs.push(("val", filter.value.clone()));
        }
    }
    if let Some(sort) = &view.sort {
        pairs.push(("sort", sort.column.clone()));
        if sort.descending {
            pairs.push(("dir", "desc".to_owned()));
        }
    }
    pairs
}

/// The operators, in the order of the form, with their words in an address.
pub(crate) const OPERATORS: [Operator; 6] = [
    Operator::Contains,
    Operator::Equal,
    Operator::Greater,
    Operator::Less,
    Operator::IsNull,
    Operator::IsNotNull,
];

/// An operator's word in an address.
pub(crate) fn word(operator: Operator) -> &'static str {
    match operator {
        Operator::Contains => "contains",
        Operator::Equal => "eq",
        Operator::Greater => "gt",
        Operator::Less => "lt",
        Operator::IsNull => "null",
        Operator::IsNotNull => "notnull",
    }
}

/// Schema and name from a path's segment, percent-decoded already.
pub(crate) fn parse_segment(segment: &str) -> Option<(String, String)> {
    let (schema, name) = segment.split_once('.')?;
    Some((schema.replace("%2E", ".").replace("%25", "%"), name.to_owned()))
}

/// One segment that is never `.` or `..`, which browsers would resolve: `schema.name`, dots of the schema escaped.
fn segment(name: &QualifiedName) -> String {
    let schema = name.schema.as_str().replace('%', "%25").replace('.', "%2E");
    utf8_percent_encode(&format!("{schema}.{}", name.name.as_str()), SEGMENT).to_string()
}

fn finish(
    path: String,
    org: Option<&str>,
    fill: impl FnOnce(&mut form_urlencoded::Serializer<'_, String>),
) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(org) = org {
        query.append_pair("org", org);
    }
    fill(&mut query);
    let query = query.finish();
    if query.is_empty() { path } else { format!("{path}?{query}") }
}

fn append_edge(query: &mut form_urlencoded::Serializer<'_, String>, name: &str, edge: &Edge) {
    let text = match edge {
        Edge::Null => "-".to_owned(),
        Edge::OfRow => "*".to_owned(),
        Edge::Value(value) => format!("={value}"),
    };
    query.append_pair(name, &text);
}

fn edge(text: &str) -> Option<Edge> {
    match text {
        "-" => Some(Edge::Null),
        "*" => Some(Edge::OfRow),
        _ => text.strip_prefix('=').map(|value| Edge::Value(value.to_owned())),
    }
}

fn operator(given: &str) -> Option<Operator> {
    OPERATORS.into_iter().find(|operator| word(*operator) == given)
}

#[cfg(test)]
mod tests {
    use stockfoil_core::sql::Ident;

    use super::*;

    fn name(schema: &str, name: &str) -> QualifiedName {
        QualifiedName::new(Ident::new(schema).unwrap(), Ident::new(name).unwrap())
    }

    #[test]
    fn a_view_comes_back_from_its_address() {
        let root = Root::new("5ecret".into());
        let filter = |column: &str, operator, value: &str| Filter {
            column: column.into(),
            operator,
            value: value.into(),
        };
        let views = [
            View::default(),
            View {
                filters: vec![
                    filter("a&b=c", Operator::Contains, "50% + ü"),
                    filter("col", Operator::Equal, ""),
                    filter("x", Operator::IsNull, ""),
                    filter("x", Operator::Less, "-"),
                ],
                sort: Some(Sort { column: "-created_at".into(), descending: true }),
                start: Start::After(vec![Edge::Null, Edge::Value(String::new()), Edge::Value("=*-".into())]),
            },
            View {
                sort: Some(Sort { column: "org".into(), descending: false }),
                start: Start::Before(vec![Edge::OfRow, Edge::Value("1".into())]),
                ..View::default()
            },
            View { start: Start::Offset(100), ..View::default() },
        ];
        for view in views {
            for org in [None, Some("a b&org=c")] {
                let address = root.table(&name("public", "users"), org, &view);
                assert!(address.starts_with("/5ecret/table/"), "{address}");
                let query = Query::parse(address.split_once('?').map_or("", |(_, query)| query));
                assert_eq!(query, Query { org: org.map(str::to_owned), view: view.clone() }, "{address}");
            }
        }
    }

    #[test]
    fn every_name_is_one_segment() {
        for (schema, table) in
            [("public", "users"), ("a.b", "c"), ("a", "b.c"), (".", "."), ("%2E", "/"), ("ü", "?#")]
        {
            let segment = segment(&name(schema, table));
            assert!(!segment.contains(['/', '?', '#', '"']), "{segment}");
            assert!(segment != "." && segment != "..", "browsers would resolve it");
            let decoded = percent_encoding::percent_decode_str(&segment).decode_utf8().unwrap().into_owned();
            assert_eq!(parse_segment(&decoded), Some((schema.into(), table.into())));
        }
    }

    #[test]
    fn nonsense_is_left_out() {
        let query = Query::parse(
            "org=&op=eq&val=x&col=&col=a&op=contains&val=&after=x&offset=-1&sort=&dir=desc&zz=1",
        );
        assert_eq!(query, Query::default());
    }
}
