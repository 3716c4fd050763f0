//! Policy documents as others write them.

use std::sync::Arc;

use geophone::policy::{Context, Decision, Document, Policies, Request};
use serde_json::value::RawValue;

const MODEL: &str = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-sonnet-20240229-v1:0";

/// What is asked: an action, and a resource where the record names one.
const ASKED: [(&str, Option<&str>); 6] = [
    ("bedrock:InvokeModel", Some(MODEL)),
    ("bedrock:InvokeModelWithResponseStream", Some("arn:aws:bedrock:eu-central-1:111122223333:inference-profile/eu.amazon.nova-pro-v1:0")),
    ("bedrock:InvokeModel", None),
    ("bedrock:ListFoundationModels", Some("*")),
    ("bedrock:ApplyGuardrail", Some("arn:aws:bedrock:us-east-1:111122223333:guardrail/\u{e9}*?${x}")),
    ("s3:GetObject", Some("arn:aws:s3:::bucket/key")),
];

/// Every kind of value that a condition compares.
const FACTS: [(&str, &[&str]); 12] = [
    ("aws:PrincipalTag/dept", &["legal"]),
    ("aws:PrincipalTag/Team", &["Gr\u{fc}n*"]),
    ("aws:SourceIp", &["10.1.2.3"]),
    ("aws:SourceVpce", &["vpce-0123456789abcdef0"]),
    ("aws:CurrentTime", &["2026-06-01T09:00:00Z"]),
    ("aws:EpochTime", &["1780304400"]),
    ("aws:SecureTransport", &["true"]),
    ("aws:MultiFactorAuthAge", &["59.5"]),
    ("aws:PrincipalArn", &["arn:aws:iam::111122223333:role/marketing-x"]),
    ("aws:TagKeys", &["dept", "team"]),
    ("aws:RequestedRegion", &["us-east-1"]),
    ("bedrock:GuardrailIdentifier", &["arn:aws:bedrock:us-east-1:111122223333:guardrail/legal:1"]),
];

/// A policy document: a notice with its line, or statements that decide the same when the same JSON is written otherwise, never
/// allow more with a deny beside them, and say nothing certain about a partly known request that is not so of the whole one.
pub fn iam_policy(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let document = match Document::parse("p.json", &text) {
        Ok(document) => document,
        Err(notice) => return assert!((1..=lines).contains(&notice.line), "{notice}"),
    };
    for notice in &document.notices {
        assert!((1..=lines).contains(&notice.line) && !notice.what.is_empty() && !notice.cure.is_empty(), "{notice}");
    }
    for statement in &document.statements {
        assert!((1..=lines).contains(&statement.line));
    }
    let written = rewritten(&text).expect("what is read as a policy is JSON");
    let other = Document::parse("p.json", &written).unwrap_or_else(|notice| panic!("{notice} in {written}"));
    assert_eq!(other.statements.len(), document.statements.len());
    let deny = r#"{"Statement":{"Effect":"Deny","Action":"bedrock:Invoke*","Resource":"*"}}"#;
    let deny = Arc::new(Document::parse("deny.json", deny).expect("a document"));

    let one = Policies { identity: vec![Arc::new(document)], ..Policies::default() };
    let other = Policies { identity: vec![Arc::new(other)], ..Policies::default() };
    let limited = Policies { boundary: one.identity.clone(), control: vec![one.identity.clone()], ..one.clone() };
    let denied = Policies { identity: [one.identity.clone(), vec![deny]].concat(), ..Policies::default() };
    let (whole, part) = (context(FACTS.len()), context(FACTS.len() / 2));
    for (action, resource) in ASKED {
        let decide = |policies: &Policies, context: &Context| policies.evaluate(&Request { action, resource, context }).decision;
        let decision = decide(&one, &whole);
        assert_eq!(decide(&other, &whole), decision, "{action} as {written}");
        assert_eq!(decide(&limited, &whole), decision, "the same three times is the same");
        let denied = decide(&denied, &whole);
        assert!(denied != Decision::Allow || decision == Decision::Allow);
        assert!(!action.starts_with("bedrock:Invoke") || denied == Decision::ExplicitDeny, "{denied:?}");
        let known = decide(&one, &part);
        let is_same = known == decision || known.is_deny() && decision.is_deny();
        assert!(known == Decision::Unknown || is_same, "{action}: {known:?} of a part, {decision:?} of the whole");
    }
}

/// What is known of a request: the first `count` facts; the others cannot be told. No fact is absent but those not listed.
fn context(count: usize) -> Context {
    let mut context = Context::complete();
    for (key, values) in &FACTS[..count] {
        context.set_all(key, values.iter().map(|value| (*value).to_owned()).collect());
    }
    FACTS[count..].iter().for_each(|(key, _)| context.set_unknown(key, "not logged"));
    context
}

/// The same JSON with other white space and every text in escapes; numbers, order and doubled keys as they are. `None` where
/// it is none.
fn rewritten(text: &str) -> Option<String> {
    let value: &RawValue = serde_json::from_str(text.trim_start_matches('\u{feff}')).ok()?;
    let mut out = String::new();
    write(value.get(), &mut out).then_some(out)
}

fn write(text: &str, out: &mut String) -> bool {
    match text.as_bytes().first() {
        Some(b'{') => write_object(text, out),
        Some(b'[') => {
            let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) else { return false };
            out.push_str("[\n");
            for (place, item) in items.iter().enumerate() {
                out.push_str(if place == 0 { " " } else { " , " });
                if !write(item.get(), out) {
                    return false;
                }
            }
            out.push(']');
            true
        }
        Some(b'"') => serde_json::from_str::<String>(text).map(|text| write_text(&text, out)).is_ok(),
        _ => {
            out.push_str(text);
            true
        }
    }
}

/// Keys may come twice: the object is taken apart at its own commas.
fn write_object(text: &str, out: &mut String) -> bool {
    out.push_str("{ ");
    let mut rest = text[1..].trim_start();
    let mut is_first = true;
    while !rest.starts_with('}') {
        let Some(key) = first_value(rest) else { return false };
        let Some(behind) = rest[key.len()..].trim_start().strip_prefix(':').map(str::trim_start) else { return false };
        let Some(value) = first_value(behind) else { return false };
        out.push_str(if is_first { "" } else { "\t,\r\n" });
        if !write(key, out) {
            return false;
        }
        out.push_str("\n: ");
        if !write(value, out) {
            return false;
        }
        rest = behind[value.len()..].trim_start().trim_start_matches(',').trim_start();
        is_first = false;
    }
    out.push('}');
    true
}

/// The JSON value that `text` begins with.
fn first_value(text: &str) -> Option<&str> {
    serde_json::Deserializer::from_str(text).into_iter::<&RawValue>().next()?.ok().map(RawValue::get)
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for unit in text.encode_utf16() {
        out.push_str(&format!("\\u{unit:04x}"));
    }
    out.push('"');
}
