//! Every configuration file in the project: the good ones are accepted, the bad ones name their mistakes.

use std::fs;
use std::path::{Path, PathBuf};

use geophone::config::Settings;

use crate::support::program::run;

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<_> = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    files.sort();
    files
}

#[test]
fn good_files_are_accepted() {
    let files = [files("tests/data/config/valid"), files("docs")].concat();
    assert!(files.len() >= 3, "{files:?}");
    for path in files {
        let text = fs::read_to_string(&path).expect("read");
        assert!(Settings::parse(&text).is_ok(), "{}: {:?}", path.display(), Settings::parse(&text).err());
    }
}

/// A bad file says in comments what must be told: `# expect: LINE KEY`, one line a mistake.
#[test]
fn bad_files_name_every_mistake() {
    let files = files("tests/data/config/invalid");
    assert!(files.len() >= 4, "{files:?}");
    for path in files {
        let text = fs::read_to_string(&path).expect("read");
        let expected: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# expect: ")).collect();
        let mistakes = Settings::parse(&text).expect_err("mistakes");
        let told: Vec<String> = mistakes.iter().map(|mistake| format!("{} {}", mistake.line, mistake.key)).collect();
        assert_eq!(told, expected, "{}: {mistakes:#?}", path.display());
        assert!(mistakes.iter().all(|mistake| !mistake.cure.is_empty()));
    }
}

/// The example names a directory, policies and profiles; they are there, and say something.
#[test]
fn the_example_is_complete_with_the_files_that_it_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let config = root.join("geophone.example.toml").display().to_string();
    let told = run(&["check", "--config", &config]).expect(0).stdout;
    assert!(told.contains("no mistakes") && !told.contains("warning"), "{told}");
    let matrix = run(&["policy", "matrix", "--config", &config]).expect(0).stdout;
    assert!(matrix.contains("legal") && matrix.contains("allow") && matrix.contains("implicit-deny"), "{matrix}");
}
