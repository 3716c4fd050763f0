//! The sections `[policy]` and `[detect.perimeter]`.

use ipnet::IpNet;

use super::Settings;
use super::reader::Section;
use crate::detect::PerimeterSettings;
use crate::detect::perimeter::tls_version;

/// Files with policy documents, as patterns: `*` and `?` in the last part of a path. Relative to the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFiles {
    /// Attached to every role.
    pub documents: Vec<String>,
    /// Attached to roles whose name or ARN matches a pattern.
    pub roles: Vec<(String, Vec<String>)>,
    /// Permissions boundaries of every role.
    pub boundaries: Vec<String>,
    /// Permissions boundaries of roles by pattern.
    pub role_boundaries: Vec<(String, Vec<String>)>,
    /// Service control policies by the name of their level (root, unit, account).
    pub control: Vec<(String, Vec<String>)>,
    /// A table of inference profiles in the place of the shipped one.
    pub profiles: Option<String>,
    /// Whether roles may have tags of their own, which CloudTrail never shows.
    pub roles_are_tagged: bool,
    /// Condition keys that have one value in every call.
    pub context: Vec<(String, String)>,
}

impl Default for PolicyFiles {
    fn default() -> Self {
        Self {
            documents: Vec::new(),
            roles: Vec::new(),
            boundaries: Vec::new(),
            role_boundaries: Vec::new(),
            control: Vec::new(),
            profiles: None,
            roles_are_tagged: true,
            context: Vec::new(),
        }
    }
}

pub(super) fn read(section: &mut Section<'_, '_>, settings: &mut Settings) {
    let files = &mut settings.policy;
    files.documents = section.texts("documents").unwrap_or_default();
    files.boundaries = section.texts("boundaries").unwrap_or_default();
    files.roles = section.lists("roles");
    files.role_boundaries = section.lists("role_boundaries");
    files.control = section.lists("scps");
    files.profiles = section.text("profiles");
    files.context = section.pairs("context");
    if let Some(are_tagged) = section.choice("role_tags", "\"unknown\", \"none\"", |text| match text {
        "unknown" => Some(true),
        "none" => Some(false),
        _ => None,
    }) {
        files.roles_are_tagged = are_tagged;
    }
    for (key, _) in &files.context {
        if !key.contains(':') || key.to_lowercase().starts_with("aws:principaltag/") {
            section.mistake("context", format!("\"{key}\" is not the same in every call"), "give keys such as \"aws:PrincipalOrgID\"");
        }
    }
    for (key, lists) in [("roles", &files.roles), ("role_boundaries", &files.role_boundaries), ("scps", &files.control)] {
        for (name, _) in lists.iter().filter(|(_, names)| names.is_empty()) {
            section.mistake(key, format!("\"{name}\" lists no file, and so would allow nothing"), "list files, or remove it");
        }
    }
    section.number("unknown_share", 0.0..1.000_001).inspect(|share| settings.engine.unknown_share_max = *share);
    if files.documents.is_empty()
        && files.roles.is_empty()
        && !(files.boundaries.is_empty() && files.role_boundaries.is_empty() && files.control.is_empty())
    {
        section.mistake("documents", "is missing, and boundaries and SCPs alone allow nothing", "name the policies of the roles");
    }
}

/// `eu-central-1`, `us-gov-west-1`.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let is_word = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    parts.len() >= 3 && parts[..parts.len() - 1].iter().all(is_word) && parts.last().is_some_and(|last| last.parse::<u8>().is_ok())
}

pub(super) fn read_perimeter(section: &mut Section<'_, '_>) -> PerimeterSettings {
    let mut settings = PerimeterSettings {
        vpc_endpoints: section.texts("vpc_endpoints").unwrap_or_default(),
        regions: section.texts("regions").unwrap_or_default(),
        ..PerimeterSettings::default()
    };
    for id in settings.vpc_endpoints.iter().filter(|id| !id.starts_with("vpce-")) {
        section.mistake("vpc_endpoints", format!("\"{id}\" is no VPC endpoint"), "write ids such as \"vpce-0123456789abcdef0\"");
    }
    for text in section.texts("networks").unwrap_or_default() {
        match text.parse::<IpNet>() {
            Ok(network) => settings.networks.push(network),
            Err(_) => section.mistake("networks", format!("\"{text}\" is no network"), "write it as \"10.0.0.0/8\""),
        }
    }
    for region in settings.regions.iter().filter(|region| !is_region(region)) {
        section.mistake("regions", format!("\"{region}\" is no region"), "write it as \"eu-central-1\"");
    }
    let known = |text: &str| tls_version(text).filter(|version| [(1, 2), (1, 3)].contains(version));
    settings.tls_min = section.choice("tls_min", "\"1.2\", \"1.3\"", known);
    settings
}
