//! Manual pages and completions out of the command line's own definition: what `--help` says, they say.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate_to};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use geophone::cli::{Cli, Exit};

/// Shells that completions are made for.
pub const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// What exit codes mean, in the order of their numbers.
const EXITS: [(Exit, &str); 9] = [
    (Exit::Ok, "All is well."),
    (Exit::Findings, "There were alerts, and --fail-on asked for a failure then; or a case of policy test does not agree."),
    (Exit::Usage, "The command line is wrong."),
    (Exit::NothingDecodable, "Nothing in the input could be decoded."),
    (Exit::NoInput, "An input does not exist or cannot be read."),
    (Exit::Unavailable, "A service could not be reached at start, or a daemon does not answer or is not ready."),
    (Exit::Software, "A fault of the program's own."),
    (Exit::CannotWrite, "A file or folder cannot be written."),
    (Exit::Configuration, "The configuration is wrong."),
];
const ENVIRONMENT: [(&str, &str); 5] = [
    ("AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL, ...", "As the AWS SDK reads them."),
    ("GEOPHONE_EMULATOR", "Set to anything: fixed credentials that mean nothing and region us-east-1, for emulators."),
    ("NO_COLOR", "Set to anything: no colours in replay."),
    ("NOTIFY_SOCKET, WATCHDOG_USEC", "Set by systemd for run, which then tells when it reads, that it lives, and when it stops."),
    ("RUST_LOG", "Log levels; warn,geophone=info,kinesis_lease=info where it is not set."),
];
const FILES: [(&str, &str); 2] = [
    ("/etc/geophone/geophone.toml", "The configuration of the packaged service."),
    ("/var/lib/geophone", "Its state: positions in the streams, snapshots, the journal of alerts, dead letters."),
];

/// Writes `man/*.1`, a page for each command, and `completions/`, a file for each shell, below `folder`.
///
/// # Errors
/// The folder cannot be written.
pub fn write(folder: &Path) -> io::Result<()> {
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    // `help` repeats what each page says already.
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    write_pages(&root, &man)?;
    SHELLS.iter().try_for_each(|shell| generate_to(*shell, &mut Cli::command(), "geophone", &completions).map(|_| ()))
}

fn write_pages(command: &Command, folder: &Path) -> io::Result<()> {
    let page = Man::new(command.clone()).manual("geophone");
    let mut file = fs::File::create(folder.join(page.get_filename()))?;
    page.render(&mut file)?;
    let is_root = !command.get_display_name().unwrap_or("").contains('-');
    file.write_all(if is_root { more() } else { see_also() }.to_roff().as_bytes())?;
    command.get_subcommands().try_for_each(|command| write_pages(command, folder))
}

/// What the first page has beyond the definition.
fn more() -> Roff {
    let mut roff = Roff::new();
    let mut listed = |heading: &str, rows: &[(String, &str)]| {
        roff.control("SH", [heading]);
        for (name, meaning) in rows {
            roff.control("TP", []).text([bold(name.as_str())]).text([roman(*meaning)]);
        }
    };
    listed("EXIT STATUS", &EXITS.map(|(exit, meaning)| ((exit as u8).to_string(), meaning)));
    listed("ENVIRONMENT", &ENVIRONMENT.map(|(name, meaning)| (name.to_owned(), meaning)));
    listed("FILES", &FILES.map(|(name, meaning)| (name.to_owned(), meaning)));
    roff.control("SH", ["SEE ALSO"]).text([bold("systemctl"), roman("(1), "), bold("journalctl"), roman("(1)")]);
    roff
}

fn see_also() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]).text([bold("geophone"), roman("(1), which has exit status, environment and files")]);
    roff
}
