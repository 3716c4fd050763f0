//! Parse, dispatch, exit code.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use geophone::cli::{self, Cli, Exit};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe is no reason to fail.
            let _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return ExitCode::from(if asked { Exit::Ok } else { Exit::Usage } as u8);
        }
    };
    match cli::dispatch(cli) {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(failure) => {
            // Where nobody can be told the exit code still says it.
            let _ = writeln!(std::io::stderr(), "geophone: {}", failure.message);
            ExitCode::from(failure.exit as u8)
        }
    }
}
