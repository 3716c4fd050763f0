//! What Sigma rules cost: an InvokeModel event against the shipped pack, and against the rules in the folder that
//! `SIGMA_RULES` names besides; the whole path of a call with and without the pack; and a correlation whose events all
//! fall into one group, against one in which each has its own.

#![allow(missing_docs, clippy::wildcard_enum_match_arm, reason = "benches fail by panicking")]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use geophone::cloudtrail::{CloudTrailEvent, Decoded};
use geophone::engine::{Engine, EngineSettings, Report};
use geophone::observation::Observer;
use geophone::sigma::correlate::{CorrelatorLimits, Occurrence};
use geophone::sigma::{Correlator, Fired, Raw, RuleFacts, RuleMatch, RuleSet, SigmaEvent, Source, UnknownFields, load};
use geophone::time::{EventTime, Now};

/// A call as a person's session makes it: nothing about it is unusual.
const INVOKE: &str = r#"{"eventVersion":"1.11","userIdentity":{"type":"AssumedRole","principalId":"AROAEXAMPLE:CognitoIdentityCredentials","arn":"arn:aws:sts::111122223333:assumed-role/App/CognitoIdentityCredentials","accountId":"111122223333","accessKeyId":"ASIAEXAMPLE000000001","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROAEXAMPLE","arn":"arn:aws:iam::111122223333:role/App","accountId":"111122223333","userName":"App"},"attributes":{"creationDate":"2026-06-02T08:00:00Z","mfaAuthenticated":"false"}}},"eventTime":"2026-06-02T09:01:00Z","eventSource":"bedrock.amazonaws.com","eventName":"InvokeModel","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.1","userAgent":"Boto3/1.34.100 md/Botocore#1.34.100 os/linux","requestParameters":{"modelId":"us.anthropic.claude-sonnet-4-5-20250929-v1:0"},"responseElements":null,"additionalEventData":{"inferenceRegion":"us-west-2","inputTokens":812,"outputTokens":230},"requestID":"6a7c2f10-7c1a-4d0e-9a55-000000000001","eventID":"0f5b6d5e-0000-4000-8000-000000000001","readOnly":true,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management","tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"bedrock-runtime.us-east-1.amazonaws.com"}}"#;

fn set(paths: &[PathBuf]) -> RuleSet {
    let mut sources = Vec::new();
    paths.iter().for_each(|path| collect(path, &mut sources));
    load(&sources, UnknownFields::Accept).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

fn collect(path: &Path, sources: &mut Vec<Source>) {
    if path.is_dir() {
        let mut entries: Vec<PathBuf> = std::fs::read_dir(path).expect("a folder").flatten().map(|entry| entry.path()).collect();
        entries.sort();
        entries.iter().for_each(|entry| collect(entry, sources));
    } else if path.extension().is_some_and(|ending| ending == "yml") {
        sources.push(Source { file: path.display().to_string(), text: std::fs::read_to_string(path).expect("readable") });
    }
}

fn matching(c: &mut Criterion) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let pack = root.join("rules");
    let event: CloudTrailEvent<'_> = serde_json::from_str(INVOKE).expect("an event");
    let mut group = c.benchmark_group("rules");
    let mut sets = vec![("pack", set(std::slice::from_ref(&pack)))];
    if let Some(others) = std::env::var_os("SIGMA_RULES") {
        sets.push(("pack and others", set(&[pack, others.into()])));
    }
    for (name, set) in &sets {
        group.bench_function(*name, |b| {
            b.iter(|| {
                let event = SigmaEvent::new(black_box(&event), Raw(Some(INVOKE)));
                black_box(set.matches(&event))
            });
        });
    }
    group.finish();
}

const VALUES: &str = "title: A call\nid: a\nname: a_call\nlogsource: {product: aws, service: cloudtrail}\ndetection:\n    call: {eventName: Converse}\n    condition: call\n\
---\ntitle: Many models\nid: b\ncorrelation:\n    type: value_count\n    rules: [a_call]\n    group-by: [userIdentity.accessKeyId]\n    timespan: 10m\n    condition: {gte: 5000, field: requestParameters.modelId}\n";

fn correlations(c: &mut Criterion) {
    const EVENTS: u32 = 100_000;
    let set = load(&[Source { file: "bench.yml".to_owned(), text: VALUES.to_owned() }], UnknownFields::Refuse).expect("rules");
    let occurrences = |groups: u32| -> Vec<RuleMatch> {
        (0..EVENTS)
            .map(|n| {
                let fields =
                    [("userIdentity.accessKeyId", format!("AKIA{}", n % groups)), ("requestParameters.modelId", format!("m{}", n % 50))];
                let fields = fields.into_iter().map(|(path, text)| (path.to_owned(), text.into())).collect();
                RuleMatch { rule: "a".into(), fields, is_open: false }
            })
            .collect()
    };
    let facts = RuleFacts::default();
    let mut group = c.benchmark_group("correlation");
    group.throughput(Throughput::Elements(u64::from(EVENTS))).sample_size(10);
    for (name, groups) in [("one hot group", 1), ("5,000 groups", 5_000)] {
        let occurrences = occurrences(groups);
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || Correlator::<()>::new(CorrelatorLimits::default()),
                |correlator| {
                    let mut fired: Vec<Fired<()>> = Vec::new();
                    for (n, found) in occurrences.iter().enumerate() {
                        // A hundred thousand within ten minutes, every tenth a minute late.
                        let time =
                            EventTime::from_unix(1_780_000_000 + n as i64 * 600 / i64::from(EVENTS) - if n % 10 == 0 { 60 } else { 0 });
                        correlator.feed(&set, (0, 0), &Occurrence { found, facts: &facts, time, id: None }, || (), &mut fired);
                    }
                    black_box(fired)
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

/// The whole path from event to engine, without rules and with the pack: what differs is what rules cost a call, their
/// correlations and all.
fn path(c: &mut Criterion) {
    const CALLS: usize = 20_000;
    let pack = Arc::new(set(&[PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("rules")]));
    let lines: Vec<String> = (0..CALLS)
        .map(|n| {
            let (person, second) = (n * 7 % 2_000, n / 40);
            INVOKE
                .replace("ASIAEXAMPLE000000001", &format!("ASIAEXAMPLE{person:09}"))
                .replace("CognitoIdentityCredentials", &format!("person-{person}"))
                .replace("-000000000001", &format!("-{n:012}"))
                .replace("09:01:00", &format!("09:{:02}:{:02}", second / 60, second % 60))
        })
        .collect();
    let events: Vec<CloudTrailEvent<'_>> = lines.iter().map(|line| serde_json::from_str(line).expect("an event")).collect();
    let mut group = c.benchmark_group("path");
    group.throughput(Throughput::Elements(CALLS as u64)).sample_size(10);
    for (name, rules) in [("without rules", Arc::default()), ("with the pack", pack)] {
        let settings = EngineSettings { rules: Arc::clone(&rules), ..EngineSettings::default() };
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || (Observer::with_rules(Arc::default(), Arc::clone(&rules)), Engine::new(settings.clone())),
                |(observer, engine)| {
                    let (input, mut report) = (engine.input("bench"), Report::default());
                    for (event, line) in events.iter().zip(&lines) {
                        let decoded = Decoded { event: event.clone(), envelope_time: None, text: Some(line) };
                        let observation = observer.observe(&decoded, EventTime::from_unix(0));
                        let now = Now(observation.time);
                        engine.handle(input, observation, now, &mut report);
                    }
                    report.alerts.len()
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, matching, path, correlations);
criterion_main!(benches);
