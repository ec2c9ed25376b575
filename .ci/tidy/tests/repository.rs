//! Runs every rule on this repository.

use std::sync::LazyLock;
use tidy::repository::Repository;
use tidy::{Finding, documents, edges, machines, purity, sizes, spelling, unsafety};

static REPOSITORY: LazyLock<Repository> = LazyLock::new(|| Repository::own().expect("the repository is readable"));

fn none(findings: &[Finding]) {
    let lines: String = findings.iter().map(|finding| format!("  {finding}\n")).collect();
    assert!(findings.is_empty(), "{} found:\n{lines}", findings.len());
}

#[test]
fn crates_depend_only_downwards() {
    none(&edges::check(&REPOSITORY));
}

#[test]
fn pure_crates_stay_pure() {
    none(&purity::check_words(&REPOSITORY));
    none(&purity::check_no_std(&REPOSITORY));
}

#[test]
fn the_loop_has_no_runtime() {
    none(&purity::check_runtime(&REPOSITORY));
}

#[test]
fn production_has_no_switch_for_tests() {
    none(&purity::check_switches(&REPOSITORY));
}

#[test]
fn ledger_and_verdict_use_only_std() {
    none(&purity::check_verdict(&REPOSITORY));
}

#[test]
fn byte_layout_has_one_place() {
    none(&purity::check_layout(&REPOSITORY));
}

#[test]
fn unsafe_is_confined_and_explained() {
    none(&unsafety::check(&REPOSITORY));
}

#[test]
fn state_machines_are_drawn_and_walked() {
    none(&machines::check(&REPOSITORY));
}

#[test]
fn files_are_short() {
    for (lines, path) in sizes::noted_files(&REPOSITORY) {
        println!("{lines:5} lines in {path}: why?");
    }
    none(&sizes::check_files(&REPOSITORY));
}

#[test]
fn functions_are_short() {
    none(&sizes::check_functions(&REPOSITORY));
}

#[test]
fn files_say_what_they_own() {
    none(&spelling::check_heads(&REPOSITORY));
}

#[test]
fn nothing_is_left_over() {
    none(&spelling::check_leftovers(&REPOSITORY));
}

#[test]
fn sources_are_ascii() {
    none(&spelling::check_ascii(&REPOSITORY));
}

#[test]
fn links_lead_somewhere() {
    none(&documents::check_links(&REPOSITORY));
}

#[test]
fn the_map_matches_the_tree() {
    none(&documents::check_map(&REPOSITORY));
}

#[test]
fn expected_files_exist() {
    none(&documents::check_expected(&REPOSITORY));
}

#[test]
fn results_have_their_setup() {
    none(&documents::check_results(&REPOSITORY.paths));
}
