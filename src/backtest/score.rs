//! How good a backtest is, where it is known what was an attack: recall by kind at fixed rates of false alerts, and what a
//! fixed threshold really costs.
//!
//! A false alert is an identity-day outside labelled spans whose highest rarity reaches the threshold; at most one per
//! identity and day. A span is found where its identity reaches the threshold between its start and an hour after its end;
//! the five hours after that count neither way. Recall over kinds is a plain mean (macro), so that many spans of one kind
//! weigh no more than few of another.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::baseline::Campaign;
use crate::baseline::profile::BUCKETS_A_DAY;

/// Buckets after a span's end in which it may still be found.
const GRACE: i64 = 12;
/// Buckets after a span's end that count neither as found nor as false.
const IGNORED: i64 = 72;

/// A labelled attack on one identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Who.
    pub identity: Arc<str>,
    /// The first bucket.
    pub start: i64,
    /// The last bucket.
    pub end: i64,
    /// What kind of attack.
    pub kind: Arc<str>,
    /// Spans of one event belong together: a campaign.
    pub event: Arc<str>,
}

/// Collects scores against labels.
#[derive(Debug)]
pub struct Scorer {
    labels: Vec<Label>,
    by_identity: HashMap<Arc<str>, Vec<usize>>,
    /// The first day that counts.
    from: i64,
    /// Highest rarity of identity-days outside spans.
    benign: HashMap<(Arc<str>, i64), f64>,
    /// Rarities inside spans, by label.
    inside: Vec<Vec<(i64, f64)>>,
    /// First day of every identity, and the last day of all.
    first: HashMap<Arc<str>, i64>,
    last: i64,
    /// Group and group-hour scores.
    groups: HashMap<Arc<str>, Arc<str>>,
    campaigns: Vec<(Arc<str>, i64, f64)>,
}

/// What a threshold finds and costs.
#[derive(Clone, Debug, PartialEq)]
pub struct AtThreshold {
    /// The threshold.
    pub threshold: f64,
    /// Mean recall over kinds.
    pub macro_recall: f64,
    /// False alerts per 1,000 identity-days.
    pub false_alerts: f64,
    /// By kind: recall, spans, median minutes from the start to the close of the bucket that found it.
    pub kinds: BTreeMap<Arc<str>, (f64, usize, Option<i64>)>,
}

/// How campaigns of groups are found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Campaigns {
    /// Campaigns that were labelled.
    pub labelled: usize,
    /// Of them, found.
    pub found: usize,
    /// False alerts per 100 group-days.
    pub false_alerts: f64,
}

impl Scorer {
    /// A scorer of days from `from` on.
    pub fn new(labels: Vec<Label>, from: i64) -> Self {
        let mut by_identity: HashMap<Arc<str>, Vec<usize>> = HashMap::new();
        for (index, label) in labels.iter().enumerate() {
            by_identity.entry(Arc::clone(&label.identity)).or_default().push(index);
        }
        let inside = vec![Vec::new(); labels.len()];
        Self {
            labels,
            by_identity,
            from,
            benign: HashMap::new(),
            inside,
            first: HashMap::new(),
            last: i64::MIN,
            groups: HashMap::new(),
            campaigns: Vec::new(),
        }
    }

    /// Sees that an identity of a group was active in a bucket.
    pub fn see(&mut self, identity: &Arc<str>, group: &Arc<str>, slot: i64) {
        let day = slot.div_euclid(BUCKETS_A_DAY);
        self.last = self.last.max(day);
        if !self.first.contains_key(identity) {
            self.first.insert(Arc::clone(identity), day);
            self.groups.insert(Arc::clone(identity), Arc::clone(group));
        }
    }

    /// Takes a score.
    pub fn score(&mut self, identity: &Arc<str>, slot: i64, rarity: f64) {
        let day = slot.div_euclid(BUCKETS_A_DAY);
        if day < self.from || !rarity.is_finite() {
            return;
        }
        let mut is_inside = false;
        for index in self.by_identity.get(identity).into_iter().flatten() {
            let label = &self.labels[*index];
            if (label.start..=label.end + IGNORED).contains(&slot) {
                is_inside = true;
                if slot <= label.end + GRACE {
                    self.inside[*index].push((slot, rarity));
                }
            }
        }
        if !is_inside {
            let highest = self.benign.entry((Arc::clone(identity), day)).or_insert(0.0);
            *highest = highest.max(rarity);
        }
    }

    /// Takes a group's hour that stood out.
    pub fn campaign(&mut self, campaign: &Campaign) {
        if let Some(group) = &campaign.cohort.0 {
            self.campaigns.push((Arc::clone(group), campaign.hour, campaign.score.deviations));
        }
    }

    /// Identity-days that count.
    pub fn identity_days(&self) -> f64 {
        self.first.values().map(|first| (self.last + 1 - (*first).max(self.from)).max(0) as f64).sum()
    }

    /// What the threshold that gives this many false alerts per 1,000 identity-days finds.
    pub fn at_rate(&self, rate: f64) -> AtThreshold {
        let mut order: Vec<f64> = self.benign.values().copied().collect();
        order.sort_by(|a, b| b.total_cmp(a));
        let place = (rate * self.identity_days() / 1_000.0) as usize;
        self.at(order.get(place).map_or(0.0, |rarity| rarity.next_up()))
    }

    /// What a threshold finds and costs.
    pub fn at(&self, threshold: f64) -> AtThreshold {
        let mut spans: BTreeMap<Arc<str>, (usize, usize, Vec<i64>)> = BTreeMap::new();
        for (index, label) in self.labels.iter().enumerate().filter(|(_, label)| label.start >= self.from * BUCKETS_A_DAY) {
            let (found, all, delays) = spans.entry(Arc::clone(&label.kind)).or_default();
            *all += 1;
            let hit = self.inside[index].iter().filter(|(_, rarity)| *rarity >= threshold).map(|(slot, _)| *slot).min();
            if let Some(slot) = hit {
                *found += 1;
                delays.push((slot - label.start + 1) * 5);
            }
        }
        let false_alerts = self.benign.values().filter(|rarity| **rarity >= threshold).count() as f64;
        let kinds: BTreeMap<_, _> = spans
            .into_iter()
            .map(|(kind, (found, all, mut delays))| {
                delays.sort_unstable();
                (kind, (found as f64 / all as f64, all, delays.get(delays.len() / 2).copied()))
            })
            .collect();
        let macro_recall = kinds.values().map(|(recall, ..)| recall).sum::<f64>() / kinds.len().max(1) as f64;
        AtThreshold { threshold, macro_recall, false_alerts: 1_000.0 * false_alerts / self.identity_days().max(1.0), kinds }
    }

    /// How the campaigns are found at `deviations`.
    pub fn campaigns_at(&self, deviations: f64) -> Campaigns {
        // By event: its group, start and end, and whether it was found.
        type Event<'a> = (Option<&'a Arc<str>>, i64, i64, bool);
        let mut events: BTreeMap<&Arc<str>, Event<'_>> = BTreeMap::new();
        for label in self.labels.iter().filter(|label| &*label.kind == "campaign" && label.start >= self.from * BUCKETS_A_DAY) {
            let group = self.groups.get(&label.identity);
            let event = events.entry(&label.event).or_insert((group, label.start, label.end, false));
            (event.1, event.2) = (event.1.min(label.start), event.2.max(label.end));
        }
        let mut false_days = std::collections::BTreeSet::new();
        for (group, hour, _) in self.campaigns.iter().filter(|(_, hour, score)| *score >= deviations && *hour >= self.from * 24) {
            let (first, last) = (hour * 12, hour * 12 + 11);
            let mut is_inside = false;
            for event in events.values_mut().filter(|event| event.0 == Some(group)) {
                if last >= event.1 && first <= event.2 + IGNORED {
                    is_inside = true;
                    event.3 |= first <= event.2 + GRACE;
                }
            }
            if !is_inside {
                false_days.insert((Arc::clone(group), hour.div_euclid(24)));
            }
        }
        let groups: std::collections::BTreeSet<_> = self.groups.values().collect();
        let begin = self.first.values().copied().min().unwrap_or(self.from).max(self.from);
        let group_days = groups.len() as f64 * (self.last + 1 - begin).max(1) as f64;
        Campaigns {
            labelled: events.len(),
            found: events.values().filter(|event| event.3).count(),
            false_alerts: 100.0 * false_days.len() as f64 / group_days,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(identity: &str, start: i64, end: i64) -> Label {
        Label { identity: identity.into(), start, end, kind: "burst".into(), event: "1".into() }
    }

    #[test]
    fn counts_what_is_found_what_is_false_and_what_is_neither() {
        let (mia, ned, group): (Arc<str>, Arc<str>, Arc<str>) = ("mia".into(), "ned".into(), "legal".into());
        let mut scorer = Scorer::new(vec![label("mia", 1_000, 1_010), label("ned", 1_000, 1_010)], 0);
        for day in 0..10 {
            scorer.see(&mia, &group, day * BUCKETS_A_DAY);
            scorer.see(&ned, &group, day * BUCKETS_A_DAY);
        }
        assert_eq!(scorer.identity_days(), 20.0);
        scorer.score(&mia, 1_003, 3.2);
        scorer.score(&ned, 1_060, 9.0);
        scorer.score(&ned, 2_000, 3.1);
        scorer.score(&ned, 2_001, 3.4);
        let at = scorer.at(3.0);
        assert_eq!((at.macro_recall, at.false_alerts), (0.5, 50.0));
        assert_eq!(at.kinds["burst"], (0.5, 2, Some(20)));
        assert_eq!(scorer.at(3.3).macro_recall, 0.0);
        assert_eq!(scorer.at_rate(0.0).threshold, 3.4f64.next_up());
    }
}
