//! Writes manual pages and shell completions for packages: `cargo run --example manual -- FOLDER`. Not shipped itself.

mod pages;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let (Some(folder), None) = (args.next(), args.next()) else {
        eprintln!("usage: manual FOLDER");
        return ExitCode::from(64);
    };
    match pages::write(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("manual: {}: {error}; name a folder that can be written", Path::new(&folder).display());
            ExitCode::from(73)
        }
    }
}
