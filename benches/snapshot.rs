//! What a snapshot costs where there are many actors: the pause in which the state is taken, writing it, reading it back;
//! and that names without end do not fill the memory.
//!
//! No criterion: each figure is of one large state, which is made once. `ACTORS` and `NAMES` choose how large.

#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "benches fail by panicking, and ask the clock")]

use std::sync::Arc;
use std::time::Instant;

use geophone::alerting::{PagingImage, Status};
use geophone::cloudtrail::{Decoder, Limits};
use geophone::engine::{Engine, EngineSettings, InputId, Report};
use geophone::observation::Observer;
use geophone::snapshot::{self, Snapshot};
use geophone::time::{EventTime, Now};

const START: i64 = 1_780_390_800;
/// Events in a second of event time.
const EVENTS_PER_SECOND: i64 = 2_000;

struct Feed {
    engine: Engine,
    input: InputId,
    decoder: Decoder,
    observer: Observer,
    report: Report,
    events: i64,
    /// Seconds of event time in which nothing came.
    skipped: i64,
    /// Titles of the alerts that were opened.
    opened: Vec<String>,
}

impl Feed {
    fn new(settings: EngineSettings) -> Self {
        let mut engine = Engine::new(settings);
        let input = engine.input("bench");
        let observer = Observer::new(Arc::default());
        Self {
            engine,
            input,
            decoder: Decoder::new(Limits::default()),
            observer,
            report: Report::default(),
            events: 0,
            skipped: 0,
            opened: Vec::new(),
        }
    }

    /// A call of the session with this number.
    fn call(&mut self, session: usize) {
        let time = EventTime::from_unix(START + self.skipped + self.events / EVENTS_PER_SECOND);
        let number = self.events;
        let text = format!(
            r#"{{"eventSource":"bedrock.amazonaws.com","eventName":"InvokeModel","eventID":"e-{number}","requestID":"r-{number}","eventTime":"{time}","awsRegion":"us-east-1","eventType":"AwsApiCall","requestParameters":{{"modelId":"amazon.nova-pro-v1:0"}},"recipientAccountId":"111122223333","sourceIPAddress":"10.0.0.7","userAgent":"Boto3/1.34","userIdentity":{{"type":"AssumedRole","accessKeyId":"ASIA{session:012}","accountId":"111122223333","arn":"arn:aws:sts::111122223333:assumed-role/App/session-{session}","sessionContext":{{"sessionIssuer":{{"type":"Role","arn":"arn:aws:iam::111122223333:role/App"}}}}}}}}"#
        );
        let (engine, observer, report) = (&mut self.engine, &mut self.observer, &mut self.report);
        self.decoder.decode(text.as_bytes(), &mut |item| {
            engine.handle(self.input, observer.observe(item.unwrap(), time), Now(time), report);
        });
        self.events += 1;
        let opened = report.alerts.drain(..).filter(|alert| alert.status == Status::Opened);
        self.opened.extend(opened.map(|alert| alert.title));
    }
}

fn settings(actors: usize) -> EngineSettings {
    // Nobody's grant is waited for: calls settle at once.
    EngineSettings { actors_max: actors, join_wait: 0, lateness: 0, ..EngineSettings::default() }
}

/// Resident memory in MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    line.unwrap_or(0) / 1_024
}

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var_os(name).and_then(|text| text.to_str()?.parse().ok()).unwrap_or(otherwise)
}

fn snapshots(actors: usize) {
    let mut feed = Feed::new(settings(2 * actors));
    // Each in two hours, so that they are no newcomers any more; by tenths, which is what a table of newcomers holds.
    let tenth = actors / 10;
    for first in (0..10).map(|part| part * tenth) {
        for _ in 0..2 {
            feed.skipped += 3_600;
            (first..first + tenth).for_each(|session| feed.call(session));
        }
    }
    let known = feed.engine.gauges().tables.actors;
    let started = Instant::now();
    let image = feed.engine.image();
    let pause = started.elapsed();
    // Detection goes on while the image is written: what is shared is copied as it is touched.
    let started = Instant::now();
    (0..10_000).for_each(|session| feed.call(session * (actors / 10_000).max(1) % actors));
    let beside = started.elapsed() / 10_000;
    let started = Instant::now();
    let written = Snapshot { engine: image, paging: PagingImage::default(), outbox: Vec::new(), positions: Vec::new() };
    let bytes = snapshot::encode(&written).unwrap();
    let encoded = started.elapsed();
    drop(written);
    let started = Instant::now();
    let read = snapshot::decode(&bytes).unwrap();
    let restored = Engine::restore(settings(2 * actors), read.engine);
    let took = started.elapsed();
    assert_eq!(restored.gauges().tables.actors, known, "nobody is forgotten");
    println!(
        "{known} actors: taken in {pause:.1?}, an event then takes {beside:.1?}; written in {encoded:.2?}, {:.1} MB; read in {took:.2?}; {} MiB resident",
        bytes.len() as f64 / 1e6,
        resident(),
    );
}

/// Names that never come again, as somebody makes them who wants to be forgotten.
fn flood(names: usize) {
    let mut feed = Feed::new(settings(100_000));
    for tenth in 1..=10 {
        (0..names / 10).for_each(|number| feed.call((tenth - 1) * (names / 10) + number));
        let tables = feed.engine.gauges().tables;
        println!(
            "{} names: {} actors, {} newcomers and {} actors evicted, {} MiB resident",
            tenth * (names / 10),
            tables.actors,
            tables.newcomers_evicted,
            tables.actors_evicted,
            resident()
        );
    }
    println!("opened by it: {:?}", feed.opened);
}

fn main() {
    for actors in [100_000, number("ACTORS", 1_000_000)] {
        snapshots(actors);
    }
    flood(number("NAMES", 10_000_000));
}
