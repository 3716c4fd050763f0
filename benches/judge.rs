//! What a warm call costs on its way to its actor: the join with its session, and the verdict of the policies.
//!
//! 20,000 sessions of six departments, each with three models, called by a harmonic law.

#![allow(missing_docs, clippy::wildcard_enum_match_arm, reason = "benches fail by panicking")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use geophone::cloudtrail::{Decoder, Limits};
use geophone::engine::joining::{Joining, Known};
use geophone::identity::{Directory, IdentitySettings, Resolver, Unknown};
use geophone::observation::{Body, Call, Observer};
use geophone::policy::{Attached, BookSettings, Document, PolicyBook, ProfileTable, Roles};
use geophone::state::{GrantKeeper, Shared};
use geophone::time::EventTime;

const SESSIONS: usize = 20_000;
const DRAWN: usize = 50_000;
const PAGE: usize = 500;
const DEPARTMENTS: [&str; 6] = ["legal", "compliance", "finance", "marketing", "engineering", "research"];
const MODELS: [&str; 3] = ["anthropic.claude-sonnet-4-5-20250929-v1:0", "us.amazon.nova-pro-v1:0", "meta.llama3-3-70b-instruct-v1:0"];

fn book() -> Arc<PolicyBook> {
    let statements: Vec<String> = DEPARTMENTS
        .iter()
        .map(|department| {
            format!(
                r#"{{"Sid":"{department}","Effect":"Allow","Action":"bedrock:InvokeModel*","Resource":"arn:aws:bedrock:*::foundation-model/*",
                "Condition":{{"StringEquals":{{"aws:PrincipalTag/dept":"{department}"}}}}}}"#
            )
        })
        .collect();
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","));
    let document = Document::parse("bench.json", &text).expect("a document");
    let attached = Attached { identity: vec![(Roles::Every, Arc::new(document))], ..Attached::default() };
    Arc::new(PolicyBook::new(BookSettings { attached, profiles: ProfileTable::shipped(), ..BookSettings::default() }))
}

fn sts(session: usize) -> String {
    let department = DEPARTMENTS[session % DEPARTMENTS.len()];
    format!(
        r#"{{"eventSource":"sts.amazonaws.com","eventName":"AssumeRoleWithWebIdentity","eventID":"s{session}","eventTime":"2026-06-02T09:00:00Z",
        "userIdentity":{{"type":"WebIdentityUser","identityProvider":"cognito-identity.amazonaws.com","userName":"us-east-1:{session}"}},
        "requestParameters":{{"principalTags":{{"dept":"{department}"}}}},"responseElements":{{"credentials":{{"accessKeyId":"ASIA{session:016}"}}}}}}"#
    )
}

fn invoke(session: usize, model: &str) -> String {
    format!(
        r#"{{"eventSource":"bedrock.amazonaws.com","eventName":"InvokeModel","eventID":"c{session}{model}","eventTime":"2026-06-02T09:01:00Z",
        "awsRegion":"us-east-1","eventType":"AwsApiCall","requestParameters":{{"modelId":"{model}"}},"recipientAccountId":"111122223333",
        "sourceIPAddress":"192.0.2.1","userAgent":"Boto3/1.34","userIdentity":{{"type":"AssumedRole","accessKeyId":"ASIA{session:016}","accountId":"111122223333",
        "arn":"arn:aws:sts::111122223333:assumed-role/App/CognitoIdentityCredentials",
        "sessionContext":{{"sessionIssuer":{{"arn":"arn:aws:iam::111122223333:role/App"}}}}}}}}"#
    )
}

fn prepared() -> (Joining, Vec<Arc<Call>>) {
    let shared = Arc::new(Shared::default());
    let keeper = GrantKeeper::new(Arc::clone(&shared), SESSIONS, 43_200);
    let mut joining = Joining::new(Resolver::new(IdentitySettings::default(), Arc::new(Directory::default())), shared, keeper, book());
    let (mut decoder, mut observer) = (Decoder::new(Limits::default()), Observer::new(Arc::default()));
    let mut calls = Vec::new();
    for session in 0..SESSIONS {
        let lines = std::iter::once(sts(session)).chain(MODELS.iter().map(|model| invoke(session, model)));
        for line in lines {
            decoder.decode(line.as_bytes(), &mut |item| {
                let Ok(decoded) = item else { return };
                match observer.observe(decoded, EventTime::from_unix(0)).body {
                    Body::Grant { access_key_id, grant } => joining.learn_grant(&access_key_id, *grant),
                    Body::Call(call) => calls.push(call),
                    _ => {}
                }
            });
        }
    }
    // Sessions by a harmonic law, as calls of a company fall: some call all day, most now and then.
    let mut state = 7_u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let unit = (state >> 11) as f64 / (1_u64 << 53) as f64;
        ((calls.len() as f64).powf(unit) as usize).min(calls.len() - 1)
    };
    let order: Vec<usize> = (0..DRAWN).map(|_| draw()).collect();
    // Shared: a call has just been decoded when it is judged, so that it is in the cache.
    let calls: Vec<Arc<Call>> = order.into_iter().map(|index| Arc::clone(&calls[index])).collect();
    for call in &calls {
        let known = joining.attribute(call, Unknown::NoGrant);
        joining.rule(&known, call);
    }
    (joining, calls)
}

fn judge(criterion: &mut Criterion) {
    let (mut joining, calls) = prepared();
    let mut group = criterion.benchmark_group("judge");
    group.throughput(Throughput::Elements(calls.len() as u64));
    // What the others have to do before they begin: a call that was just decoded is in the cache, these are not.
    group.bench_function("reading the calls", |bencher| {
        bencher.iter(|| {
            for call in &calls {
                let invocation = &call.invocation;
                black_box((
                    Arc::as_ptr(&call.caller),
                    invocation.operation.plane,
                    Arc::as_ptr(&invocation.name),
                    invocation.with_bearer_token,
                ));
            }
        });
    });
    group.bench_function("join, warm", |bencher| {
        bencher.iter(|| {
            for call in &calls {
                black_box(joining.known(&call.caller).expect("known"));
            }
        });
    });
    // The verdict comes right behind decode and join, which leave call and caller in the cache: a page of calls, again and
    // again, from tables that hold all.
    let calls = &calls[..PAGE];
    group.throughput(Throughput::Elements(PAGE as u64));
    let known: Vec<Arc<Known>> = calls.iter().map(|call| Arc::clone(joining.known(&call.caller).expect("known"))).collect();
    group.bench_function("verdict, remembered", |bencher| {
        bencher.iter(|| {
            for (call, known) in calls.iter().zip(&known) {
                black_box(joining.rule(known, call));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, judge);
criterion_main!(benches);
