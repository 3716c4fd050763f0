//! `perimeter`: a call that did not come through the expected VPC endpoint, with the expected TLS version or in an
//! expected region.
//!
//! Nothing is expected until `[detect.perimeter]` says so. Calls that an AWS service makes for somebody come from the
//! service's own network and are passed over. One finding for each credential, reason and five minutes.

use ipnet::IpNet;

use crate::finding::{DetectorId, Fingerprint, Severity, Signal};
use crate::observation::Call;
use crate::state::KeyState;
use crate::stats::ring::BUCKET;

use super::{Context, Judged, KeyDetector};

/// What is expected of every call; an empty list expects nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PerimeterSettings {
    /// Ids of VPC endpoints.
    pub vpc_endpoints: Vec<String>,
    /// Networks from which a call may come without an endpoint.
    pub networks: Vec<IpNet>,
    /// Regions.
    pub regions: Vec<String>,
    /// Lowest TLS version: (1, 2) is TLSv1.2.
    pub tls_min: Option<(u32, u32)>,
}

impl PerimeterSettings {
    /// Whether nothing is expected.
    pub fn is_empty(&self) -> bool {
        self.vpc_endpoints.is_empty() && self.networks.is_empty() && self.regions.is_empty() && self.tls_min.is_none()
    }
}

/// Reads `1.2` or `TLSv1.2`.
pub fn tls_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.strip_prefix("TLSv").unwrap_or(text).split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The detector.
#[derive(Clone, Debug)]
pub struct Perimeter {
    settings: PerimeterSettings,
}

const REASONS: [&str; 3] = ["path", "region", "TLS"];

impl Perimeter {
    /// A detector with these settings.
    pub const fn new(settings: PerimeterSettings) -> Self {
        Self { settings }
    }

    /// What is wrong with a call, by reason.
    fn faults(&self, call: &Call) -> [Option<String>; 3] {
        let (invocation, settings) = (&call.invocation, &self.settings);
        let watches_path = !settings.vpc_endpoints.is_empty() || !settings.networks.is_empty();
        let by_endpoint = invocation.vpc_endpoint.as_ref();
        let is_expected = by_endpoint.is_some_and(|id| settings.vpc_endpoints.iter().any(|expected| **expected == **id));
        let address = invocation.source_ip.parse::<std::net::IpAddr>().ok().map(|address| address.to_canonical());
        let is_known_network =
            by_endpoint.is_none() && address.is_some_and(|address| settings.networks.iter().any(|net| net.contains(&address)));
        let path = match by_endpoint {
            Some(id) => format!("through VPC endpoint {id}, which is not an expected one"),
            None => format!("from {}, not through an expected VPC endpoint or network", invocation.source_ip),
        };
        // Where only networks are expected, an endpoint is a way from inside like any other.
        let is_expected = is_expected || (settings.vpc_endpoints.is_empty() && by_endpoint.is_some());
        let wrong_path = watches_path && !is_expected && !is_known_network && (address.is_some() || by_endpoint.is_some());
        let wrong_region = !settings.regions.is_empty() && !settings.regions.iter().any(|region| **region == *invocation.region);
        let version = invocation.tls.as_deref().and_then(tls_version);
        let wrong_tls = settings.tls_min.zip(version).is_some_and(|(least, version)| version < least);
        [
            wrong_path.then_some(path),
            wrong_region.then(|| format!("in {}, which is not an expected region", invocation.region)),
            wrong_tls.then(|| format!("with {}", invocation.tls.as_deref().unwrap_or("an old TLS version"))),
        ]
    }
}

fn fingerprint(call: &Call) -> Fingerprint {
    Fingerprint::of(DetectorId::Perimeter, &[call.caller.credential()])
}

impl KeyDetector for Perimeter {
    fn judge_key(&self, judged: &Judged<'_>, key: &mut KeyState, _context: &Context<'_>, out: &mut Vec<Signal>) {
        let invocation = &judged.call.invocation;
        if judged.call.caller.invoked_by.is_some() {
            return;
        }
        key.last = key.last.max(invocation.time);
        let slot = invocation.time.slot(BUCKET);
        let faults = self.faults(judged.call);
        key.outside_calls += u64::from(faults.iter().any(Option::is_some));
        for (index, fault) in faults.into_iter().enumerate() {
            let Some(fault) = fault else { continue };
            key.outside[index] = key.outside[index].saturating_add(1);
            if key.outside[index] > 1 && key.outside_said[index] == slot {
                continue;
            }
            key.outside_said[index] = slot;
            let mut finding = judged.finding(DetectorId::Perimeter, fingerprint(judged.call));
            let is_refused = invocation.outcome.denial().is_some();
            finding.severity = if is_refused { Severity::Low } else { Severity::Medium };
            finding.channel = REASONS[index].to_owned();
            finding.title = format!("Outside the perimeter: {}", finding.who.spoken());
            let verb = if is_refused { "was refused" } else { "called" };
            finding.explanation = format!("{} {verb} {} {fault}.", finding.who.spoken(), invocation.name);
            finding.story_events = Some(key.outside_calls);
            finding.techniques.push("T1078.004".to_owned());
            out.push(Signal::Finding(Box::new(finding)));
        }
    }

    fn enrich(&self, judged: &Judged<'_>, key: &KeyState, out: &mut Vec<Signal>) {
        if key.outside != [0; 3] {
            out.push(Signal::Enrichment(Box::new(judged.enrichment(fingerprint(judged.call)))));
        }
    }
}
