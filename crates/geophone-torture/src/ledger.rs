//! The ledger: what had to be, against what is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::load::{Expected, Story};
use crate::pager::Received;

/// What a scenario came to. Every number of *wrong* must be zero.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub events: u64,
    pub seen: u64,
    /// wrong: calls that neither the archive nor an alert has.
    pub lost: u64,
    /// wrong: calls that are there more than once.
    pub repeated: u64,
    pub incidents: u64,
    pub paged: u64,
    /// Messages that opened an alert again under the id that it had.
    pub duplicated: u64,
    /// wrong: of these the ones that did not say so, where only the program can be the reason.
    pub unsaid: u64,
    /// wrong: alerts that nothing stands behind, and second ids of one incident.
    pub fictitious: u64,
    pub poisoned: u64,
    /// Of these the ones that were kept as dead letters.
    pub kept: u64,
    /// What is wrong, in words; a few of each.
    pub wrong: Vec<String>,
    /// From putting the first event of an incident to the pager's accepting its first page.
    pub latencies: Vec<Duration>,
}

/// What a run left behind.
#[derive(Debug, Default)]
pub struct Found {
    /// Event ids in the archive, with how often.
    pub archived: BTreeMap<String, u64>,
    /// Events of each story as the program counts them.
    pub counted: BTreeMap<Story, u64>,
    pub received: Vec<Received>,
    /// Sequence numbers of records that were kept as dead letters.
    pub letters: BTreeSet<String>,
}

/// What is no mistake in this scenario.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowed {
    /// A state that was damaged on disk: calls after the one before it are archived again.
    pub repeats_in_archive: bool,
    /// A reply of SNS was lost: the same process sends the same message again.
    pub unsaid: bool,
    /// Whichever of two workers opened an alert again, one of the messages says that there may be another.
    pub either_says: bool,
    /// No journal could be written, or it is gone with every snapshot: a story that begins elsewhere after a crash has another id.
    pub second_ids: bool,
}

/// `detector` and access key of an alert.
pub fn story(alert: &Value) -> Story {
    let detector =
        ["access-denied", "cross-department", "unattributed"].into_iter().find(|name| alert["detector"] == **name).unwrap_or("other");
    (detector, alert["actor"]["access_key_id"].as_str().unwrap_or_default().to_owned())
}

/// Event ids of all lines of the archive, with how often.
pub fn archive(folder: &Path) -> BTreeMap<String, u64> {
    let mut ids = BTreeMap::new();
    for path in files(folder).iter().filter(|path| path.extension().is_some_and(|ending| ending == "gz")) {
        let mut text = String::new();
        // A file that is being written is looked at again.
        let _ = File::open(path).map(|file| GzDecoder::new(file).read_to_string(&mut text));
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter_map(|line| line["event_id"].as_str().map(str::to_owned)).for_each(|id| *ids.entry(id).or_default() += 1);
    }
    ids
}

/// Sequence numbers of the records among a single machine's dead letters.
pub fn letters(state: &Path) -> BTreeSet<String> {
    letters_of(&state.join("dead-letters.ndjson"))
}

/// The same of a fleet's, whose letters lie in many files.
pub fn letters_below(folder: &Path) -> BTreeSet<String> {
    let is_letters = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "ndjson");
    files(folder).iter().filter(|path| is_letters(path)).flat_map(|path| letters_of(path)).collect()
}

fn letters_of(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let letters = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    letters.filter(|letter| letter["kind"] == "record").filter_map(|letter| letter["id"].as_str().map(str::to_owned)).collect()
}

/// All files of a folder and of those in it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut files, mut open) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(now) = open.pop() {
        for path in fs::read_dir(&now).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() { open.push(path) } else { files.push(path) }
        }
    }
    files
}

impl Ledger {
    /// Holds what is against what had to be.
    pub fn of(expected: &Expected, found: &Found, allowed: Allowed) -> Self {
        let mut ledger = Self::default();
        ledger.count_events(expected, found, allowed);
        ledger.count_pages(expected, found, allowed);
        ledger.poisoned = expected.poisoned.values().sum();
        ledger.kept = found.letters.len() as u64;
        if ledger.kept != ledger.poisoned {
            ledger.say(1, &format!("{} of {} unreadable records were kept", ledger.kept, ledger.poisoned));
        }
        ledger
    }

    fn count_events(&mut self, expected: &Expected, found: &Found, allowed: Allowed) {
        for id in &expected.archived {
            let times = found.archived.get(id).copied().unwrap_or(0);
            self.event(1, times, allowed.repeats_in_archive, &format!("{id} lies in the archive {times} times"));
        }
        for (story, incident) in &expected.incidents {
            let counted = found.counted.get(story).copied().unwrap_or(0);
            let text = format!("{} of {} has {counted} events instead of {}", story.0, story.1, incident.events);
            if incident.events == 0 {
                // Told once, whatever it grows to.
            } else if story.0 == "access-denied" {
                self.event(incident.events, counted, false, &text);
            } else if counted != incident.events {
                // Its calls are in the archive as well, and counted there.
                self.say(1, &text);
            }
        }
    }

    fn event(&mut self, wanted: u64, seen: u64, may_repeat: bool, text: &str) {
        self.events += wanted;
        self.seen += seen.min(wanted);
        self.lost += wanted.saturating_sub(seen);
        let repeated = if may_repeat { 0 } else { seen.saturating_sub(wanted) };
        self.repeated += repeated;
        self.say(u64::from(seen < wanted || repeated > 0), text);
    }

    fn count_pages(&mut self, expected: &Expected, found: &Found, allowed: Allowed) {
        let mut ids: BTreeMap<Story, BTreeSet<&str>> = BTreeMap::new();
        // Ids that were opened, and whether any of their messages says that there may be another.
        let mut opened: BTreeMap<&str, bool> = BTreeMap::new();
        // What geophone says of itself belongs to no session.
        for received in found.received.iter().filter(|received| received.alert["detector"] != "blind-spot") {
            let (story, id) = (story(&received.alert), received.alert["alert_id"].as_str().unwrap_or_default());
            let known = ids.entry(story.clone()).or_default();
            if known.is_empty()
                && let Some(incident) = expected.incidents.get(&story)
            {
                self.latencies.push(received.at.saturating_duration_since(incident.since));
            }
            known.insert(id);
            if received.alert["status"] != "opened" {
                continue;
            }
            let says = received.alert["possible_duplicate"] == true;
            let earlier = opened.insert(id, says || opened.get(id).is_some_and(|said| *said));
            if let Some(said) = earlier {
                self.duplicated += 1;
                let is_unsaid = !(says || allowed.unsaid || said && allowed.either_says);
                self.unsaid += u64::from(is_unsaid);
                self.say(u64::from(is_unsaid), &format!("{id} was opened twice without a word"));
            }
        }
        self.incidents = expected.incidents.len() as u64;
        for story in expected.incidents.keys() {
            let is_paged = ids.contains_key(story);
            self.paged += u64::from(is_paged);
            self.say(u64::from(!is_paged), &format!("{} of {} was never paged", story.0, story.1));
        }
        for (story, ids) in &ids {
            let is_expected = expected.incidents.contains_key(story);
            let wanted = if is_expected && allowed.second_ids { ids.len() } else { usize::from(is_expected) };
            let more = ids.len().saturating_sub(wanted) as u64;
            self.fictitious += more;
            self.say(more, &format!("{} of {:?} was paged under {} ids, {wanted} expected", story.0, story.1, ids.len()));
        }
    }

    fn say(&mut self, times: u64, text: &str) {
        const WORDS_MAX: usize = 12;
        if times > 0 && self.wrong.len() < WORDS_MAX {
            self.wrong.push(text.to_owned());
        }
    }

    /// The lines that are not as they have to be.
    pub fn broken(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, count) in [
            ("events lost", self.lost),
            ("events repeated", self.repeated),
            ("incidents not paged", self.incidents - self.paged),
            ("pages false", self.fictitious),
            ("duplicates unsaid", self.unsaid),
        ] {
            if count > 0 {
                lines.push(format!("{name}: {count}"));
            }
        }
        if lines.is_empty() && !self.wrong.is_empty() {
            lines.push(self.wrong[0].clone());
        }
        lines
    }

    /// Adds what another scenario came to.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.seen += other.seen;
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.incidents += other.incidents;
        self.paged += other.paged;
        self.duplicated += other.duplicated;
        self.unsaid += other.unsaid;
        self.fictitious += other.fictitious;
        self.poisoned += other.poisoned;
        self.kept += other.kept;
        self.wrong.extend(other.wrong.iter().cloned());
        self.latencies.extend(&other.latencies);
    }
}
