//! One request to a URL that is a secret, never redirected.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use ureq::{
    Agent,
    http::Request,
    tls::{Certificate, RootCerts, TlsConfig},
};

use super::delivery::Refusal;
use crate::settings::Secret;

/// Posts `body` as JSON.
pub(super) async fn post(
    url: &Secret,
    headers: Vec<(String, Secret)>,
    body: String,
    timeout: Duration,
) -> Result<(), Refusal> {
    let mut request = Request::post(url.expose()).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(name, value.expose());
    }
    run(request.body(body), timeout).await
}

/// Asks for the page, for the sake of the asking.
pub(super) async fn get(url: &Secret, timeout: Duration) -> Result<(), Refusal> {
    run(Request::get(url.expose()).body(String::new()), timeout).await
}

async fn run(request: ureq::http::Result<Request<String>>, timeout: Duration) -> Result<(), Refusal> {
    // The configuration was checked, so this is for values that are found wrong only together.
    let request = request.map_err(|_| Refusal::lasting("could not be asked (address or header refused)"))?;
    let agent = agent(timeout);
    let response = tokio::task::spawn_blocking(move || {
        let (head, body) = request.into_parts();
        if body.is_empty() {
            agent.run(Request::from_parts(head, ()))
        } else {
            agent.run(Request::from_parts(head, body))
        }
    });
    let response = match response.await {
        Err(_) => return Err(Refusal::passing("could not be reached (the request broke off)")),
        Ok(Err(error)) => return Err(refusal_of(&error, timeout)),
        Ok(Ok(response)) => response,
    };
    match response.status().as_u16() {
        200..=299 => Ok(()),
        // Its target would be told what only the configured host may know.
        code @ 300..=399 => Err(Refusal::lasting(format!(
            "answered with a redirect (status {code}), which is never followed; configure the final address"
        ))),
        code @ (408 | 429 | 500..) => {
            let headers = response.headers();
            let retry_after = headers.get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
            Err(Refusal::passing(format!("answered with status {code}"))
                .retry_after(retry_after.map(Duration::from_secs)))
        }
        code => Err(Refusal::lasting(format!("answered with status {code}"))),
    }
}

/// Says what is known to be free of the URL, and nothing else.
fn refusal_of(error: &ureq::Error, timeout: Duration) -> Refusal {
    let reason = match error {
        ureq::Error::Timeout(_) => return Refusal::timeout(timeout),
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::Pem(_) => return tls_refused(),
        ureq::Error::HostNotFound => "host not found".to_owned(),
        // What the TLS library refuses comes as an error of reading.
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => return tls_refused(),
        ureq::Error::Io(error) => error.kind().to_string(),
        ureq::Error::InvalidProxyUrl => "the proxy's URL is invalid".to_owned(),
        ureq::Error::ConnectionFailed => "connection failed".to_owned(),
        _ => "the request failed".to_owned(),
    };
    Refusal::passing(format!("could not be reached ({reason})"))
}

/// A certificate or a protocol is not what it must be.
pub(super) fn tls_refused() -> Refusal {
    Refusal::lasting("could not be reached over TLS (certificate or protocol refused)")
}

fn agent(timeout: Duration) -> Agent {
    Agent::config_builder()
        .timeout_global(Some(timeout))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("stockfoil/", env!("CARGO_PKG_VERSION")))
        .tls_config(trust())
        .build()
        .new_agent()
}

/// Whom requests over TLS trust.
pub(crate) fn trust() -> TlsConfig {
    TlsConfig::builder().root_certs(roots()).build()
}

/// The system's certificates, so that a company's own authority counts; without any, the library's.
fn roots() -> RootCerts {
    static ROOTS: OnceLock<Arc<Vec<Certificate<'static>>>> = OnceLock::new();
    let system = ROOTS.get_or_init(|| {
        let certificates = rustls_native_certs::load_native_certs().certs;
        Arc::new(
            certificates.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect(),
        )
    });
    if system.is_empty() { RootCerts::WebPki } else { RootCerts::Specific(Arc::clone(system)) }
}
