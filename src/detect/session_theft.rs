//! `session-theft`: one credential in two places at once.
//!
//! A place is a network (/24 or /48), a path (VPC endpoint or not), an agent, and what was called: region and plane, since
//! runtime and control plane may be reached by different ways. A sitting is a run of calls from one place without half an
//! hour of quiet; two sittings are at once where they overlap, so somebody who drives from home to the office is in one
//! place after the other. An IPv4 and an IPv6 address are never compared: a machine may have both.
//!
//! | story | severity |
//! |---|---|
//! | a machine's credentials elsewhere, delivered by two versions of the metadata service | high |
//! | the same with and without a VPC endpoint, or from two networks with two agents, at once | high |
//! | the same with and without a VPC endpoint, one after the other | medium |
//! | the same in another region with another agent, at once | medium |
//! | a person's: two networks and two operating systems, or an agent without one, at once | high |
//! | two networks and two tools at once: a VPN that takes only some of them, or a thief | medium |
//! | two networks at once, one agent: an egress with several addresses, or a thief who copies the agent | low |
//! | one network, two operating systems at once | informational |
//!
//! Calls that an AWS service makes for somebody come from the service's network and are passed over.

use xxhash_rust::xxh3::xxh3_64;

use crate::bedrock::Plane;
use crate::bedrock::user_agent::{self, NO_SYSTEM};
use crate::finding::{Confidence, DetectorId, Finding, Fingerprint, Severity, Signal};
use crate::identity::Caller;
use crate::observation::Call;
use crate::state::{KeyState, Network, Place};
use crate::stats::ring::BUCKET;

use super::{Context, Judged, KeyDetector};

/// The detector. It has no settings of its own.
#[derive(Clone, Copy, Debug)]
pub struct SessionTheft;

/// Why a credential seems stolen; the worse, the higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    TwoSystems,
    TwoNetworks,
    TwoTools,
    MachineElsewhere,
    TwoNetworksTwoSystems,
    OutsideItsMachine,
}

impl Reason {
    /// Why two places of one credential cannot both be its holder's.
    fn of(caller: &Caller, a: &Place, b: &Place) -> Option<Self> {
        let both_known = a.network.is_comparable(&b.network);
        let is_elsewhere = both_known && a.network != b.network || a.by_endpoint != b.by_endpoint;
        let (is_same_way, at_once) = (a.scope == b.scope, a.overlaps(b));
        if caller.is_machine {
            return match () {
                () if !is_elsewhere => None,
                () if a.delivery != b.delivery => Some(Self::OutsideItsMachine),
                () if is_same_way && at_once && (a.by_endpoint != b.by_endpoint || a.agent != b.agent) => Some(Self::OutsideItsMachine),
                () if is_same_way && a.by_endpoint != b.by_endpoint => Some(Self::MachineElsewhere),
                () if !is_same_way && at_once && a.agent != b.agent => Some(Self::MachineElsewhere),
                () if is_same_way && at_once => Some(Self::TwoNetworks),
                () => None,
            };
        }
        if !at_once || !is_same_way {
            return None;
        }
        let other_system = a.system != b.system && a.agent != b.agent;
        match (is_elsewhere, a.agent != b.agent) {
            (true, _) if other_system => Some(Self::TwoNetworksTwoSystems),
            (true, true) => Some(Self::TwoTools),
            (true, false) => Some(Self::TwoNetworks),
            (false, _) if other_system && a.system != NO_SYSTEM && b.system != NO_SYSTEM => Some(Self::TwoSystems),
            (false, _) => None,
        }
    }

    const fn severity(self) -> Severity {
        match self {
            Self::TwoSystems => Severity::Informational,
            Self::TwoNetworks => Severity::Low,
            Self::TwoTools | Self::MachineElsewhere => Severity::Medium,
            Self::TwoNetworksTwoSystems | Self::OutsideItsMachine => Severity::High,
        }
    }

    const fn confidence(self) -> Confidence {
        match self {
            Self::TwoSystems | Self::TwoNetworks | Self::TwoTools => Confidence::Low,
            Self::TwoNetworksTwoSystems | Self::MachineElsewhere => Confidence::Medium,
            Self::OutsideItsMachine => Confidence::High,
        }
    }

    const fn spoken(self) -> &'static str {
        match self {
            Self::TwoSystems => "on two operating systems at once",
            Self::TwoNetworks => "from two networks at once",
            Self::TwoTools => "from two networks with two tools at once",
            Self::TwoNetworksTwoSystems => "from two networks on two systems at once",
            Self::MachineElsewhere | Self::OutsideItsMachine => "outside its own machine",
        }
    }
}

fn fingerprint(call: &Call) -> Fingerprint {
    Fingerprint::of(DetectorId::SessionTheft, &[call.caller.credential()])
}

impl KeyDetector for SessionTheft {
    fn judge_key(&self, judged: &Judged<'_>, key: &mut KeyState, _context: &Context<'_>, out: &mut Vec<Signal>) {
        let (caller, invocation) = (&judged.call.caller, &judged.call.invocation);
        // A key that many programs share (long-lived, bearer) is in many places by its nature: unattributed lists it.
        if caller.invoked_by.is_some() || !caller.has_temporary_key() || invocation.with_bearer_token {
            return;
        }
        let Some(network) = Network::of(&invocation.source_ip) else { return };
        let agent = &invocation.user_agent;
        let seen = Place {
            network,
            by_endpoint: invocation.vpc_endpoint.is_some(),
            agent: agent.tool_hash,
            system: agent.system_hash,
            scope: xxh3_64(invocation.region.as_bytes()) ^ u64::from(invocation.operation.plane == Plane::Control),
            delivery: caller.metadata_version,
            first: invocation.time,
            last: invocation.time,
        };
        let here = key.visit(seen);
        let others = key.places.iter().filter(|place| **place != here);
        let Some((reason, other)) = others
            .filter_map(|other| Some((Reason::of(caller, &here, other)?, *other)))
            .max_by_key(|(reason, other)| (*reason, other.last))
        else {
            return;
        };
        let slot = u8::try_from(invocation.time.slot(BUCKET).rem_euclid(256)).unwrap_or(0);
        let said = (reason as u8) + 1;
        // News: a worse reason than before, or the same a while later.
        if said < key.thefts_said || (said == key.thefts_said && slot == key.theft_slot) {
            return;
        }
        (key.thefts_said, key.theft_slot) = (said, slot);
        out.push(Signal::Finding(Box::new(finding(judged, reason, &other))));
    }

    fn enrich(&self, judged: &Judged<'_>, key: &KeyState, out: &mut Vec<Signal>) {
        if key.thefts_said > 0 {
            out.push(Signal::Enrichment(Box::new(judged.enrichment(fingerprint(judged.call)))));
        }
    }
}

fn finding(judged: &Judged<'_>, reason: Reason, other: &Place) -> Finding {
    let invocation = &judged.call.invocation;
    let (agent, _) = user_agent::tool_and_system(&invocation.user_agent.text);
    let mut finding = judged.finding(DetectorId::SessionTheft, fingerprint(judged.call));
    finding.severity = reason.severity();
    finding.confidence = reason.confidence();
    finding.channel = reason.spoken().to_owned();
    finding.title = format!("Credential used {}: {}", reason.spoken(), finding.who.spoken());
    let path = |by_endpoint: bool| if by_endpoint { " through a VPC endpoint" } else { "" };
    finding.explanation = format!(
        "Key {} of {} was used {}: {} from {}{} with {}, and calls from {}{} between {} and {}.",
        judged.call.caller.access_key_id,
        finding.who.spoken(),
        reason.spoken(),
        invocation.spoken(),
        invocation.source_ip,
        path(invocation.vpc_endpoint.is_some()),
        if agent.is_empty() { "no user agent" } else { &agent },
        other.network,
        path(other.by_endpoint),
        other.first,
        other.last,
    );
    finding.onset = finding.onset.min(other.first);
    finding.techniques.extend(["T1078.004", "T1550.001"].map(str::to_owned));
    finding
}
