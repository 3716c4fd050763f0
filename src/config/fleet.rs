//! `[fleet]`: several machines that share the shards of their streams.

use super::ArchivePlace;
use super::archive::read_place;
use super::reader::Section;
use crate::time::MINUTE;

/// How machines share shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetShare {
    /// Where the state of each shard is kept, for whoever takes the shard over.
    pub snapshots: ArchivePlace,
    /// The region of lease tables and bucket, where it is not the environment's.
    pub region: Option<String>,
    /// An endpoint of DynamoDB in AWS's place.
    pub dynamodb_endpoint: Option<String>,
    /// An endpoint of S3 in AWS's place.
    pub s3_endpoint: Option<String>,
    /// Seconds after which the shards of a machine that shows no sign of life are taken.
    pub failover: i64,
    /// What this machine is called in the lease tables, before a part that makes it unlike any other.
    pub worker: String,
}

/// Reads the section.
pub(super) fn read(section: &mut Section<'_, '_>) -> Option<FleetShare> {
    let snapshots = read_place(section, "snapshots");
    let region = section.text("region");
    let dynamodb_endpoint = super::alerts::read_url(section, "dynamodb_endpoint");
    let s3_endpoint = super::alerts::read_url(section, "s3_endpoint");
    let failover = section.duration("failover", 2..5 * MINUTE).unwrap_or(10);
    let worker = section.text("worker").unwrap_or_else(|| "geophone".to_owned());
    Some(FleetShare { snapshots: snapshots?, region, dynamodb_endpoint, s3_endpoint, failover, worker })
}
