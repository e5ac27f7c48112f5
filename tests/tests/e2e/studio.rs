//! db-studio through HTTP, as a browser sees it.

mod access;
mod browsing;
mod limits;
mod types;

use std::{collections::BTreeSet, process::Stdio};

use testkit::{Cluster, Signal, TestDb, binary_path, signal};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::Child,
};

/// A running studio, opened.
struct Studio {
    port: u16,
    /// What every address of it begins with: a slash and a secret.
    root: String,
    token: String,
    cookie: String,
    process: Child,
}

/// One answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Studio {
    /// Starts the studio on any free port and opens its link.
    async fn open(db: &TestDb) -> Studio {
        let mut studio = Studio::start(&db.url()).await;
        studio.log_in().await;
        studio
    }

    /// Exchanges the link's token for the cookie.
    async fn log_in(&mut self) {
        let answer = self.get_with("/login?token=TOKEN", &[]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        self.cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    }

    async fn start(url: &str) -> Studio {
        let process = tokio::process::Command::new(binary_path("db-studio"))
            .args(["--port", "0", "--no-open"])
            .env_clear()
            .env("DATABASE_URL", url)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Studio::opened_by(process).await
    }

    /// The studio that `process` runs, by the link that it prints.
    async fn opened_by(mut process: Child) -> Studio {
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
        let (port, root, token) = line
            .trim()
            .strip_prefix("http://127.0.0.1:")
            .and_then(|rest| rest.split_once("/login?token="))
            .and_then(|(place, token)| place.split_once('/').map(|(port, root)| (port, root, token)))
            .unwrap_or_else(|| panic!("not a link: {line:?}"));
        Studio {
            port: port.parse().unwrap(),
            root: format!("/{root}"),
            token: token.to_owned(),
            cookie: String::new(),
            process,
        }
    }

    /// A page, in the session.
    async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[("Cookie", &self.cookie)]).await
    }

    /// A page that must be there.
    async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }

    async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let host = format!("127.0.0.1:{}", self.port);
        let mut headers = headers.to_vec();
        headers.push(("Host", &host));
        self.send("GET", path, &headers).await
    }

    /// A request for a path below the root, as the pages' links are when the root is left out; TOKEN in the path
    /// stands for the link's.
    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let path = format!("{}{}", self.root, path.replace("TOKEN", &self.token));
        let mut answer = self.send_anywhere(method, &path, headers).await;
        for attribute in ["href=\"", "action=\"", "url="] {
            for rest in answer.body.split(attribute).skip(1) {
                let is_below = rest.strip_prefix(&self.root).is_some_and(|rest| rest.starts_with('/'));
                assert!(rest.starts_with('#') || is_below, "{path} leads out of its root: {rest:.60}");
            }
        }
        answer.body = answer.body.replace(&self.root, "");
        answer
    }

    /// One request on a connection of its own.
    async fn send_anywhere(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    }
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(given, _)| *given == name).map(|(_, value)| value)
    }
}

/// A migrated inventory of two organizations, each with a row in every tenant table that names it.
async fn two_organizations() -> TestDb {
    let db = TestDb::migrated().await;
    db.execute(
        "INSERT INTO organizations (id, name) VALUES ('org-acme', 'Acme Mining'), ('org-bore', 'Borealis')",
    )
    .await;
    for org in ["acme", "bore"] {
        db.execute(format!(
            "INSERT INTO users (id, email, name, org_id) VALUES ('{org}-user', '{org}@example.com', '{org}-secret', 'org-{org}');
             INSERT INTO items (id, item_number, name, org_id) VALUES ('{org}-item', '{org}-1', '{org}-secret', 'org-{org}');
             INSERT INTO locations (id, site, name, org_id) VALUES ('{org}-place', '{org}', '{org}-secret', 'org-{org}');
             INSERT INTO inventory_ledger (id, item_id, location_id, qty_canonical, note, created_by, org_id)
                VALUES ('{org}-entry', '{org}-item', '{org}-place', 1, '{org}-secret', '{org}-user', 'org-{org}');
             INSERT INTO count_sheets (id, count_number, location_id, org_id) VALUES ('{org}-sheet', '{org}-secret', '{org}-place', 'org-{org}');
             INSERT INTO count_lines (id, count_sheet_id, item_id, lot_id, qty_counted, org_id)
                VALUES ('{org}-line', '{org}-sheet', '{org}-item', '{org}-secret', 1, 'org-{org}');
             INSERT INTO audit_logs (id, user_id, action, entity, details, org_id)
                VALUES ('{org}-log', '{org}-user', 'edit', 'item', '{{\"by\": \"{org}-secret\"}}', 'org-{org}');
             INSERT INTO feature_flags (id, key, org_id) VALUES ('{org}-flag', '{org}-secret', 'org-{org}');"
        ))
        .await;
    }
    // A view over everybody's rows that can't be told apart, and a row that refers across organizations.
    db.execute(
        "CREATE VIEW everything AS SELECT name FROM users;
         INSERT INTO inventory_ledger (id, item_id, location_id, qty_canonical, org_id)
            VALUES ('acme-crossing', 'bore-item', 'acme-place', 1, 'org-acme')",
    )
    .await;
    db
}

const TENANT_TABLES: [&str; 8] = [
    "users",
    "items",
    "locations",
    "inventory_ledger",
    "count_sheets",
    "count_lines",
    "audit_logs",
    "feature_flags",
];

/// Every `href` of the page, as a browser reads it.
fn links(page: &str) -> Vec<String> {
    page.split("href=\"").skip(1).map(|rest| unescape(rest.split('"').next().unwrap())).collect()
}

/// The `href` of the element that has `attribute`.
fn link(page: &str, attribute: &str) -> Option<String> {
    let element = page.split('<').find(|element| element.contains(attribute) && element.contains("href="))?;
    links(element).into_iter().next()
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// The page's rows, as HTML; none where the page shows no grid of rows.
fn rows(page: &str) -> Vec<&str> {
    let Some((_, grid)) = page.split_once("<div class=\"grid rows") else { return Vec::new() };
    let body = grid.split("<tbody>").nth(1).unwrap().split("</tbody>").next().unwrap();
    body.split("<tr>").skip(1).collect()
}

/// The rows' first column, row by row, without markup.
fn first_cells(page: &str) -> Vec<String> {
    rows(page).into_iter().map(|row| text(row.split("<td").nth(2).unwrap())).collect()
}

/// What is left of an element without its tags.
fn text(element: &str) -> String {
    let inner = element.split_once('>').unwrap().1;
    inner
        .split('<')
        .enumerate()
        .map(|(index, part)| if index == 0 { part } else { part.split_once('>').unwrap().1 })
        .collect()
}

#[tokio::test]
async fn the_switch_shows_one_organization_alone() {
    let db = two_organizations().await;
    let studio = Studio::open(&db).await;
    let all = studio.page("/").await;
    assert!(all.contains("Acme Mining") && all.contains("Borealis") && all.contains("everything"));
    assert!(studio.page("/table/public.users").await.contains("bore-secret"));
    let overview = studio.page("/?org=org-acme").await;
    assert!(overview.contains("You see what <strong>Acme Mining</strong> sees"));
    assert!(
        !links(&overview).iter().any(|link| link.contains("everything")),
        "what has no organization is not shown"
    );
    for table in TENANT_TABLES {
        let page = studio.page(&format!("/table/public.{table}?org=org-acme")).await;
        assert!(page.contains("acme-"), "{table}");
        assert!(!page.contains("bore-secret"), "{table}: {page}");
        let own: Vec<String> = links(&page)
            .into_iter()
            .filter(|link| link.starts_with(&format!("/row/public.{table}")))
            .collect();
        assert!(
            !own.is_empty() && own.iter().all(|link| link.contains("org=org-acme")),
            "{table}: the organization stays"
        );
        let key = match table {
            "inventory_ledger" => "entry",
            "users" => "user",
            "items" => "item",
            "locations" => "place",
            "count_sheets" => "sheet",
            "count_lines" => "line",
            "audit_logs" => "log",
            _ => "flag",
        };
        assert_eq!(
            studio.get(&format!("/row/public.{table}?org=org-acme&col=id&val=acme-{key}")).await.status,
            200
        );
        let other = studio.get(&format!("/row/public.{table}?org=org-acme&col=id&val=bore-{key}")).await;
        assert_eq!(other.status, 404, "{table}");
        assert!(!other.body.contains("bore-secret"));
        let searched =
            studio.page(&format!("/table/public.{table}?org=org-acme&col=id&op=contains&val=bore")).await;
        assert!(searched.contains("<strong>0</strong>") && !searched.contains("bore-secret"), "{table}");
    }
    // A reference across organizations shows the id that the row holds, and no more.
    let crossing = studio.page("/row/public.inventory_ledger?org=org-acme&col=id&val=acme-crossing").await;
    assert!(crossing.contains("bore-item") && !crossing.contains("bore-secret"), "{crossing}");
    let organizations = studio.page("/table/public.organizations?org=org-acme").await;
    assert_eq!(first_cells(&organizations), ["org-acme"]);
    let balances = studio.page("/table/public.inventory_balances?org=org-acme").await;
    assert!(rows(&balances).len() == 2 && !rows(&balances).concat().contains("org-bore"), "{balances}");
    assert_eq!(rows(&studio.page("/table/public.inventory_balances").await).len(), 3);
    // What refers to a row is counted within the organization.
    let item = studio.page("/row/public.items?org=org-bore&col=id&val=bore-item").await;
    assert!(item.contains(">1</span>") && !item.contains(">2</span>"), "{item}");
    for (path, status) in [
        ("/table/public.everything?org=org-acme", 404),
        ("/?org=nobody", 404),
        ("/?org=%00", 404),
        ("/?org=org-acme%27--", 404),
        ("/?org=", 200),
    ] {
        assert_eq!(studio.get(path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn row_level_security_applies_to_the_switch() {
    let db = two_organizations().await;
    let role = format!("studio_{}", db.name());
    db.execute(format!(
        "CREATE ROLE {role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}; REVOKE SELECT ON audit_logs FROM {role};
         REVOKE SELECT ON count_lines FROM {role}; GRANT SELECT (id, org_id) ON count_lines TO {role};
         ALTER TABLE users ENABLE ROW LEVEL SECURITY;
         CREATE POLICY mine ON users USING (org_id = nullif(current_setting('app.org_id', true), ''))"
    ))
    .await;
    let mut studio = Studio::start(&db.cluster().url_as(&role, db.name())).await;
    studio.log_in().await;
    let all = studio.page("/table/public.users").await;
    assert!(all.contains("Row-level security") && !all.contains("-secret"), "{all}");
    let acme = studio.page("/table/public.users?org=org-acme").await;
    assert!(
        acme.contains("acme-secret") && !acme.contains("bore-secret") && !acme.contains("Row-level security")
    );
    assert_eq!(studio.get("/table/public.audit_logs").await.status, 403);
    assert!(studio.page("/").await.contains("no permission"));
    let lines = studio.page("/table/public.count_lines").await;
    assert!(
        lines.contains("acme-line") && lines.contains("no permission") && !lines.contains("-secret"),
        "{lines}"
    );
    drop(studio);
    db.execute(format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}
