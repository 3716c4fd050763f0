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
    section.number("unknown_share", 0.0..1.0).inspect(|share| settings.engine.unknown_share_max = *share);
    if files.documents.is_empty()
        && files.roles.is_empty()
        && !(files.boundaries.is_empty() && files.role_boundaries.is_empty() && files.control.is_empty())
    {
        section.mistake("documents", "is missing, and boundaries and SCPs alone allow nothing", "name the policies of the roles");
    }
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
    settings.tls_min = section.choice("tls_min", "\"1.2\", \"1.3\"", tls_version);
    settings
}
