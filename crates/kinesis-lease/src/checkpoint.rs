//! Positions and the manifest that holds them, in KCL's words.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::delivery::Delivery;
use crate::plan;

/// One shard of one stream.
///
/// `stream` is [`StreamSettings::key`](crate::StreamSettings::key): the stream's name unless an
/// alias tells two streams of the same name (in two regions, say) apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardKey {
    /// The stream's name or alias.
    pub stream: Arc<str>,
    /// The shard's id, `shardId-000000000000` and so on. Unique within the stream only.
    pub shard: Arc<str>,
}

impl ShardKey {
    /// The shard `shard` of the stream `stream`.
    pub fn new(stream: impl Into<Arc<str>>, shard: impl Into<Arc<str>>) -> Self {
        Self { stream: stream.into(), shard: shard.into() }
    }
}

/// `stream/shardId-…`
impl fmt::Display for ShardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stream, self.shard)
    }
}

/// Where the reading of a shard resumes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Checkpoint {
    /// At the oldest record that the service still keeps.
    TrimHorizon,
    /// At the next record put after the first call. It exists only until that call has been
    /// answered: see [`Delivery::Page::end`](crate::Delivery::Page).
    Latest,
    /// At the first record that arrived at or after this time, in milliseconds since the Unix
    /// epoch on the service's clock.
    AtTimestamp(i64),
    /// After a record.
    After {
        /// The record's sequence number: decimal digits, as the service gave them.
        sequence_number: Arc<str>,
        /// `None`: the whole record is done, resume *after* it. `Some(n)`: the record holds several
        /// user records (KPL's aggregation) and only those up to and including the `n`-th, counted
        /// from 0, are done. Reading then resumes *at* the record (`AT_SEQUENCE_NUMBER`), so that
        /// it comes again, and its first `n + 1` user records are dropped. Whoever takes records
        /// apart by itself ([`aggregated`](crate::StreamSettings::aggregated) is off) drops them.
        sub_sequence: Option<u64>,
    },
    /// The shard was read to its end; nothing of it is read again.
    ShardEnd,
}

impl Checkpoint {
    /// After the whole record with this sequence number.
    pub fn after(sequence_number: impl Into<Arc<str>>) -> Self {
        Self::After { sequence_number: sequence_number.into(), sub_sequence: None }
    }

    /// Whether something of the shard has been read and settled: KCL's condition for letting go of
    /// the parents' leases.
    pub fn has_progressed(&self) -> bool {
        matches!(self, Self::After { .. } | Self::ShardEnd)
    }
}

/// KCL's spelling, for logs: `TRIM_HORIZON`, `LATEST`, `AT_TIMESTAMP 1700000000000`, a sequence
/// number with an optional `:sub`, `SHARD_END`.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrimHorizon => f.write_str("TRIM_HORIZON"),
            Self::Latest => f.write_str("LATEST"),
            Self::AtTimestamp(ms) => write!(f, "AT_TIMESTAMP {ms}"),
            Self::After { sequence_number, sub_sequence: None } => f.write_str(sequence_number),
            Self::After { sequence_number, sub_sequence: Some(sub) } => write!(f, "{sequence_number}:{sub}"),
            Self::ShardEnd => f.write_str("SHARD_END"),
        }
    }
}

/// Orders two sequence numbers of one shard. They are decimal numbers of up to 128 digits, too
/// long for any integer type, and are written without leading zeros.
pub(crate) fn compare_sequence_numbers(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// What is known about one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Where reading resumes.
    pub checkpoint: Checkpoint,
    /// The shards this one was split or merged from: at most two, none for a stream's first shards.
    pub parents: Vec<Arc<str>>,
    /// The shards it was split or merged into, as far as they are leased.
    pub children: Vec<Arc<str>>,
    /// Whether the service still listed the shard when it was last asked. A shard disappears when
    /// it is closed and its last record is past retention.
    pub listed: bool,
}

impl Lease {
    /// A lease for a listed shard that has no child yet.
    pub fn new(checkpoint: Checkpoint, parents: Vec<Arc<str>>) -> Self {
        Self { checkpoint, parents, children: Vec::new(), listed: true }
    }
}

/// Everything that is needed to resume: the lease of every shard, and one opaque attachment that
/// is committed together with them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The leases. A shard that is not here has never been planned, or was forgotten after all of
    /// its children had progressed.
    pub checkpoints: BTreeMap<ShardKey, Lease>,
    /// Whatever belongs to exactly these positions, such as the name of a snapshot of the state
    /// that they made. The crate never looks into it.
    pub attachment: Option<String>,
}

impl Manifest {
    /// Takes over what a delivery says about the *shape* of the stream: new leases, lineage, shards
    /// that are no longer listed. Checkpoints of existing leases do not move; that is
    /// [`advance`](Self::advance), when the records are settled.
    ///
    /// Call it for every delivery, in order.
    pub fn apply(&mut self, delivery: &Delivery) {
        if let Delivery::Discovered { stream, created, unlisted } = delivery {
            for (shard, lease) in created {
                self.create(stream, shard, lease);
            }
            for shard in unlisted {
                let key = ShardKey::new(stream.clone(), shard.clone());
                if let Some(lease) = self.checkpoints.get_mut(&key) {
                    lease.listed = false;
                }
            }
        }
    }

    /// Moves a shard's checkpoint. A finished shard stays finished, and a shard without a lease
    /// (one that was forgotten) is left alone.
    pub fn advance(&mut self, shard: &ShardKey, to: Checkpoint) {
        if let Some(lease) = self.checkpoints.get_mut(shard)
            && lease.checkpoint != Checkpoint::ShardEnd
        {
            lease.checkpoint = to;
        }
    }

    /// Marks a shard as read to its end *and settled*.
    pub fn end(&mut self, shard: &ShardKey) {
        self.advance(shard, Checkpoint::ShardEnd);
    }

    /// Forgets the leases that nothing needs any more ([`plan::forgettable`] has the rule) and
    /// returns their keys. Call it before a commit.
    pub fn tidy(&mut self) -> Vec<ShardKey> {
        let forgotten = plan::forgettable(&self.checkpoints);
        for key in &forgotten {
            self.checkpoints.remove(key);
        }
        forgotten
    }

    fn create(&mut self, stream: &Arc<str>, shard: &Arc<str>, lease: &Lease) {
        for parent in &lease.parents {
            let key = ShardKey::new(stream.clone(), parent.clone());
            if let Some(parent) = self.checkpoints.get_mut(&key)
                && !parent.children.contains(shard)
            {
                parent.children.push(shard.clone());
            }
        }
        let key = ShardKey::new(stream.clone(), shard.clone());
        self.checkpoints.entry(key).or_insert_with(|| lease.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_are_ordered_as_numbers() {
        assert_eq!(compare_sequence_numbers("9", "10"), Ordering::Less);
        assert_eq!(compare_sequence_numbers("20", "10"), Ordering::Greater);
        assert_eq!(compare_sequence_numbers("10", "10"), Ordering::Equal);
    }

    #[test]
    fn a_manifest_follows_discoveries_and_moves_only_when_told() {
        let mut manifest = Manifest::default();
        let discovered = |shard: &str, lease: Lease, unlisted: Vec<Arc<str>>| Delivery::Discovered {
            stream: "s".into(),
            created: vec![(shard.into(), lease)],
            unlisted,
        };
        let parent = ShardKey::new("s", "p");
        manifest.apply(&discovered("p", Lease::new(Checkpoint::Latest, vec![]), vec![]));
        manifest.advance(&parent, Checkpoint::after("7"));
        let child = Lease::new(Checkpoint::TrimHorizon, vec!["p".into()]);
        manifest.apply(&discovered("c", child.clone(), vec!["p".into()]));
        // Told twice, as after a restart: nothing doubles and nothing moves back.
        manifest.apply(&discovered("p", Lease::new(Checkpoint::Latest, vec![]), vec![]));
        manifest.apply(&discovered("c", child, vec![]));

        let lease = &manifest.checkpoints[&parent];
        assert_eq!(lease.checkpoint, Checkpoint::after("7"));
        assert_eq!(lease.children, vec![Arc::from("c")]);
        assert!(!lease.listed);

        manifest.end(&parent);
        manifest.advance(&parent, Checkpoint::after("8"));
        assert_eq!(manifest.checkpoints[&parent].checkpoint, Checkpoint::ShardEnd);
        assert!(manifest.tidy().is_empty(), "the child has not progressed");
        manifest.advance(&ShardKey::new("s", "c"), Checkpoint::after("9"));
        assert_eq!(manifest.tidy(), vec![parent]);
    }
}
