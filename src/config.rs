//! Settings: what the file says, checked, with every default filled.
//!
//! The file is TOML; `docs/configuration.md` lists all keys. A file with mistakes gives all of them at once, each with
//! its line and its cure, and no settings.

mod alerts;
mod archive;
mod fleet;
pub mod http;
mod policy;
mod reader;
mod stream;

use std::collections::HashSet;
use std::sync::Arc;

use crate::alerting::message::{Form, Links};
use crate::alerting::{Alert, Page, PagingSettings, Silence};
use crate::baseline::FleetSettings;
use crate::bedrock::ModelMap;
use crate::cloudtrail::Arn;
use crate::detect::Mode;
use crate::engine::EngineSettings;
use crate::finding::{DetectorId, Severity};
use crate::identity::Directory;
use crate::policy::{Attached, BookSettings, DepartmentTable, PolicyBook, ProfileTable};
use crate::sigma::UnknownFields;
use crate::time::{DAY, HOUR, MINUTE};

pub use archive::{ArchivePlace, ArchiveSettings};
pub use fleet::FleetShare;
pub use http::HttpSettings;
pub use policy::PolicyFiles;
pub use reader::Mistake;
use reader::{Section, parse_duration};
pub use stream::{Role, Start, Stream};

/// An SNS topic to publish to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its ARN.
    pub arn: String,
    /// The form of its messages.
    pub form: Form,
    /// Alerts below this severity are not sent to it.
    pub severity_min: Severity,
    /// Only those of these detectors, by name; all where it is empty.
    pub detectors: Vec<String>,
    /// Only those about these departments; all where it is empty.
    pub departments: Vec<String>,
    /// Whether pseudonyms stand in the place of people's names.
    pub pseudonyms: bool,
    /// Its region; else the ARN's.
    pub region: Option<String>,
    /// Another endpoint.
    pub endpoint: Option<String>,
}

impl Topic {
    /// Whether an alert goes to it.
    pub fn takes_alert(&self, alert: &Alert) -> bool {
        let is_listed = |list: &[String], name: &str| list.is_empty() || list.iter().any(|listed| listed == name);
        alert.severity >= self.severity_min
            && is_listed(&self.detectors, alert.detector.label())
            && is_listed(&self.departments, alert.department())
    }

    /// Whether a page goes to it. A digest goes to the people who are sent everything.
    pub fn takes(&self, page: &Page) -> bool {
        match page {
            Page::Alert(alert) => self.form.wakes_people() && self.takes_alert(alert),
            Page::Record(alert) => !self.form.wakes_people() && self.takes_alert(alert),
            Page::Digest(digest) => {
                let is_routed = !self.detectors.is_empty() || !self.departments.is_empty();
                self.form.wakes_people() && digest.severity >= self.severity_min && !is_routed
            }
        }
    }
}

/// All settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The engine's.
    pub engine: EngineSettings,
    /// Opaque model ARNs.
    pub models: Arc<ModelMap>,
    /// The directory file, for whoever reads files.
    pub directory_file: Option<String>,
    /// A folder of CloudTrail files whose grants are read at start.
    pub warm_from: Option<String>,
    /// A table of prices in the place of the shipped one, for whoever reads files.
    pub prices_file: Option<String>,
    /// Files and folders of Sigma rules, for whoever reads files.
    pub rule_paths: Vec<String>,
    /// What becomes of fields in rules that no record has.
    pub unknown_fields: UnknownFields,
    /// The `[departments]` table.
    pub departments: DepartmentTable,
    /// Policy documents, for whoever reads files.
    pub policy: PolicyFiles,
    /// Streams, in the order of the file.
    pub streams: Vec<Stream>,
    /// Topics, in the order of the file.
    pub topics: Vec<Topic>,
    /// Folder for positions, snapshots, the alert journal and dead letters.
    pub state_folder: String,
    /// Seconds between snapshots.
    pub snapshot_every: i64,
    /// Address of page, metrics and health.
    pub listen: String,
    /// Who may see the page, and how it is spoken to.
    pub http: HttpSettings,
    /// A file with the token for what changes something through the API; nothing can be changed without.
    pub token_file: Option<String>,
    /// A file with the key of pseudonyms.
    pub privacy_key_file: Option<String>,
    /// Where the enriched log is written, if at all.
    pub archive: Option<ArchiveSettings>,
    /// How this machine shares streams with others, if it does.
    pub fleet: Option<FleetShare>,
    /// Who is woken, and how often.
    pub paging: PagingSettings,
    /// Silences of the configuration.
    pub silences: Vec<Silence>,
    /// Where messages say to read on.
    pub links: Links,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            engine: EngineSettings::default(),
            models: Arc::default(),
            directory_file: None,
            warm_from: None,
            prices_file: None,
            rule_paths: Vec::new(),
            unknown_fields: UnknownFields::Refuse,
            departments: DepartmentTable::default(),
            policy: PolicyFiles::default(),
            streams: Vec::new(),
            topics: Vec::new(),
            state_folder: "state".to_owned(),
            snapshot_every: 30,
            listen: "127.0.0.1:9464".to_owned(),
            http: HttpSettings::default(),
            token_file: None,
            privacy_key_file: None,
            archive: None,
            fleet: None,
            paging: PagingSettings::default(),
            silences: Vec::new(),
            links: Links::default(),
        }
    }
}

impl Settings {
    /// Settings from the text of a file.
    ///
    /// # Errors
    /// Every mistake in the file, by line.
    pub fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        let (settings, mistakes) = reader::read(text, read_settings);
        settings.filter(|_| mistakes.is_empty()).ok_or(mistakes)
    }

    /// What a book of policies is made from, with documents and profiles as they were read.
    pub fn book(&self, attached: Attached, profiles: ProfileTable) -> BookSettings {
        BookSettings {
            attached,
            table: self.departments.clone(),
            profiles,
            department_tag: self.engine.identity.department_tag.clone(),
            roles_are_tagged: self.policy.roles_are_tagged,
            known: self.policy.context.clone(),
            roles: self.engine.identity.roles.clone(),
        }
    }

    /// Puts in the directory that [`Settings::directory_file`] names.
    pub fn with_directory(mut self, directory: Directory) -> Self {
        self.engine.directory = Arc::new(directory);
        self
    }
}

fn read_settings(root: &mut Section<'_, '_>) -> Settings {
    let mut settings = Settings::default();
    root.section("identity", |section| read_identity(section, &mut settings));
    let mut departments = Vec::new();
    root.sections("departments", |name, section| {
        let models = section.texts("models");
        section.missing("models", "list patterns such as \"anthropic.claude-*\"");
        if models.as_ref().is_some_and(Vec::is_empty) {
            section.mistake("models", "lists no model", "list patterns such as \"anthropic.claude-*\"");
        }
        departments.push((name.to_owned(), models.unwrap_or_default()));
    });
    settings.departments = DepartmentTable::new(departments);
    root.section("policy", |section| policy::read(section, &mut settings));
    settings.models = Arc::new(ModelMap::new(root.pairs("models")));
    // The documents are files; whoever reads them puts a book with them in the place of this one.
    settings.engine.policy = Arc::new(PolicyBook::new(settings.book(Attached::default(), ProfileTable::shipped())));
    root.section("detect", |section| read_detectors(section, &mut settings.engine, &mut settings.prices_file));
    root.section("rules", |section| read_rules(section, &mut settings));
    root.section("alerts", |section| {
        let alerts = &mut settings.engine.alerts;
        section.duration("resolve_after", MINUTE..30 * DAY).inspect(|seconds| alerts.resolve_after = *seconds);
        section.count("open_max", 10..1_000_001).inspect(|count| alerts.open_max = *count as usize);
        section.count("pages_per_hour", 1..100_001).inspect(|count| settings.paging.hourly = *count as usize);
        settings.links.runbooks = alerts::read_url(section, "runbooks");
    });
    root.section("time", |section| {
        // The ring of counts reaches two hours back: an hour's window and an hour of lateness and waiting together.
        section.duration("lateness", 0..30 * MINUTE + 1).inspect(|seconds| settings.engine.lateness = *seconds);
        section.duration("join_wait", 0..30 * MINUTE + 1).inspect(|seconds| settings.engine.join_wait = *seconds);
        section.duration("grant_lifetime", 12 * HOUR..8 * DAY).inspect(|seconds| settings.engine.grant_lifetime = *seconds);
    });
    root.section("limits", |section| read_limits(section, &mut settings.engine));
    root.section("state", |section| {
        section.text("folder").inspect(|folder| settings.state_folder.clone_from(folder));
        section.duration("snapshot_every", 1..HOUR).inspect(|seconds| settings.snapshot_every = *seconds);
    });
    root.section("http", |section| http::read(section, &mut settings));
    settings.archive = root.section("archive", archive::read).flatten();
    settings.fleet = root.section("fleet", fleet::read).flatten();
    root.section("privacy", |section| settings.privacy_key_file = section.text("key_file"));
    let (mut names, mut arns) = (HashSet::new(), HashSet::new());
    root.list("streams", |section| settings.streams.extend(stream::read(section, &mut names)));
    root.list("topics", |section| settings.topics.extend(read_topic(section, &mut arns)));
    root.list("silences", |section| settings.silences.extend(alerts::read_silence(section)));
    stream::check_shares(root, &settings);
    if settings.privacy_key_file.is_none() && settings.topics.iter().any(|topic| topic.pseudonyms) {
        root.mistake("privacy", "a topic wants pseudonyms, and there is no key", "set [privacy] key_file");
    }
    settings
}

fn read_identity(section: &mut Section<'_, '_>, settings: &mut Settings) {
    let identity = &mut settings.engine.identity;
    section.text("department_tag").inspect(|tag| identity.department_tag.clone_from(tag));
    section.texts("person_tags").inspect(|tags| identity.person_tags.clone_from(tags));
    settings.directory_file = section.text("directory");
    settings.warm_from = section.text("warm_from");
    identity.roles = section.pairs("roles");
    identity.accounts = section.pairs("accounts");
    for (account, _) in &identity.accounts {
        if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            section.mistake("accounts", format!("\"{account}\" is no account id"), "write the 12 digits of the account");
        }
    }
}

fn read_detectors(section: &mut Section<'_, '_>, engine: &mut EngineSettings, prices_file: &mut Option<String>) {
    for detector in DetectorId::ALL {
        section.section(detector.label(), |section| {
            if let Some(mode) = section.choice("mode", "\"page\", \"report\", \"off\"", Mode::parse) {
                engine.detectors.modes.insert(detector, mode);
            }
            if detector == DetectorId::Perimeter {
                engine.detectors.perimeter = policy::read_perimeter(section);
            }
            if detector == DetectorId::InvocationSpike {
                let fleet: &mut FleetSettings = &mut engine.detectors.spike;
                section.number("budget", 0.001..500.0).inspect(|budget| fleet.budget = *budget / 1_000.0);
                section.number("newcomer_bonus", 0.0..3.0).inspect(|bonus| fleet.newcomer_bonus = *bonus);
                section.count("learning_days", 1..366).inspect(|days| fleet.learning_days = *days as u32);
                section.number("campaign_deviations", 1.0..100.0).inspect(|least| fleet.campaign_deviations = *least);
            }
            if detector == DetectorId::TokenSpend {
                let fleet: &mut FleetSettings = &mut engine.detectors.spike;
                section.number("budget", 0.001..500.0).inspect(|budget| fleet.spend_budget = *budget / 1_000.0);
                section.number("floor", 0.01..10_000.0).inspect(|dollars| fleet.spend_floor = *dollars);
                *prices_file = section.text("prices");
            }
            if detector == DetectorId::FirstSeen {
                let first_seen = &mut engine.detectors.first_seen;
                section.number("days", 1.0..10_000.0).inspect(|days| first_seen.days = *days);
                section.count("history", 1..366).inspect(|days| first_seen.history = *days as u16);
            }
        });
    }
}

fn read_rules(section: &mut Section<'_, '_>, settings: &mut Settings) {
    settings.rule_paths = section.texts("paths").unwrap_or_default();
    let words = "\"refuse\", \"accept\"";
    section
        .choice("unknown_fields", words, |text| match text {
            "refuse" => Some(UnknownFields::Refuse),
            "accept" => Some(UnknownFields::Accept),
            _ => None,
        })
        .inspect(|chosen| settings.unknown_fields = *chosen);
    let detectors = &mut settings.engine.detectors;
    for (rule, mode) in section.pairs("modes") {
        match Mode::parse(&mode) {
            Some(mode) => {
                detectors.rule_modes.insert(rule, mode);
            }
            None => section.mistake("modes", format!("\"{mode}\" is not known"), "choose one of \"page\", \"report\", \"off\""),
        }
    }
    for (rule, text) in section.pairs("suppress") {
        match parse_duration(&text).filter(|seconds| (MINUTE..=30 * DAY).contains(seconds)) {
            Some(seconds) => {
                detectors.rule_suppressions.insert(rule, seconds);
            }
            None => section.mistake("suppress", format!("\"{text}\" is no time span"), "write for example \"12h\", from 1m to 30d"),
        }
    }
}

fn read_limits(section: &mut Section<'_, '_>, engine: &mut EngineSettings) {
    let mut limit = |key, most: i64, into: &mut usize| {
        section.count(key, 1..most + 1).inspect(|count| *into = *count as usize);
    };
    limit("workers", 64, &mut engine.workers);
    limit("dedup", 1 << 30, &mut engine.dedup_capacity);
    limit("held", 10_000_000, &mut engine.held_max);
    limit("grants", 100_000_000, &mut engine.grants_max);
    limit("pairs", 100_000_000, &mut engine.pairs_max);
    limit("actors", 100_000_000, &mut engine.actors_max);
    limit("credentials", 100_000_000, &mut engine.credentials_max);
}

fn read_topic(section: &mut Section<'_, '_>, arns: &mut HashSet<String>) -> Option<Topic> {
    let arn = section.text("arn");
    let form = section.choice("form", "\"text\", \"chatbot\", \"ndjson\", \"ocsf\"", Form::parse);
    let words = "\"informational\", \"low\", \"medium\", \"high\", \"critical\"";
    let severity_min = section.choice("severity_min", words, Severity::parse);
    let detectors = alerts::read_detectors(section);
    let departments = section.texts("departments").unwrap_or_default();
    let pseudonyms = section.flag("pseudonyms").unwrap_or_default();
    let region = section.text("region");
    let endpoint = read_endpoint(section);
    check_region(section, arn.as_deref(), region.as_deref());
    let Some(arn) = arn else {
        section.missing("arn", "give the topic's ARN");
        return None;
    };
    if !arn.starts_with("arn:") || arn.split(':').count() != 6 || !arn.contains(":sns:") {
        section.mistake("arn", format!("\"{arn}\" is no topic's ARN"), "copy it from `aws sns list-topics`");
    } else if arn.ends_with(".fifo") && form.unwrap_or_default().wakes_people() {
        let cure = "use a standard topic, or form = \"ndjson\" or \"ocsf\"";
        section.mistake("arn", "is a FIFO topic, which reaches neither e-mail nor chat", cure);
    }
    if !arns.insert(arn.clone()) {
        section.mistake("arn", format!("\"{arn}\" is listed twice"), "remove one of the two");
    }
    let (form, severity_min) = (form.unwrap_or_default(), severity_min.unwrap_or(Severity::Informational));
    Some(Topic { arn, form, severity_min, detectors, departments, pseudonyms, region, endpoint })
}

/// A region that is not the ARN's would only show as a refusal, or as a stream that never appears.
fn check_region(section: &Section<'_, '_>, arn: Option<&str>, region: Option<&str>) {
    let Some((arn, region)) = arn.and_then(Arn::parse).zip(region) else { return };
    if arn.region != region {
        section.mistake("region", format!("\"{region}\" is not the ARN's {}", arn.region), "remove region, or correct the ARN");
    }
}

fn read_endpoint(section: &mut Section<'_, '_>) -> Option<String> {
    let endpoint = section.text("endpoint")?;
    if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
        section.mistake("endpoint", format!("\"{endpoint}\" is no URL"), "begin it with http:// or https://");
    }
    Some(endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_all_defaults() {
        let settings = Settings::parse("").expect("defaults");
        assert_eq!((settings.snapshot_every, settings.engine.lateness), (30, 900));
    }

    #[test]
    fn five_mistakes_are_five_lines() {
        let text = "[time]\nlateness = \"2 weeks\"\n[detect.invocation-spike]\nmode = \"pge\"\nbudget = 0\n[[topics]]\narn = \"pager\"\n[limits]\nactor = 5\n";
        let mistakes = Settings::parse(text).expect_err("mistakes");
        let lines: Vec<(usize, &str)> = mistakes.iter().map(|m| (m.line, m.key.as_str())).collect();
        assert_eq!(
            lines,
            [
                (2, "time.lateness"),
                (4, "detect.invocation-spike.mode"),
                (5, "detect.invocation-spike.budget"),
                (7, "topics[0].arn"),
                (9, "limits.actor")
            ]
        );
        assert!(mistakes[4].cure.contains("actors"), "{}", mistakes[4]);
    }

    #[test]
    fn broken_toml_names_its_line() {
        let mistakes = Settings::parse("[time]\nlateness = \n").expect_err("mistakes");
        assert_eq!((mistakes.len(), mistakes[0].line), (1, 2), "{mistakes:?}");
    }
}
