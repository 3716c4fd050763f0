//! `geophone policy`: asks the evaluator, without a stream.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::output::say;
use super::{Exit, Failure, Format};
use crate::policy::{Context, Decision, Document, Policies, Request, Verdict};

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Say what IAM documents decide about one request, and which statement does
    Eval(EvalArgs),
    /// Print what each department may call: department × model family
    Matrix {
        /// Configuration file with [policy] documents or [departments]
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// How it is printed
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Run tables of cases: each document, request and expected decision
    Test {
        /// JSON files with cases (a list of {name, policies, action, resource, ctx, expect}), or folders of them
        #[arg(required = true, value_name = "CASES")]
        paths: Vec<PathBuf>,
    },
}

/// Arguments of `policy eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Identity-based policy document, as IAM or the AWS CLI prints it
    #[arg(long, required = true, value_name = "FILE")]
    policy: Vec<PathBuf>,
    /// Permissions boundary
    #[arg(long, value_name = "FILE")]
    boundary: Vec<PathBuf>,
    /// Service control policy; all that are given are one level of the organization
    #[arg(long, value_name = "FILE")]
    scp: Vec<PathBuf>,
    /// Action, such as bedrock:InvokeModel
    #[arg(long)]
    action: String,
    /// ARN of the resource, or * for actions that have none
    #[arg(long)]
    resource: String,
    /// Context key with its value, such as aws:PrincipalTag/dept=legal; again for a key with several values
    #[arg(long = "context", value_name = "KEY=VALUE", value_parser = parse_pair)]
    context: Vec<(String, String)>,
}

/// Runs a subcommand.
pub fn policy(command: &PolicyCommand) -> Result<Exit, Failure> {
    match command {
        PolicyCommand::Eval(args) => eval(args),
        PolicyCommand::Matrix { config, format } => super::matrix::matrix(config, *format),
        PolicyCommand::Test { paths } => test(paths),
    }
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    // A tag key may hold a "=", a key's service prefix may not.
    text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())).ok_or_else(|| "write it as key=value".to_owned())
}

fn eval(args: &EvalArgs) -> Result<Exit, Failure> {
    let control = read_all(&args.scp)?;
    let policies = Policies {
        identity: read_all(&args.policy)?,
        boundary: read_all(&args.boundary)?,
        control: if control.is_empty() { Vec::new() } else { vec![control] },
    };
    for notice in policies.documents().flat_map(|document| &document.notices) {
        eprintln!("{notice}");
    }
    let mut values: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (key, value) in &args.context {
        values.entry(key).or_default().push(value.clone());
    }
    let mut context = Context::complete();
    for (key, values) in values {
        context.set_all(key, values);
    }
    let verdict = policies.evaluate(&Request { action: &args.action, resource: Some(&args.resource), context: &context });
    say(spoken(&verdict));
    Ok(Exit::Ok)
}

/// The decision with what decided: `Allow by legal.json#Claude`.
fn spoken(verdict: &Verdict) -> String {
    let mut text = verdict.decision.name().to_owned();
    if let Some(statement) = &verdict.statement {
        text += &format!(" by {statement}");
    }
    if let Some(why) = &verdict.why {
        text += &format!(": {why}");
    }
    text
}

fn read_all(paths: &[PathBuf]) -> Result<Vec<Arc<Document>>, Failure> {
    paths.iter().map(|path| read(path).map(Arc::new)).collect()
}

fn read(path: &Path) -> Result<Document, Failure> {
    let text = read_text(path)?;
    Document::parse(&path.display().to_string(), &text).map_err(|notice| Failure::new(Exit::Configuration, notice))
}

fn read_text(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::new(Exit::NoInput, format_args!("{}: {error}; name an existing file", path.display())))
}

/// One case of a table.
#[derive(Debug, Deserialize)]
struct Case<'a> {
    name: String,
    #[serde(borrow)]
    policies: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    boundaries: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    scps: Vec<&'a RawValue>,
    action: String,
    resource: String,
    #[serde(default)]
    ctx: BTreeMap<String, OneOrMany>,
    expect: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(Scalar),
    Many(Vec<Scalar>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Number(serde_json::Number),
    Boolean(bool),
}

impl Scalar {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Boolean(boolean) => boolean.to_string(),
        }
    }
}

fn test(paths: &[PathBuf]) -> Result<Exit, Failure> {
    let (mut passed, mut failed) = (0, 0);
    for path in files(paths)? {
        let text = read_text(&path)?;
        let cases: Vec<Case<'_>> = serde_json::from_str(&text)
            .map_err(|error| Failure::new(Exit::NothingDecodable, format_args!("{}: {error}; give a list of cases", path.display())))?;
        for case in &cases {
            match run(case) {
                Ok(verdict) if verdict.decision.name() == case.expect => passed += 1,
                Ok(verdict) => {
                    failed += 1;
                    say(format_args!("{}: {}: expected {}, got {}", path.display(), case.name, case.expect, spoken(&verdict)));
                }
                Err(what) => {
                    failed += 1;
                    say(format_args!("{}: {}: {what}", path.display(), case.name));
                }
            }
        }
    }
    say(format_args!("{passed} of {} cases agree", passed + failed));
    Ok(if failed == 0 { Exit::Ok } else { Exit::Findings })
}

/// The files among `paths`, and the JSON files in the folders among them.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).map_err(|error| Failure::new(Exit::NoInput, format_args!("{}: {error}", path.display())))?;
        let inside = entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "json"));
        let mut inside: Vec<PathBuf> = inside.collect();
        inside.sort();
        files.append(&mut inside);
    }
    Ok(files)
}

fn run(case: &Case<'_>) -> Result<Verdict, String> {
    if !Decision::ALL.iter().any(|decision| decision.name() == case.expect) {
        return Err(format!("expects \"{}\"; expect Allow, ExplicitDeny, ImplicitDeny or Unknown", case.expect));
    }
    let parse = |kind: &str, texts: &[&RawValue]| -> Result<Vec<Arc<Document>>, String> {
        let one = |(index, text): (usize, &&RawValue)| Document::parse(&format!("{kind} {}", index + 1), text.get()).map(Arc::new);
        texts.iter().enumerate().map(one).collect::<Result<_, _>>().map_err(|notice| notice.to_string())
    };
    let control = parse("scp", &case.scps)?;
    let policies = Policies {
        identity: parse("policy", &case.policies)?,
        boundary: parse("boundary", &case.boundaries)?,
        control: if control.is_empty() { Vec::new() } else { vec![control] },
    };
    let mut context = Context::complete();
    for (key, values) in &case.ctx {
        context.set_all(
            key,
            match values {
                OneOrMany::One(value) => vec![value.text()],
                OneOrMany::Many(values) => values.iter().map(Scalar::text).collect(),
            },
        );
    }
    Ok(policies.evaluate(&Request { action: &case.action, resource: Some(&case.resource), context: &context }))
}
