//! Which program encrypted a file, told by its first bytes.

/// What encrypted a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encryption {
    /// OpenPGP, as gpg writes it.
    Gpg,
    /// age.
    Age,
    /// `openssl enc`.
    Openssl,
    /// Its name says that it is encrypted, and its content is nothing that is known.
    Unknown,
}

/// Suffixes of encrypted files.
pub(super) const SUFFIXES: [&str; 8] = [".gpg", ".pgp", ".asc", ".age", ".enc", ".aes", ".ssl", ".crypt"];

/// The one that a detached signature may have as well.
const OF_SIGNATURES: &str = ".asc";

impl Encryption {
    /// What a file that begins with `head` is encrypted by; none where that does not tell.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        match head {
            [b'S', b'a', b'l', b't', b'e', b'd', b'_', b'_', ..] => Some(Self::Openssl),
            _ if head.starts_with(b"U2FsdGVkX1") => Some(Self::Openssl),
            _ if head.starts_with(b"age-encryption.org/v") => Some(Self::Age),
            _ if head.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----") => Some(Self::Age),
            _ if head.starts_with(b"-----BEGIN PGP MESSAGE-----") => Some(Self::Gpg),
            _ if is_session_key(head) => Some(Self::Gpg),
            _ => None,
        }
    }

    /// What a file is encrypted by that is called `name` and whose content is of no form that is known.
    pub(super) fn by_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let mut suffixes = SUFFIXES.into_iter().filter(|suffix| *suffix != OF_SIGNATURES);
        suffixes.any(|suffix| name.ends_with(suffix)).then_some(Self::Unknown)
    }

    /// What it is called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gpg => "gpg (OpenPGP)",
            Self::Age => "age",
            Self::Openssl => "openssl enc",
            Self::Unknown => "a program that its content does not tell",
        }
    }

    /// How it may be decrypted.
    pub(super) fn example(self) -> &'static str {
        match self {
            Self::Gpg | Self::Unknown => r#"["gpg", "--batch", "--decrypt"]"#,
            Self::Age => r#"["age", "--decrypt", "--identity", "/etc/stockfoil/age.key"]"#,
            Self::Openssl => {
                r#"["openssl", "enc", "-d", "-aes-256-cbc", "-pbkdf2", "-pass", "file:/etc/stockfoil/passphrase"]"#
            }
        }
    }
}

/// The name of what is in the file `name`.
pub(super) fn plain_name(name: &str) -> &str {
    let lower = name.to_ascii_lowercase();
    let suffix = SUFFIXES.iter().find(|suffix| lower.ends_with(*suffix)).map_or(0, |suffix| suffix.len());
    match &name[..name.len() - suffix] {
        "" => name,
        plain => plain,
    }
}

/// Whether it begins with a packet of OpenPGP that holds an encrypted session key: its tag, its length and its version.
fn is_session_key(head: &[u8]) -> bool {
    let (tag, body) = match head {
        // Old form: two bits say how many bytes the length has.
        [first @ 0x80..=0xbf, rest @ ..] => {
            let length = 1 << (first & 3);
            ((first >> 2) & 0xf, if length > 4 { None } else { rest.get(length..) })
        }
        [first @ 0xc0..=0xff, 1..=191, rest @ ..] => (first & 0x3f, Some(rest)),
        [first @ 0xc0..=0xff, 192..=223, _, rest @ ..] => (first & 0x3f, Some(rest)),
        _ => return false,
    };
    match (tag, body) {
        // Versions 3 and 6 of a key for a public key, 4 to 6 of one for a passphrase.
        (1, Some([3 | 6, ..])) | (3, Some([4..=6, ..])) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encrypted_files_are_told_by_their_content() {
        for (head, expected) in [
            (&b"Salted__12345678"[..], Encryption::Openssl),
            (b"age-encryption.org/v1\n-> X25519", Encryption::Age),
            (b"-----BEGIN PGP MESSAGE-----\n", Encryption::Gpg),
            (&[0x8c, 0x0d, 0x04, 0x09, 0x03], Encryption::Gpg),
            (&[0x85, 0x01, 0x8c, 0x03, 0x11], Encryption::Gpg),
            (&[0xc3, 0x0d, 0x04, 0x09], Encryption::Gpg),
            (&[0xc1, 0xc0, 0x4c, 0x03, 0x11], Encryption::Gpg),
        ] {
            assert_eq!(Encryption::of(head), Some(expected), "{head:?}");
        }
        assert_eq!(Encryption::by_name("stock.dump.gpg"), Some(Encryption::Unknown));
        assert_eq!(Encryption::by_name("stock.dump.asc"), None);
        for plain in [&b"PGDMP"[..], b"--\n-- PostgreSQL database dump\n", b"\x1f\x8b\x08", b"", b"\x8c"] {
            assert_eq!(Encryption::of(plain), None, "{plain:?}");
        }
    }

    #[test]
    fn what_is_in_it_is_called_as_it_was() {
        assert_eq!(plain_name("stock.dump.gpg"), "stock.dump");
        assert_eq!(plain_name("stock.dump.AGE"), "stock.dump");
        assert_eq!(plain_name("stock"), "stock");
        assert_eq!(plain_name(".gpg"), ".gpg");
    }
}
