//! The document about reliability names tests, scenarios and controls that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands between two `mark`s, line by line.
fn marked(text: &str, mark: char) -> Vec<&str> {
    text.lines().flat_map(|line| line.split(mark).skip(1).step_by(2)).collect()
}

/// The file of `folder` that a path of modules leads to: of the last module that has one.
fn file_of(folder: &Path, modules: &[&str]) -> PathBuf {
    let of = |count: usize| folder.join(modules[..count].join("/")).with_extension("rs");
    let depth = (1..=modules.len()).rev().find(|count| of(*count).is_file());
    of(depth.unwrap_or_else(|| panic!("no file of {modules:?} in {}", folder.display())))
}

#[test]
fn each_bug_of_others_is_held_by_a_test_that_exists() {
    let document = read(&root().join("docs/reliability.md"));
    let (_, bugs) = document.split_once("## Bugs of others").expect("the chapter");
    let mut held = 0;
    for name in marked(bugs, '`').into_iter().filter(|name| name.contains("::") && !name.ends_with("::")) {
        let words: Vec<&str> = name.split("::").collect();
        let (folder, words) = match words[0] {
            "it" => ("tests/it", &words[1..]),
            "lease" => ("crates/kinesis-lease/tests/it", &words[1..]),
            _ => ("src", &words[..]),
        };
        let (test, modules) = words.split_last().expect("a name");
        let file = file_of(&root().join(folder), modules);
        assert!(read(&file).contains(&format!("fn {test}(")), "{name}: {} has no such test", file.display());
        held += 1;
    }
    assert!(held >= 20, "{held} tests are named");
}

#[test]
fn each_scenario_that_is_named_is_played() {
    let document = read(&root().join("docs/reliability.md"));
    let (_, bugs) = document.split_once("## Bugs of others").expect("the chapter");
    let suite = read(&root().join("crates/geophone-torture/src/suite.rs"));
    let played: BTreeSet<&str> = marked(&suite, '"').into_iter().collect();
    let named: Vec<&str> = marked(bugs, '"').into_iter().collect();
    assert!(named.len() >= 8, "{named:?}");
    for name in named {
        assert!(played.contains(name), "no scenario or control is called {name}");
    }
}
