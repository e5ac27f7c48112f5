use std::sync::{Arc, Mutex};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    task::JoinHandle,
};

use tokio_rustls::TlsAcceptor;

use crate::authority::{Authority, Stream, encrypt};

/// A mail that a receiver took.
#[derive(Debug, Clone)]
pub struct Mail {
    /// The envelope's sender.
    pub from: String,
    /// The envelope's recipients.
    pub to: Vec<String>,
    /// Headers and body as they came.
    pub text: String,
    /// User and password, where it was told them.
    pub login: Option<(String, String)>,
    /// Whether the mail came over TLS.
    pub is_encrypted: bool,
}

/// What an SMTP server (RFC 5321) is like, before it starts.
#[derive(Clone, Default)]
pub struct SmtpServer {
    acceptor: Option<TlsAcceptor>,
    starts_encrypted: bool,
    login: Option<(String, String)>,
    replies: Vec<String>,
    hangs: bool,
}

/// A running SMTP server that keeps what it gets; stops when dropped.
#[derive(Debug)]
pub struct SmtpReceiver {
    port: u16,
    mails: Arc<Mutex<Vec<Mail>>>,
    connections: Arc<Mutex<usize>>,
    server: JoinHandle<()>,
}

impl SmtpServer {
    /// One that takes everything.
    pub fn new() -> SmtpServer {
        SmtpServer::default()
    }

    /// Encrypts from the first byte.
    #[must_use]
    pub fn tls(mut self, authority: &Authority) -> Self {
        (self.acceptor, self.starts_encrypted) = (Some(authority.acceptor()), true);
        self
    }

    /// Encrypts when the client asks for it by STARTTLS.
    #[must_use]
    pub fn starttls(mut self, authority: &Authority) -> Self {
        self.acceptor = Some(authority.acceptor());
        self
    }

    /// Takes mail only from whoever gives this user and password.
    #[must_use]
    pub fn login(mut self, user: &str, password: &str) -> Self {
        self.login = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// Answers the recipient of each connection with the next of `replies`, the last one for ever.
    #[must_use]
    pub fn replies(mut self, replies: &[&str]) -> Self {
        self.replies = replies.iter().map(ToString::to_string).collect();
        self
    }

    /// Takes connections and says nothing.
    #[must_use]
    pub fn hangs(mut self) -> Self {
        self.hangs = true;
        self
    }

    /// Starts it.
    pub async fn start(self) -> SmtpReceiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mails, connections) = (Arc::<Mutex<Vec<Mail>>>::default(), Arc::<Mutex<usize>>::default());
        let (kept, counted) = (Arc::clone(&mails), Arc::clone(&connections));
        let server = tokio::spawn(async move {
            loop {
                let stream = Box::new(listener.accept().await.unwrap().0);
                let turn = {
                    let mut counted = counted.lock().unwrap();
                    *counted += 1;
                    *counted - 1
                };
                let (server, kept) = (self.clone(), Arc::clone(&kept));
                tokio::spawn(async move {
                    // A client that hangs up is no business of ours.
                    let _ = server.talk(stream, turn, &kept).await;
                });
            }
        });
        SmtpReceiver { port, mails, connections, server }
    }

    async fn talk(
        &self,
        stream: Box<dyn Stream>,
        turn: usize,
        kept: &Mutex<Vec<Mail>>,
    ) -> std::io::Result<()> {
        if self.hangs {
            return std::future::pending().await;
        }
        let mut is_encrypted = self.starts_encrypted;
        let stream = match &self.acceptor {
            Some(acceptor) if is_encrypted => encrypt(acceptor, stream).await,
            _ => Some(stream),
        };
        let Some(stream) = stream else { return Ok(()) };
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 test\r\n").await?;
        let mut mail =
            Mail { from: String::new(), to: Vec::new(), text: String::new(), login: None, is_encrypted };
        let mut line = String::new();
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let words = line.trim_end().to_owned();
            let verb = words.to_ascii_uppercase();
            let reply = if verb.starts_with("EHLO") {
                self.greeting(is_encrypted)
            } else if verb == "STARTTLS" {
                stream.write_all(b"220 go on\r\n").await?;
                let Some(acceptor) = &self.acceptor else { return Ok(()) };
                let Some(encrypted) = encrypt(acceptor, stream.into_inner()).await else { return Ok(()) };
                stream = BufReader::new(encrypted);
                is_encrypted = true;
                continue;
            } else if let Some(text) = words.strip_prefix("AUTH PLAIN ") {
                self.log_in(&mut mail, text)
            } else if let Some(from) = words.strip_prefix("MAIL FROM:") {
                from.split(['<', '>']).nth(1).unwrap().clone_into(&mut mail.from);
                if self.login.is_some() && mail.login.is_none() { "530 who are you?" } else { "250 go on" }
                    .into()
            } else if let Some(to) = words.strip_prefix("RCPT TO:") {
                mail.to.push(to.split(['<', '>']).nth(1).unwrap().to_owned());
                let last = self.replies.len().saturating_sub(1);
                self.replies.get(turn.min(last)).cloned().unwrap_or_else(|| "250 go on".into())
            } else if verb == "DATA" {
                stream.write_all(b"354 go on\r\n").await?;
                while !mail.text.ends_with("\r\n.\r\n") {
                    if stream.read_line(&mut mail.text).await? == 0 {
                        return Ok(());
                    }
                }
                mail.is_encrypted = is_encrypted;
                kept.lock().unwrap().push(mail.clone());
                "250 taken".into()
            } else if verb == "QUIT" {
                return stream.write_all(b"221 bye\r\n").await;
            } else {
                "500 what?".into()
            };
            stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
        }
    }

    /// What the server says that it can.
    fn greeting(&self, is_encrypted: bool) -> String {
        let mut reply = "250-test\r\n".to_owned();
        if self.acceptor.is_some() && !is_encrypted {
            reply.push_str("250-STARTTLS\r\n");
        }
        if self.login.is_some() {
            reply.push_str("250-AUTH PLAIN\r\n");
        }
        reply + "250 8BITMIME"
    }

    /// Notes who says to have sent `mail`, by the `text` of AUTH PLAIN, and answers.
    fn log_in(&self, mail: &mut Mail, text: &str) -> String {
        let text = String::from_utf8(BASE64_STANDARD.decode(text).unwrap()).unwrap();
        let (user, password) = text.trim_start_matches('\0').split_once('\0').unwrap();
        mail.login = Some((user.to_owned(), password.to_owned()));
        // Some servers repeat what they got.
        if mail.login == self.login { "235 welcome".into() } else { format!("535 not {password}") }
    }
}

impl SmtpReceiver {
    /// The port of 127.0.0.1 that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it took so far.
    pub fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap().clone()
    }

    /// How many connections it got so far.
    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

impl Drop for SmtpReceiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}
