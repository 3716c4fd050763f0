//! A small company that everything is watched for, and what must hold for every message about it.

use std::sync::{Arc, LazyLock};

use geophone::alerting::message::{Form, Links, MESSAGE_BYTES_MAX, Message, SUBJECT_BYTES_MAX};
use geophone::cloudtrail::{Decoder, Limits};
use geophone::config::Settings;
use geophone::engine::EngineSettings;
use geophone::identity::Directory;
use geophone::observation::{Observation, Observer};
use geophone::sigma::{RuleSet, Source, UnknownFields, load};
use geophone::time::EventTime;
use serde_json::Value;

/// Every detector has something to say here, and every table is so small that a few events fill it.
const CONFIG: &str = r#"
[identity]
person_tags = ["username", "sub"]
[identity.roles]
"marketing-*" = "marketing"
[identity.accounts]
"444455556666" = "research"
[departments.legal]
models = ["anthropic.claude-*"]
[departments.marketing]
models = ["amazon.nova-*"]
[policy.context]
"aws:SecureTransport" = "true"
[models]
"abc123" = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
[detect.perimeter]
vpc_endpoints = ["vpce-0123456789abcdef0"]
networks = ["10.0.0.0/8"]
regions = ["us-east-1", "eu-central-1"]
tls_min = "1.2"
[detect.invocation-spike]
learning_days = 1
[detect.first-seen]
days = 1
history = 1
[limits]
workers = 2
dedup = 256
held = 6
grants = 6
pairs = 6
actors = 12
credentials = 6
"#;

const PEOPLE: &str = "person,user_pool_sub,other_ids,department,manager\n\
    ada@example.com,6f1e2d3c-0000-4000-8000-000000000001,,legal,eve@example.com\n\
    ben@example.com,,arn:aws:iam::111122223333:user/ben,marketing,\n";

/// One rule of each kind: about a record, about what geophone knows, and a correlation.
const RULES: &str = r#"
title: Denied
id: 00000000-0000-4000-8000-000000000001
name: denied
logsource: {product: aws, service: cloudtrail}
detection:
    call:
        eventName|startswith: Invoke
        errorCode: AccessDenied
    condition: call
level: low
---
title: Anything with a strange agent
id: 00000000-0000-4000-8000-000000000002
name: agent
logsource: {product: aws, service: cloudtrail}
detection:
    agent:
        userAgent|contains: [curl, python]
    region:
        awsRegion|exists: true
    own:
        geophone.department: legal
    condition: (agent and region) or own
level: high
---
title: Several models
id: 00000000-0000-4000-8000-000000000003
name: models
correlation:
    type: value_count
    rules: [denied]
    group-by: [userIdentity.arn]
    timespan: 15m
    condition: {field: requestParameters.modelId, gte: 2}
level: critical
"#;

pub fn rules() -> Arc<RuleSet> {
    static SET: LazyLock<Arc<RuleSet>> = LazyLock::new(|| {
        let source = Source { file: "rules.yml".to_owned(), text: RULES.to_owned() };
        Arc::new(load(&[source], UnknownFields::Refuse).unwrap_or_else(|mistakes| panic!("{mistakes:?}")))
    });
    Arc::clone(&SET)
}

pub fn settings() -> EngineSettings {
    static SETTINGS: LazyLock<EngineSettings> = LazyLock::new(|| {
        let settings = Settings::parse(CONFIG).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        let settings = settings.with_directory(Directory::parse(PEOPLE).expect("a directory"));
        EngineSettings { rules: rules(), ..settings.engine }
    });
    SETTINGS.clone()
}

/// The observations of a record, whatever its envelope.
pub fn observe(bytes: &[u8]) -> Vec<Observation> {
    let mut observer = Observer::with_rules(Arc::default(), rules());
    let mut observations = Vec::new();
    Decoder::new(Limits { keep_text: true, ..Limits::default() }).decode(bytes, &mut |item| {
        if let Ok(decoded) = item {
            observations.push(observer.observe(decoded, EventTime::from_unix(1_780_300_000)));
        }
    });
    observations
}

/// Where messages say to read on.
pub fn links() -> Links {
    Links { page: Some("https://geophone.example.com".to_owned()), runbooks: Some("https://example.com/runbook".to_owned()) }
}

pub const FORMS: [Form; 4] = [Form::Text, Form::Chatbot, Form::Ndjson, Form::Ocsf];

/// A message that SNS takes, and that shows no more of what others wrote than it may.
pub fn check(form: Form, message: &Message) {
    let Message { subject, body, attributes } = message;
    assert!(subject.is_ascii() && subject.len() <= SUBJECT_BYTES_MAX && !subject.is_empty(), "{subject:?}");
    assert!(!subject.contains(|c: char| c.is_control()), "{subject:?}");
    let bytes: usize = attributes.iter().map(|(name, value)| name.len() + value.len() + 16).sum();
    assert!(body.len() + bytes <= MESSAGE_BYTES_MAX, "{form:?}: {} bytes", body.len());
    assert!(!body.trim().is_empty());
    for (name, value) in attributes {
        assert!(!value.is_empty() && !value.contains(is_unseen), "{name}: {value:?}");
    }
    let mut texts = Vec::new();
    if form == Form::Text {
        texts.push(body.clone());
    } else {
        let value: Value = serde_json::from_str(body).expect("one JSON value");
        assert!(value.is_object() && !body.contains('\n'), "{body}");
        texts_of(value, &mut texts);
    }
    for text in texts {
        // In chat a joiner behind "@" keeps it from naming anybody; the programs' own form keeps what the record says.
        let text = if form == Form::Chatbot { text.replace("@\u{2060}", "@") } else { text };
        assert!(form == Form::Ndjson || !text.contains(is_unseen), "{form:?}: {text:?}");
        assert!(form != Form::Chatbot || !text.contains(['<', '>']), "{text:?}");
    }
}

fn is_unseen(c: char) -> bool {
    let is_mark =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{e0000}'..='\u{e007f}' | '\u{feff}');
    c.is_control() && c != '\n' || is_mark
}

fn texts_of(value: Value, out: &mut Vec<String>) {
    match value {
        Value::String(text) => out.push(text),
        Value::Array(items) => items.into_iter().for_each(|item| texts_of(item, out)),
        Value::Object(fields) => fields.into_iter().for_each(|(_, field)| texts_of(field, out)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
