//! The protocol of triggers and runs, as a model of which every reachable state is looked at: three writers, one of them a
//! replica, damage, TRUNCATE, and two runs that may be killed between any two steps.
//!
//! A run says *match* of a key that it compared and found right, and *gone* where that closes a finding. Its promise
//! covers every difference of its snapshot, but for one: where sealed history was changed past the triggers, a run that
//! reads what is new believes the seal until the key's turn comes, unless the key is marked or has an open finding.
//!
//! `docs/architecture.md` has the rules beside the code that keeps them. With all of them nothing goes wrong; each is
//! also left out, and something must.

mod database;
mod period;
mod protocol;
mod queue;
mod rules;
mod runs;
mod writers;

use period::Period;
use protocol::{Action, Protocol, Wrong};
use queue::Queue;
use rules::Rule;
use stateright::{Checker as _, HasDiscoveries, Model as _};

#[test]
fn no_run_says_match_or_gone_over_a_difference_that_it_promises_to_find() {
    let protocol = Protocol { without: None, sought: None };
    let checker = protocol.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!("{} states, {} steps deep", checker.unique_state_count(), checker.max_depth());
    checker.assert_properties();
}

#[test]
fn without_any_one_rule_something_goes_wrong() {
    let mut needless = Vec::new();
    for (rule, wrong) in Rule::ALL {
        match steps_to(rule, wrong) {
            Some(steps) => println!("{rule:?}, {wrong:?}, {} steps: {steps:?}", steps.len()),
            None => needless.push(rule),
        }
    }
    assert_eq!(needless, [], "the model misses what these rules are for");
}

/// The shortest way to `wrong` where `rule` is left out.
fn steps_to(rule: Rule, wrong: Wrong) -> Option<Vec<Action>> {
    let protocol = Protocol { without: Some(rule), sought: Some(wrong) };
    let checker = protocol.checker().finish_when(HasDiscoveries::Any).spawn_bfs().join();
    Some(checker.discovery(wrong.name())?.into_actions())
}

#[test]
fn closing_and_archiving_tell_what_is_backdated_and_make_no_difference() {
    let checker =
        Period { without: None }.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!("{} states, {} steps deep", checker.unique_state_count(), checker.max_depth());
    checker.assert_properties();
    for (rule, wrong) in period::Rule::ALL {
        let checker =
            Period { without: Some(rule) }.checker().finish_when(HasDiscoveries::Any).spawn_bfs().join();
        let steps = checker.discovery(wrong.name()).unwrap_or_else(|| panic!("{rule:?} is needless"));
        println!("{rule:?}, {wrong:?}: {:?}", steps.into_actions());
    }
}

#[test]
fn a_balance_is_its_row_and_its_queue_at_every_moment() {
    let checker =
        Queue { without: None }.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!("{} states, {} steps deep", checker.unique_state_count(), checker.max_depth());
    checker.assert_properties();
    for (rule, wrong) in queue::Rule::ALL {
        let checker =
            Queue { without: Some(rule) }.checker().finish_when(HasDiscoveries::Any).spawn_bfs().join();
        let steps = checker.discovery(wrong.name()).unwrap_or_else(|| panic!("{rule:?} is needless"));
        println!("{rule:?}, {wrong:?}: {:?}", steps.into_actions());
    }
}

#[test]
fn the_page_for_developers_has_each_rule() {
    let page = include_str!("../../../docs/architecture.md");
    let rules = Rule::ALL.iter().map(|(rule, _)| format!("{rule:?}"));
    let of_periods = period::Rule::ALL.iter().map(|(rule, _)| format!("{rule:?}"));
    let of_queues = queue::Rule::ALL.iter().map(|(rule, _)| format!("{rule:?}"));
    for rule in rules.chain(of_periods).chain(of_queues) {
        assert!(
            page.contains(&format!("| `{rule}` |")),
            "docs/architecture.md does not say who keeps {rule}"
        );
    }
}
