//! The detectors: each one file, each blind to everything but the call, the state of its actor and its own settings.
//!
//! Two taps feed them. The **instant tap** sees a refused call before any waiting, by its credential. The **attributed
//! tap** sees every call once it is settled who made it, by its actor. A detector keeps nothing itself: all memory is in
//! [`crate::state`]. Only [`blind_spot`] sees no call: it is told what geophone itself has missed.
//!
//! To add one, follow the recipe in CONTRIBUTING.md.

pub mod access_denied;
pub mod blind_spot;
pub mod cross_department;
pub mod first_seen;
pub mod invocation_spike;
pub mod offboarded;
pub mod perimeter;
pub mod session_theft;
pub mod token_spend;
pub mod unattributed;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::baseline::{CohortId, Fleet, FleetSettings};
use crate::bedrock::{PriceTable, Tokens};
use crate::finding::{DetectorId, Enrichment, Finding, Fingerprint, Severity, Signal, Who};
use crate::identity::{Attribution, Removal};
use crate::observation::Call;
use crate::policy::Ruling;
use crate::sigma::Rule;
use crate::state::{ActorState, Counted, CredentialState, DepartmentUses, KeyState};

pub use access_denied::AccessDenied;
pub use blind_spot::Blindness;
pub use cross_department::CrossDepartment;
pub use first_seen::{FirstSeen, FirstSeenSettings};
pub use invocation_spike::InvocationSpike;
pub use offboarded::Offboarded;
pub use perimeter::{Perimeter, PerimeterSettings};
pub use session_theft::SessionTheft;
pub use token_spend::TokenSpend;
pub use unattributed::Unattributed;

/// What becomes of a detector's findings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They page.
    #[default]
    Page,
    /// They are recorded, and page nobody.
    Report,
    /// They are not made.
    Off,
}

impl Mode {
    /// The mode that `text` names.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "page" => Some(Self::Page),
            "report" => Some(Self::Report),
            "off" => Some(Self::Off),
            _ => None,
        }
    }
}

/// A call before a detector.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// The call.
    pub call: &'a Call,
    /// Who made it, as far as it is settled.
    pub who: &'a Attribution,
    /// What policy says about it.
    pub ruling: &'a Ruling,
    /// The removal that its session has outlived.
    pub removal: Option<&'a Removal>,
    /// Tokens of the call, where its record or its companion has them by now.
    pub tokens: Option<Tokens>,
    /// Whether the event has a time of its own and came within lateness. Nothing is learned from others.
    pub trusted: bool,
    /// At the attributed tap: the instant tap saw this call before it was settled who made it.
    pub was_pending: bool,
}

impl<'a> Judged<'a> {
    /// A call of which nothing else is known.
    pub const fn plain(call: &'a Call, who: &'a Attribution) -> Self {
        Self { call, who, ruling: Ruling::NONE, removal: None, tokens: None, trusted: true, was_pending: false }
    }

    /// A finding of `detector` about the call, with what policy says about it; the detector fills in the rest.
    pub fn finding(&self, detector: DetectorId, fingerprint: Fingerprint) -> Finding {
        Finding { policy: self.ruling.verdict.clone(), ..Finding::about(detector, self.call, self.who, fingerprint) }
    }

    /// Who it was, for an alert that was opened before that was settled.
    pub fn enrichment(&self, fingerprint: Fingerprint) -> Enrichment {
        Enrichment {
            fingerprint,
            who: Who::new(&self.call.caller, self.who),
            policy: self.ruling.verdict.clone(),
            severity: Severity::Informational,
            remark: None,
            time: self.call.invocation.time,
        }
    }
}

/// What detectors may read besides: things that change only at closed intervals.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Peers, calibration and crowds.
    pub fleet: &'a Fleet,
    /// The cohort of the call's department.
    pub cohort: CohortId,
    /// What tokens cost.
    pub prices: &'a PriceTable,
    /// What counting the call came to; empty before the attributed tap.
    pub counted: &'a Counted,
}

/// A detector at the instant tap.
pub trait InstantDetector: fmt::Debug + Send + Sync {
    /// Judges a refused call.
    fn judge_instantly(&self, judged: &Judged<'_>, credential: &mut CredentialState, context: &Context<'_>, out: &mut Vec<Signal>);
}

/// A detector at the instant tap that sees every call by its credential.
pub trait KeyDetector: fmt::Debug + Send + Sync {
    /// Judges a call.
    fn judge_key(&self, judged: &Judged<'_>, key: &mut KeyState, context: &Context<'_>, out: &mut Vec<Signal>);

    /// A call that was pending is settled: adds who it was to what was said about its credential.
    fn enrich(&self, judged: &Judged<'_>, key: &KeyState, out: &mut Vec<Signal>);
}

/// A detector at the attributed tap.
pub trait Detector: fmt::Debug + Send + Sync {
    /// Judges a call of a known actor.
    fn judge(&self, judged: &Judged<'_>, actor: &mut ActorState, context: &Context<'_>, out: &mut Vec<Signal>);
}

/// All detectors that are switched on, in the order in which they speak.
#[derive(Debug)]
pub struct Detectors {
    /// At the instant tap.
    pub instant: Vec<Box<dyn InstantDetector>>,
    /// At the instant tap, every call.
    pub keys: Vec<Box<dyn KeyDetector>>,
    /// At the attributed tap.
    pub attributed: Vec<Box<dyn Detector>>,
    /// At the attributed tap, and again when a call's tokens come.
    pub spending: Vec<Box<dyn Detector>>,
    firsts: bool,
    offboarded: bool,
}

/// Settings of all detectors.
#[derive(Clone, Debug)]
pub struct DetectorSettings {
    /// Modes that differ from the default: `report` for `first-seen`, `page` for all others.
    pub modes: HashMap<DetectorId, Mode>,
    /// Settings of `invocation-spike` and `token-spend`.
    pub spike: FleetSettings,
    /// Settings of `first-seen`.
    pub first_seen: FirstSeenSettings,
    /// What tokens cost.
    pub prices: Arc<PriceTable>,
    /// Modes of rules by id or name, where they differ from `page`.
    pub rule_modes: HashMap<String, Mode>,
    /// For how many seconds a story of a rule is not told again, by id or name.
    pub rule_suppressions: HashMap<String, i64>,
    /// Settings of `perimeter`.
    pub perimeter: PerimeterSettings,
}

impl Default for DetectorSettings {
    fn default() -> Self {
        Self {
            modes: HashMap::new(),
            spike: FleetSettings::default(),
            first_seen: FirstSeenSettings::default(),
            prices: Arc::new(PriceTable::shipped()),
            rule_modes: HashMap::new(),
            rule_suppressions: HashMap::new(),
            perimeter: PerimeterSettings::default(),
        }
    }
}

impl DetectorSettings {
    /// The mode of a detector.
    pub fn mode(&self, detector: DetectorId) -> Mode {
        // Every company has new things every day: they are for whoever looks, not for whoever is woken.
        let default = if detector == DetectorId::FirstSeen { Mode::Report } else { Mode::Page };
        self.modes.get(&detector).copied().unwrap_or(default)
    }
}

impl DetectorSettings {
    /// The mode of a rule.
    pub fn rule_mode(&self, rule: &Rule) -> Mode {
        let own = self.rule_modes.get(&*rule.id).or_else(|| self.rule_modes.get(&*rule.name));
        own.copied().unwrap_or_else(|| self.mode(DetectorId::Sigma))
    }

    /// For how many seconds a story of a rule is not told again.
    pub fn rule_suppression(&self, rule: &Rule) -> Option<i64> {
        self.rule_suppressions.get(&*rule.id).or_else(|| self.rule_suppressions.get(&*rule.name)).copied()
    }
}

impl Detectors {
    /// The table of all detectors.
    pub fn new(settings: &DetectorSettings) -> Self {
        let on = |detector| settings.mode(detector) != Mode::Off;
        let mut detectors = Self {
            instant: Vec::new(),
            keys: Vec::new(),
            attributed: Vec::new(),
            spending: Vec::new(),
            firsts: on(DetectorId::CrossDepartment),
            offboarded: on(DetectorId::Offboarded),
        };
        if on(DetectorId::AccessDenied) {
            detectors.instant.push(Box::new(AccessDenied));
            detectors.attributed.push(Box::new(AccessDenied));
        }
        if on(DetectorId::CrossDepartment) {
            detectors.attributed.push(Box::new(CrossDepartment));
        }
        if on(DetectorId::FirstSeen) {
            detectors.attributed.push(Box::new(FirstSeen { settings: settings.first_seen }));
        }
        if on(DetectorId::InvocationSpike) {
            detectors.attributed.push(Box::new(InvocationSpike));
        }
        if on(DetectorId::Offboarded) {
            detectors.attributed.push(Box::new(Offboarded));
        }
        if on(DetectorId::Perimeter) && !settings.perimeter.is_empty() {
            detectors.keys.push(Box::new(Perimeter::new(settings.perimeter.clone())));
        }
        if on(DetectorId::SessionTheft) {
            detectors.keys.push(Box::new(SessionTheft));
        }
        if on(DetectorId::TokenSpend) {
            detectors.spending.push(Box::new(TokenSpend { prices: Arc::clone(&settings.prices) }));
        }
        if on(DetectorId::Unattributed) {
            detectors.attributed.push(Box::new(Unattributed));
        }
        detectors
    }

    /// Whether `cross-department` is on.
    pub const fn watches_departments(&self) -> bool {
        self.firsts
    }

    /// What is a department's and not an actor's: its first use of a model.
    pub fn judge_department(&self, judged: &Judged<'_>, uses: &mut DepartmentUses, out: &mut Vec<Signal>) {
        if self.firsts {
            cross_department::judge_first(judged, uses, out);
        }
    }

    /// A removal turned up after a call that it concerns.
    pub fn judge_removal(&self, judged: &Judged<'_>, out: &mut Vec<Signal>) {
        if self.offboarded {
            offboarded::judge(judged, out);
        }
    }
}
