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

/// The default in each row of the reference, set explicitly, changes nothing.
#[test]
fn documented_defaults_are_the_defaults() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md")).expect("the reference");
    let (mut section, mut columns, mut held) = (String::new(), Vec::new(), 0);
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ").or(Some(line)).filter(|rest| rest.starts_with("`[")) {
            section = heading.split('`').nth(1).unwrap_or_default().to_owned();
        }
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        if !line.starts_with('|') {
            columns.clear();
        } else if columns.is_empty() {
            columns = cells;
        } else if let Some(place) = columns.iter().position(|column| *column == "default")
            && let Some(default) = cells[place].strip_prefix('`').and_then(|rest| rest.split('`').next())
            && section != "[detect.DETECTOR]"
        {
            let key = cells[0].trim_matches('`');
            let required = match &*section {
                "[[streams]]" => "name = \"a\"\n",
                "[[topics]]" => "arn = \"arn:aws:sns:eu-central-1:111122223333:a\"\n",
                "[fleet]" => "snapshots = \"state\"\n",
                _ => "",
            };
            // Some tables inside are in no order.
            let parse = |row: &str| {
                let settings = Settings::parse(&format!("{section}\n{required}{row}")).expect("valid");
                let mut words: Vec<String> = format!("{settings:?}").split([' ', ',', '{', '}']).map(str::to_owned).collect();
                words.sort_unstable();
                words
            };
            assert!(parse(&format!("{key} = {default}")) == parse(""), "{section} {key}: {default} is not the default");
            held += 1;
        }
    }
    assert!(held >= 30, "only {held} defaults were found");
}
