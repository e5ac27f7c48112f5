//! Mail by SMTP.

use std::{error::Error as _, io::ErrorKind, time::Duration};

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
};

use super::{Attempt, Channel, Message, delivery::Refusal, http::tls_refused, one_line, settings};

/// A subject may have so many characters; the body has all of them.
const SUBJECT_CHARS_MAX: usize = 200;

pub(super) struct Email<'a>(pub(super) &'a settings::Email);

impl Channel for Email<'_> {
    fn attempt<'a>(&'a self, message: &'a Message<'a>, timeout: Duration) -> Attempt<'a> {
        Box::pin(async move {
            let Some(url) = &self.0.smtp_url else { return Err(Refusal::lasting("has no smtp_url")) };
            // Its error may repeat the URL.
            let server = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose())
                .map_err(|_| Refusal::lasting("has a smtp_url that can't be used"))?;
            let mail = mail(self.0, message)?;
            let sent = server.timeout(Some(timeout)).build::<Tokio1Executor>().send(mail).await;
            sent.map(drop).map_err(|error| refusal_of(&error, timeout))
        })
    }
}

fn mail(config: &settings::Email, message: &Message<'_>) -> Result<lettre::Message, Refusal> {
    let from = config.from.clone().unwrap_or_else(|| format!("Stockfoil <stockfoil@{}>", message.host));
    let mailbox = |address: &str| {
        address
            .parse::<Mailbox>()
            .map_err(|_| Refusal::lasting(format!("can't write to or from {address:?}; set its from")))
    };
    let from = mailbox(&from)?;
    let domain = from.email.domain().to_owned();
    let subject: String =
        format!("[{}] {}", message.state(), message.headline()).chars().take(SUBJECT_CHARS_MAX).collect();
    let mut builder = lettre::Message::builder()
        .from(from)
        .subject(subject)
        .message_id(Some(format!("<{}@{domain}>", message.id)))
        .date(message.sent_at.into())
        .header(ContentType::TEXT_PLAIN)
        // Out-of-office replies to a machine help nobody (RFC 3834).
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".into(),
        ));
    for to in &config.to {
        builder = builder.to(mailbox(to)?);
    }
    let mut body = format!("{}: {}\n\n", message.state(), message.headline());
    for line in message.lines() {
        body.push_str(&format!("- {line}\n"));
    }
    builder.body(body).map_err(|error| Refusal::lasting(format!("can't be written to: {error}")))
}

/// Says what the server said; of a refused login only that it was refused, since some servers repeat what they got.
fn refusal_of(error: &lettre::transport::smtp::Error, timeout: Duration) -> Refusal {
    let Some(status) = error.status() else {
        return match io_kind(error) {
            _ if error.is_tls() => tls_refused(),
            // What the TLS library refuses comes as an error of reading.
            Some(ErrorKind::InvalidData) => tls_refused(),
            Some(ErrorKind::TimedOut) => Refusal::timeout(timeout),
            Some(kind) => Refusal::passing(format!("could not be reached ({kind})")),
            None => Refusal::passing("could not be reached"),
        };
    };
    let text = match u16::from(status) {
        code @ (454 | 530 | 534 | 535 | 538) => {
            format!("refused the login (status {code}); check the user and the password")
        }
        code => {
            let words = error
                .source()
                .map_or_else(String::new, |words| format!(": {}", one_line(&words.to_string())));
            format!("answered with status {code}{words}")
        }
    };
    if error.is_transient() { Refusal::passing(text) } else { Refusal::lasting(text) }
}

/// The operating system's error behind `error`, if it is one.
fn io_kind(error: &lettre::transport::smtp::Error) -> Option<ErrorKind> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}
