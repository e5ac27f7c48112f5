//! What PostgreSQL itself left open and mended since: releases whose row-level security could be passed.

use crate::validate::Checks;

/// An advisory: its name, what it lets through, and the first release of each major version that mends it. Versions before the
/// first of these are not supported, and those after the last never had it.
struct Advisory {
    name: &'static str,
    means: &'static str,
    mended: &'static [i32],
}

const ADVISORIES: [Advisory; 6] = [
    Advisory {
        name: "CVE-2023-2455",
        means: "a policy that was planned for one role may be applied for another",
        mended: &[150_003],
    },
    Advisory {
        name: "CVE-2023-39418",
        means: "MERGE passes the policies that UPDATE and SELECT have",
        mended: &[150_004],
    },
    Advisory {
        name: OF_CATALOG,
        means: "statistics of expressions show values of rows that their reader may not see",
        mended: &[150_007, 160_003],
    },
    Advisory {
        name: "CVE-2024-10976",
        means: "a plan that was made for one role is used for another, with that one's rows",
        mended: &[150_009, 160_005, 170_001],
    },
    Advisory {
        name: "CVE-2024-10978",
        means: "a query may run as another role than the one that was set",
        mended: &[150_009, 160_005, 170_001],
    },
    Advisory {
        name: "CVE-2025-8713",
        means: "statistics that row-level security hides can be read by a leaky operator",
        mended: &[150_014, 160_010, 170_006],
    },
];

/// It is mended in clusters that are made anew; in others by a script, of which the version tells nothing.
const OF_CATALOG: &str = "CVE-2024-4317";

/// The advisories that a server of this version has not mended, each with the release that does.
fn open(version_num: i32) -> impl Iterator<Item = (&'static Advisory, i32)> {
    ADVISORIES.iter().filter_map(move |advisory| {
        let of_major = |mended: &&i32| **mended / 10_000 == version_num / 10_000;
        let mended = advisory.mended.iter().find(of_major).copied()?;
        (version_num < mended).then_some((advisory, mended))
    })
}

/// Looks at the server's version, which its distribution may have mended under an older number.
pub(super) fn look(version_num: i32, version: &str, checks: &mut Checks) {
    let mut is_mended = true;
    for (Advisory { name, means, .. }, mended) in open(version_num) {
        is_mended = false;
        let mut remedy =
            format!("update the server to PostgreSQL {}.{} or later", mended / 10_000, mended % 10_000);
        if *name == OF_CATALOG {
            remedy.push_str(
                ", then run fix-CVE-2024-4317.sql of its share folder in each database that was made before",
            );
        }
        checks.add("server", *name, false, format!("is open in PostgreSQL {version}: {means}"), &remedy);
    }
    if is_mended {
        let of_programs = ADVISORIES.iter().map(|advisory| advisory.name).filter(|name| *name != OF_CATALOG);
        let names: Vec<&str> = of_programs.collect();
        let evidence = format!("PostgreSQL {version} has what mends {}", names.join(", "));
        checks.add("server", "PostgreSQL", true, evidence, "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_has_what_was_mended_after_it() {
        let names = |version| open(version).map(|(advisory, _)| advisory.name).collect::<Vec<_>>();
        let all: Vec<&str> = ADVISORIES.iter().map(|advisory| advisory.name).collect();
        assert_eq!(names(150_002), all);
        assert_eq!(names(150_003), all[1..]);
        assert_eq!(names(160_004), ["CVE-2024-10976", "CVE-2024-10978", "CVE-2025-8713"]);
        assert_eq!(names(170_005), ["CVE-2025-8713"]);
        for version in [150_014, 160_010, 170_006, 180_000, 190_000] {
            assert_eq!(names(version), [""; 0]);
        }
    }
}
