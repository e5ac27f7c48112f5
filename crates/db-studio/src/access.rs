//! Who may look: the host names that requests may be for, the path that nobody can guess, the link that opens once,
//! the session's cookie.
//!
//! A cookie is the host's, whatever the port: a browser sends it to every program that listens on 127.0.0.1 and is
//! asked for an address below the cookie's path. So that path is a secret too. The prefix `__Host-` would demand the
//! path `/`, and wouldn't tell ports apart either.

use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use subtle::ConstantTimeEq as _;

use crate::address::Root;

/// What every answer carries.
pub(crate) const HEADERS: [(HeaderName, HeaderValue); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
];

/// The session's cookie.
const COOKIE: &str = "stockfoil-studio";

/// Random bytes in a secret that opens something: 256 bits.
const SECRET_BYTES: usize = 32;

/// Random bytes in the path, which every address repeats: 128 bits.
const PATH_BYTES: usize = 16;

/// The secrets of one run of the studio.
pub(crate) struct Access {
    hosts: Vec<String>,
    root: Root,
    session: String,
    /// The link's token; gone when it was used.
    token: Mutex<Option<String>>,
}

impl Access {
    /// New secrets for the studio on `port`, and the token that the printed link holds.
    pub(crate) fn new(port: u16) -> std::io::Result<(Self, String)> {
        let token = secret(SECRET_BYTES)?;
        let mut hosts: Vec<String> =
            ["127.0.0.1", "localhost"].iter().map(|name| format!("{name}:{port}")).collect();
        if port == 80 {
            hosts.extend(["127.0.0.1", "localhost"].map(str::to_owned));
        }
        let access = Self {
            hosts,
            root: Root::new(secret(PATH_BYTES)?),
            session: secret(SECRET_BYTES)?,
            token: Mutex::new(Some(token.clone())),
        };
        Ok((access, token))
    }

    /// Where all pages are.
    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    /// What comes behind the root in a request's path, with its slash; `None` outside of it.
    pub(crate) fn inside<'a>(&self, path: &'a str) -> Option<&'a str> {
        let root = self.root.as_str();
        let (given, rest) = path.split_at_checked(root.len())?;
        (same(given, root) && rest.starts_with('/')).then_some(rest)
    }

    /// Whether the request is for this server by a name that no foreign site can have (DNS rebinding).
    pub(crate) fn allows_host(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        let known = |host: &str| self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host));
        let mut given = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (given.next(), given.next()) else { return false };
        host.to_str().is_ok_and(known) && uri.authority().is_none_or(|authority| known(authority.as_str()))
    }

    /// Whether the request carries this session's cookie.
    pub(crate) fn has_session(&self, headers: &HeaderMap) -> bool {
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|header| header.to_str().ok())
            .flat_map(|header| header.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .any(|(name, value)| name == COOKIE && same(value, &self.session))
    }

    /// Gives the session's cookie for the link's token, once.
    pub(crate) fn exchange(&self, token: &str) -> Option<HeaderValue> {
        // A poisoned lock still holds a token that is either there or not.
        let mut kept = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.as_deref().is_some_and(|kept| same(token, kept)) {
            return None;
        }
        let (root, session) = (self.root.as_str(), &self.session);
        let cookie = format!("{COOKIE}={session}; Path={root}/; HttpOnly; SameSite=Strict");
        let cookie = HeaderValue::try_from(cookie).ok()?;
        *kept = None;
        Some(cookie)
    }
}

fn same(given: &str, known: &str) -> bool {
    given.as_bytes().ct_eq(known.as_bytes()).into()
}

fn secret(bytes: usize) -> std::io::Result<String> {
    let mut bytes = vec![0; bytes];
    getrandom::fill(&mut bytes).map_err(std::io::Error::from)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn only_the_servers_own_names_are_hosts() {
        let (access, _) = Access::new(5555).unwrap();
        let allows = |hosts: &[&str], uri: &'static str| {
            access.allows_host(&headers(header::HOST, hosts), &Uri::from_static(uri))
        };
        assert!(allows(&["127.0.0.1:5555"], "/"));
        assert!(allows(&["LocalHost:5555"], "/"));
        for hosts in [
            &["evil.example:5555"][..],
            &["127.0.0.1"],
            &["127.0.0.1:5556"],
            &["127.0.0.1:5555.evil.example"],
            &["evil.example", "127.0.0.1:5555"],
            &["127.0.0.1:5555", "127.0.0.1:5555"],
            &["x@127.0.0.1:5555"],
            &[""],
            &[],
        ] {
            assert!(!allows(hosts, "/"), "{hosts:?}");
        }
        assert!(!allows(&["127.0.0.1:5555"], "http://evil.example/"));
    }

    #[test]
    fn the_token_opens_once_and_gives_a_cookie_that_opens_always() {
        let (access, token) = Access::new(5555).unwrap();
        assert!(access.exchange("").is_none());
        assert!(access.exchange(&token[1..]).is_none());
        let cookie = access.exchange(&token).unwrap();
        assert!(access.exchange(&token).is_none(), "it works once");
        let cookie = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        assert!(access.has_session(&headers(header::COOKIE, &[&format!("a=b; {cookie}")])));
        assert!(!access.has_session(&headers(header::COOKIE, &[&cookie[..cookie.len() - 1]])));
        assert!(!access.has_session(&headers(header::COOKIE, &[&cookie.replace("studio", "studio-2")])));
        assert!(!access.has_session(&HeaderMap::new()));
        assert!(!cookie.contains(&token), "the session is not the token");
    }

    #[test]
    fn only_what_is_below_the_root_is_inside() {
        let (access, _) = Access::new(5555).unwrap();
        let root = access.root().as_str();
        assert!(
            root.len() == 33 && root[1..].bytes().all(|byte| byte.is_ascii_hexdigit()),
            "128 bits: {root}"
        );
        assert_eq!(access.inside(&format!("{root}/")), Some("/"));
        assert_eq!(access.inside(&format!("{root}/table/x")), Some("/table/x"));
        let other = Access::new(5555).unwrap().0;
        for path in [
            "",
            "/",
            "/login",
            root,
            &format!("{root}x/"),
            &format!("/{root}/"),
            &format!("/.{root}/"),
            &format!("{}/", root.to_uppercase()),
            &format!("{}/", &root[..root.len() - 1]),
            &format!("/%{:02x}{}/", root.as_bytes()[1], &root[2..]),
            &format!("{}/", other.root().as_str()),
            &format!("/{}é/", &root[2..]),
        ] {
            assert_eq!(access.inside(path), None, "{path}");
        }
    }
}
