//! API keys: made from the operating system's random source, shown once, stored as SHA-256.
//!
//! A key reads `sf_live_<8 id>_<30 secret>_<6 check>`, in letters and digits (base62): 178 random bits, an id that
//! names the key in lists and logs, and a check part, the CRC-32 of what stands before it. A CRC-32 detects every
//! burst of up to 32 bits (Peterson and Brown, "Cyclic Codes for Error Detection", 1961), hence each change of one
//! character and each swap of two neighbours.

use std::fmt;

use crc::{CRC_32_ISO_HDLC, Crc};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::TenancyError;
use crate::{
    org_id::{RandomError, fill_random},
    settings::Secret,
    sql::Literal,
};

/// What a generated key begins with.
const PREFIX: &str = "sf_live_";
/// Characters of the id part.
const ID_LENGTH: usize = 8;
/// Characters of the secret part: 30 * log2(62) = 178 bits.
const SECRET_LENGTH: usize = 30;
/// Characters of the check part: 62^6 > 2^32.
const CHECK_LENGTH: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// What a given key should hold at least, in bits.
const ENTROPY_BITS_MIN: f64 = 128.0;
/// The longest key that is taken: it must fit into a request's header.
const GIVEN_LENGTH_MAX: usize = 512;

/// What the database needs to know of a key's form to find its row.
pub(super) struct Form {
    /// The pattern that a made key has, for the operator `~`.
    pub made: Literal,
    /// The place of the id part, from 1, and its length, in characters.
    pub id: (usize, usize),
    /// The longest key, in characters.
    pub length_max: usize,
}

/// The form that keys have.
pub(super) fn form() -> Form {
    let digits = |length| format!("[0-9A-Za-z]{{{length}}}");
    let made = format!("^{PREFIX}{}_{}_{}$", digits(ID_LENGTH), digits(SECRET_LENGTH), digits(CHECK_LENGTH));
    Form { made: Literal::new(&made), id: (PREFIX.len() + 1, ID_LENGTH), length_max: GIVEN_LENGTH_MAX }
}

/// A key can't be taken. Never says the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    /// An empty key would let everybody in.
    #[error("the API key is empty; give one, or leave --api-key out to have one made")]
    Empty,
    /// It could not be sent in a request's header.
    #[error(
        "the API key holds a space, a line break or another character that can't stand in a request's header; give visible ASCII characters only"
    )]
    Character,
    /// It could not be sent in a request's header.
    #[error("the API key is longer than {GIVEN_LENGTH_MAX} characters; give a shorter one")]
    TooLong,
    /// What should name a key does not. It is not repeated: it may be the key.
    #[error(
        "that is no key's id, which has {ID_LENGTH} letters and digits; org-update --list-keys shows them"
    )]
    Id,
}

/// What names a key without giving it away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyId(String);

impl KeyId {
    /// Takes an id, or a made key, whose id it is then.
    ///
    /// # Errors
    /// [`ApiKeyError::Id`].
    pub fn new(text: &str) -> Result<Self, ApiKeyError> {
        let id = parts(text).map_or(text, |(body, _)| id_part(body));
        let is_id = id.len() == ID_LENGTH && id.bytes().all(|byte| BASE62.contains(&byte));
        if is_id { Ok(Self(id.to_owned())) } else { Err(ApiKeyError::Id) }
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An API key in the clear. Shows itself as `***`, and can't be compared but by its [hash](KeyHash::matches).
#[derive(Clone)]
pub struct ApiKey(Secret);

impl ApiKey {
    /// The key that was given, or one that is made, and whether it was made.
    ///
    /// # Errors
    /// As [`given`](Self::given) and [`generate`](Self::generate).
    pub fn new(given: Option<&Secret>) -> Result<(Self, bool), TenancyError> {
        Ok(match given {
            Some(key) => (Self::given(key)?, false),
            None => (Self::generate()?, true),
        })
    }

    /// Makes a key.
    ///
    /// # Errors
    /// [`RandomError`].
    pub fn generate() -> Result<Self, RandomError> {
        let body = format!("{PREFIX}{}_{}", random(ID_LENGTH)?, random(SECRET_LENGTH)?);
        let check = check_part(&body);
        Ok(Self(Secret::new(format!("{body}_{check}"))))
    }

    /// Takes a key that somebody else made, as it is.
    ///
    /// # Errors
    /// When it is empty, longer than 512 characters, or not visible ASCII.
    pub fn given(key: &Secret) -> Result<Self, ApiKeyError> {
        let text = key.expose();
        if text.is_empty() {
            Err(ApiKeyError::Empty)
        } else if text.len() > GIVEN_LENGTH_MAX {
            Err(ApiKeyError::TooLong)
        } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Err(ApiKeyError::Character)
        } else {
            Ok(Self(key.clone()))
        }
    }

    /// The key in the clear, for the one place that shows it.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// What names the key without giving it away: a generated key's id part, else 8 characters from its hash.
    pub fn id(&self) -> String {
        match parts(self.expose()) {
            Some((body, _)) => id_part(body).to_owned(),
            None => base62(self.hash().leading_bits(), ID_LENGTH),
        }
    }

    /// What the database holds of the key.
    pub fn hash(&self) -> KeyHash {
        KeyHash(Sha256::digest(self.expose().as_bytes()).into())
    }

    /// What speaks against using this key, if anything.
    pub fn weakness(&self) -> Option<String> {
        let key = self.expose();
        match parts(key) {
            Some((body, check)) if check_part(body) == check => None,
            Some(_) => Some(
                "the API key looks like one of Stockfoil's, but its check part does not fit: a typing error?"
                    .into(),
            ),
            None if plausible_bits(key) < ENTROPY_BITS_MIN => Some(format!(
                "the API key holds about {:.0} bits of entropy at most, and under {ENTROPY_BITS_MIN:.0} it may be guessed; leave --api-key out to have one made",
                plausible_bits(key)
            )),
            None => None,
        }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// SHA-256 of a key.
#[derive(Debug, Clone)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The bytes, as the database holds them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether `stored` is the hash of the same key; takes as long for a near miss as for a far one.
    pub fn matches(&self, stored: &[u8]) -> bool {
        self.0.as_slice().ct_eq(stored).into()
    }

    fn leading_bits(&self) -> u64 {
        self.0.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte))
    }
}

/// `length` characters, each of the 62 as likely as any other.
fn random(length: usize) -> Result<String, RandomError> {
    let mut text = String::with_capacity(length);
    let mut bytes = [0; 64];
    while text.len() < length {
        fill_random(&mut bytes)?;
        // 248 = 4 * 62: what lies above would make some characters likelier than others.
        let fair = bytes.iter().filter(|byte| **byte < 248).map(|byte| BASE62[usize::from(byte % 62)]);
        text.extend(fair.take(length - text.len()).map(char::from));
    }
    Ok(text)
}

fn check_part(body: &str) -> String {
    const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
    base62(u64::from(CRC.checksum(body.as_bytes())), CHECK_LENGTH)
}

/// The last `length` digits of `number` in base 62.
fn base62(mut number: u64, length: usize) -> String {
    let mut digits = vec!['0'; length];
    for digit in digits.iter_mut().rev() {
        // A remainder of 62 fits any integer.
        *digit = char::from(BASE62[(number % 62) as usize]);
        number /= 62;
    }
    digits.into_iter().collect()
}

/// What the check part covers, and the check part, of a text that has a generated key's form.
fn parts(key: &str) -> Option<(&str, &str)> {
    let (body, check) = key.rsplit_once('_')?;
    let (id, secret) = body.strip_prefix(PREFIX)?.split_once('_')?;
    let lengths = (id.len(), secret.len(), check.len()) == (ID_LENGTH, SECRET_LENGTH, CHECK_LENGTH);
    let digits = [id, secret, check].iter().all(|part| part.bytes().all(|byte| BASE62.contains(&byte)));
    (lengths && digits).then_some((body, check))
}

/// The id in what the check part covers.
fn id_part(body: &str) -> &str {
    &body[PREFIX.len()..PREFIX.len() + ID_LENGTH]
}

/// An upper estimate of a key's entropy: its characters without separators, as many as are not part of a
/// repetition, each worth the logarithm of the alphabet that the key seems to be written in.
fn plausible_bits(key: &str) -> f64 {
    let letters: Vec<u8> = key.bytes().filter(|byte| !matches!(byte, b'-' | b'_' | b'.')).collect();
    let windows: std::collections::HashSet<&[u8]> = letters.windows(4).collect();
    let fresh = if windows.is_empty() { letters.len() } else { windows.len() + 3 };
    let has = |class: fn(&u8) -> bool| letters.iter().any(class);
    let alphabet = if letters.iter().all(u8::is_ascii_digit) {
        10
    } else if letters.iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
        || letters.iter().all(|c| matches!(c, b'0'..=b'9' | b'A'..=b'F'))
    {
        16
    } else {
        10 * u32::from(has(u8::is_ascii_digit))
            + 26 * u32::from(has(u8::is_ascii_lowercase))
            + 26 * u32::from(has(u8::is_ascii_uppercase))
            + 32 * u32::from(has(u8::is_ascii_punctuation))
    };
    // A key has at most 512 characters, which a float holds exactly.
    fresh as f64 * f64::from(alphabet.max(1)).log2()
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    fn is_sound(key: &str) -> bool {
        parts(key).is_some_and(|(body, check)| check_part(body) == check)
    }

    fn given(text: &str) -> Result<ApiKey, ApiKeyError> {
        ApiKey::given(&Secret::new(text))
    }

    #[test]
    fn ten_thousand_keys_are_unique_and_their_characters_uniform() {
        let keys: Vec<ApiKey> = (0..10_000).map(|_| ApiKey::generate().unwrap()).collect();
        assert!(keys.iter().all(|key| key.expose().len() == 54 && is_sound(key.expose())));
        assert_eq!(keys.iter().map(ApiKey::expose).collect::<HashSet<_>>().len(), keys.len());
        // An id has 47 bits: two equal ones among so many come about once in 4 million runs, two pairs never.
        assert!(keys.iter().map(ApiKey::id).collect::<HashSet<_>>().len() >= keys.len() - 1);

        let mut seen: HashMap<u8, u32> = HashMap::new();
        for key in &keys {
            for byte in key.expose().as_bytes()[PREFIX.len() + ID_LENGTH + 1..][..SECRET_LENGTH].iter() {
                *seen.entry(*byte).or_default() += 1;
            }
        }
        assert_eq!(seen.len(), 62);
        let expected = f64::from(10_000 * SECRET_LENGTH as u32) / 62.0;
        let chi_square: f64 =
            seen.values().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        // 61 degrees of freedom: fair characters exceed 250 less than once in 10^20 runs; bytes modulo 62 give about 2,000.
        assert!(chi_square < 250.0, "{chi_square}");
    }

    #[test]
    fn the_check_part_finds_every_wrong_character_and_every_swap() {
        for _ in 0..5 {
            let key = ApiKey::generate().unwrap();
            let key = key.expose().as_bytes();
            let sound = |bytes: &[u8]| is_sound(std::str::from_utf8(bytes).unwrap());
            assert!(sound(key));
            for at in 0..key.len() {
                let mut wrong = key.to_vec();
                for byte in (b'!'..=b'~').filter(|byte| *byte != key[at]) {
                    wrong[at] = byte;
                    assert!(!sound(&wrong), "{} for {}", String::from_utf8_lossy(&wrong), at);
                }
                let mut swapped = key.to_vec();
                if at > 0 && key[at] != key[at - 1] {
                    swapped.swap(at, at - 1);
                    assert!(!sound(&swapped), "{}", String::from_utf8_lossy(&swapped));
                }
            }
        }
    }

    #[test]
    fn a_key_of_this_form_stays_one() {
        // Keys live for years: neither the alphabet nor the checksum may change.
        let key = given("sf_live_0aZ9bY8c_0123456789ABCDEFGHIJabcdefghij_1FeICt").unwrap();
        assert_eq!(key.id(), "0aZ9bY8c");
        assert_eq!(key.weakness(), None);
    }

    #[test]
    fn a_key_is_named_by_its_id_or_by_itself() {
        let key = ApiKey::generate().unwrap();
        assert_eq!(KeyId::new(key.expose()), KeyId::new(&key.id()));
        assert_eq!(KeyId::new("0aZ9bY8c").unwrap().as_str(), "0aZ9bY8c");
        for text in ["", "0aZ9bY8", "0aZ9bY8-", "a given key", "Vq3xT8mZpL0rKc7WdYb2Nh"] {
            let error = KeyId::new(text).unwrap_err();
            assert!(text.is_empty() || !error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn a_key_never_shows_itself() {
        let key = ApiKey::generate().unwrap();
        assert_eq!(format!("{key:?} {key:#?}"), "*** ***");
        for text in ["", "s3cret with space", "s3cret\nline", "s3crét", &"s3cret".repeat(100)] {
            let error = given(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cr"), "{error:?}");
        }
    }

    #[test]
    fn a_hash_matches_its_key_alone() {
        let hash = given("abc").unwrap().hash();
        assert_eq!(hash.as_bytes()[..4], [0xba, 0x78, 0x16, 0xbf], "FIPS 180-4's example");
        assert!(hash.matches(given("abc").unwrap().hash().as_bytes()));
        assert!(!hash.matches(given("abd").unwrap().hash().as_bytes()));
        assert!(!hash.matches(&hash.as_bytes()[..31]) && !hash.matches(&[]));
    }

    #[test]
    fn a_weak_key_is_known() {
        let weak = |text| given(text).unwrap().weakness();
        for text in [
            "secret",
            "password-password-password-password-password",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "0123456789012345678901234567890123456789",
            "abcdefghijklmnopqrstuvwxyz",
        ] {
            assert!(weak(text).is_some_and(|reason| reason.contains("bits")), "{text}");
        }
        for text in [
            "9f86d081884c7d659a2feaa0c55ad015",
            "7b0f1c9e-52d4-4a83-bf16-08e3a95cd274",
            "Vq3xT8mZpL0rKc7WdYb2Nh",
        ] {
            assert_eq!(weak(text), None, "{text}");
        }
        let key = ApiKey::generate().unwrap();
        let mut typo = key.expose().to_owned();
        let last = if typo.pop() == Some('0') { '1' } else { '0' };
        typo.push(last);
        assert!(weak(&typo).is_some_and(|reason| reason.contains("check part")));
    }
}
