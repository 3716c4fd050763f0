//! Two configurations on the same data: which alerts would be gained, lost and kept?

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use super::Outcome;
use crate::backtest::Said;
use crate::baseline::FleetSettings;
use crate::baseline::profile::BUCKETS_A_DAY;
use crate::stats::ring::BUCKET;
use crate::time::{DAY, EventTime};

/// Rows of each list that are shown.
const SHOWN_MAX: usize = 20;

/// Whom an alert is about and on which day: what stays the same when numbers move a little.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alerted {
    /// Number of the day.
    pub day: i64,
    /// An identity, or a group with its name in front.
    pub about: Arc<str>,
    /// The channel.
    pub channel: &'static str,
}

impl Alerted {
    /// The alert that is said, if one is.
    pub fn of(said: &Said) -> Option<Self> {
        match said {
            Said::Score(_) => None,
            Said::Alert(raised) => Some(Self {
                day: raised.slot.div_euclid(BUCKETS_A_DAY),
                about: Arc::clone(&raised.identity),
                channel: raised.channel.label(),
            }),
            Said::Campaign(campaign) => Some(Self {
                day: campaign.hour.div_euclid(DAY / 3_600),
                about: format!("group {}", campaign.cohort.0.as_deref().unwrap_or("?")).into(),
                channel: "group-campaign",
            }),
        }
    }
}

/// Days with an alert, each once.
fn days(outcome: &Outcome) -> BTreeSet<(i64, Arc<str>)> {
    outcome.alerted.iter().map(|alerted| (alerted.day, Arc::clone(&alerted.about))).collect()
}

/// The comparison as text.
pub fn table(first: &Outcome, first_settings: &FleetSettings, second: &Outcome, second_settings: &FleetSettings) -> String {
    let (before, after) = (days(first), days(second));
    let gained: Vec<_> = after.difference(&before).collect();
    let lost: Vec<_> = before.difference(&after).collect();
    let kept = before.intersection(&after).count();
    let spent = |outcome: &Outcome| 1_000.0 * outcome.counts.alerted_days as f64 / outcome.counts.live_identity_days.max(1) as f64;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "                     first   second");
    let _ = writeln!(
        text,
        "budget asked       {:>7.2}  {:>7.2}   per 1,000 identity-days",
        first_settings.budget * 1e3,
        second_settings.budget * 1e3
    );
    let _ = writeln!(text, "alerted            {:>7.2}  {:>7.2}   per 1,000 identity-days, attacks included", spent(first), spent(second));
    let _ = writeln!(text, "days with an alert {:>7}  {:>7}", before.len(), after.len());
    let _ = writeln!(text, "kept {kept}, gained {}, lost {}", gained.len(), lost.len());
    for (sign, list) in [('+', gained), ('-', lost)] {
        for (day, about) in list.iter().take(SHOWN_MAX) {
            let date = EventTime::from_unix(day * BUCKETS_A_DAY * BUCKET).to_string();
            let _ = writeln!(text, "{sign} {} {about}", &date[..10]);
        }
        if list.len() > SHOWN_MAX {
            let _ = writeln!(text, "{sign} … and {} more", list.len() - SHOWN_MAX);
        }
    }
    text
}
