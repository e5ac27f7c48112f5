//! Subdomains: one label of a host name, which leads to an organization.

use std::fmt;

use serde::Serialize;

/// The longest label that DNS takes (RFC 1035, 2.3.4).
const LENGTH_MAX: usize = 63;

/// Labels that are a service's own, or that others trust by their name: what mail and sign-in clients look for by itself (RFC
/// 8461, 7929, 6764, autodiscovery), the mailboxes of RFC 2142 and of those who issue certificates. Names that begin with `_` are
/// no labels here at all.
const RESERVED: [&str; 133] = [
    "abuse",
    "account",
    "accounts",
    "acme-challenge",
    "adfs",
    "admin",
    "administrator",
    "api",
    "app",
    "assets",
    "auth",
    "authorize",
    "autoconfig",
    "autodiscover",
    "billing",
    "bimi",
    "blog",
    "broadcasthost",
    "caldav",
    "carddav",
    "cdn",
    "console",
    "cpanel",
    "dashboard",
    "dkim",
    "dmarc",
    "dns",
    "docs",
    "email",
    "enterpriseenrollment",
    "enterpriseregistration",
    "exchange",
    "ftp",
    "help",
    "hostmaster",
    "id",
    "identity",
    "idp",
    "imap",
    "imap4",
    "imaps",
    "info",
    "internal",
    "isatap",
    "kerberos",
    "keycloak",
    "ldap",
    "localdomain",
    "localhost",
    "login",
    "logout",
    "lyncdiscover",
    "lyncdiscoverinternal",
    "mail",
    "mail1",
    "mail2",
    "mailer",
    "mailer-daemon",
    "marketing",
    "mfa",
    "msoid",
    "mta-sts",
    "mx",
    "mx1",
    "mx2",
    "mx3",
    "news",
    "newsletter",
    "no-reply",
    "noc",
    "noreply",
    "ns",
    "ns1",
    "ns2",
    "ns3",
    "ns4",
    "ntp",
    "oauth",
    "oauth2",
    "oidc",
    "openid",
    "openid-configuration",
    "openpgpkey",
    "owa",
    "password",
    "payments",
    "pop",
    "pop3",
    "postmaster",
    "register",
    "relay",
    "remote",
    "reset-password",
    "root",
    "sales",
    "saml",
    "secure",
    "security",
    "signin",
    "signup",
    "sip",
    "sipexternal",
    "sipinternal",
    "smtp",
    "smtp1",
    "smtp2",
    "smtps",
    "spf",
    "ssl",
    "ssladmin",
    "ssladministrator",
    "sslwebmaster",
    "sso",
    "static",
    "status",
    "sts",
    "support",
    "sysadmin",
    "system",
    "tls",
    "usenet",
    "uucp",
    "vpn",
    "webmail",
    "webmaster",
    "well-known",
    "whm",
    "wpad",
    "ws",
    "www",
    "www1",
    "www2",
    "www3",
];

/// A text can't be a subdomain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubdomainError {
    /// Not one label of RFC 1123.
    #[error(
        "{0:?} can't be a subdomain; use 1 to {LENGTH_MAX} letters a to z, digits and '-', with no '-' at either end"
    )]
    Label(String),
    /// A label whose third and fourth characters are `--` means something else to DNS (RFC 5891, 4.2.3.1).
    #[error(
        "the subdomain {0:?} has '--' in places 3 and 4, which DNS keeps for encoded names; choose another one"
    )]
    Encoded(String),
    /// Some programs read a number as an address.
    #[error("the subdomain {0:?} is a number, which may be read as an address; add a letter")]
    Number(String),
    /// The service itself uses it.
    #[error("the subdomain {0:?} is reserved; choose another one")]
    Reserved(String),
}

/// A lower-case label that no service is known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Subdomain(String);

impl Subdomain {
    /// Checks `text` and lowers its case; `reserved` are labels that are taken beside the built-in ones.
    ///
    /// # Errors
    /// [`SubdomainError`] for the first rule that it breaks.
    pub fn new(text: &str, reserved: &[String]) -> Result<Self, SubdomainError> {
        let label = text.to_ascii_lowercase();
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if label.is_empty()
            || label.len() > LENGTH_MAX
            || !label.bytes().all(fits)
            || label.starts_with('-')
            || label.ends_with('-')
        {
            Err(SubdomainError::Label(text.to_owned()))
        } else if label.get(2..4) == Some("--") {
            Err(SubdomainError::Encoded(label))
        } else if label.bytes().all(|byte| byte.is_ascii_digit()) {
            Err(SubdomainError::Number(label))
        } else if RESERVED.contains(&label.as_str())
            || reserved.iter().any(|name| name.eq_ignore_ascii_case(&label))
        {
            Err(SubdomainError::Reserved(label))
        } else {
            Ok(Self(label))
        }
    }

    /// The label.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subdomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_lowered_and_kept() {
        for (text, label) in
            [("acme", "acme"), ("Acme-2", "acme-2"), ("a", "a"), ("3m", "3m"), ("a-b--c", "a-b--c")]
        {
            assert_eq!(Subdomain::new(text, &[]).unwrap().as_str(), label);
        }
        assert!(Subdomain::new(&"a".repeat(63), &[]).is_ok());
    }

    #[test]
    fn what_is_no_label_is_refused() {
        use SubdomainError::{Encoded, Label, Number, Reserved};
        let refused = |text: &str| Subdomain::new(text, &["Taken".into()]).unwrap_err();
        for text in [
            "",
            "Bad Name",
            "-a",
            "a-",
            "a.b",
            "a_b",
            "_dmarc",
            "ac\u{200B}me",
            "\u{202E}acme",
            "müller",
            "K\u{212A}",
            "a\n",
            " a",
            "a\0",
            &"a".repeat(64),
        ] {
            assert_eq!(refused(text), Label(text.into()));
        }
        for text in ["xn--mller-kva", "ab--c"] {
            assert_eq!(refused(text), Encoded(text.into()));
        }
        assert_eq!(refused("0123"), Number("0123".into()));
        for text in [
            "www",
            "api",
            "admin",
            "app",
            "mail",
            "static",
            "status",
            "auth",
            "localhost",
            "taken",
            "mta-sts",
            "autodiscover",
            "openpgpkey",
            "lyncdiscover",
            "enterpriseregistration",
        ] {
            assert_eq!(refused(&text.to_ascii_uppercase()), Reserved(text.into()));
        }
    }
}
