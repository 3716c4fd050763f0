//! `geophone demo`: the whole job on this machine. An embedded Kinesis, a simulated company with real-shaped traffic, a
//! scripted attack day and a small SNS endpoint; between them the genuine daemon with the genuine AWS SDK.
//!
//! Six weeks of the company's history are read first ([`warm`]), then one day runs on a scaled clock.

mod feeder;
mod inbox;
mod script;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use geophone_company::{Company, CompanySettings, Department};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::output::{progress, status_line};
use super::run::runtime;
use super::summary::Summary;
use super::{Exit, Failure, Format};
use crate::alerting::message::Form;
use crate::clock::{Clock, moment};
use crate::cloudtrail::{Decoder, Limits};
use crate::config::{Settings, Start, Stream, Topic};
use crate::daemon::{Access, Daemon, Outcome, stop_signal};
use crate::detect::Mode;
use crate::engine::{Engine, Report};
use crate::finding::Severity;
use crate::identity::Directory;
use crate::observation::Observer;
use crate::policy::{Attached, DepartmentTable, Document, PolicyBook, ProfileTable, Roles};
use crate::snapshot::Snapshot;
use crate::sources::{BUILTIN, Sources};
use crate::storage::StateFolder;
use crate::telemetry::start_log;
use crate::time::{DAY, EventTime, HOUR, Now};
use inbox::Inbox;
use script::Truth;

/// Days of history before the live day: the six weeks that a first deployment would be warmed with.
const HISTORY_DAYS: u32 = 42;
/// The live part of a day, in hours: office hours with the attacks in them.
const LIVE_FROM: i64 = 8 * HOUR;
const LIVE_HOURS: i64 = 10;
/// Real seconds a live day takes where no duration is given.
const DAY_SECONDS: u64 = 120;
/// The token of the demo's page, which is loopback's and gone at its end.
const TOKEN: &str = "a-token-for-the-demo";
const STREAM: &str = "cloudtrail";

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Seconds to play the day in, such as 20s or 2m, counted from going live; without it, day follows day until Ctrl-C
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// How alerts are printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Another seed is another company
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.trim().split_at(text.trim().trim_end_matches(char::is_alphabetic).len());
    let seconds: u64 = number.parse().map_err(|_| "write it as 20s or 2m".to_owned())?;
    match unit {
        "s" | "" if seconds > 0 => Ok(Duration::from_secs(seconds)),
        "m" if (1..=600).contains(&seconds) => Ok(Duration::from_secs(seconds * 60)),
        _ => Err("write it as 20s or 2m".to_owned()),
    }
}

/// Runs the command.
pub fn demo(args: &DemoArgs) -> Result<Exit, Failure> {
    if std::env::var_os("RUST_LOG").is_some() {
        start_log(true, std::io::stderr);
    }
    let folder = StateGuard::new()?;
    runtime()?.block_on(play(args, &folder.0))
}

/// A folder of the demo's own, removed at its end.
struct StateGuard(PathBuf);

impl StateGuard {
    fn new() -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("geophone-demo-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|error| Failure::new(Exit::CannotWrite, format_args!("{}: {error}", folder.display())))?;
        Ok(Self(folder))
    }
}

impl Drop for StateGuard {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn play(args: &DemoArgs, folder: &Path) -> Result<Exit, Failure> {
    let mut company = Company::new(CompanySettings { seed: args.seed, ..CompanySettings::default() });
    let kinesis = serve_kinesis().await?;
    let inbox = Inbox::start(args.format).await?;
    let mut settings = settings(&company, &kinesis, &inbox.endpoint, args.format)?;
    settings.state_folder = folder.display().to_string();
    let token = folder.join("token");
    let written = std::fs::write(&token, format!("{TOKEN}\n"));
    written.map_err(|error| Failure::new(Exit::CannotWrite, format_args!("{}: {error}", token.display())))?;
    settings.token_file = Some(token.display().to_string());
    eprintln!("A company of {} people in {} departments.", company.people().len(), company.departments().len());
    warm(&settings, &mut company).await?;

    let first_live = company.settings().first_day + i64::from(HISTORY_DAYS) * DAY + LIVE_FROM;
    let real = args.duration.unwrap_or(Duration::from_secs(DAY_SECONDS));
    // The last hour of the span is left for what arrives late: CloudTrail's delay is minutes of the company's time.
    let factor = (LIVE_HOURS * HOUR) as f64 / real.as_secs_f64();
    let clock = Clock::Scaled { origin: moment(), start: EventTime::from_unix(first_live), factor };
    let client = feeder::client(&kinesis);
    feeder::make_stream(&client, STREAM).await?;
    let daemon = Daemon { settings, sources: None, clock, access: Access::Emulator, poll_interval: Duration::from_millis(100) };
    let started = moment();
    let running = daemon.start().await?;
    eprintln!("Live: {LIVE_HOURS} hours of the company's day in {} s. Page and metrics: http://{}/", real.as_secs(), running.address);
    eprintln!("To silence something on the page, its token is {TOKEN}\n");
    let web = Arc::clone(&running.web);
    let (stop, stopped) = oneshot::channel::<()>();
    let status = status_line();
    let feed = tokio::spawn(feeder::feed(client, company, clock, args.duration.is_some(), web, status.clone()));
    let work = tokio::spawn(running.run(async move {
        let _ = stopped.await;
    }));
    let truth = tokio::select! {
        truth = feed => truth.map_err(|error| Failure::new(Exit::Software, error))??,
        () = stop_signal() => Truth::default(),
    };
    // The daemon is asked to stop as SIGTERM would ask it.
    let _ = stop.send(());
    let outcome = work.await.map_err(|error| Failure::new(Exit::Software, error))??;
    status.finish_and_clear();
    tell(&outcome, &inbox, &truth, started.elapsed());
    Ok(Exit::Ok)
}

fn tell(outcome: &Outcome, inbox: &Inbox, truth: &Truth, elapsed: Duration) {
    let summary = Summary::new(&outcome.counts, outcome.records, outcome.undecodable, elapsed.as_secs_f64());
    eprintln!("\n{} Kinesis records, {}", outcome.records, summary.spoken());
    let [median, high, largest] = outcome.lag;
    eprintln!("event to decision, in the company's time: median {median} s, 99 % {high} s, largest {largest} s");
    let [median, high, largest] = outcome.paged;
    eprintln!("arrival to SNS's acceptance, new alerts: median {median} ms, 99 % {high} ms, largest {largest} ms");
    let received = inbox.received();
    eprintln!("{} messages delivered through SNS: {}", received.messages, received.by_detector());
    if !truth.attackers.is_empty() {
        let (right, wrong) = truth.judge(&received.subjects);
        eprintln!("{} attacks were played; {right} alerts are about them, {wrong} about anybody else", truth.attacks);
    }
}

async fn serve_kinesis() -> Result<String, Failure> {
    let options = ferrokinesis::store::StoreOptions { create_stream_ms: 0, shard_limit: 100, ..Default::default() };
    let (app, _store) = ferrokinesis::create_app(options);
    let unavailable = |error| Failure::new(Exit::Unavailable, format_args!("no port on loopback for the embedded Kinesis: {error}"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(unavailable)?;
    let address = listener.local_addr().map_err(unavailable)?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(format!("http://{address}"))
}

/// The settings that a file would give for this company.
fn settings(company: &Company, kinesis: &str, sns: &str, format: Format) -> Result<Settings, Failure> {
    let mut settings = Settings::default();
    let departments = company.departments().iter().map(|department| (department.name.clone(), department.models.clone()));
    settings.departments = DepartmentTable::new(departments);
    let book = settings.book(perimeter(company)?, ProfileTable::shipped());
    settings.engine.policy = Arc::new(PolicyBook::new(book));
    settings.rule_paths = vec![BUILTIN.to_owned()];
    // This company's sessions come from a broker that writes the department: said here once instead of at three at night.
    settings.engine.detectors.rule_modes.insert("department_tag_passed".to_owned(), Mode::Report);
    let rules = Sources::new(Path::new(""), &settings).rules();
    let broken = |mistakes: Vec<String>| Failure::new(Exit::Software, format_args!("the shipped rules: {}", mistakes.join("; ")));
    settings.engine.rules = Arc::new(rules.map_err(broken)?);
    settings.streams = vec![Stream {
        name: STREAM.to_owned(),
        arn: None,
        region: None,
        endpoint: Some(kinesis.to_owned()),
        start: Start::TrimHorizon,
        role: Default::default(),
        fan_out: None,
        leases: None,
    }];
    settings.topics = vec![Topic {
        arn: "arn:aws:sns:us-east-1:111122223333:security-on-call".to_owned(),
        form: if format == Format::Ndjson { Form::Ndjson } else { Form::Text },
        severity_min: Severity::Informational,
        detectors: Vec::new(),
        departments: Vec::new(),
        pseudonyms: false,
        region: None,
        endpoint: Some(sns.to_owned()),
    }];
    settings.listen = "127.0.0.1:0".to_owned();
    settings.snapshot_every = 5;
    let directory = Directory::parse(&company.directory_csv());
    let directory = directory.map_err(|errors| Failure::new(Exit::Software, format_args!("the company's directory: {errors:?}")))?;
    Ok(settings.with_directory(directory))
}

/// The policy that is attached to the roles of people: each department's models, by the session tag.
fn perimeter(company: &Company) -> Result<Attached, Failure> {
    let statement = |department: &Department| {
        let of = |model: &String| {
            [format!("arn:aws:bedrock:*::foundation-model/{model}"), format!("arn:aws:bedrock:*:*:inference-profile/*.{model}")]
        };
        let resources: Vec<String> = department.models.iter().flat_map(of).collect();
        serde_json::json!({"Sid": department.name, "Effect": "Allow", "Action": "bedrock:InvokeModel*", "Resource": resources,
            "Condition": {"StringEquals": {"aws:PrincipalTag/dept": department.name}}})
    };
    let mut statements: Vec<_> = company.departments().iter().map(statement).collect();
    // The platform team runs Bedrock: guardrails, logging, model access.
    statements.push(serde_json::json!({"Sid": "Administration", "Effect": "Allow", "NotAction": "bedrock:Invoke*", "Resource": "*",
        "Condition": {"StringEquals": {"aws:PrincipalTag/dept": "platform"}}}));
    let text = serde_json::json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    let document = Document::parse("perimeter.json", &text).map_err(|notice| Failure::new(Exit::Software, notice))?;
    let document = Arc::new(document);
    let roles: std::collections::BTreeSet<&String> = company.departments().iter().flat_map(|department| &department.role_arns).collect();
    let identity = roles.into_iter().map(|arn| (Roles::Like(arn.clone()), Arc::clone(&document))).collect();
    Ok(Attached { identity, ..Attached::default() })
}

/// Reads six weeks of history through a like engine without alerting and leaves a snapshot, as `geophone warm` does.
async fn warm(settings: &Settings, company: &mut Company) -> Result<(), Failure> {
    let bar = progress(u64::from(HISTORY_DAYS), "reading six weeks of history");
    let mut engine = Engine::new(settings.engine.clone());
    let input = engine.input("history");
    let (mut decoder, mut observer) = (Decoder::new(Limits::default()), Observer::new(Arc::default()));
    let (mut report, mut now) = (Report::default(), EventTime::MIN);
    let live = company.settings().first_day + i64::from(HISTORY_DAYS) * DAY + LIVE_FROM;
    // The live day's night is history too: sessions that began then are known when the day begins.
    for day in 0..=HISTORY_DAYS {
        let mut events = company.day(day);
        events.retain(|event| event.arrival < live);
        events.sort_by_key(|event| event.arrival);
        for event in events {
            let arrival = EventTime::from_unix(event.arrival);
            now = now.max(arrival);
            decoder.decode(event.json.as_bytes(), &mut |item| {
                if let Ok(decoded) = item {
                    engine.handle(input, observer.observe(decoded, arrival), Now(now), &mut report);
                }
            });
            report.alerts.clear();
        }
        bar.inc(1);
    }
    engine.finish(&mut report);
    engine.forget_alerts();
    bar.finish_and_clear();
    eprintln!("Six weeks of history read: {} events, baselines of {} actors.", report.counts.events, engine.gauges().tables.actors);
    let cannot_write = |error| Failure::new(Exit::CannotWrite, error);
    let (mut state, recovered) = StateFolder::open(Path::new(&settings.state_folder)).await.map_err(cannot_write)?;
    state
        .commit(
            Snapshot { engine: engine.image(), paging: Default::default(), outbox: Vec::new(), positions: Vec::new() },
            recovered.manifest,
        )
        .await
        .map_err(cannot_write)
}
