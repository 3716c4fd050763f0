//! The load: records in the forms in which they reach Kinesis, of which it is known what has to become of each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use geophone_company::wire;

use crate::record;
use crate::stream::Entry;

/// Most events that one record of CloudWatch Logs holds here.
const EVENTS_PER_RECORD: usize = 12;
/// How far event times lie apart, in seconds: within the lateness that is waited for, whatever the order.
const SPREAD: i64 = 780;
/// Users of builds, where records are partitioned.
const USERS: usize = 12;

/// What a story is told by.
pub type Story = (&'static str, String);

/// A story that has to be paged, once.
#[derive(Clone, Debug)]
pub struct Incident {
    /// How many events belong to it; 0 where that is not looked at.
    pub events: u64,
    /// When the first of them was put into the stream.
    pub since: Instant,
}

/// What has to come of the load.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Calls that have to lie in the archive, once each.
    pub archived: BTreeSet<String>,
    /// By detector and access key.
    pub incidents: BTreeMap<Story, Incident>,
    /// Records that cannot be read.
    pub poisoned: BTreeMap<&'static str, u64>,
    /// Events that were put more than once.
    pub repeated: u64,
    /// Events in all, each counted once.
    pub events: u64,
}

/// How much of what comes in a batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mix {
    /// New sessions that are refused.
    pub refused: usize,
    /// Calls of each of them, and of a few older ones.
    pub calls: usize,
    /// New people who call what another department owns.
    pub crossing: usize,
    /// New people who call what is theirs.
    pub honest: usize,
    /// Calls of builds.
    pub builds: usize,
    /// Records that cannot be read.
    pub poison: usize,
    /// Each record is put up to three times.
    pub repeats: bool,
}

/// See the module.
pub struct Load {
    random: fastrand::Rng,
    /// Epoch seconds of the clock that the records are written by.
    now: i64,
    next: usize,
    poisons: usize,
    sessions: Vec<String>,
    /// Records are partitioned by the role behind a session, and everybody has one: what a fleet wants.
    is_partitioned: bool,
    pub expected: Expected,
}

/// An event and what its record is partitioned by.
type Event = (String, String);

impl Load {
    pub fn new(seed: u64, now: i64) -> Self {
        let random = fastrand::Rng::with_seed(seed ^ 0x10ad);
        Self { random, now, next: 0, poisons: 0, sessions: Vec::new(), is_partitioned: false, expected: Expected::default() }
    }

    /// The same, partitioned by role and user.
    pub fn partitioned(seed: u64, now: i64) -> Self {
        Self { is_partitioned: true, ..Self::new(seed, now) }
    }

    /// From now on records are written by this clock.
    pub fn set_now(&mut self, now: i64) {
        self.now = now;
    }

    /// The next records, in an order that means nothing.
    pub fn batch(&mut self, mix: Mix, put: Instant) -> Vec<Entry> {
        let mut events = Vec::new();
        let fresh: Vec<String> = (0..mix.refused).map(|_| self.number("ASIAREFUSED")).collect();
        let mut calling = fresh.clone();
        for _ in 0..mix.refused.min(self.sessions.len()) {
            calling.push(self.sessions[self.random.usize(..self.sessions.len())].clone());
        }
        for key in calling {
            for _ in 0..mix.calls {
                let (id, time) = (self.id(), self.time());
                let role = self.role(&key);
                events.push((record::role_arn(&role), record::refused(&id, &time, &key, &role)));
                self.expect("access-denied", &key, put);
            }
        }
        self.sessions.extend(fresh);
        for _ in 0..mix.crossing {
            let key = self.person(&mut events, "marketing");
            for _ in 0..mix.calls {
                events.push(self.call(&key));
                self.expect("cross-department", &key, put);
            }
        }
        for _ in 0..mix.honest {
            let key = self.person(&mut events, "legal");
            events.push(self.call(&key));
        }
        for _ in 0..mix.builds {
            let (id, time) = (self.id(), self.time());
            let user =
                if self.is_partitioned { format!("{}-{}", record::USER, self.random.usize(..USERS)) } else { record::USER.to_owned() };
            events.push((record::user_arn(&user), record::of_user(&id, &time, &user)));
            self.expected.archived.insert(id);
            // That nobody answers for a long-lived key is a story of its own.
            let story = ("unattributed", record::user_key(&user));
            self.expected.incidents.entry(story).or_insert(Incident { events: 0, since: put });
        }
        self.expected.events += events.len() as u64;
        self.random.shuffle(&mut events);
        let mut entries = if self.is_partitioned { self.wrap_by_partition(events) } else { self.wrap(&events) };
        if mix.repeats {
            for entry in entries.clone() {
                for _ in 0..self.random.usize(..3) {
                    entries.push(entry.clone());
                    self.expected.repeated += 1;
                }
            }
        }
        for _ in 0..mix.poison {
            let (kind, bytes) = record::poison(&mut self.random, self.poisons);
            self.poisons += 1;
            *self.expected.poisoned.entry(kind).or_default() += 1;
            entries.push((format!("poison-{}", self.poisons), bytes));
        }
        self.random.shuffle(&mut entries);
        entries
    }

    fn expect(&mut self, detector: &'static str, key: &str, put: Instant) {
        let incident = self.expected.incidents.entry((detector, key.to_owned()));
        incident.or_insert(Incident { events: 0, since: put }).events += 1;
    }

    /// Signs a person in; returns the session's key.
    fn person(&mut self, events: &mut Vec<Event>, department: &str) -> String {
        let (key, person, id, time) = (self.number("ASIAPERSON"), self.number("person-"), self.id(), self.time());
        let role = self.role(&key);
        events.push((record::role_arn(&role), record::sign_in(&id, &time, &key, &role, &person, department)));
        key
    }

    /// A call of a session that somebody signed in for.
    fn call(&mut self, key: &str) -> Event {
        let (id, time, role) = (self.id(), self.time(), self.role(key));
        let call = record::granted(&id, &time, key, &role);
        self.expected.archived.insert(id);
        (record::role_arn(&role), call)
    }

    fn role(&self, key: &str) -> String {
        if self.is_partitioned { format!("{}-{key}", record::ROLE) } else { record::ROLE.to_owned() }
    }

    fn number(&mut self, name: &str) -> String {
        self.next += 1;
        format!("{name}{:06}", self.next)
    }

    fn id(&mut self) -> String {
        self.number("event-")
    }

    fn time(&mut self) -> String {
        iso(self.now - self.random.i64(1..SPREAD))
    }

    /// Half of it in EventBridge's envelopes, half in batches of CloudWatch Logs; over all shards.
    fn wrap(&mut self, events: &[Event]) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut rest = events;
        while !rest.is_empty() {
            let count = if self.random.bool() { 1 } else { self.random.usize(1..=EVENTS_PER_RECORD).min(rest.len()) };
            let (now, later) = rest.split_at(count);
            let texts: Vec<&str> = now.iter().map(|(_, text)| text.as_str()).collect();
            let bytes = if count == 1 { wire::eventbridge(texts[0]) } else { wire::cloudwatch_logs(&texts) };
            entries.push((format!("{:016x}", self.random.u64(..)), bytes));
            rest = later;
        }
        entries
    }

    /// The same, each record with events of one partition key and under it.
    fn wrap_by_partition(&mut self, events: Vec<Event>) -> Vec<Entry> {
        let mut parts: BTreeMap<String, Vec<Event>> = BTreeMap::new();
        for event in events {
            parts.entry(event.0.clone()).or_default().push(event);
        }
        let of = |(key, events): (String, Vec<Event>)| {
            self.wrap(&events).into_iter().map(move |(_, bytes)| (key.clone(), bytes)).collect::<Vec<_>>()
        };
        parts.into_iter().flat_map(of).collect()
    }
}

/// `2026-06-01T09:00:00Z` of epoch seconds.
pub fn iso(unix: i64) -> String {
    let (days, seconds) = (unix.div_euclid(86_400), unix.rem_euclid(86_400));
    // Civil from days, of the proleptic Gregorian calendar: eras of 400 years that begin in March.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_cloudtrail_does() {
        for (unix, text) in [(0, "1970-01-01T00:00:00Z"), (1_780_272_000, "2026-06-01T00:00:00Z"), (951_782_399, "2000-02-28T23:59:59Z")] {
            assert_eq!(iso(unix), text);
        }
    }

    #[test]
    fn a_seed_gives_the_same_load() {
        let mix = Mix { refused: 3, calls: 2, crossing: 1, honest: 2, builds: 9, poison: 9, repeats: true };
        let put = Instant::now();
        let [mut one, mut other] = [Load::new(7, 1_780_272_000), Load::new(7, 1_780_272_000)];
        for _ in 0..3 {
            assert_eq!(one.batch(mix, put), other.batch(mix, put));
        }
        assert_eq!(one.expected.incidents.len(), 12 + 1);
        assert_eq!(one.expected.archived.len(), 3 * (9 + 2 + 2));
    }
}
