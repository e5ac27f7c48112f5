//! How the library that speaks S3 reaches the storage: by the HTTP client and the certificates of alerts, each answer as a
//! whole, since what is asked for is asked for in pieces.

use std::{fmt, pin::Pin, time::Duration};

use object_store::{
    ClientOptions,
    client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService},
};
use ureq::{
    Agent,
    http::{Request, Response},
};

use crate::alert;

/// The largest answer that is taken: a page of a listing and a piece of an object are smaller.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// How long a host may take to answer at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why no answer came, in words without keys and addresses.
#[derive(Debug)]
pub(super) struct Unreached(String);

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreached {}

/// Gives a request up when its answer is not here after `timeout`.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    pub(super) timeout: Duration,
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let agent = Agent::config_builder()
            .timeout_global(Some(self.timeout))
            .timeout_connect(Some(CONNECT_TIMEOUT.min(self.timeout)))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("stockfoil/", env!("CARGO_PKG_VERSION")))
            .tls_config(alert::trust())
            .build()
            .new_agent();
        Ok(HttpClient::new(Service(agent)))
    }
}

#[derive(Debug)]
struct Service(Agent);

impl HttpService for Service {
    fn call<'service, 'call>(
        &'service self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'call>>
    where
        'service: 'call,
        Self: 'call,
    {
        let agent = self.0.clone();
        Box::pin(async move {
            let asked = tokio::task::spawn_blocking(move || ask(&agent, request)).await;
            let broken = |_| HttpError::new(HttpErrorKind::Interrupted, Unreached("it broke off".into()));
            asked.map_err(broken)?.map_err(|error| unreached(&error))
        })
    }
}

fn ask(agent: &Agent, request: HttpRequest) -> Result<HttpResponse, ureq::Error> {
    let (head, body) = request.into_parts();
    let response = match body.as_bytes().filter(|bytes| !bytes.is_empty()) {
        Some(bytes) => agent.run(Request::from_parts(head, bytes.to_vec()))?,
        None => agent.run(Request::from_parts(head, ()))?,
    };
    let (head, mut body) = response.into_parts();
    let bytes = body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
    Ok(Response::from_parts(head, bytes.into()))
}

fn unreached(error: &ureq::Error) -> HttpError {
    let (kind, text) = match error {
        ureq::Error::Timeout(_) => (HttpErrorKind::Timeout, "no answer in time".to_owned()),
        ureq::Error::HostNotFound => (HttpErrorKind::Connect, "host not found".to_owned()),
        ureq::Error::ConnectionFailed => (HttpErrorKind::Connect, "connection failed".to_owned()),
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::Pem(_) => {
            (HttpErrorKind::Unknown, "certificate or protocol refused by TLS".to_owned())
        }
        // What the TLS library refuses comes as an error of reading.
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            (HttpErrorKind::Unknown, "certificate or protocol refused by TLS".to_owned())
        }
        ureq::Error::Io(error) => (HttpErrorKind::Interrupted, error.kind().to_string()),
        ureq::Error::InvalidProxyUrl => (HttpErrorKind::Unknown, "the proxy's address is invalid".to_owned()),
        ureq::Error::BodyExceedsLimit(_) => {
            (HttpErrorKind::Decode, "its answer is larger than what was asked for".to_owned())
        }
        _ => (HttpErrorKind::Unknown, "the request failed".to_owned()),
    };
    HttpError::new(kind, Unreached(text))
}
