//! Every numbered invariant at the head of a file is checked by code, and some test breaks it and sees the check fail.
//!
//! An invariant over a state is checked by its own file, by `holds!(number, …)` in a function that the room's `check` calls, and is
//! broken by a test called `breaking_invariant_number…` beside it, or in the file of its name below `tests`. An invariant over a
//! course of time has a row in [`WATCHED`] that says what would notice a breach.

use std::collections::BTreeSet;

use super::scan::Source;
use stentor_core::sim::Mutant;

/// What notices that an invariant over a course of time is broken.
pub(super) enum By {
    /// The simulator catches this bug when it is planted.
    Planted(Mutant),
    /// A test (file, name) that fails without the invariant.
    Test(&'static str, &'static str),
}

/// The tests that both implementations of the store must pass.
const CONFORMANCE: &str = "src/disk/fjall_conformance_tests.rs";

/// Invariants that cannot be checked by looking at one state: file, number, what notices a breach.
pub(super) const WATCHED: &[(&str, u8, By)] = &[
    ("src/core/admission/meter.rs", 1, By::Test("src/core/admission/meter_tests.rs", "charged_is_what_was_admitted")),
    ("src/core/admission/meter.rs", 2, By::Planted(Mutant::ChargeTwice)),
    ("src/core/control/mod.rs", 1, By::Planted(Mutant::PublishEarly)),
    ("src/core/control/mod.rs", 3, By::Test("src/core/control/tests.rs", "a_request_is_applied_whole_or_not_at_all")),
    ("src/core/node/mod.rs", 1, By::Test("src/tidy.rs", "only_a_node_asks_shards_and_links_what_they_want_done")),
    (
        "src/core/node/mod.rs",
        2,
        By::Test("src/core/node/tests/mod.rs", "what_a_full_mailbox_gives_back_is_offered_again_before_anything_later"),
    ),
    (
        "src/core/node/mod.rs",
        3,
        By::Test("src/core/node/tests/mod.rs", "a_turn_that_is_late_takes_one_item_and_says_that_it_is_not_through"),
    ),
    (
        "src/core/queue/lanes.rs",
        2,
        By::Test("src/core/queue/lanes_tests.rs", "nothing_overtakes_what_was_given_back_and_is_on_disk"),
    ),
    (
        "src/core/queue/lanes.rs",
        3,
        By::Test("src/core/queue/lanes_tests.rs", "what_is_held_lets_everything_else_pass_until_it_is_released"),
    ),
    (
        "src/core/queue/lanes.rs",
        4,
        By::Test(
            "src/core/queue/lanes_tests.rs",
            "what_has_ended_is_counted_no_more_and_keeps_its_entry_until_it_is_passed",
        ),
    ),
    ("src/core/queue/lanes.rs", 5, By::Test("src/core/queue/lanes_tests.rs", "fifos_share_what_all_windows_may_hold")),
    ("src/core/queue/lanes.rs", 6, By::Planted(Mutant::ReadDroppedLists)),
    ("src/core/queue/list.rs", 2, By::Planted(Mutant::LoseLists)),
    (
        "src/runtime/disk.rs",
        1,
        By::Test("src/runtime/disk.rs", "a_core_whose_mailbox_was_full_is_told_at_the_next_look"),
    ),
    (
        "src/runtime/disk.rs",
        2,
        By::Test("src/runtime/disk.rs", "ballast_goes_near_the_end_and_comes_back_before_messages_do"),
    ),
    (
        "src/core/shard/expiry.rs",
        2,
        By::Test("src/core/shard/expiry_tests.rs", "what_happens_while_the_store_is_asked_counts"),
    ),
    (
        "src/core/shard/expiry.rs",
        3,
        By::Test("src/core/shard/expiry.rs", "what_was_ended_stays_so_however_often_the_clock_goes_back"),
    ),
    (
        "src/core/shard/joining.rs",
        2,
        By::Test("src/core/shard/joining_tests.rs", "a_part_that_is_told_twice_is_taken_once"),
    ),
    (
        "src/core/shard/ledger.rs",
        3,
        By::Test(
            "src/core/shard/expiry_tests.rs",
            "what_is_held_in_doubt_ends_with_its_time_and_what_waits_for_a_receipt_after_its_wait",
        ),
    ),
    ("src/core/shard/ledger.rs", 5, By::Planted(Mutant::ForgetTrials)),
    ("src/core/shard/mod.rs", 1, By::Planted(Mutant::AcknowledgeEarly)),
    (
        "src/core/shard/mod.rs",
        2,
        By::Test("src/core/shard/tests.rs", "no_attempt_leaves_for_a_link_before_it_is_durable"),
    ),
    (
        "src/core/store/backend.rs",
        1,
        By::Test(CONFORMANCE, "a_batch_is_there_when_its_commit_has_returned_and_else_whole_or_absent"),
    ),
    ("src/core/store/backend.rs", 2, By::Test(CONFORMANCE, "after_a_failure_nothing_is_committed_any_more")),
    (
        "src/core/store/backend.rs",
        3,
        By::Test(CONFORMANCE, "of_a_dropped_range_some_may_stay_or_come_back_and_the_rest_is_whole"),
    ),
    (
        "src/core/store/backend.rs",
        4,
        By::Test(CONFORMANCE, "the_store_in_memory_refuses_a_key_of_a_range_that_was_dropped"),
    ),
    ("src/core/store/backend.rs", 5, By::Test(CONFORMANCE, "a_run_outlives_a_start_if_and_only_if_it_is_registered")),
    (
        "src/core/store/backup.rs",
        1,
        By::Test("src/core/store/backup_tests.rs", "blocks_that_are_sound_but_do_not_follow_are_refused"),
    ),
    (
        "src/core/store/backup.rs",
        2,
        By::Test("src/core/store/backup_tests.rs", "blocks_that_are_sound_but_do_not_follow_are_refused"),
    ),
    (
        "src/core/store/backup.rs",
        3,
        By::Test("src/core/store/backup_tests.rs", "blocks_that_are_sound_but_do_not_follow_are_refused"),
    ),
    (
        "src/core/store/trim.rs",
        1,
        By::Test("src/core/store/trim.rs", "whatever_it_is_it_is_bounded_and_a_short_history_is_left_alone"),
    ),
    (
        "src/core/store/trim.rs",
        2,
        By::Test("src/core/store/trim.rs", "what_is_repeated_without_end_is_left_out_and_what_decides_stays"),
    ),
    ("src/core/traffic/mod.rs", 1, By::Planted(Mutant::SubmitTwice)),
    ("src/core/traffic/mod.rs", 2, By::Planted(Mutant::AcknowledgeEarly)),
    ("src/core/traffic/mod.rs", 3, By::Planted(Mutant::DropOutcomes)),
    ("src/core/traffic/mod.rs", 4, By::Planted(Mutant::AnswerReceiptsEarly)),
];

/// The numbers of the invariants in the head of a file.
pub(super) fn numbered(text: &str) -> BTreeSet<u8> {
    let head = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
    let listed = head.skip_while(|line| !line.contains("Invariants")).skip(1);
    listed.filter_map(|line| line.split_once(". ")?.0.parse().ok()).collect()
}

/// Whether a test beside the file breaks the invariant.
fn is_broken_by_a_test(files: &[Source], path: &str, number: u8) -> bool {
    let stem = path.trim_end_matches("mod.rs").trim_end_matches(".rs");
    let (room, name) = path.rsplit_once('/').unwrap_or_default();
    let below = format!("{room}/tests/{name}");
    let beside = |file: &&Source| match file.path.strip_prefix(stem) {
        _ if file.path == below => true,
        // A room's own file has its tests in `tests.rs`, the others in a file of their own name.
        Some(rest) if path.ends_with("mod.rs") => ["mod.rs", "tests.rs"].contains(&rest),
        Some(rest) => [".rs", "_tests.rs"].contains(&rest),
        None => false,
    };
    let breaks = |name: &str| {
        let rest = name.strip_prefix("breaking_invariant_").and_then(|rest| rest.strip_prefix(&number.to_string()));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    };
    let mut tests = files.iter().filter(beside);
    tests.any(|file| file.functions().iter().any(|(at, name, _)| file.is_test(*at) && breaks(name)))
}

fn is_checked(file: &Source, number: u8) -> bool {
    file.code.replace([' ', '\n'], "").contains(&format!("holds!({number},"))
}

/// Invariants without a check or a test, and rows of the table that are no longer needed; and how many invariants there are.
pub(super) fn toothless(files: &[Source]) -> (Vec<String>, usize) {
    let mut found = Vec::new();
    let mut all = 0;
    for file in files.iter().filter(|file| file.path.starts_with("src/")) {
        for number in numbered(&file.text) {
            all += 1;
            let row = WATCHED.iter().find(|(path, watched, _)| (*path, *watched) == (file.path.as_str(), number));
            let name = format!("{} {number}", file.path);
            match row.map(|(.., by)| by) {
                Some(By::Planted(mutant)) if !Mutant::ALL.contains(mutant) => {
                    found.push(format!("{name}: no test shows that {mutant:?} is caught"));
                }
                Some(By::Planted(_)) => {}
                Some(By::Test(path, test)) => {
                    let is_there =
                        |file: &Source| file.functions().iter().any(|(at, name, _)| name == test && file.is_test(*at));
                    if !files.iter().any(|file| file.path == *path && is_there(file)) {
                        found.push(format!("{name}: there is no test {test} in {path}"));
                    }
                }
                None if !is_checked(file, number) => found.push(format!("{name}: no `holds!` checks it")),
                None if !is_broken_by_a_test(files, &file.path, number) => {
                    found.push(format!("{name}: no test `breaking_invariant_{number}` shows that a breach is noticed"));
                }
                None => {}
            }
        }
    }
    let is_there =
        |path: &str, number: u8| files.iter().any(|file| file.path == path && numbered(&file.text).contains(&number));
    let stale = WATCHED.iter().filter(|(path, number, _)| !is_there(path, *number));
    found.extend(stale.map(|(path, number, _)| format!("{path} {number}: there is no such invariant")));
    (found, all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "//! A room.\n//!\n//! 1. Not one.\n//!\n//! Invariants:\n//! 1. One,\n//!    with 3. in it.\n//! 2. Two.\n";

    #[test]
    fn invariants_are_those_below_their_heading() {
        assert_eq!(numbered(HEAD), BTreeSet::from([1, 2]));
        assert_eq!(numbered("//! 1. Not one.\n"), BTreeSet::new());
    }

    #[test]
    fn what_nothing_checks_or_breaks_is_told() {
        let found = |body: &str| {
            let (found, all) = toothless(&[Source::new("src/a/b.rs", &format!("{HEAD}{body}"))]);
            assert_eq!(all, 2);
            found.into_iter().filter(|found| found.starts_with("src/a/b.rs")).count()
        };
        assert_eq!(found(""), 2);
        assert_eq!(found("fn check() { holds!(1, x, \"\"); holds!(\n 2, y, \"\") }"), 2);
        let tests = "#[cfg(test)]\nmod tests { fn breaking_invariant_1() {} fn breaking_invariant_2_is_told() {} }";
        assert_eq!(found(&format!("fn check() {{ holds!(1, x, \"\") }}\n{tests}")), 1);
        assert_eq!(found(&format!("fn check() {{ holds!(1, x, \"\"); holds!(2, y, \"\") }}\n{tests}")), 0);
    }
}
