//! Holes that the operator knows of and lives with: each one hole of one object, as it was when it was looked at.

use sha2::{Digest as _, Sha256};

use crate::validate::{Check, Checks, Verdict};

const NAME: &str = "accepted";

/// How much of a digest tells one definition from another.
const DIGEST_BYTES: usize = 6;

/// What stands between the object and the digest.
const BETWEEN: &str = " @";

impl Check {
    /// What `accepted` would say of it.
    fn acceptance(&self) -> String {
        let identity = self.identity.as_deref().unwrap_or(&self.evidence);
        let digest = Sha256::digest(format!("{}\0{}\0{identity}", self.name, self.object));
        format!("{}{BETWEEN}{}", self.object, hex::encode(digest.get(..DIGEST_BYTES).unwrap_or_default()))
    }

    fn is_open(&self) -> bool {
        matches!(self.verdict, Verdict::Failed | Verdict::Warned)
    }

    /// Lets what the operator knows of and lives with hold.
    fn pass_as_accepted(&mut self) {
        self.verdict = Verdict::Passed;
        self.evidence = format!("accepted in the configuration: {}", self.evidence);
        self.remedy.clear();
        self.accept = None;
    }
}

/// Takes the holes that `accepted` names for what they are, and says which of these name none, or one that has become another.
pub(super) fn apply(accepted: &[String], checks: &mut Checks) {
    for check in checks.0.iter_mut().filter(|check| check.is_open()) {
        check.accept = Some(check.acceptance());
    }
    let mut wrong = Vec::new();
    for entry in accepted {
        let is_it = |check: &&mut Check| check.accept.as_ref() == Some(entry);
        let found = checks.0.iter_mut().filter(is_it).map(Check::pass_as_accepted).count();
        if found == 0 {
            wrong.push((entry, complaint(entry, &checks.0)));
        }
    }
    for (entry, (evidence, remedy)) in wrong {
        checks.add(NAME, entry.as_str(), false, evidence, &remedy);
    }
}

/// What is wrong with an entry that is none of the holes, and what to do about it.
fn complaint(entry: &str, checks: &[Check]) -> (String, String) {
    let (object, digest) = match entry.rsplit_once(BETWEEN) {
        Some((object, digest)) => (object, Some(digest)),
        None => (entry, None),
    };
    let now: Vec<String> = checks
        .iter()
        .filter(|check| check.is_open() && check.object == object)
        .map(|check| format!("{:?} ({})", check.acceptance(), check.name))
        .collect();
    let takes = "take it out of [tenancy.isolation] accepted";
    match (now.is_empty(), digest) {
        (true, _) => ("is accepted, and is no hole".into(), takes.into()),
        (false, Some(_)) => (
            "was accepted as it was then, and is another hole now, or has more of them".into(),
            format!("look at it again; if you live with it as it is now, accept {}", now.join(" or ")),
        ),
        (false, None) => (
            "is accepted by its object's name alone, whatever that becomes".into(),
            format!("name the hole in its definition: {}", now.join(" or ")),
        ),
    }
}
