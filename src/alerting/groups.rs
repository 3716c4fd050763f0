//! Group incidents: several actors of one department that are unusual at once are one incident, not a page each.
//!
//! What was published keeps its ids: the first two alerts are linked to the group's incident when the third opens it, and
//! all later ones belong to it.

use std::sync::Arc;

use super::{Alerting, Digest128, Finding, Subject};
use crate::finding::DetectorId;
use crate::time::DAY;

/// Actors from which they are a group.
const ACTORS_MIN: usize = 3;

/// Whether a detector's alerts make groups: those that compare with what is usual, which a launch or a campaign moves for
/// many at once.
const fn makes_groups(detector: DetectorId) -> bool {
    matches!(detector, DetectorId::InvocationSpike | DetectorId::TokenSpend)
}

/// The group that `finding` would open an alert in.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) subject: Subject,
    /// Actors of it, the finding's own among them.
    actors: usize,
    department: Arc<str>,
}

impl Alerting {
    /// The group whose incident an alert about `finding` belongs to.
    pub(super) fn group_of(&self, finding: &Finding) -> Option<Group> {
        let department = finding.who.department.name().filter(|_| makes_groups(finding.detector))?;
        let mut actors: Vec<_> = self
            .open
            .values()
            .filter(|open| makes_groups(open.alert.detector) && open.alert.who.department.name() == Some(department))
            .map(|open| &open.alert.who.actor)
            .chain([&finding.who.actor])
            .collect();
        actors.sort_unstable();
        actors.dedup();
        let is_one = actors.len() >= ACTORS_MIN;
        is_one.then(|| Group { subject: Subject::Group(department.to_string()), actors: actors.len(), department: Arc::clone(department) })
    }

    /// The id of a group's incident: the same whoever of its actors came third.
    pub(super) fn group_incident(finding: &Finding, subject: &Subject) -> Digest128 {
        Digest128::of(&[b"incident", subject.text().as_bytes(), &finding.onset.slot(DAY).to_le_bytes()])
    }

    /// Links the alerts that were open before to the group's incident.
    pub(super) fn link_group(&mut self, group: &Group, incident: Digest128) {
        let is_of_it =
            |open: &&mut super::OpenAlert| makes_groups(open.alert.detector) && open.alert.who.department.name() == Some(&group.department);
        for open in self.open.values_mut().filter(is_of_it) {
            if open.alert.incident_id != incident && !open.alert.linked_incidents.contains(&incident) {
                open.alert.linked_incidents.push(incident);
                open.is_due = true;
            }
        }
    }
}

impl Group {
    /// What the alert says of it.
    pub(super) fn remark(&self) -> String {
        format!(" With it {} actors of {} are unusual at once: one incident.", self.actors, self.department)
    }
}
