//! `blind-spot`: what geophone itself could not see.
//!
//! It is about no call and no caller, but about geophone: its state was lost, the stream dropped records before they were
//! read, records cannot be read or kept, or more is going on than it can remember. It is told what happened and when
//! (`crate::engine` and the daemon find that out) and says it in words; severity and confidence follow from the cause. No
//! ATT&CK technique is claimed: a damaged disk looks the same as somebody who damaged it.

use std::sync::Arc;

use crate::finding::{Confidence, DetectorId, Finding, Fingerprint, Severity, Who};
use crate::identity::{ActorKey, ActorKind, Department, Unknown};
use crate::stats::grouped;
use crate::time::{EventTime, spoken};

/// The actor of these findings.
pub const ITSELF: &str = "geophone";

/// Channels of these alerts: what made geophone blind, and so what is to be done.
pub const STATE_LOST: &str = "state lost";
/// An older state is in use.
pub const OLDER_STATE: &str = "older state";
/// A gap was noticed.
pub const GAP: &str = "gap noticed";
/// Its end is known.
pub const GAP_MEASURED: &str = "gap measured";
/// Records cannot be read.
pub const UNREADABLE: &str = "unreadable records";
/// Dead letters cannot be kept.
pub const LETTERS: &str = "dead letters not kept";
/// Tables are turned over.
pub const FORGOTTEN: &str = "tables turned over";
/// Too many calls wait.
pub const HELD: &str = "waiting calls overflow";

/// What made geophone blind. Counts are of the story so far unless they say otherwise.
#[derive(Clone, Debug, PartialEq)]
pub enum Blindness {
    /// The newest state could not be read when a daemon started or took a shard.
    StateLost {
        /// The shard, in a fleet; empty where one state is for all.
        shard: Arc<str>,
        /// Nothing older could be read either.
        is_total: bool,
        /// What was damaged or gone, in words.
        why: String,
    },
    /// The stream dropped records before they were read.
    Gap {
        /// Stream and shard.
        shard: Arc<str>,
        /// How it is known where the gap ends.
        end: GapEnd,
    },
    /// Many records cannot be decoded, in whole or in part.
    Unreadable {
        /// Of the window's records, those that cannot be.
        unreadable: u64,
        /// Records of the window.
        records: u64,
        /// Unreadable records of the story.
        total: u64,
    },
    /// What cannot be processed cannot be kept for later either.
    LettersLost {
        /// Whether there is no room; otherwise they cannot be written.
        is_full: bool,
    },
    /// More actors, credentials or grants come than there is room for.
    Forgotten {
        /// The tables that are turned over, at least one.
        tables: Vec<Turnover>,
        /// What was forgotten in the story.
        total: u64,
    },
    /// Too many calls wait for the record that issued their key; the oldest go on without.
    HeldOverflow {
        /// Calls of the last hour that went on without.
        hour: u64,
        /// Calls of the story that did.
        total: u64,
        /// Calls that may wait at once.
        held_max: u64,
    },
}

/// What is known of the end of a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapEnd {
    /// Nothing yet: no record of after it was read.
    Open,
    /// The gap ends at the finding's time: there the first record was taken by the stream that was read again.
    Known,
    /// Nothing will come: the shard is gone.
    ShardGone,
}

/// A table that forgets what it should remember.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turnover {
    /// What it holds, as its metric's label says.
    pub table: &'static str,
    /// How many were forgotten in the last hour of event time.
    pub hour: u64,
    /// For how many there is room.
    pub room: u64,
}

/// A sentence and what goes with it.
struct Told {
    severity: Severity,
    title: String,
    explanation: String,
    channel: &'static str,
    numbers: Vec<(String, f64)>,
    /// Events of the story, where they are counted.
    events: Option<u64>,
}

/// The finding about `what`, from `since` to `at`: both are event times, or arrival times where no event can be read.
pub fn finding(what: &Blindness, since: EventTime, at: EventTime) -> Finding {
    let at = at.max(since);
    let told = match what {
        Blindness::StateLost { shard, is_total, why } => state_lost(shard, *is_total, why, since, at),
        Blindness::Gap { shard, end } => gap(shard, *end, since, at),
        Blindness::Unreadable { unreadable, records, total } => unreadable_records(*unreadable, *records, *total, since),
        Blindness::LettersLost { is_full } => letters_lost(*is_full, since),
        Blindness::Forgotten { tables, total } => forgotten(tables, *total, since),
        Blindness::HeldOverflow { hour, total, held_max } => held_overflow(*hour, *total, *held_max, since),
    };
    Finding {
        detector: DetectorId::BlindSpot,
        fingerprint: fingerprint(what),
        severity: told.severity,
        confidence: Confidence::High,
        title: told.title,
        explanation: told.explanation,
        channel: told.channel.to_owned(),
        who: itself(),
        model: None,
        denial: None,
        policy: None,
        account: Arc::default(),
        region: Arc::default(),
        source_ip: Arc::default(),
        numbers: told.numbers.into_iter().collect(),
        history: None,
        event_id: None,
        earlier: Vec::new(),
        story_events: told.events,
        onset: since,
        time: at,
        techniques: Vec::new(),
        rule: None,
    }
}

/// One story a cause; of a state and of a gap one for each shard.
fn fingerprint(what: &Blindness) -> Fingerprint {
    let parts: [&str; 2] = match what {
        Blindness::StateLost { shard, .. } => ["state", shard],
        Blindness::Gap { shard, .. } => ["gap", shard],
        Blindness::Unreadable { .. } => ["unreadable", ""],
        Blindness::LettersLost { .. } => ["dead-letters", ""],
        Blindness::Forgotten { .. } => ["forgotten", ""],
        Blindness::HeldOverflow { .. } => ["held", ""],
    };
    Fingerprint::of(DetectorId::BlindSpot, &parts)
}

fn itself() -> Who {
    Who {
        actor: ActorKey::new(ActorKind::Service, ITSELF),
        person: None,
        arn: Arc::default(),
        issuer: Arc::default(),
        access_key_id: Arc::default(),
        department: Department::Unknown(Unknown::NoIdentity),
        manager: None,
    }
}

fn state_lost(shard: &str, is_total: bool, why: &str, since: EventTime, at: EventTime) -> Told {
    let (place, when) =
        if shard.is_empty() { (String::new(), "when it started") } else { (format!(" of {shard}"), "when it took the shard") };
    let (severity, channel, title, explanation) = if is_total {
        let title = format!("geophone has lost its memory{place}");
        let text = format!(
            "No snapshot{place} could be read {when}, at {at}: {why}. It knows no session, no baseline and no open alert any more, \
             and reads what the stream still has from its oldest record on. Alerts of that time come again; what is older than the \
             stream and was not judged before is not judged now, calls of sessions that began earlier cannot be named, and \
             invocation-spike and token-spend are silent while they learn."
        );
        (Severity::High, STATE_LOST, title, text)
    } else {
        let title = format!("geophone goes on from an older state{place}");
        let text = format!(
            "The newest state{place} could not be read {when}, at {at}: {why}. It goes on from an older one, which knows events up to \
             {since}, and reads again what came after it. Nothing is missed as long as the stream has these records; an alert of \
             its own says so if it has not."
        );
        (Severity::Medium, OLDER_STATE, title, text)
    };
    Told { severity, title, explanation, channel, numbers: Vec::new(), events: None }
}

fn gap(shard: &str, end: GapEnd, since: EventTime, at: EventTime) -> Told {
    let seen = format!("geophone had read {shard} up to {since}");
    let (channel, explanation) = match end {
        GapEnd::Open => (
            GAP,
            format!(
                "The stream dropped records before they were read: {seen}, and that position is gone. It goes on at the oldest \
                 record that is left. Nobody has judged what lies between; how many records that is, is not known."
            ),
        ),
        GapEnd::Known => (
            GAP_MEASURED,
            format!(
                "The stream dropped records before they were read: {seen}, and goes on with what the stream took at {at}. Nobody has \
                 judged the {} between; how many records that is, is not known.",
                spoken(at.since(since))
            ),
        ),
        GapEnd::ShardGone => (
            GAP_MEASURED,
            format!(
                "A shard is gone with records that were never read: {seen}, and at {at} the stream does not know it any more. Nobody \
                 has judged what came through it in between; how many records that is, is not known."
            ),
        ),
    };
    let numbers = if end == GapEnd::Open { Vec::new() } else { vec![("gap_seconds".to_owned(), at.since(since) as f64)] };
    Told { severity: Severity::High, title: format!("Records were lost unread: {shard}"), explanation, channel, numbers, events: None }
}

fn unreadable_records(unreadable: u64, records: u64, total: u64, since: EventTime) -> Told {
    let share = unreadable as f64 / records.max(1) as f64;
    Told {
        severity: Severity::Medium,
        title: format!("Records cannot be read: {unreadable} of the last {}", grouped(records, ',')),
        explanation: format!(
            "{} of the last {} records ({:.0} %) cannot be decoded, in whole or in part, {} since {since}. Nobody has judged the events \
             in them. As far as there is room they are kept as dead letters.",
            grouped(unreadable, ','),
            grouped(records, ','),
            100.0 * share,
            grouped(total, ',')
        ),
        channel: UNREADABLE,
        numbers: vec![("unreadable".to_owned(), unreadable as f64), ("records".to_owned(), records as f64)],
        events: Some(total),
    }
}

fn letters_lost(is_full: bool, since: EventTime) -> Told {
    let why = if is_full { "there is no room for more" } else { "they cannot be written" };
    Told {
        severity: Severity::Medium,
        title: format!("Dead letters are no longer kept: {why}"),
        explanation: format!(
            "Since {since} records that cannot be decoded, and alerts that SNS refuses, are only counted: {why}. Once the stream has \
             dropped them nobody can look at them any more."
        ),
        channel: LETTERS,
        numbers: Vec::new(),
        events: None,
    }
}

fn forgotten(tables: &[Turnover], total: u64, since: EventTime) -> Told {
    let list: Vec<String> = tables
        .iter()
        .map(|table| format!("{} {} (room for {})", grouped(table.hour, ','), table.table, grouped(table.room, ',')))
        .collect();
    let names: Vec<&str> = tables.iter().map(|table| table.table).collect();
    Told {
        severity: Severity::Medium,
        title: format!("geophone forgets faster than it should: {}", names.join(", ")),
        explanation: format!(
            "In the last hour it forgot {} for want of room; {} in all since {since}. Somebody may be making up session names, or the \
             limits are too small. What is forgotten begins anew when it comes again: bursts, sweeps and second places of such \
             credentials may go unseen.",
            list.join(", "),
            grouped(total, ',')
        ),
        channel: FORGOTTEN,
        numbers: tables.iter().map(|table| (format!("{}_forgotten_1h", table.table), table.hour as f64)).collect(),
        events: Some(total),
    }
}

fn held_overflow(hour: u64, total: u64, held_max: u64, since: EventTime) -> Told {
    Told {
        severity: Severity::Medium,
        title: "Calls go on without their grant: too many wait".to_owned(),
        explanation: format!(
            "In the last hour {} calls went on before the record that issued their key came, because {} were waiting; {} in all since \
             {since}. They were judged as nobody's: without person, department and verdict.",
            grouped(hour, ','),
            grouped(held_max, ','),
            grouped(total, ',')
        ),
        channel: HELD,
        numbers: vec![("held_overflow_1h".to_owned(), hour as f64)],
        events: Some(total),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn at(seconds: i64) -> EventTime {
        EventTime::from_unix(1_780_315_200 + seconds)
    }

    /// One of each cause, the longest that there may be.
    fn all() -> Vec<Blindness> {
        let (shard, why): (Arc<str>, String) = ("trail/shardId-000000000000".into(), "x".repeat(300));
        let turnover = |table| Turnover { table, hour: u64::MAX, room: u64::MAX };
        let tables = ["actors", "newcomers", "credentials", "grants"].map(turnover).to_vec();
        let state = |is_total| Blindness::StateLost { shard: Arc::clone(&shard), is_total, why: why.clone() };
        let gap = |end| Blindness::Gap { shard: Arc::clone(&shard), end };
        vec![
            state(true),
            state(false),
            gap(GapEnd::Open),
            gap(GapEnd::Known),
            gap(GapEnd::ShardGone),
            Blindness::Unreadable { unreadable: u64::MAX, records: u64::MAX, total: u64::MAX },
            Blindness::LettersLost { is_full: true },
            Blindness::LettersLost { is_full: false },
            Blindness::Forgotten { tables, total: u64::MAX },
            Blindness::HeldOverflow { hour: u64::MAX, total: u64::MAX, held_max: u64::MAX },
        ]
    }

    #[test]
    fn every_cause_is_one_story_about_geophone_itself() {
        let findings: Vec<Finding> = all().iter().map(|what| finding(what, at(0), at(90_000))).collect();
        let stories: HashSet<Fingerprint> = findings.iter().map(|finding| finding.fingerprint).collect();
        assert_eq!(stories.len(), 6, "state, gap, unreadable, letters, forgotten, held");
        for finding in &findings {
            assert_eq!((&*finding.who.actor.name, finding.who.is_settled(), finding.techniques.len()), (ITSELF, true, 0));
            assert_eq!((finding.onset, finding.time), (at(0), at(90_000)));
            assert!(finding.title.is_ascii() && !finding.channel.is_empty(), "{finding:?}");
            // Longer texts are cut where a message is made.
            assert!(finding.explanation.len() <= 1_200, "{}", finding.explanation.len());
        }
        let high: Vec<&str> = findings.iter().filter(|found| found.severity == Severity::High).map(|found| &*found.channel).collect();
        assert_eq!(high, [STATE_LOST, GAP, GAP_MEASURED, GAP_MEASURED]);
    }

    #[test]
    fn each_shard_has_a_story_of_its_own() {
        let gap = |shard: &str| finding(&Blindness::Gap { shard: shard.into(), end: GapEnd::Open }, at(0), at(0)).fingerprint;
        assert_ne!(gap("trail/shardId-000000000000"), gap("trail/shardId-000000000001"));
        let state = |shard: &str| {
            finding(&Blindness::StateLost { shard: shard.into(), is_total: true, why: String::new() }, at(0), at(0)).fingerprint
        };
        assert_ne!(state(""), state("trail/shardId-000000000000"));
    }

    #[test]
    fn nothing_ends_before_it_begins() {
        let found = finding(&Blindness::Gap { shard: "a/b".into(), end: GapEnd::Known }, at(100), at(40));
        assert_eq!((found.onset, found.time, found.numbers["gap_seconds"]), (at(100), at(100), 0.0));
    }
}
