//! `[[streams]]`: what is read.

use std::collections::HashSet;

use super::Settings;
use super::reader::Section;
use crate::time::EventTime;

/// Where the reading of a stream begins that has no checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record that is kept.
    #[default]
    TrimHorizon,
    /// Behind the newest record.
    Latest,
    /// At the first record that arrived at or after this time.
    At(EventTime),
}

/// A Kinesis stream to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Its name.
    pub name: String,
    /// Its ARN, which GetRecords then carries.
    pub arn: Option<String>,
    /// Its region; else the environment's.
    pub region: Option<String>,
    /// Another endpoint, for emulators and VPC endpoints.
    pub endpoint: Option<String>,
    /// Where reading begins.
    pub start: Start,
    /// What is in it.
    pub role: Role,
    /// The consumer of enhanced fan-out, by name or ARN; the stream is polled without.
    pub fan_out: Option<String>,
    /// The table of its leases, where machines share it.
    pub leases: Option<String>,
}

/// What is in a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Model calls, and whatever else CloudTrail says.
    #[default]
    Calls,
    /// Records of Cognito, IAM and Identity Center, few, that every machine of a fleet reads whole.
    Identity,
}

/// Reads one of the list.
pub(super) fn read(section: &mut Section<'_, '_>, names: &mut HashSet<String>) -> Option<Stream> {
    let name = section.text("name");
    let arn = section.text("arn");
    let region = section.text("region");
    let endpoint = super::read_endpoint(section);
    let start = section.choice("start", "\"trim-horizon\", \"latest\", or a time \"2026-06-01T00:00:00Z\"", |text| match text {
        "trim-horizon" => Some(Start::TrimHorizon),
        "latest" => Some(Start::Latest),
        time => EventTime::parse(time).map(Start::At),
    });
    if let Some(arn) = arn.as_ref().filter(|arn| !arn.starts_with("arn:") || !arn.contains(":kinesis:")) {
        section.mistake("arn", format!("\"{arn}\" is no stream's ARN"), "copy it from `aws kinesis describe-stream-summary`");
    }
    super::check_region(section, arn.as_deref(), region.as_deref());
    let role = section.choice("role", "\"calls\", \"identity\"", |text| match text {
        "calls" => Some(Role::Calls),
        "identity" => Some(Role::Identity),
        _ => None,
    });
    let (leases, fan_out) = (section.text("leases"), section.text("fan_out"));
    let Some(name) = name else {
        section.missing("name", "name the stream");
        return None;
    };
    if !names.insert(format!("{name} {region:?}")) {
        section.mistake("name", format!("\"{name}\" is read twice"), "remove one of the two");
    }
    Some(Stream { name, arn, region, endpoint, start: start.unwrap_or_default(), role: role.unwrap_or_default(), fan_out, leases })
}

/// Holds streams and `[fleet]` to each other.
pub(super) fn check_shares(root: &Section<'_, '_>, settings: &Settings) {
    let is_fleet = settings.fleet.is_some();
    for stream in &settings.streams {
        match (&stream.leases, stream.role) {
            (None, Role::Calls) if is_fleet => {
                let what = format!("\"{}\" has no table of leases, and a fleet shares its shards", stream.name);
                root.mistake("streams", what, "set leases = \"TABLE\", one table a stream, or role = \"identity\"");
            }
            (Some(_), _) if !is_fleet => {
                let what = format!("\"{}\" has a table of leases, and there is no [fleet]", stream.name);
                root.mistake("streams", what, "add [fleet] with snapshots, or remove leases");
            }
            (Some(_), Role::Identity) => {
                let what = format!("\"{}\" is read whole by every machine and needs no leases", stream.name);
                root.mistake("streams", what, "remove leases, or role = \"identity\"");
            }
            (Some(_) | None, _) => {}
        }
        let is_shared = |other: &&Stream| stream.leases.is_some() && other.leases == stream.leases;
        if settings.streams.iter().filter(is_shared).count() > 1 {
            let what = format!("two streams have the table \"{}\"", stream.leases.as_deref().unwrap_or_default());
            root.mistake("streams", what, "give each a table of its own");
        }
    }
}
