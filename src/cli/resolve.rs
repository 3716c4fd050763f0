//! `geophone resolve`: who stands behind a pseudonym, for the holder of the key.

use std::path::PathBuf;

use clap::Args;

use super::output::say;
use super::{Exit, Failure, Loaded, load};
use crate::alerting::privacy::{KEY_BYTES_MIN, Pseudonyms};
use crate::daemon::read_secret;

/// Arguments of `resolve`.
#[derive(Debug, Args)]
pub struct ResolveArgs {
    /// The configuration, which names the key and the directory
    #[arg(long, value_name = "FILE", default_value = "geophone.toml")]
    config: PathBuf,
    /// Names to try besides those of the directory: ARNs, Cognito identity ids, session names
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    /// Pseudonyms: person- and twelve hex digits
    #[arg(value_name = "PSEUDONYM", required = true)]
    pseudonyms: Vec<String>,
}

/// Prints a line for each pseudonym; fails with 66 where one belongs to nobody that is known.
pub fn resolve(args: &ResolveArgs) -> Result<Exit, Failure> {
    let Loaded { settings, sources, .. } = load(&args.config)?;
    let key = read_secret("[privacy] key_file", settings.privacy_key_file.as_deref(), Some(&sources), KEY_BYTES_MIN)?;
    let Some(pseudonyms) = key.and_then(|key| Pseudonyms::new(key.as_bytes())) else {
        return Err(Failure::new(Exit::Configuration, "there is no [privacy] key_file in the configuration; set it"));
    };
    let members: Vec<_> = settings.engine.directory.members().collect();
    let known = members.iter().flat_map(|member| member.ids.iter().map(move |id| (&**id, Some(&*member.person))));
    let names: Vec<(&str, Option<&str>)> = known.chain(args.names.iter().map(|name| (name.as_str(), None))).collect();
    let mut unknown = Vec::new();
    for pseudonym in &args.pseudonyms {
        match names.iter().find(|(name, _)| pseudonyms.of(name) == *pseudonym) {
            Some((name, Some(person))) if name != person => say(format_args!("{pseudonym} {person} ({name})")),
            Some((name, _)) => say(format_args!("{pseudonym} {name}")),
            None => unknown.push(pseudonym.as_str()),
        }
    }
    if unknown.is_empty() {
        return Ok(Exit::Ok);
    }
    let error = format_args!("nobody of the directory is {}; give further names with --name", unknown.join(", "));
    Err(Failure::new(Exit::NoInput, error))
}
