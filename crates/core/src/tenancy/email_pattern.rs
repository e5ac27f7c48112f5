//! Patterns that say whose addresses are meant.
//!
//! Addresses are compared here and not by the server: its `lower()` folds only ASCII in a database of the C locale,
//! its `normalize()` works only in UTF-8, and LIKE gives `_` and `%` a meaning that addresses don't. So a pattern
//! takes the same people in every database, and a dry run the same ones as a real run.

use std::{borrow::Cow, fmt, str::FromStr};

use unicode_normalization::{UnicodeNormalization as _, is_nfc};

/// A text can't be a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmailPatternError {
    /// It would take nobody.
    #[error("the email pattern is empty; give an address, a part of one with '*', or @domain")]
    Empty,
    /// It would take nobody.
    #[error("the email pattern {0:?} names no domain; write what stands behind the '@'")]
    NoDomain(String),
    /// It would take nobody, or not whom it seems to.
    #[error("the email pattern {0:?} begins with '@' and holds another one; write @domain, or *@domain")]
    TwoAts(String),
    /// No address holds one.
    #[error("the email pattern {0:?} holds a space or a control character; leave it out")]
    Space(String),
}

/// Whose addresses are meant. `@acme.com` is everybody in that domain and nobody in `sub.acme.com`; anything else is
/// compared with the whole address. `*` stands for any characters, every other character for itself; neither case
/// nor Unicode normal form matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailPattern {
    text: String,
    domain_only: bool,
    /// What stands between the wildcards, folded; at least one.
    pieces: Vec<String>,
}

impl EmailPattern {
    /// Whether `email` is meant.
    pub fn takes(&self, email: &str) -> bool {
        let email = fold(email);
        if self.domain_only {
            email.rsplit_once('@').is_some_and(|(_, domain)| matches(&self.pieces, domain))
        } else {
            matches(&self.pieces, &email)
        }
    }
}

impl FromStr for EmailPattern {
    type Err = EmailPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(EmailPatternError::Empty);
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(EmailPatternError::Space(text.to_owned()));
        }
        let domain = text.strip_prefix('@');
        match domain {
            Some("") => return Err(EmailPatternError::NoDomain(text.to_owned())),
            Some(domain) if domain.contains('@') => return Err(EmailPatternError::TwoAts(text.to_owned())),
            _ => {}
        }
        Ok(Self {
            text: text.to_owned(),
            domain_only: domain.is_some(),
            pieces: fold(domain.unwrap_or(text)).split('*').map(str::to_owned).collect(),
        })
    }
}

impl fmt::Display for EmailPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// Lower case, in normal form C.
///
/// Letter by letter, and no full case folding: that would make `straße.de` and `strasse.de`, which are two
/// domains, one.
pub(super) fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            text.to_ascii_lowercase().into()
        } else {
            text.into()
        };
    }
    // Normalized before as well: case mapping knows composed letters that decomposed ones only become.
    let lower = |text: &str| text.chars().flat_map(char::to_lowercase).nfc().collect::<String>();
    if is_nfc(text) { lower(text).into() } else { lower(&text.nfc().collect::<String>()).into() }
}

/// Whether `text` is the pieces with anything between them.
fn matches(pieces: &[String], text: &str) -> bool {
    let Some((first, rest)) = pieces.split_first() else { return false };
    let Some((last, between)) = rest.split_last() else { return text == first };
    let Some(mut text) = text.strip_prefix(first.as_str()).and_then(|text| text.strip_suffix(last.as_str()))
    else {
        return false;
    };
    for piece in between {
        // The first place is enough: what fits behind a later one fits behind it too.
        match text.find(piece.as_str()) {
            Some(at) => text = &text[at + piece.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn takes(pattern: &str, email: &str) -> bool {
        pattern.parse::<EmailPattern>().unwrap().takes(email)
    }

    #[test]
    fn a_domain_is_the_whole_domain_and_nothing_else() {
        for email in ["x@my_corp.com", "X@My_Corp.COM", "x+tag@my_corp.com", "\"a@b\"@my_corp.com"] {
            assert!(takes("@my_corp.com", email), "{email}");
        }
        for email in [
            "x@myXcorp.com",
            "x@notmy_corp.com",
            "x@sub.my_corp.com",
            "x@my_corp.com.evil.example",
            "x@my_corp.com@evil.example",
            "@my_corp.com@",
            "my_corp.com",
            "",
        ] {
            assert!(!takes("@my_corp.com", email), "{email}");
        }
        assert!(takes("@*.acme.com", "x@eu.acme.com") && !takes("@*.acme.com", "x@acme.com"));
    }

    #[test]
    fn only_the_star_is_a_wildcard() {
        assert!(takes("jane*@acme.com", "jane.doe@acme.com") && takes("jane*@acme.com", "jane@acme.com"));
        assert!(takes("j*n*@a*.com", "john@acme.com") && !takes("j*n*@a*.com", "john@acme.org"));
        assert!(takes("a.b@c.d", "a.b@c.d") && !takes("a.b@c.d", "axb@c.d"));
        assert!(takes("a_b%c@d.e", "a_b%c@d.e") && !takes("a_b%c@d.e", "axbyyc@d.e"));
        assert!(!takes("aba*aba", "aba") && takes("aba*aba", "abaaba"));
        assert!(takes("*", "") && takes("**", "anything"));
        assert!(takes(r"a\*@b.c", r"a\x@b.c") && !takes("[ab]@c.d", "a@c.d") && !takes("a?@c.d", "ab@c.d"));
    }

    #[test]
    fn case_and_normal_form_do_not_matter() {
        assert!(takes("@müller.example", "x@mu\u{308}ller.example"));
        assert!(takes("@mu\u{308}ller.example", "x@MÜLLER.example"));
        assert!(takes("josé@acme.com", "JOSE\u{301}@ACME.COM"));
        assert!(takes("ΟΔΟΣ@x.gr", "οδοσ@x.gr"));
        assert!(!takes("jose@acme.com", "josé@acme.com"));
        assert!(!takes("@straße.example", "x@strasse.example"));
    }

    #[test]
    fn a_pattern_that_takes_nobody_is_refused() {
        for pattern in ["", "@", "@a@b", "a b@c.d", "@acme.com\n"] {
            assert!(pattern.parse::<EmailPattern>().is_err(), "{pattern:?}");
        }
    }

    proptest! {
        #[test]
        fn every_address_is_taken_by_itself_by_its_domain_and_by_its_parts(
            local in "[a-zA-Z0-9.+_%éÉüßİ]{1,12}", domain in "[a-zA-Z0-9.äÖ-]{1,12}", cut in 0usize..24
        ) {
            let email = format!("{local}@{domain}");
            let shouted: String = email.to_uppercase().nfd().collect();
            assert!(takes(&email, &email));
            assert!(takes(&format!("@{domain}"), &email));
            let at = email.char_indices().map(|(at, _)| at).nth(cut).unwrap_or(email.len());
            assert!(takes(&format!("{}*{}", &email[..at], &email[at..]), &email));
            assert!(!takes(&format!("@{domain}x"), &email));
            if !email.contains(['ß', 'İ']) {
                assert!(takes(&email, &shouted));
            }
        }
    }
}
