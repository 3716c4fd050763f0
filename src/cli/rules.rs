//! `geophone rules`: the test events beside every rule.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::output::say;
use super::{Exit, Failure};
use crate::cloudtrail::{Decoder, Limits};
use crate::detect::Mode;
use crate::engine::{Engine, EngineSettings, Report};
use crate::finding::DetectorId;
use crate::observation::Observer;
use crate::sigma::{Rule, RuleFacts, RuleSet, UnknownFields, load};
use crate::sources::rule_files;
use crate::time::{EventTime, Now};

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Play the test events beside every rule (NAME.test.json beside NAME.yml) and say which rule does not do as they say
    Test {
        /// Files and folders of rules
        #[arg(value_name = "PATH", default_value = "rules")]
        paths: Vec<PathBuf>,
    },
}

/// The cases of a file.
#[derive(Debug, Deserialize)]
struct Cases {
    cases: Vec<Case>,
}

/// Events, and whether a rule is to say something about them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    rule: String,
    expect: Expected,
    #[serde(default)]
    context: Assumed,
    events: Vec<Box<RawValue>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Expected {
    Match,
    NoMatch,
}

/// What geophone would have found out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Assumed {
    actor: String,
    person: String,
    department: String,
    verdict: String,
    tags: BTreeMap<String, String>,
}

/// What the cases came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Cases that were played.
    pub cases: usize,
    /// Cases that came out otherwise than they say, in a line each.
    pub wrong: Vec<String>,
    /// Rules that alert and have no case that matches, or none that does not.
    pub untested: Vec<String>,
}

/// Runs a subcommand.
pub fn rules(command: &RulesCommand) -> Result<Exit, Failure> {
    let RulesCommand::Test { paths } = command;
    let (set, files) = read(paths)?;
    let outcome = play_all(&Arc::new(set), &files)?;
    outcome.wrong.iter().for_each(say);
    outcome.untested.iter().for_each(|name| say(format_args!("note: {name} has no case that matches, or none that does not")));
    if outcome.cases == 0 {
        return Err(Failure::new(Exit::NothingDecodable, "no cases; write NAME.test.json beside NAME.yml (rules/README.md has the form)"));
    }
    let wrong = outcome.wrong.len();
    say(format_args!(
        "{} cases, {} as they say{}",
        outcome.cases,
        outcome.cases - wrong,
        if wrong > 0 { format!(", {wrong} not") } else { String::new() }
    ));
    Ok(if wrong > 0 { Exit::Findings } else { Exit::Ok })
}

/// Reads rules.
///
/// # Errors
/// No such file (66), or every mistake in them (78).
pub fn read(paths: &[PathBuf]) -> Result<(RuleSet, Vec<PathBuf>), Failure> {
    let (sources, files) = rule_files(paths, Path::new("")).map_err(|errors| Failure::new(Exit::NoInput, errors.join("\n")))?;
    let told = |mistakes: Vec<crate::sigma::RuleMistake>| {
        Failure::new(Exit::Configuration, mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    };
    Ok((load(&sources, UnknownFields::Refuse).map_err(told)?, files))
}

/// Plays the cases beside all files.
///
/// # Errors
/// A file of cases that cannot be read (66), or is none (65).
pub fn play_all(set: &Arc<RuleSet>, files: &[PathBuf]) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    let mut known: HashMap<&str, &Arc<Rule>> = HashMap::new();
    for rule in set.alerting() {
        for name in [&*rule.id, &*rule.name, &rule.title] {
            known.insert(name, rule);
        }
    }
    let mut seen: HashSet<(Arc<str>, bool)> = HashSet::new();
    for file in files {
        let path = file.with_extension("test.json");
        if !path.is_file() {
            continue;
        }
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Failure::new(Exit::NoInput, format_args!("{}: {error}; make it readable", path.display())))?;
        let cases: Cases = serde_json::from_str(&text).map_err(|error| {
            Failure::new(Exit::NothingDecodable, format_args!("{}: {error}; rules/README.md has the form", path.display()))
        })?;
        for case in &cases.cases {
            outcome.cases += 1;
            let Some(rule) = known.get(case.rule.as_str()) else {
                outcome.wrong.push(format!("{}: {}: there is no rule \"{}\" that alerts", path.display(), case.name, case.rule));
                continue;
            };
            let matched = play(set, case, &rule.id);
            seen.insert((Arc::clone(&rule.id), case.expect == Expected::Match));
            if matched != (case.expect == Expected::Match) {
                let said = if matched { "matches, and should not" } else { "does not match, and should" };
                outcome.wrong.push(format!("{}: {} {said}: {}", path.display(), rule.name, case.name));
            }
        }
    }
    let is_untested = |rule: &&Arc<Rule>| ![true, false].iter().all(|expected| seen.contains(&(Arc::clone(&rule.id), *expected)));
    outcome.untested = set.alerting().filter(is_untested).map(|rule| rule.name.to_string()).collect();
    Ok(outcome)
}

/// Whether a rule says something about the events of a case.
fn play(set: &Arc<RuleSet>, case: &Case, id: &str) -> bool {
    let Assumed { actor, person, department, verdict, tags } = case.context.clone();
    let facts = RuleFacts { actor, person, department, verdict, tags: tags.into_iter().collect(), ..RuleFacts::default() };
    let mut settings = EngineSettings {
        rules: Arc::clone(set),
        dedup_capacity: 1 << 10,
        workers: 1,
        actors_max: 1_000,
        credentials_max: 1_000,
        assumed_facts: (facts != RuleFacts::default()).then_some(facts),
        ..EngineSettings::default()
    };
    // Rules alone are asked.
    let others = DetectorId::ALL.into_iter().filter(|detector| *detector != DetectorId::Sigma);
    settings.detectors.modes = others.map(|detector| (detector, Mode::Off)).collect();
    let mut observer = Observer::with_rules(Arc::default(), Arc::clone(set));
    let mut decoder = Decoder::new(Limits { keep_text: true, ..Limits::default() });
    let mut engine = Engine::new(settings);
    let input = engine.input("test");
    let (mut report, mut now) = (Report::default(), EventTime::MIN);
    for event in &case.events {
        let mut observations = Vec::new();
        decoder.decode(event.get().as_bytes(), &mut |item| {
            if let Ok(decoded) = item {
                observations.push(observer.observe(decoded, EventTime::from_unix(0)));
            }
        });
        for observation in observations {
            now = now.max(observation.time);
            engine.handle(input, observation, Now(now), &mut report);
        }
    }
    engine.finish(&mut report);
    report.alerts.iter().any(|alert| alert.rule.as_ref().is_some_and(|rule| *rule.id == *id))
}
