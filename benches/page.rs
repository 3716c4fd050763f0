//! What the on-call page costs: with five thousand incidents open and a hundred thousand actors known, how long it takes to
//! answer over loopback, while nothing happens and while 50,000 events a second in CloudWatch Logs batches are decoded and
//! judged beside it, and how long the daemon is kept from its work to export what is shown.

#![allow(missing_docs, clippy::wildcard_enum_match_arm, reason = "benches fail by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use geophone::alerting::message::Links;
use geophone::clock::moment;
use geophone::cloudtrail::{Decoder, Limits};
use geophone::config::Settings;
use geophone::engine::{Engine, Report};
use geophone::observation::Observer;
use geophone::telemetry::Metrics;
use geophone::time::{EventTime, Now};
use geophone::web::{Control, Door, View, Web, listen};
use geophone_company::load::Load;
use geophone_company::wire;
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const INCIDENTS: usize = 5_000;
const ACTORS: usize = 100_000;
/// Events a second under load.
const RATE: usize = 50_000;
/// Seconds of load that are made.
const SECONDS: usize = 12;
/// Events of one record: what CloudWatch Logs puts into one of a megabyte.
const BATCH: usize = 500;
const ASKED: usize = 300;

/// A call of the `n`th person at a minute; refused, or not.
fn call(n: usize, minute: usize, is_refused: bool) -> String {
    let error = format!(
        r#""errorCode":"AccessDenied","errorMessage":"User: arn:aws:sts::111122223333:assumed-role/analyst/person-{n}@example.com is not authorized to perform: bedrock:InvokeModel on resource: arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-4-6 because no identity-based policy allows the bedrock:InvokeModel action","#
    );
    let error = if is_refused { &error } else { "" };
    format!(
        r#"{{"eventVersion":"1.10","eventType":"AwsApiCall","eventID":"id-{n}-{minute}","eventTime":"2026-06-01T08:{minute:02}:{:02}Z","eventSource":"bedrock.amazonaws.com","eventName":"InvokeModel","awsRegion":"us-east-1","sourceIPAddress":"10.0.0.7","userAgent":"boto3","recipientAccountId":"111122223333",{error}"requestParameters":{{"modelId":"anthropic.claude-opus-4-6"}},"userIdentity":{{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/person-{n}","accountId":"111122223333","accessKeyId":"AKIAPAGE{n:08}","userName":"person-{n}"}}}}"#,
        n % 60
    )
}

/// An engine that knows a hundred thousand actors, with five thousand incidents open.
fn engine() -> Engine {
    // Only what is refused is an incident here.
    let settings = Settings::parse("[detect.unattributed]\nmode = \"off\"\n").expect("a configuration").engine;
    let (mut engine, mut observer) = (Engine::new(settings), Observer::new(Arc::default()));
    let (input, mut report, mut decoder) = (engine.input("bench"), Report::default(), Decoder::new(Limits::for_files()));
    for (minute, n) in [51, 57].into_iter().flat_map(|minute| (0..ACTORS).map(move |n| (minute, n))) {
        decoder.decode(call(n, minute, n < INCIDENTS).as_bytes(), &mut |item| {
            let observation = observer.observe(item.expect("an event"), EventTime::from_unix(0));
            let now = Now(observation.time);
            engine.handle(input, observation, now, &mut report);
        });
        (report.alerts, report.cited) = Default::default();
    }
    engine
}

async fn ask(address: &str, path: &str) -> usize {
    let mut socket = TcpStream::connect(address).await.expect("connected");
    socket.write_all(format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n").as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.0 200"), "{}", String::from_utf8_lossy(&answer[..60.min(answer.len())]));
    answer.len()
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds")
}

fn tell(name: &str, micros: &Histogram<u64>, more: &str) {
    let of = |quantile| micros.value_at_quantile(quantile) as f64 / 1_000.0;
    println!("{name:<22} median {:>7.2} ms   p99 {:>7.2} ms   {more}", of(0.5), of(0.99));
}

/// Decodes and judges `RATE` events a second until it is told to stop, and shows what is open twice a second, as the daemon
/// does. Gives how many events a second it came to.
fn work(mut engine: Engine, web: &Web, stop: &AtomicBool) -> f64 {
    let mut load = Load::new(7, ACTORS).events_per_second(RATE as u32);
    let mut batch = || {
        let texts: Vec<String> = (&mut load).take(BATCH).map(|event| event.json).collect();
        wire::cloudwatch_logs(&texts.iter().map(String::as_str).collect::<Vec<_>>())
    };
    // Made before the clock starts: whoever writes the records is somebody else.
    let batches: Vec<Vec<u8>> = (0..SECONDS * RATE / BATCH).map(|_| batch()).collect();
    let (mut decoder, mut observer) = (Decoder::new(Limits::default()), Observer::new(Arc::default()));
    let (input, mut report, mut shown) = (engine.input("load"), Report::default(), moment());
    let (started, mut done) = (moment(), 0_usize);
    for record in &batches {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        decoder.decode(record, &mut |item| {
            if let Ok(decoded) = item {
                let observation = observer.observe(decoded, EventTime::from_unix(0));
                let now = Now(observation.time);
                engine.handle(input, observation, now, &mut report);
            }
        });
        (report.alerts, report.cited) = Default::default();
        done += BATCH;
        if shown.elapsed() > Duration::from_millis(500) {
            shown = moment();
            web.publish(view(&engine, done as u64));
        }
        let due = started + Duration::from_secs_f64(done as f64 / RATE as f64);
        std::thread::sleep(due.saturating_duration_since(moment()));
    }
    done as f64 / started.elapsed().as_secs_f64()
}

fn view(engine: &Engine, events: u64) -> View {
    let alerts = Arc::new(engine.open_alerts(usize::MAX));
    View { alerts, events, gauges: engine.gauges(), now: EventTime::from_unix(1_780_400_000), is_ready: true, ..View::default() }
}

fn main() {
    let engine = engine();
    let incidents = engine.open_alerts(usize::MAX);
    assert!((INCIDENTS..INCIDENTS + 100).contains(&incidents.len()), "{}", incidents.len());
    println!("{} incidents open, {} actors known", incidents.len(), engine.gauges().tables.actors);
    let mut micros = histogram();
    for _ in 0..100 {
        let started = moment();
        std::hint::black_box(engine.open_alerts(usize::MAX));
        micros.saturating_record(started.elapsed().as_micros() as u64);
    }
    tell("export of all alerts", &micros, "");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let metrics = Arc::new(Metrics::new(std::iter::empty()).expect("names"));
        let (commands, _heard) = tokio::sync::mpsc::channel(1);
        let web = Arc::new(Web::new(metrics, engine.shared(), Links::default(), Control { token: None, commands }));
        let incident = format!("/incidents/{}", incidents[INCIDENTS / 2].incident_id);
        web.publish(view(&engine, 0));
        let (address, server) = listen(Door::plain("127.0.0.1:0"), Arc::clone(&web)).await.expect("a port");
        tokio::spawn(server);
        let address = address.to_string();
        println!("\nidle");
        ask_all(&address, &incident).await;
        let stop = Arc::new(AtomicBool::new(false));
        let worker = {
            let (web, stop) = (Arc::clone(&web), Arc::clone(&stop));
            std::thread::spawn(move || work(engine, &web, &stop))
        };
        // The batches are made first.
        while web.view().events == 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        println!("\nunder load");
        ask_all(&address, &incident).await;
        stop.store(true, Ordering::Relaxed);
        println!("{:.0} events a second were decoded and judged meanwhile", worker.join().expect("no panic"));
    });
}

async fn ask_all(address: &str, incident: &str) {
    for path in ["/", incident, "/departments", "/fleet", "/metrics"] {
        let (mut micros, mut bytes) = (histogram(), 0);
        for _ in 0..ASKED {
            let started = moment();
            bytes = ask(address, path).await;
            micros.saturating_record(started.elapsed().as_micros() as u64);
        }
        tell(&path[..path.len().min(20)], &micros, &format!("{bytes} bytes"));
    }
}
