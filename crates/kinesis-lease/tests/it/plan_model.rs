//! The plan against a plain model of a stream.
//!
//! The model knows every record that was ever put and where it is. A reader follows the plan over
//! random histories of puts, splits, merges, trims, listings, reads, commits and crashes. Whatever
//! happens: no record is read before its shard's parents were read to their ends, none is read
//! twice in one run or after it was settled, none that is within retention is skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kinesis_lease::plan::{ListedShard, forgettable, plan};
use kinesis_lease::{Checkpoint, Delivery, Lease, Manifest, ShardKey, StartAt};
use proptest::prelude::*;

const STREAM: &str = "s";

/// One step of a history; numbers choose among what there is at that moment.
#[derive(Debug, Clone)]
enum Step {
    Put(usize),
    Split(usize),
    Merge(usize),
    /// Everything put before the `n`-th record still kept is past retention.
    Trim(usize),
    Discover,
    /// Read up to this many records of one shard.
    Read(usize, usize),
    /// Settle everything read and commit it.
    Commit,
    /// Forget everything that is not committed.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => any::<usize>().prop_map(Step::Put),
        2 => any::<usize>().prop_map(Step::Split),
        2 => any::<usize>().prop_map(Step::Merge),
        1 => (0..6_usize).prop_map(Step::Trim),
        3 => Just(Step::Discover),
        6 => (any::<usize>(), 1..4_usize).prop_map(|(shard, count)| Step::Read(shard, count)),
        2 => Just(Step::Commit),
        1 => Just(Step::Crash),
    ]
}

/// A shard as the service has it.
#[derive(Debug, Default)]
struct ModelShard {
    parents: Vec<usize>,
    /// Times of its records, growing; a record's time is its identity.
    records: Vec<u64>,
    closed: bool,
}

/// The service. A shard's id is its place in the list.
#[derive(Debug)]
struct Service {
    shards: Vec<ModelShard>,
    clock: u64,
    /// Records before this time are gone, as are closed shards all of whose records are.
    horizon: u64,
}

impl Service {
    fn new(shards: usize) -> Self {
        let shards = (0..shards).map(|_| ModelShard::default()).collect();
        Self { shards, clock: 0, horizon: 0 }
    }

    fn open(&self) -> Vec<usize> {
        (0..self.shards.len()).filter(|&at| !self.shards[at].closed).collect()
    }

    fn put(&mut self, choice: usize) {
        let open = self.open();
        self.clock += 1;
        self.shards[open[choice % open.len()]].records.push(self.clock);
    }

    fn close_into(&mut self, parents: Vec<usize>, children: usize) {
        for &parent in &parents {
            self.shards[parent].closed = true;
        }
        for _ in 0..children {
            self.shards.push(ModelShard { parents: parents.clone(), ..ModelShard::default() });
        }
    }

    fn trim(&mut self, keep: usize) {
        let kept: BTreeSet<u64> = self.shards.iter().flat_map(|shard| shard.records.iter().copied()).collect();
        let first_kept = kept.iter().rev().nth(keep).copied().unwrap_or(0);
        self.horizon = self.horizon.max(first_kept);
    }

    /// A closed shard vanishes with its last record, and never before its parents.
    fn listed(&self) -> Vec<ListedShard> {
        let mut gone = BTreeSet::new();
        for (at, shard) in self.shards.iter().enumerate() {
            let parents_gone = shard.parents.iter().all(|parent| gone.contains(parent));
            let trimmed = self.horizon > 0 && shard.records.iter().all(|&time| time < self.horizon);
            if shard.closed && trimmed && parents_gone {
                gone.insert(at);
            }
        }
        let live = (0..self.shards.len()).filter(|at| !gone.contains(at));
        live.map(|at| ListedShard {
            hash_range: None,
            shard: id(at),
            parents: self.shards[at].parents.iter().copied().map(id).collect(),
            open: !self.shards[at].closed,
        })
        .collect()
    }
}

fn id(at: usize) -> Arc<str> {
    format!("shardId-{at:012}").into()
}

fn index(id: &str) -> usize {
    id.trim_start_matches("shardId-").parse().unwrap()
}

/// The consumer and its caller in one.
struct Reader {
    start: StartAt,
    committed: Manifest,
    run: Run,
    /// Every record read in any run.
    ever_read: BTreeSet<u64>,
    /// Every record whose reading was committed.
    settled: BTreeSet<u64>,
    /// Records that need not be read: put before a `LATEST` or timestamp start.
    excused_before: Option<u64>,
}

/// What a crash forgets.
#[derive(Default)]
struct Run {
    manifest: Manifest,
    leases: BTreeMap<Arc<str>, Lease>,
    /// Shard → time of the last record read, while it is being read.
    reading: BTreeMap<Arc<str>, u64>,
    read: BTreeSet<u64>,
}

impl Reader {
    fn new(start: StartAt) -> Self {
        Self {
            start,
            committed: Manifest::default(),
            run: Run::default(),
            ever_read: BTreeSet::new(),
            settled: BTreeSet::new(),
            excused_before: None,
        }
    }

    fn discover(&mut self, service: &Service) {
        let listed = service.listed();
        let first_sight = self.run.leases.is_empty();
        if first_sight {
            // Whatever an earlier first sight that was never committed had read is read again.
            self.excused_before = match self.start {
                StartAt::TrimHorizon => None,
                StartAt::Latest => Some(service.clock + 1),
                // The service takes no time that lies in the future.
                StartAt::AtTimestamp(time) => Some(u64::try_from(time).unwrap().min(service.clock)),
            };
            if let (StartAt::AtTimestamp(time), Some(now)) = (&mut self.start, self.excused_before) {
                *time = i64::try_from(now).unwrap();
            }
        }
        let plan = plan(&listed, &self.run.leases, self.start);
        for (shard, lease) in &plan.create {
            if !first_sight {
                assert_eq!(lease.checkpoint, Checkpoint::TrimHorizon, "a later shard");
            }
            for parent in &lease.parents {
                if let Some(parent) = self.run.leases.get_mut(parent) {
                    parent.children.push(shard.clone());
                }
            }
            self.run.leases.insert(shard.clone(), lease.clone());
        }
        for shard in &plan.unlisted {
            self.run.leases.get_mut(shard).unwrap().listed = false;
        }
        self.run.manifest.apply(&Delivery::Discovered { stream: STREAM.into(), created: plan.create, unlisted: plan.unlisted });
        for shard in plan.read {
            self.open(service, &listed, shard);
        }
    }

    fn open(&mut self, service: &Service, listed: &[ListedShard], shard: Arc<str>) {
        if self.run.reading.contains_key(&shard) {
            return;
        }
        if !listed.iter().any(|listed| listed.shard == shard) {
            // The service no longer knows it: the consumer tells a gap and an end.
            self.end(&shard);
            return;
        }
        for parent in &service.shards[index(&shard)].parents {
            let lease = self.run.leases.get(&id(*parent));
            let done = lease.is_none_or(|lease| lease.checkpoint == Checkpoint::ShardEnd);
            assert!(done, "{shard} begins before {parent} has ended");
        }
        let after = match &self.run.leases[&shard].checkpoint {
            Checkpoint::TrimHorizon => 0,
            // Only a first sight can give this, and it reads from that moment on.
            Checkpoint::Latest => self.excused_before.unwrap() - 1,
            Checkpoint::AtTimestamp(time) => u64::try_from(*time).unwrap().saturating_sub(1),
            Checkpoint::After { sequence_number, .. } => sequence_number.parse().unwrap(),
            Checkpoint::ShardEnd => panic!("{shard} is at its end"),
        };
        self.run.reading.insert(shard, after);
    }

    /// Reads some records of one shard that is being read; its end, if it is there.
    fn read(&mut self, service: &Service, choice: usize, count: usize) {
        if self.run.reading.is_empty() {
            return;
        }
        let (shard, after) = self.run.reading.iter().nth(choice % self.run.reading.len()).map(|(s, a)| (s.clone(), *a)).unwrap();
        let model = &service.shards[index(&shard)];
        let ahead: Vec<u64> = model.records.iter().copied().filter(|&time| time > after && time >= service.horizon).collect();
        for &time in ahead.iter().take(count) {
            assert!(self.run.read.insert(time), "record {time} of {shard} read twice");
            assert!(!self.settled.contains(&time), "record {time} of {shard} read again");
            assert!(self.excused_before.is_none_or(|before| time >= before), "record {time} is from before the start");
            self.ever_read.insert(time);
            self.run.reading.insert(shard.clone(), time);
            self.run.manifest.advance(&ShardKey::new(STREAM, shard.clone()), Checkpoint::after(time.to_string()));
        }
        if model.closed && ahead.len() <= count {
            self.run.reading.remove(&shard);
            self.end(&shard);
        }
    }

    fn end(&mut self, shard: &Arc<str>) {
        self.run.leases.get_mut(shard).unwrap().checkpoint = Checkpoint::ShardEnd;
        self.run.manifest.end(&ShardKey::new(STREAM, shard.clone()));
    }

    fn commit(&mut self) {
        self.run.manifest.tidy();
        // A LATEST lease becomes a time with its first answer.
        if let Some(latest) = self.excused_before {
            for lease in self.run.manifest.checkpoints.values_mut() {
                if lease.checkpoint == Checkpoint::Latest {
                    lease.checkpoint = Checkpoint::AtTimestamp(i64::try_from(latest).unwrap());
                }
            }
        }
        self.committed = self.run.manifest.clone();
        self.settled.extend(&self.run.read);
    }

    fn crash(&mut self) {
        let manifest = self.committed.clone();
        let leases = manifest.checkpoints.iter().map(|(key, lease)| (key.shard.clone(), lease.clone())).collect();
        self.run = Run { manifest, leases, ..Run::default() };
    }

    /// Reads everything there is.
    fn finish(&mut self, service: &Service) {
        for _ in 0..=service.shards.len() {
            self.discover(service);
            while !self.run.reading.is_empty() {
                let before = (self.run.read.len(), self.run.reading.len());
                for at in 0..self.run.reading.len() {
                    self.read(service, at, usize::MAX);
                }
                if before == (self.run.read.len(), self.run.reading.len()) {
                    break;
                }
            }
        }
        let kept = service.shards.iter().flat_map(|shard| &shard.records);
        for &time in kept {
            let excused = time < service.horizon || self.excused_before.is_some_and(|before| time < before);
            assert!(excused || self.ever_read.contains(&time), "record {time} was skipped");
        }
    }
}

fn run(start: StartAt, shards: usize, steps: &[Step]) -> Reader {
    let mut service = Service::new(shards);
    let mut reader = Reader::new(start);
    for step in steps {
        match *step {
            Step::Put(choice) => service.put(choice),
            Step::Split(choice) => {
                let open = service.open();
                service.close_into(vec![open[choice % open.len()]], 2);
            }
            Step::Merge(choice) => {
                let open = service.open();
                if open.len() > 1 {
                    let at = choice % (open.len() - 1);
                    service.close_into(vec![open[at], open[at + 1]], 1);
                }
            }
            Step::Trim(keep) => service.trim(keep),
            Step::Discover => reader.discover(&service),
            Step::Read(choice, count) => reader.read(&service, choice, count),
            Step::Commit => reader.commit(),
            Step::Crash => reader.crash(),
        }
    }
    reader.finish(&service);
    reader
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_record_is_read_in_order(
        start in prop_oneof![
            Just(StartAt::TrimHorizon),
            Just(StartAt::Latest),
            (0..20_i64).prop_map(StartAt::AtTimestamp),
        ],
        shards in 1..4_usize,
        steps in prop::collection::vec(step(), 0..60),
    ) {
        run(start, shards, &steps);
    }
}

#[test]
fn only_grandchildren_are_left() {
    let leases = BTreeMap::from([(id(0), Lease::new(Checkpoint::after("5"), vec![]))]);
    // 0 was split into 1 and 2; 1 into 3 and 4. 0 and 1 are trimmed.
    let listed = [listed(2, &[0], true), listed(3, &[1], true), listed(4, &[1], true)];
    let planned = plan(&listed, &leases, StartAt::Latest);
    assert_eq!(planned.unlisted, [id(0)]);
    assert!(planned.create.iter().all(|(_, lease)| lease.checkpoint == Checkpoint::TrimHorizon));
    // 0 is still read: only the service's answer proves that it is gone. Its child waits for that.
    assert_eq!(planned.read, [id(0), id(3), id(4)]);
    assert_eq!(planned.wait, [id(2)]);
}

#[test]
fn a_latest_start_leases_open_shards_only() {
    let listed = [listed(0, &[], false), listed(1, &[0], true), listed(2, &[0], true)];
    let planned = plan(&listed, &BTreeMap::new(), StartAt::Latest);
    assert_eq!(planned.read, [id(1), id(2)]);
    assert!(planned.wait.is_empty());
    // Seen again, the closed parent is an ancestor of what is leased.
    let leases: BTreeMap<_, _> = planned.create.into_iter().collect();
    assert!(plan(&listed, &leases, StartAt::Latest).create.is_empty());
}

#[test]
fn a_merged_shard_waits_for_both_parents() {
    let mut leases =
        BTreeMap::from([(id(0), Lease::new(Checkpoint::ShardEnd, vec![])), (id(1), Lease::new(Checkpoint::after("5"), vec![]))]);
    let listed = [listed(0, &[], false), listed(1, &[], false), listed(2, &[0, 1], true)];
    let planned = plan(&listed, &leases, StartAt::TrimHorizon);
    assert_eq!((planned.read, planned.wait), (vec![id(1)], vec![id(2)]));
    leases.get_mut(&id(1)).unwrap().checkpoint = Checkpoint::ShardEnd;
    assert_eq!(plan(&listed, &leases, StartAt::TrimHorizon).read, [id(2)]);
}

/// A parent that has ended and is listed no more, with two children.
fn family(children: [Checkpoint; 2]) -> BTreeMap<ShardKey, Lease> {
    let mut parent = Lease::new(Checkpoint::ShardEnd, vec![]);
    parent.listed = false;
    parent.children = vec![id(1), id(2)];
    let children = children.map(|checkpoint| Lease::new(checkpoint, vec![id(0)]));
    let shards = [parent].into_iter().chain(children).enumerate();
    shards.map(|(at, lease)| (ShardKey::new(STREAM, id(at)), lease)).collect()
}

#[test]
fn a_lease_is_forgotten_only_when_nothing_needs_it() {
    let key = |at| ShardKey::new(STREAM, id(at));
    let read = || Checkpoint::after("5");
    assert_eq!(forgettable(&family([read(), Checkpoint::ShardEnd])), [key(0)]);
    for fresh in [Checkpoint::TrimHorizon, Checkpoint::Latest, Checkpoint::AtTimestamp(5)] {
        assert!(forgettable(&family([read(), fresh])).is_empty(), "a child has not progressed");
    }
    let mut still_listed = family([read(), read()]);
    still_listed.get_mut(&key(0)).unwrap().listed = true;
    assert!(forgettable(&still_listed).is_empty());
    let mut unfinished = family([read(), read()]);
    unfinished.get_mut(&key(0)).unwrap().checkpoint = read();
    assert!(forgettable(&unfinished).is_empty());
    let mut last = family([Checkpoint::ShardEnd, Checkpoint::ShardEnd]);
    last.values_mut().for_each(|lease| lease.listed = false);
    assert!(forgettable(&last).is_empty(), "the stream would be seen for the first time");
}

fn listed(shard: usize, parents: &[usize], open: bool) -> ListedShard {
    ListedShard { shard: id(shard), parents: parents.iter().copied().map(id).collect(), open, hash_range: None }
}
