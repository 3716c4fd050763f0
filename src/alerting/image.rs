//! Open alerts as a value: what a snapshot keeps, and what is made of it after a restart, a split or a merge.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::acknowledged::Acknowledgement;
use super::{Alert, Alerting, OpenAlert, Recalled, Subject};
use crate::finding::{Digest128, Fingerprint};
use crate::time::EventTime;

/// What a snapshot keeps of the alerts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AlertingImage {
    open: Vec<(Fingerprint, OpenAlert)>,
    incidents: Vec<(Subject, (Digest128, u32))>,
    /// Published before a crash and not opened again yet: a second crash must not forget them.
    recalled: Vec<(Fingerprint, Recalled)>,
    resolved: Vec<(Fingerprint, (EventTime, u64))>,
    acknowledged: Vec<Acknowledgement>,
}

impl AlertingImage {
    /// Leaves out the alerts that `is_mine` does not hold for, and the incidents that nothing is left of.
    pub fn narrow(&mut self, is_mine: impl Fn(&Alert) -> bool) {
        let mut gone: BTreeMap<Subject, u32> = BTreeMap::new();
        self.open.retain(|(_, open)| {
            let stays = is_mine(&open.alert);
            if !stays {
                for subject in [Some(&open.subject), open.linked.as_ref()].into_iter().flatten() {
                    *gone.entry(subject.clone()).or_default() += 1;
                }
            }
            stays
        });
        for (subject, (_, alerts)) in &mut self.incidents {
            *alerts = alerts.saturating_sub(gone.get(subject).copied().unwrap_or(0));
        }
        self.incidents.retain(|(_, (_, alerts))| *alerts > 0);
    }
}

impl Alerting {
    /// What a snapshot keeps.
    pub fn image(&self) -> AlertingImage {
        let mut open: Vec<_> = self.open.iter().map(|(fingerprint, open)| (*fingerprint, open.clone())).collect();
        open.sort_unstable_by_key(|(fingerprint, _)| *fingerprint);
        AlertingImage {
            open,
            incidents: self.incidents.clone().into_iter().collect(),
            recalled: self.recalled.clone().into_iter().collect(),
            resolved: self.resolved.clone().into_iter().collect(),
            acknowledged: self.acknowledged.values().cloned().collect(),
        }
    }

    /// Takes over what a snapshot kept, whose time had come to `watermark`.
    pub fn restore(&mut self, image: AlertingImage, watermark: EventTime) {
        self.revision += 1;
        self.last_sweep = watermark;
        self.open = image.open.into_iter().collect();
        self.by_last_event = self.open.iter().map(|(fingerprint, open)| (open.alert.last_event, *fingerprint)).collect();
        self.incidents = image.incidents.into_iter().collect();
        self.recalled = image.recalled.into_iter().collect();
        self.resolved = image.resolved.into_iter().collect();
        self.acknowledged = image.acknowledged.into_iter().map(|said| (said.incident, said)).collect();
    }

    /// Goes on with what another had open, too.
    pub fn absorb(&mut self, image: AlertingImage) {
        self.revision += 1;
        for (fingerprint, open) in image.open {
            if !self.open.contains_key(&fingerprint) {
                self.by_last_event.insert((open.alert.last_event, fingerprint));
                self.open.insert(fingerprint, open);
            }
        }
        for (subject, (id, alerts)) in image.incidents {
            self.incidents.entry(subject).or_insert((id, 0)).1 += alerts;
        }
        for (fingerprint, recalled) in image.recalled {
            self.recalled.entry(fingerprint).or_insert(recalled);
        }
        for (fingerprint, resolved) in image.resolved {
            self.resolved.entry(fingerprint).or_insert(resolved);
        }
        for said in image.acknowledged {
            self.acknowledged.entry(said.incident).or_insert(said);
        }
    }
}
