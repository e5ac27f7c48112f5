//! Organizations' ids and names: what may be one. The ground floor, which every module may stand on.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};
use uuid::Uuid;

/// The database holds the same rule as [`OrgId::new`], so that an id that was read is one too.
pub use crate::rows::OrgId;

/// The types that an organization's id and the parts of a balance's key have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// `text`.
    Text,
    /// `uuid`.
    Uuid,
    /// `smallint`.
    Smallint,
    /// `integer`.
    Integer,
    /// `bigint`.
    Bigint,
}

impl KeyType {
    /// The type's name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            KeyType::Text => "text",
            KeyType::Uuid => "uuid",
            KeyType::Smallint => "smallint",
            KeyType::Integer => "integer",
            KeyType::Bigint => "bigint",
        }
    }

    /// The type that `format_type` calls `name`.
    pub fn of(name: &str) -> Option<Self> {
        [Self::Text, Self::Uuid, Self::Smallint, Self::Integer, Self::Bigint]
            .into_iter()
            .find(|known| known.name() == name)
    }

    /// What puts values of this type into the one order in which everybody locks balances.
    pub(crate) fn collation(self) -> &'static str {
        if self == KeyType::Text { " COLLATE \"C\"" } else { "" }
    }
}

/// A text can't be an organization's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrgIdError {
    /// Not even as text.
    #[error("{0:?} can't be an organization id; use 1 to 63 letters, digits, '-', '_' or '.'")]
    Text(String),
    /// Neither an id nor a subdomain.
    #[error("{0:?} can't be an organization's id or subdomain; use 1 to 63 letters, digits, '-', '_' or '.'")]
    Name(String),
    /// Ids are of another type here.
    #[error("{id:?} can't be an organization id here: organizations have ids of type {}, such as {example}", .org_type.name())]
    Type {
        /// What was given.
        id: String,
        /// The type of the mapping.
        org_type: KeyType,
        /// One of that type.
        example: &'static str,
    },
}

impl OrgId {
    /// Checks `id`.
    ///
    /// # Errors
    /// When it is empty, longer than 63 bytes, or holds anything but ASCII letters, digits, `-`, `_`, `.`.
    pub fn new(id: &str) -> Result<Self, OrgIdError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if id.is_empty() || id.len() > 63 || !id.chars().all(fits) {
            return Err(OrgIdError::Text(id.to_owned()));
        }
        Ok(Self(id.to_owned()))
    }

    /// Checks `id` as one of `org_type`, and gives it the one form that the database prints it in.
    ///
    /// # Errors
    /// When it is no value of that type.
    pub fn of(org_type: KeyType, id: &str) -> Result<Self, OrgIdError> {
        let wrong = |example| OrgIdError::Type { id: id.to_owned(), org_type, example };
        match org_type {
            KeyType::Text => Self::new(id),
            KeyType::Uuid => match id.parse::<Uuid>() {
                Ok(uuid) => Ok(Self(uuid.hyphenated().to_string())),
                Err(_) => Err(wrong("0193f3b4-5c1a-7000-8000-2f0e5d8c4b6a")),
            },
            KeyType::Bigint | KeyType::Integer | KeyType::Smallint => match id.parse::<i64>() {
                Ok(number) if number > 0 => Ok(Self(number.to_string())),
                _ => Err(wrong("42")),
            },
        }
    }

    /// Makes an id that sorts by the time of its making: `org-` and a ULID in lower case, or a UUID of version 7.
    /// None for numbers, which the table's sequence gives.
    ///
    /// # Errors
    /// [`RandomError`].
    pub fn generate(org_type: KeyType) -> Result<Option<Self>, RandomError> {
        let mut random = [0; 16];
        fill_random(&mut random)?;
        // A clock before 1970 gives ids that sort first.
        let now_ms = u64::try_from(chrono::Utc::now().timestamp_millis()).unwrap_or(0);
        let [.., a, b, c, d, e, f, g, h, i, j] = random;
        Ok(match org_type {
            KeyType::Text => {
                let ulid = ulid::Ulid::from_parts(now_ms, u128::from_be_bytes(random));
                Some(Self(format!("org-{}", ulid.to_string().to_ascii_lowercase())))
            }
            KeyType::Uuid => {
                let bytes = [a, b, c, d, e, f, g, h, i, j];
                let uuid = uuid::Builder::from_unix_timestamp_millis(now_ms, &bytes).into_uuid();
                Some(Self(uuid.hyphenated().to_string()))
            }
            KeyType::Bigint | KeyType::Integer | KeyType::Smallint => None,
        })
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OrgId {
    type Err = OrgIdError;

    fn from_str(id: &str) -> Result<Self, Self::Err> {
        Self::new(id)
    }
}

impl fmt::Display for OrgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for OrgId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// The longest name of an organization, in characters.
pub const NAME_LENGTH_MAX: usize = 200;

/// A text can't be an organization's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} can't be an organization's name; give 1 to {NAME_LENGTH_MAX} characters on one line, none of them invisible or a change of direction"
)]
pub struct OrgNameError(String);

/// Checks an organization's name, and leaves out the spaces around it.
///
/// # Errors
/// [`OrgNameError`] when nothing is left, it is longer than [`NAME_LENGTH_MAX`], or holds a control character or one by which it
/// looks like another name.
pub fn check_name(text: &str) -> Result<&str, OrgNameError> {
    let name = text.trim();
    if is_line(name, NAME_LENGTH_MAX) { Ok(name) } else { Err(OrgNameError(text.to_owned())) }
}

/// Whether `text` is one line of 1 to `length_max` characters, and shows all that it is.
pub(crate) fn is_line(text: &str, length_max: usize) -> bool {
    let length = text.chars().count();
    (1..=length_max).contains(&length) && !text.chars().any(char::is_control) && !is_masked(text)
}

/// Whether a name holds a character that nobody sees: it has no width, or changes the direction of what follows. Two that join
/// or part letters of a script which is written so are its spelling.
fn is_masked(name: &str) -> bool {
    let letters: Vec<char> = name.chars().collect();
    let is_letter = |place: Option<usize>| {
        place
            .and_then(|place| letters.get(place))
            .is_some_and(|letter| letter.is_alphabetic() && !letter.is_ascii())
    };
    letters.iter().enumerate().any(|(place, letter)| match letter {
        '\u{200C}' | '\u{200D}' => !is_letter(place.checked_sub(1)) || !is_letter(place.checked_add(1)),
        '\u{AD}'
        | '\u{34F}'
        | '\u{61C}'
        | '\u{115F}'..='\u{1160}'
        | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}'
        | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}'
        | '\u{FFA0}'
        | '\u{FFF0}'..='\u{FFFB}'
        | '\u{1BCA0}'..='\u{1BCA3}'
        | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E0FFF}' => true,
        _ => false,
    })
}

/// Neither ids nor keys can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gives no random bytes ({0}); make /dev/urandom or getrandom(2) available")]
pub struct RandomError(String);

/// Fills `bytes` from the operating system's random source.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<(), RandomError> {
    getrandom::fill(bytes).map_err(|error| RandomError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_ids_hold_and_sort_by_their_time() {
        for (org_type, length, time) in [(KeyType::Text, 30, 4..14), (KeyType::Uuid, 36, 0..13)] {
            let first = OrgId::generate(org_type).unwrap().unwrap();
            assert_eq!(first.as_str().len(), length);
            assert_eq!(OrgId::of(org_type, first.as_str()), Ok(first.clone()));
            let second = OrgId::generate(org_type).unwrap().unwrap();
            assert!(first.as_str()[time.clone()] <= second.as_str()[time]);
            assert_ne!(first, second);
        }
        assert_eq!(OrgId::generate(KeyType::Bigint), Ok(None));
    }

    #[test]
    fn a_name_shows_all_that_it_is() {
        for name in ["Acme Mining", "Müller & Söhne", "鉱業", "شرکة", "می\u{200C}خواهم"] {
            assert_eq!(check_name(name), Ok(name));
        }
        for name in [
            "Ac\u{200B}me",
            "\u{202E}emcA",
            "Acme\u{FEFF}",
            "Ac\u{200D}me",
            "Acme\u{2066}x",
            "A\u{AD}cme",
            "\u{3164}",
            "a\tb",
        ] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn ids_have_the_form_that_the_database_prints() {
        let of = |org_type, id| OrgId::of(org_type, id).map(|id| id.as_str().to_owned());
        let uuid = "0193f3b4-5c1a-7000-8000-2f0e5d8c4b6a";
        assert_eq!(of(KeyType::Uuid, "0193F3B4-5C1A-7000-8000-2F0E5D8C4B6A").as_deref(), Ok(uuid));
        assert_eq!(of(KeyType::Bigint, "0042").as_deref(), Ok("42"));
        for (org_type, id) in [(KeyType::Uuid, "acme"), (KeyType::Bigint, "acme"), (KeyType::Bigint, "0")] {
            let error = OrgId::of(org_type, id).unwrap_err().to_string();
            assert!(error.contains(org_type.name()), "{error}");
        }
    }
}
