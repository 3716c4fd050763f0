//! The committed corpora of the fuzzer, through the very functions that it runs: what was once found stays found.

#[path = "../../fuzz/src/targets/mod.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use targets::{TARGETS, Target};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

/// Most bytes of one target's corpus: it is read by people when they review, and by every checkout.
const CORPUS_BYTES_MAX: usize = 1 << 20;

#[test]
fn every_target_has_a_corpus_and_every_corpus_a_target() {
    let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let folders = fs::read_dir(folder()).expect("the corpora").flatten();
    let folders: BTreeSet<String> = folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(folders, names);
    let manifest = fs::read_to_string(folder().join("../Cargo.toml")).expect("its manifest");
    for name in &names {
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name} is no target of cargo-fuzz");
    }
}

/// Runs the corpus of one target; a failure says which file it is.
fn replay(name: &str, target: Target) {
    let mut files: Vec<PathBuf> = fs::read_dir(folder().join(name)).expect(name).flatten().map(|entry| entry.path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{name} has {} files", files.len());
    let mut bytes = 0;
    for path in files {
        let input = fs::read(&path).expect("a file");
        bytes += input.len();
        // The name first: a panic's own message says what, and not with which file.
        let run = std::panic::catch_unwind(|| target(&input));
        assert!(run.is_ok(), "{}", path.display());
    }
    assert!(bytes <= CORPUS_BYTES_MAX, "the corpus of {name} has {bytes} bytes");
}

#[test]
fn every_corpus_holds() {
    for (name, target) in TARGETS {
        replay(name, target);
    }
}
