//! What the on-call page costs: with five thousand incidents open, how long it takes to answer over loopback, and how long
//! the daemon is kept from its work to export what is shown.

#![allow(missing_docs, clippy::wildcard_enum_match_arm, reason = "benches fail by panicking")]

use std::sync::Arc;

use geophone::alerting::message::Links;
use geophone::clock::moment;
use geophone::cloudtrail::{Decoder, Limits};
use geophone::engine::{Engine, EngineSettings, Report};
use geophone::observation::Observer;
use geophone::telemetry::Metrics;
use geophone::time::{EventTime, Now};
use geophone::web::{Control, View, Web, listen};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const INCIDENTS: usize = 5_000;
const ASKED: usize = 300;

fn denied(n: usize) -> String {
    format!(
        r#"{{"eventVersion":"1.10","eventType":"AwsApiCall","eventID":"id-{n}","eventTime":"2026-06-02T09:{:02}:{:02}Z","eventSource":"bedrock.amazonaws.com","eventName":"InvokeModel","awsRegion":"us-east-1","sourceIPAddress":"10.0.0.7","userAgent":"boto3","recipientAccountId":"111122223333","errorCode":"AccessDenied","errorMessage":"User: arn:aws:sts::111122223333:assumed-role/analyst/person-{n}@example.com is not authorized to perform: bedrock:InvokeModel on resource: arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-4-6 because no identity-based policy allows the bedrock:InvokeModel action","requestParameters":{{"modelId":"anthropic.claude-opus-4-6"}},"userIdentity":{{"type":"AssumedRole","arn":"arn:aws:sts::111122223333:assumed-role/analyst/person-{n}@example.com","accountId":"111122223333","accessKeyId":"ASIAPAGE{n:08}","sessionContext":{{"sessionIssuer":{{"type":"Role","arn":"arn:aws:iam::111122223333:role/analyst","userName":"analyst"}}}}}}}}"#,
        n / 60 % 60,
        n % 60
    )
}

fn engine() -> Engine {
    let (mut engine, mut observer) = (Engine::new(EngineSettings::default()), Observer::new(Arc::default()));
    let (input, mut report) = (engine.input("bench"), Report::default());
    let text: String = (0..INCIDENTS).map(|n| denied(n) + "\n").collect();
    Decoder::new(Limits::for_files()).decode(text.as_bytes(), &mut |item| {
        let observation = observer.observe(item.expect("an event"), EventTime::from_unix(0));
        let now = Now(observation.time);
        engine.handle(input, observation, now, &mut report);
    });
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

fn main() {
    let engine = engine();
    let alerts = engine.open_alerts(usize::MAX);
    assert_eq!(alerts.len(), INCIDENTS);
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
        let incident = format!("/incidents/{}", alerts[INCIDENTS / 2].incident_id);
        web.publish(View { alerts: Arc::new(alerts), now: EventTime::from_unix(1_780_400_000), is_ready: true, ..View::default() });
        let (address, server) = listen("127.0.0.1:0", web).await.expect("a port");
        tokio::spawn(server);
        let address = address.to_string();
        for path in ["/", &incident, "/departments", "/metrics"] {
            let (mut micros, mut bytes) = (histogram(), 0);
            for _ in 0..ASKED {
                let started = moment();
                bytes = ask(&address, path).await;
                micros.saturating_record(started.elapsed().as_micros() as u64);
            }
            tell(&path[..path.len().min(20)], &micros, &format!("{bytes} bytes"));
        }
    });
}
