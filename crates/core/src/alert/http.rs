//! One POST to a URL that is a secret: bounded in time, tried again where that may help, never redirected.

use std::{sync::Arc, time::Duration};

use ureq::{
    Agent,
    tls::{Certificate, RootCerts, TlsConfig},
};

use crate::config::Secret;

/// The pause before the second attempt; doubled before each further one.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest pause that a server can ask for with Retry-After.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Why a POST did not arrive. Never holds the URL or a part of it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PostError {
    #[error("answered with status {status}")]
    Status { status: u16, retry_after: Option<Duration> },
    /// A redirect is refused: its target would be told what only the configured host may know.
    #[error("answered with a redirect (status {0}), which is never followed; configure the final address")]
    Redirect(u16),
    #[error("gave no answer within {}", humantime::format_duration(*.0))]
    Timeout(Duration),
    #[error("could not be reached ({0})")]
    Unreachable(String),
    #[error("could not be reached over TLS (certificate or protocol refused)")]
    Tls,
}

impl PostError {
    fn may_pass(&self) -> bool {
        match self {
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            Self::Timeout(_) | Self::Unreachable(_) => true,
            Self::Redirect(_) | Self::Tls => false,
        }
    }
}

/// Posts `body` as JSON, in at most `attempts` attempts of at most `timeout` each.
///
/// # Errors
/// The last attempt's error.
pub(super) async fn post_json(
    url: &Secret,
    body: String,
    timeout: Duration,
    attempts: u32,
) -> Result<(), PostError> {
    let agent = agent(timeout);
    let mut pause = PAUSE;
    let mut attempt = 1;
    loop {
        let error = match attempt_post(&agent, url, &body, timeout).await {
            Ok(()) => return Ok(()),
            Err(error) if attempt >= attempts || !error.may_pass() => return Err(error),
            Err(error) => error,
        };
        let asked = match error {
            PostError::Status { retry_after, .. } => retry_after,
            _ => None,
        };
        tokio::time::sleep(asked.unwrap_or(pause).min(PAUSE_MAX)).await;
        pause *= 2;
        attempt += 1;
    }
}

async fn attempt_post(agent: &Agent, url: &Secret, body: &str, timeout: Duration) -> Result<(), PostError> {
    let (agent, url, body) = (agent.clone(), url.clone(), body.to_owned());
    let request = tokio::task::spawn_blocking(move || {
        agent.post(url.expose()).content_type("application/json").send(body)
    });
    // The agent keeps the time itself; this holds where a resolver or a proxy does not let it.
    let response = match tokio::time::timeout(timeout + Duration::from_secs(1), request).await {
        Err(_) => return Err(PostError::Timeout(timeout)),
        Ok(Err(_)) => return Err(PostError::Unreachable("the request broke off".into())),
        Ok(Ok(Err(error))) => return Err(error_of(&error, timeout)),
        Ok(Ok(Ok(response))) => response,
    };
    let status = response.status();
    match status.as_u16() {
        200..=299 => Ok(()),
        code @ 300..=399 => Err(PostError::Redirect(code)),
        code => {
            let retry_after = response
                .headers()
                .get("retry-after")
                .and_then(|value| value.to_str().ok()?.parse().ok())
                .map(Duration::from_secs);
            Err(PostError::Status { status: code, retry_after })
        }
    }
}

/// Says what is known to be free of the URL, and nothing else.
fn error_of(error: &ureq::Error, timeout: Duration) -> PostError {
    match error {
        ureq::Error::Timeout(_) => PostError::Timeout(timeout),
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::Pem(_) => PostError::Tls,
        ureq::Error::HostNotFound => PostError::Unreachable("host not found".into()),
        ureq::Error::Io(error) => PostError::Unreachable(error.kind().to_string()),
        ureq::Error::InvalidProxyUrl => PostError::Unreachable("the proxy's URL is invalid".into()),
        ureq::Error::ConnectionFailed => PostError::Unreachable("connection failed".into()),
        _ => PostError::Unreachable("the request failed".into()),
    }
}

fn agent(timeout: Duration) -> Agent {
    // The system's certificates, so that a company's own authority counts; without any, the library's.
    let system: Vec<Certificate<'static>> = rustls_native_certs::load_native_certs()
        .certs
        .iter()
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect();
    let roots = if system.is_empty() { RootCerts::WebPki } else { RootCerts::Specific(Arc::new(system)) };
    Agent::config_builder()
        .timeout_global(Some(timeout))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("stockfoil/", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .build()
        .new_agent()
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// Posts to a server that gives one of `answers` a connection, and counts the connections.
    async fn post(answers: &[&str], timeout: Duration) -> (Result<(), PostError>, usize) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Secret::new(format!("http://{}/s3cret", listener.local_addr().unwrap()));
        let mut served = 0;
        let server = async {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                served += 1;
                let mut request = Vec::new();
                while !request.ends_with(b"{}") {
                    assert!(stream.read_buf(&mut request).await.unwrap() > 0);
                }
                assert!(request.starts_with(b"POST /s3cret HTTP/1.1\r\n"));
                stream.write_all(answer.as_bytes()).await.unwrap();
                if answer.is_empty() {
                    // Holds the connection open and says nothing.
                    let _ = stream.read_buf(&mut request).await;
                }
            }
            std::future::pending::<()>().await;
        };
        let result = tokio::select! {
            result = post_json(&url, "{}".into(), timeout, 3) => result,
            () = server => unreachable!(),
        };
        assert!(!format!("{result:?}").contains("s3cret"));
        (result, served)
    }

    fn answer(status: &str) -> String {
        format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    }

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn what_may_pass_is_tried_again() {
        let answers =
            [answer("500 Oops\r\nretry-after: 0"), answer("429 Slow\r\nretry-after: 0"), answer("200 OK")];
        let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
        assert_eq!(post(&answers, LONG).await, (Ok(()), 3));
    }

    #[tokio::test]
    async fn what_will_not_pass_is_not_tried_again() {
        let gone = answer("404 Gone");
        let error = PostError::Status { status: 404, retry_after: None };
        assert_eq!(post(&[&gone, &gone], LONG).await, (Err(error), 1));
        let redirect = answer("307 Elsewhere\r\nlocation: http://127.0.0.1:1/");
        assert_eq!(post(&[&redirect, &redirect], LONG).await, (Err(PostError::Redirect(307)), 1));
    }

    #[tokio::test]
    async fn silence_ends_in_time() {
        let timeout = Duration::from_millis(50);
        assert_eq!(post(&["", "", "", ""], timeout).await, (Err(PostError::Timeout(timeout)), 3));
    }
}
