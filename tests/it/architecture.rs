//! The house's own rules: who may name whom, how large things may be, and what the core must not touch.

use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 500;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below `folder`, sorted.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Modules of `lib.rs` in rank order, and how many of them are core.
fn ranks() -> (Vec<String>, usize) {
    let lib = fs::read_to_string(root().join("src/lib.rs")).expect("lib.rs");
    let names = |text: &str| {
        text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';').map(str::to_owned)).collect::<Vec<_>>()
    };
    let (core, edges) = lib.split_once("// ── edges ──").expect("the line between core and edges");
    let core = names(core);
    let all = core.iter().cloned().chain(names(edges)).collect();
    (all, core.len())
}

fn module_of(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).expect("below src");
    let first = inside.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// Names after `crate::` in code, comments left out.
fn named(text: &str) -> Vec<String> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        names.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
    }
    names
}

#[test]
fn modules_name_only_those_above_them() {
    let (ranks, _) = ranks();
    let rank = |module: &str| ranks.iter().position(|name| name == module);
    let mut wrong = Vec::new();
    for path in rust_files(&root().join("src")) {
        let module = module_of(&path);
        let Some(own) = rank(&module) else { continue };
        for name in named(&fs::read_to_string(&path).expect("a file")) {
            // The command line and the daemon are one edge that starts the other.
            let is_pair = module == "daemon" && name == "cli";
            if rank(&name).is_some_and(|other| other > own) && !is_pair {
                wrong.push(format!("{} names crate::{name}, which ranks below it", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_core_knows_no_clock_no_file_no_network_no_environment() {
    const BANNED: [&str; 12] = [
        "std::time",
        "std::fs",
        "std::net::Tcp",
        "std::env",
        "std::thread",
        "std::process",
        "tokio",
        "aws_sdk",
        "prometheus",
        "tracing",
        "println!",
        "aws_config",
    ];
    let (ranks, core) = ranks();
    let mut wrong = Vec::new();
    for path in rust_files(&root().join("src")) {
        if !ranks[..core].contains(&module_of(&path)) {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a file");
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for banned in BANNED.iter().filter(|banned| line.contains(**banned)) {
                wrong.push(format!("{}:{}: {banned}", path.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_state_names_dashmap_and_only_telemetry_names_prometheus() {
    for (word, home) in [("dashmap", "state"), ("prometheus", "telemetry"), ("aws_sdk_sns", "sns")] {
        for path in rust_files(&root().join("src")) {
            let module = module_of(&path);
            let may = module == home || (word == "aws_sdk_sns" && module == "daemon");
            let uses = fs::read_to_string(&path).expect("a file").contains(&format!("{word}::"));
            assert!(may || !uses, "{} names {word}, which is {home}'s", path.display());
        }
    }
}

#[test]
fn files_stay_small_enough_to_read() {
    let mut wrong = Vec::new();
    for folder in ["src", "tests", "benches", "crates", "fuzz/src", "fuzz/fuzz_targets"] {
        for path in rust_files(&root().join(folder)) {
            let lines = fs::read_to_string(&path).expect("a file").lines().count();
            if lines > FILE_LINES_MAX {
                wrong.push(format!("{}: {lines} lines", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "over {FILE_LINES_MAX}:\n{}", wrong.join("\n"));
}

#[test]
fn a_planted_upward_name_is_caught() {
    assert_eq!(named("use crate::engine::Engine; // crate::x\n// crate::y\n"), ["engine", "x"]);
    let (ranks, core) = ranks();
    assert!(core >= 15 && ranks.iter().position(|name| name == "time") == Some(0), "{ranks:?}");
}
