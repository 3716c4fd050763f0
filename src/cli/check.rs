//! `geophone check`: is this configuration right?

use std::path::Path;

use super::output::say;
use super::{Exit, Failure, Loaded, load};
use crate::config::Settings;
use crate::detect::Mode;
use crate::web::Door;

/// Reads the configuration and everything that it names, and says what it found.
pub fn check(config: &Path) -> Result<Exit, Failure> {
    let Loaded { settings, sources, notices } = load(config)?;
    // What `run` alone reads.
    Door::open(&settings, Some(&sources)).map_err(|errors| Failure::new(Exit::Configuration, errors.join("\n")))?;
    say(format_args!("{}: no mistakes", config.display()));
    let (rules, detectors) = (&settings.engine.rules, &settings.engine.detectors);
    if !rules.is_empty() {
        let silent = rules.alerting().filter(|rule| detectors.rule_mode(rule) == Mode::Off).count();
        say(format_args!(
            "rules: {} that alert (of them {} correlations; {silent} are off), {} files",
            rules.alerting().count(),
            rules.correlations().len(),
            rules.files(),
        ));
    }
    for notice in &notices {
        say(format_args!("warning: {notice}"));
    }
    if let Some(folder) = sources.warm_from().filter(|folder| !folder.exists()) {
        say(format_args!("note: [identity] warm_from: {} does not exist here; run needs it", folder.display()));
    }
    for line in remarks(&settings) {
        say(format_args!("note: {line}"));
    }
    Ok(Exit::Ok)
}

/// What is allowed and yet worth knowing.
fn remarks(settings: &Settings) -> Vec<String> {
    let mut remarks = Vec::new();
    let mut remark = |is_so: bool, text: &str| {
        if is_so {
            remarks.push(text.to_owned());
        }
    };
    remark(settings.streams.is_empty(), "no [[streams]]: `run` has nothing to read; `replay` and `warm` work");
    remark(settings.http.insecure, "[http] insecure: other machines may read the page without TLS and without credentials");
    remark(settings.topics.is_empty(), "no [[topics]]: alerts are logged and shown on the page, and page nobody");
    remark(settings.engine.policy.is_empty(), "no [policy] documents and no [departments]: cross-department knows no model's owner");
    remark(settings.rule_paths.is_empty(), "no [rules] paths: no Sigma rule is in use; paths = [\"builtin\"] are the shipped ones");
    remark(
        settings.streams.iter().any(|stream| stream.arn.is_none()),
        "a stream has no arn: policies on the stream's ARN may refuse GetRecords",
    );
    remark(
        settings.engine.directory.people() == 0 && settings.engine.identity.roles.is_empty(),
        "no directory and no [identity.roles]: departments come from session tags alone",
    );
    remarks
}
