//! Manual pages and completions cover the whole command line.

use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory};
use geophone::cli::Cli;

#[path = "../../examples/manual/pages.rs"]
mod pages;

/// Every command below `command`, by its words.
fn commands(command: &Command, words: &[&str], all: &mut Vec<(String, Command)>) {
    let words = [words, &[command.get_name()]].concat();
    all.push((words.join("-"), command.clone()));
    command.get_subcommands().for_each(|below| commands(below, &words, all));
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_command_has_a_page_and_every_option_is_on_it_and_in_the_completions() {
    let folder = tempfile::tempdir().expect("a folder");
    pages::write(folder.path()).expect("written");
    let mut all = Vec::new();
    commands(&Cli::command(), &[], &mut all);
    assert!(all.len() > 15, "{}", all.len());
    let completions = ["geophone.bash", "_geophone", "geophone.fish"].map(|name| read(&folder.path().join("completions").join(name)));
    for (name, command) in &all {
        let page = read(&folder.path().join("man").join(format!("{name}.1")));
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "\"SEE ALSO\""] {
            assert!(page.contains(&format!("\n.SH {section}\n")), "{name}.1 has no {section}:\n{page}");
        }
        for option in command.get_arguments().filter_map(|argument| argument.get_long()) {
            let escaped = option.replace('-', "\\-");
            assert!(page.contains(&format!("\\-\\-{escaped}")), "{name}.1 has no --{option}:\n{page}");
            for text in &completions {
                assert!(text.contains(option), "--{option} of {name} is not completed");
            }
        }
        let word = command.get_name();
        assert!(completions.iter().all(|text| text.contains(word)), "{word} is not completed");
    }
    assert_eq!(fs::read_dir(folder.path().join("man")).expect("pages").count(), all.len(), "a page of no command");

    let root = read(&folder.path().join("man/geophone.1"));
    for said in ["EXIT STATUS", "ENVIRONMENT", "/etc/geophone/geophone.toml", "\\fB69\\fR", "NOTIFY_SOCKET"] {
        assert!(root.contains(said), "geophone.1 does not say {said}:\n{root}");
    }
}
