//! The HTTP server: who is let in, which page answers, what a failure looks like.

use std::{net::Ipv4Addr, sync::Arc};

use axum::{
    Router,
    extract::{Path, RawQuery, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::any,
};
use cli::{Page, Print, RunError};
use serde::Serialize;
use stockfoil_core::{
    Error,
    browse::{BrowseError, Snapshot},
    db::{Db, DbError},
    mapping::Mapping,
    report::{Outcome, Report},
};
use tokio::net::TcpListener;

use crate::{
    access::{Access, HEADERS},
    address::{self, Query, Root},
    pages,
};

/// The port where none is asked for, if it is free.
const PORT: u16 = 5555;

/// To a request for another host. No page of the studio's, since those hold links that hold the root.
const MISDIRECTED: &str = "This is not the host that you asked for: it answers only to 127.0.0.1 and localhost, with its own port.\n";

/// To a request for anything outside the root.
const OUTSIDE: &str = "There is nothing here.\n";

/// The studio, listening.
pub(crate) struct Server {
    listener: TcpListener,
    studio: Arc<Studio>,
    link: Link,
}

/// Where the studio is.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Link {
    /// The link that opens it, once.
    pub(crate) url: String,
    /// Where it listens.
    pub(crate) address: String,
}

impl Report for Link {
    const SCHEMA: &'static str = "stockfoil.studio/1";

    fn outcome(&self) -> Outcome {
        Outcome::Clean
    }
}

impl Print for Link {
    fn print(&self, page: &mut Page) {
        page.line(&self.url);
    }
}

/// What the handlers share.
struct Studio {
    db: Arc<Db>,
    mapping: Mapping,
    access: Access,
}

impl Server {
    /// Listens on `port` of 127.0.0.1; without one on the usual port, or on any free one if that is taken.
    pub(crate) async fn listen(db: Arc<Db>, mapping: Mapping, port: Option<u16>) -> Result<Server, RunError> {
        let listener = match (bind(port.unwrap_or(PORT)).await, port) {
            (Err(_), None) => bind(0).await,
            (result, _) => result,
        };
        let failed = |source| RunError::Listen {
            address: format!("{}:{}", Ipv4Addr::LOCALHOST, port.unwrap_or(PORT)),
            source,
        };
        let listener = listener.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (access, token) = Access::new(address.port()).map_err(failed)?;
        let link = Link {
            url: format!("http://{address}{}", access.root().login(&token)),
            address: address.to_string(),
        };
        let studio = Studio { db, mapping, access };
        Ok(Server { listener, studio: Arc::new(studio), link })
    }

    /// The link to print.
    pub(crate) fn link(&self) -> Link {
        self.link.clone()
    }

    /// Answers until the process ends.
    pub(crate) async fn run(self) -> Result<(), RunError> {
        let Server { listener, studio, link } = self;
        let root = studio.access.root();
        let router = Router::new()
            .route(&root.under("/"), any(overview))
            .route(&root.under("/table/{name}"), any(table))
            .route(&root.under("/row/{name}"), any(row))
            .route(&root.under("/login"), any(login))
            .route(&root.under("/style.css"), any(style))
            .fallback(unknown)
            .layer(from_fn_with_state(Arc::clone(&studio), guard))
            .with_state(studio);
        axum::serve(listener, router)
            .await
            .map_err(|source| RunError::Listen { address: link.address, source })
    }
}

async fn bind(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
}

/// Lets in what may be let in, and gives every answer its headers.
async fn guard(State(studio): State<Arc<Studio>>, request: Request, next: Next) -> Response {
    let (access, headers) = (&studio.access, request.headers());
    let mut response = if !access.allows_host(headers, request.uri()) {
        (StatusCode::MISDIRECTED_REQUEST, MISDIRECTED).into_response()
    } else if let Some(path) = access.inside(request.uri().path()) {
        if request.method() != Method::GET {
            let mut response = Refusal::Method.answer(access.root());
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
            response
        } else if !matches!(path, "/login" | "/style.css") && !access.has_session(headers) {
            Refusal::NoSession.answer(access.root())
        } else {
            // Neither the root nor the query, which may hold the token or a value.
            log::debug!("GET {path}");
            next.run(request).await
        }
    } else {
        // The same for all that is outside, whatever it is: nothing of it says what is inside.
        (StatusCode::NOT_FOUND, OUTSIDE).into_response()
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, value);
    }
    response
}

async fn login(State(studio): State<Arc<Studio>>, request: Request) -> Response {
    let root = studio.access.root();
    let query = request.uri().query().unwrap_or_default();
    let token = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "token");
    let Some(cookie) = token.and_then(|(_, token)| studio.access.exchange(&token)) else {
        return match studio.access.has_session(request.headers()) {
            // The same browser followed the link again.
            true => pages::opened(root).into_response(),
            false => Refusal::NoSession.answer(root),
        };
    };
    // A page that goes on by itself, not a redirect: behind a link in another program a redirect would still count
    // as cross-site, and a SameSite=Strict cookie would stay behind.
    ([(header::SET_COOKIE, cookie)], pages::opened(root)).into_response()
}

async fn style() -> Response {
    let text = include_str!("style.css");
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"))], text).into_response()
}

async fn unknown(State(studio): State<Arc<Studio>>) -> Response {
    Refusal::NoPage.answer(studio.access.root())
}

async fn overview(State(studio): State<Arc<Studio>>, RawQuery(query): RawQuery) -> Response {
    studio.answer(studio.overview(&read(query)).await)
}

async fn table(
    State(studio): State<Arc<Studio>>,
    Path(segment): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    studio.answer(studio.table(&segment, &read(query)).await)
}

async fn row(
    State(studio): State<Arc<Studio>>,
    Path(segment): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    studio.answer(studio.row(&segment, &read(query)).await)
}

fn read(query: Option<String>) -> Query {
    Query::parse(query.as_deref().unwrap_or_default())
}

impl Studio {
    async fn overview(&self, query: &Query) -> Result<Response, Refusal> {
        let mut snapshot = self.snapshot(query).await?;
        let counts = snapshot.counts().await?;
        Ok(pages::overview(&self.shell(&snapshot), &counts).into_response())
    }

    async fn table(&self, segment: &str, query: &Query) -> Result<Response, Refusal> {
        let (schema, name) = address::parse_segment(segment).ok_or(Refusal::NoPage)?;
        let mut snapshot = self.snapshot(query).await?;
        let table = snapshot.table(&schema, &name).await?;
        let shown = match snapshot.page(&table, &query.view).await {
            Ok(page) => Ok((page, snapshot.count(&table, &query.view.filters).await?)),
            // The person's own slip: said on the page, beside what they asked for.
            Err(Error::Browse(
                error @ (BrowseError::Value { .. }
                | BrowseError::NoOrder { .. }
                | BrowseError::NoColumn { .. }),
            )) => Err(error.to_string()),
            Err(error) => return Err(error.into()),
        };
        let status = if shown.is_ok() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        Ok((status, pages::table(&self.shell(&snapshot), &table, &query.view, shown)).into_response())
    }

    async fn row(&self, segment: &str, query: &Query) -> Result<Response, Refusal> {
        let (schema, name) = address::parse_segment(segment).ok_or(Refusal::NoPage)?;
        let mut snapshot = self.snapshot(query).await?;
        let table = snapshot.table(&schema, &name).await?;
        let values = query.row_values();
        let row = snapshot.row(&table, &values).await?;
        Ok(pages::row(&self.shell(&snapshot), &table, &values, &row).into_response())
    }

    async fn snapshot(&self, query: &Query) -> Result<Snapshot, Refusal> {
        Ok(Snapshot::open(&self.db, &self.mapping, query.org.as_deref()).await?)
    }

    fn shell<'a>(&'a self, snapshot: &'a Snapshot) -> pages::Shell<'a> {
        pages::Shell { root: self.access.root(), facts: self.db.facts(), snapshot }
    }

    fn answer(&self, result: Result<Response, Refusal>) -> Response {
        result.unwrap_or_else(|refusal| refusal.answer(self.access.root()))
    }
}

/// An answer that is not what was asked for, to somebody who knows the root.
enum Refusal {
    /// Something other than GET.
    Method,
    /// No cookie, or an old one.
    NoSession,
    /// No such page.
    NoPage,
    /// The page could not be made.
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal::Failed(error)
    }
}

impl Refusal {
    fn answer(self, root: &Root) -> Response {
        let (status, title, text) = match self {
            Refusal::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "The studio only shows",
                "It changes nothing, so it answers only to GET.".to_owned(),
            ),
            Refusal::NoSession => {
                return (StatusCode::UNAUTHORIZED, pages::closed(root)).into_response();
            }
            Refusal::NoPage => {
                (StatusCode::NOT_FOUND, "There is no such page", "Go back to the list of tables.".to_owned())
            }
            Refusal::Failed(error) => {
                let (status, title) = classify(&error);
                if status.is_server_error() {
                    log::warn!("{error}");
                }
                (status, title, error.to_string())
            }
        };
        (status, pages::refusal(root, title, &text)).into_response()
    }
}

fn classify(error: &Error) -> (StatusCode, &'static str) {
    match error {
        Error::Browse(error) => match error {
            BrowseError::NoTable(_)
            | BrowseError::NotTheirs { .. }
            | BrowseError::NoRow(_)
            | BrowseError::NoOrganization(_) => (StatusCode::NOT_FOUND, "Nothing to see here"),
            BrowseError::NoColumn { .. } | BrowseError::NoOrder { .. } | BrowseError::Value { .. } => {
                (StatusCode::BAD_REQUEST, "That can't be looked for")
            }
            BrowseError::Denied(_) => (StatusCode::FORBIDDEN, "Not permitted"),
            BrowseError::Changed(_) => (StatusCode::CONFLICT, "The schema changed"),
            BrowseError::TooSlow => (StatusCode::GATEWAY_TIMEOUT, "That takes too long"),
            BrowseError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "The table is busy"),
            BrowseError::Writes(_) => (StatusCode::FORBIDDEN, "The studio is read-only"),
        },
        Error::Db(DbError::Connect { .. } | DbError::Statement { .. } | DbError::Query(_)) => {
            (StatusCode::BAD_GATEWAY, "The database did not answer as it should")
        }
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "That went wrong"),
    }
}
