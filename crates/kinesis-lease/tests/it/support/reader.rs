//! A caller that checks every delivery against what the crate promises.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_kinesis::Client;
use kinesis_lease::{
    Checkpoint, Consumer, ConsumerHandle, ConsumerSettings, Delivery, GapKind, Manifest, ShardKey, StreamSettings, TroubleKind,
};
use tokio::sync::mpsc::Receiver;

use super::{DEADLINE, quick};

/// What a run has delivered so far.
#[derive(Default)]
pub struct Seen {
    /// Payloads, in order of delivery.
    pub payloads: Vec<String>,
    pub opened: BTreeMap<ShardKey, Checkpoint>,
    pub ended: BTreeSet<ShardKey>,
    /// Pages per shard.
    pub pages: BTreeMap<ShardKey, usize>,
    pub caught_up: BTreeSet<ShardKey>,
    pub gaps: Vec<(ShardKey, GapKind)>,
    pub troubles: Vec<(Option<ShardKey>, TroubleKind, String)>,
    /// The last number of each key.
    last_of_key: BTreeMap<String, u32>,
    last_of_shard: BTreeMap<ShardKey, String>,
}

impl Seen {
    pub fn count(&self, kind: TroubleKind) -> usize {
        self.troubles.iter().filter(|(_, seen, _)| *seen == kind).count()
    }
}

pub struct Reader {
    deliveries: Receiver<Delivery>,
    handle: ConsumerHandle,
    pub seen: Seen,
    /// As a caller would commit it: every page settled at once.
    pub manifest: Manifest,
}

impl Reader {
    pub fn start(client: &Client, stream: StreamSettings) -> Self {
        Self::start_with(client, stream, quick(), Manifest::default())
    }

    pub fn resume(client: &Client, stream: StreamSettings, manifest: Manifest) -> Self {
        Self::start_with(client, stream, quick(), manifest)
    }

    pub fn start_with(client: &Client, stream: StreamSettings, settings: ConsumerSettings, manifest: Manifest) -> Self {
        let streams = vec![(client.clone(), stream)];
        let (deliveries, handle) = Consumer::start(streams, settings, manifest.clone()).unwrap();
        Self { deliveries, handle, seen: Seen::default(), manifest }
    }

    /// Receives and checks until `enough`; panics at the deadline.
    pub async fn until(&mut self, what: &str, enough: impl Fn(&Seen) -> bool) {
        let receive = async {
            while !enough(&self.seen) {
                let delivery = self.deliveries.recv().await.expect("the consumer runs");
                self.check(delivery);
            }
        };
        if tokio::time::timeout(DEADLINE, receive).await.is_err() {
            panic!("{what}: not within {DEADLINE:?}; {} payloads, {:?}", self.seen.payloads.len(), self.seen.troubles);
        }
    }

    pub async fn until_payloads(&mut self, count: usize) {
        self.until(&format!("{count} payloads"), |seen| seen.payloads.len() >= count).await;
        assert_eq!(self.seen.payloads.len(), count);
    }

    /// Two more pages of every shard that is open: whatever was to come has come.
    pub async fn settle(&mut self) {
        let before = self.seen.pages.clone();
        self.until("two more pages each", |seen| {
            let open = seen.opened.keys().filter(|shard| !seen.ended.contains(shard));
            open.into_iter().all(|shard| seen.pages.get(shard) >= Some(&(before.get(shard).unwrap_or(&0) + 2)))
        })
        .await;
    }

    pub async fn stop(self) -> (Seen, Manifest) {
        self.handle.stop().await;
        (self.seen, self.manifest)
    }

    fn check(&mut self, delivery: Delivery) {
        self.manifest.apply(&delivery);
        let seen = &mut self.seen;
        match delivery {
            Delivery::ShardOpened { shard, from } => {
                for parent in &self.manifest.checkpoints[&shard].parents {
                    let parent = ShardKey::new(shard.stream.clone(), parent.clone());
                    let done = self.manifest.checkpoints.get(&parent).is_none_or(|lease| lease.checkpoint == Checkpoint::ShardEnd);
                    assert!(done || seen.ended.contains(&parent), "{shard} opened before its parent {parent} ended");
                }
                assert!(seen.opened.insert(shard.clone(), from).is_none(), "{shard} opened twice");
            }
            Delivery::Page { shard, records, end, caught_up, .. } => {
                assert!(seen.opened.contains_key(&shard) && !seen.ended.contains(&shard), "a page of {shard} out of its life");
                *seen.pages.entry(shard.clone()).or_default() += 1;
                if caught_up {
                    seen.caught_up.insert(shard.clone());
                }
                if let Some(last) = records.last() {
                    assert_eq!(end, Checkpoint::after(last.sequence_number.as_str()));
                }
                for record in records {
                    check_record(seen, &shard, &record);
                }
                self.manifest.advance(&shard, end);
            }
            Delivery::ShardEnded { shard } => {
                self.manifest.end(&shard);
                assert!(seen.ended.insert(shard.clone()), "{shard} ended twice");
            }
            Delivery::Gap { shard, kind, .. } => {
                seen.last_of_shard.remove(&shard);
                seen.gaps.push((shard, kind));
            }
            Delivery::Trouble { shard, kind, message, .. } => seen.troubles.push((shard, kind, message)),
            _ => {}
        }
    }
}

/// Sequence numbers grow within a shard, and the numbers of a key grow over all shards: so nothing
/// comes twice and no child overtakes its parent.
fn check_record(seen: &mut Seen, shard: &ShardKey, record: &kinesis_lease::Record) {
    let number = &record.sequence_number;
    let last = seen.last_of_shard.insert(shard.clone(), number.clone());
    assert!(last.is_none_or(|last| (last.len(), &*last) < (number.len(), number)), "{shard} went back");
    let payload = String::from_utf8(record.data.clone()).unwrap();
    let (key, at) = payload.split_once(':').unwrap();
    assert_eq!(record.partition_key, format!("key-{key}"));
    assert!(record.arrival_ms.is_some());
    let at: u32 = at.parse().unwrap();
    let last = seen.last_of_key.insert(key.to_owned(), at);
    assert!(last.is_none_or(|last| last < at), "key {key}: {at} after {last:?}");
    seen.payloads.push(payload);
}
