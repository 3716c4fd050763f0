//! What waits for its other half: calls for the record that issued their key, companions and calls for each other.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bedrock::Tokens;
use crate::hashed::ByHash;
use crate::observation::Call;
use crate::time::EventTime;

/// A call that waits for its grant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeldCall {
    /// The call.
    pub call: Arc<Call>,
    /// Whether it may be learned from.
    pub trusted: bool,
}

/// Calls by the access key that they wait for, in order, with their deadlines.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Held {
    by_key: BTreeMap<Arc<str>, VecDeque<(u64, HeldCall)>>,
    /// (event time, order of arrival) → key.
    deadlines: BTreeMap<(EventTime, u64), Arc<str>>,
    next: u64,
    /// Views of cross-account calls that wait for the caller's own.
    twins: usize,
}

/// What a view waits for, in the place of an access key.
fn twin_key(twin: u64) -> Arc<str> {
    format!("twin:{twin:016x}").into()
}

impl Held {
    /// Holds the called account's view of a call until the caller's own, known as `twin`, comes.
    pub fn push_twin(&mut self, twin: u64, held: HeldCall) {
        self.twins += 1;
        self.push(twin_key(twin), held);
    }

    /// Whether any such view waits.
    pub fn has_twins(&self) -> bool {
        self.twins > 0
    }

    /// Drops the views that waited for `fingerprint`, and says how many there were.
    pub fn drop_twin(&mut self, fingerprint: u64) -> u64 {
        let dropped = self.take(&twin_key(fingerprint)).len();
        dropped as u64
    }

    /// Holds a call until the grant of `key` is known.
    pub fn push(&mut self, key: Arc<str>, held: HeldCall) {
        let order = self.next;
        self.next += 1;
        self.deadlines.insert((held.call.invocation.time, order), Arc::clone(&key));
        self.by_key.entry(key).or_default().push_back((order, held));
    }

    /// Takes all calls that wait for `access_key_id`, in the order in which they came.
    pub fn take(&mut self, access_key_id: &str) -> Vec<HeldCall> {
        let calls = self.by_key.remove(access_key_id).unwrap_or_default();
        if access_key_id.starts_with("twin:") {
            self.twins = self.twins.saturating_sub(calls.len());
        }
        for (order, held) in &calls {
            self.deadlines.remove(&(held.call.invocation.time, *order));
        }
        calls.into_iter().map(|(_, held)| held).collect()
    }

    /// Takes the oldest call if it happened before `time`.
    pub fn take_older_than(&mut self, time: EventTime) -> Option<HeldCall> {
        let (&(oldest, _), _) = self.deadlines.first_key_value()?;
        if oldest < time { self.take_oldest() } else { None }
    }

    /// Takes the oldest call.
    pub fn take_oldest(&mut self) -> Option<HeldCall> {
        let ((_, order), key) = self.deadlines.pop_first()?;
        let calls = self.by_key.get_mut(&key)?;
        let position = calls.iter().position(|(held_order, _)| *held_order == order)?;
        self.twins -= usize::from(key.starts_with("twin:") && self.twins > 0);
        // Mostly the first: the oldest call usually came first, too.
        let (_, held) = calls.remove(position)?;
        if calls.is_empty() {
            self.by_key.remove(&key);
        }
        Some(held)
    }

    /// Leaves out what `is_mine` does not hold for.
    pub fn narrow(&mut self, is_mine: impl Fn(&Call) -> bool) {
        let all = std::mem::take(self);
        all.into_iter().filter(|(_, held)| is_mine(&held.call)).for_each(|(key, held)| self.put(key, held));
    }

    /// Holds what another holds, too.
    pub fn absorb(&mut self, other: Self) {
        other.into_iter().for_each(|(key, held)| self.put(key, held));
    }

    fn put(&mut self, key: Arc<str>, held: HeldCall) {
        self.twins += usize::from(key.starts_with("twin:"));
        self.push(key, held);
    }

    /// Everything that waits, with what it waits for, in the order in which it came.
    fn into_iter(self) -> impl Iterator<Item = (Arc<str>, HeldCall)> {
        let mut all: Vec<(u64, Arc<str>, HeldCall)> = self
            .by_key
            .into_iter()
            .flat_map(|(key, calls)| calls.into_iter().map(move |(order, held)| (order, Arc::clone(&key), held)))
            .collect();
        all.sort_by_key(|(order, ..)| *order);
        all.into_iter().map(|(_, key, held)| (key, held))
    }

    /// How many calls wait.
    pub fn len(&self) -> usize {
        self.deadlines.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.deadlines.is_empty()
    }
}

/// One half of a streaming call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Half {
    /// The companion came first: its tokens wait for the call.
    Tokens(Tokens),
    /// The call came first, and waits for tokens.
    Call(HeldCall),
}

/// Halves by request, forgotten after a while.
#[derive(Clone, Debug)]
pub struct Pairs {
    halves: ByHash<u64, Half>,
    order: VecDeque<(EventTime, u64)>,
    pairs_max: usize,
    unpaired: u64,
}

/// What a snapshot keeps of [`Pairs`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PairsImage(Vec<(EventTime, u64, Half)>);

impl Pairs {
    /// At most `pairs_max` halves.
    pub fn with_capacity(pairs_max: usize) -> Self {
        Self { halves: HashMap::default(), order: VecDeque::new(), pairs_max: pairs_max.max(1), unpaired: 0 }
    }

    /// Takes the half that waits for `request`, whichever it is.
    pub fn take(&mut self, request: u64) -> Option<Half> {
        self.halves.remove(&request)
    }

    /// Parks a half that came at `time`.
    pub fn park(&mut self, request: u64, half: Half, time: EventTime) {
        while self.order.len() >= self.pairs_max {
            self.drop_oldest();
        }
        self.order.push_back((time, request));
        self.halves.insert(request, half);
    }

    /// Forgets halves of before `time`, and says how many have stayed alone since the last call.
    pub fn expire(&mut self, time: EventTime) -> u64 {
        while self.order.front().is_some_and(|(parked, _)| *parked < time) {
            self.drop_oldest();
        }
        std::mem::take(&mut self.unpaired)
    }

    /// What a snapshot keeps.
    pub fn image(&self) -> PairsImage {
        PairsImage(
            self.order.iter().filter_map(|(time, request)| self.halves.get(request).map(|half| (*time, *request, half.clone()))).collect(),
        )
    }

    /// Takes over what a snapshot kept.
    pub fn restore(&mut self, image: PairsImage) {
        for (time, request, half) in image.0 {
            self.park(request, half, time);
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, request)) = self.order.pop_front() {
            self.unpaired += u64::from(self.halves.remove(&request).is_some());
        }
    }
}
