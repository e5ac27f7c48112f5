use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::authority::{Authority, Stream, encrypt};

/// A request that a receiver got.
#[derive(Debug, Clone)]
pub struct Request {
    /// Method and target, such as `POST /path`.
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Request {
    /// The value of the header `name` (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// An HTTP server that keeps what it gets; stops when dropped.
#[derive(Debug)]
pub struct HttpReceiver {
    origin: String,
    requests: Arc<Mutex<Vec<Request>>>,
    server: JoinHandle<()>,
}

impl HttpReceiver {
    /// Gives each request the next of `answers` (status and reason, perhaps with headers), the last one for ever. An
    /// empty answer is none: the connection stays open and silent.
    pub async fn start(answers: &[&str]) -> HttpReceiver {
        Self::serve(answers, None).await
    }

    /// The same over TLS, with the certificate that `authority` issued.
    pub async fn start_tls(answers: &[&str], authority: &Authority) -> HttpReceiver {
        Self::serve(answers, Some(authority.acceptor())).await
    }

    async fn serve(answers: &[&str], acceptor: Option<TlsAcceptor>) -> HttpReceiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let origin = format!("{scheme}://{}", listener.local_addr().unwrap());
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let kept = Arc::clone(&requests);
        let answers: Arc<[String]> = answers.iter().map(ToString::to_string).collect();
        let server = tokio::spawn(async move {
            loop {
                let stream = Box::new(listener.accept().await.unwrap().0);
                let (kept, answers, acceptor) = (Arc::clone(&kept), Arc::clone(&answers), acceptor.clone());
                tokio::spawn(async move {
                    let stream: Option<Box<dyn Stream>> = match acceptor {
                        Some(acceptor) => encrypt(&acceptor, stream).await,
                        None => Some(stream),
                    };
                    if let Some(stream) = stream {
                        answer(stream, &kept, &answers).await;
                    }
                });
            }
        });
        HttpReceiver { origin, requests, server }
    }

    /// The address of `path` on it.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// What it got so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for HttpReceiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Reads one request and answers it. A client that hangs up is no business of ours.
async fn answer(mut stream: Box<dyn Stream>, kept: &Mutex<Vec<Request>>, answers: &[String]) {
    let mut bytes = Vec::new();
    let head = loop {
        if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
            return;
        }
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(':').unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut request = Request { line, headers, body: String::new() };
    let length: usize = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < head + 4 + length {
        if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
            return;
        }
    }
    request.body = String::from_utf8(bytes[head + 4..].to_vec()).unwrap();
    let turn = {
        let mut kept = kept.lock().unwrap();
        kept.push(request);
        kept.len() - 1
    };
    let answer = &answers[turn.min(answers.len() - 1)];
    if answer.is_empty() {
        // Silent until the caller hangs up.
        let _ = stream.read_buf(&mut bytes).await;
        return;
    }
    let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}
