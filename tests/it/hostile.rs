//! What a caller can write into a record, from the record to the message: in no form does it break out.

use geophone::alerting::message::{Form, Links, MESSAGE_BYTES_MAX, Message, SUBJECT_BYTES_MAX, render};
use geophone::bedrock::EventId;
use geophone::engine::EngineSettings;
use geophone::web::Evidence;
use proptest::prelude::*;
use serde_json::Value;

use crate::support::records::denied;
use crate::support::story;

/// Pieces of text that somebody might try: markup of HTML, Slack and Markdown, directions, line ends, JSON, shell, long.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("<script>alert(1)</script>".to_owned()),
        Just("</pre><img src=x onerror=alert(1)>".to_owned()),
        Just("<!channel> <@U123|bob> <https://evil.example|click>".to_owned()),
        Just("```\n*bold* _it_ ~s~ [a](javascript:x)".to_owned()),
        Just("\u{202e}\u{2066}\u{200f}\u{feff}\u{200b}".to_owned()),
        Just("\r\nSubject: forged\n\n.\n".to_owned()),
        Just("\u{0}\u{1b}[31m\u{7}\u{9b}".to_owned()),
        Just("\"},{\"severity\":\"low\"".to_owned()),
        Just("\u{e0001}\u{e0041}\u{fff9}".to_owned()),
        "\\PC{0,40}",
        any::<String>(),
        (1_usize..20).prop_map(|times| "é<&\u{202e}".repeat(times * 300)),
    ]
}

fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(piece(), 1..4).prop_map(|pieces| pieces.concat())
}

/// A refused call with these texts in every field that its caller can choose.
fn record(session: &str, agent: &str, model: &str, message: &str) -> String {
    let mut record: Value = serde_json::from_str(&denied("ASIAHOSTILE0000", 0, 1_780_315_200)).expect("JSON");
    record["userAgent"] = agent.into();
    record["requestParameters"]["modelId"] = model.into();
    record["errorMessage"] = message.into();
    record["sourceIPAddress"] = session.into();
    record["vpcEndpointId"] = session.into();
    record["userIdentity"]["arn"] = format!("arn:aws:sts::111122223333:assumed-role/analyst/{session}").into();
    record["userIdentity"]["principalId"] = format!("AROAEXAMPLE:{session}").into();
    record.to_string()
}

fn is_unseen(c: char) -> bool {
    c.is_control() && c != '\n'
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{e0000}'..='\u{e007f}' | '\u{feff}')
}

fn texts_of(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(text) => out.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts_of(item, out)),
        Value::Object(fields) => fields.values().for_each(|field| texts_of(field, out)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn check(form: Form, message: &Message) {
    let Message { subject, body, attributes } = message;
    assert!(subject.is_ascii() && subject.len() <= SUBJECT_BYTES_MAX && !subject.is_empty(), "{subject:?}");
    assert!(!subject.contains(|c: char| c.is_control()), "{subject:?}");
    let bytes: usize = attributes.iter().map(|(name, value)| name.len() + value.len() + 16).sum();
    assert!(body.len() + bytes <= MESSAGE_BYTES_MAX, "{} bytes", body.len());
    for (name, value) in attributes {
        assert!(!value.is_empty() && !value.contains(is_unseen), "{name}: {value:?}");
    }
    let mut texts = Vec::new();
    if form == Form::Text {
        texts.push(body.clone());
    } else {
        // Exactly one JSON value, on one line: nothing that was written into it has ended it early.
        let value: Value = serde_json::from_str(body).expect("JSON");
        assert!(value.is_object() && !body.contains('\n'), "{body}");
        texts_of(&value, &mut texts);
    }
    for text in texts {
        // The programs' own form keeps what the record says; in chat a joiner behind "@" keeps it from naming anybody.
        let text = if form == Form::Chatbot { text.replace("@\u{2060}", "@") } else { text };
        assert!(form == Form::Ndjson || !text.contains(is_unseen), "{form:?}: {text:?}");
        if form == Form::Chatbot {
            assert!(!text.replace("&lt;", "").contains(['<', '>']), "{text:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_text_of_a_caller_breaks_out_of_a_message(session in text(), agent in text(), model in text(), message in text()) {
        let record = record(&session, &agent, &model, &message);
        let told = story::play(&EngineSettings::default(), story::observe(record.as_bytes()));
        prop_assert!(!told.alerts.is_empty(), "a refused call is told, whatever it says");
        for alert in &told.alerts {
            for form in [Form::Text, Form::Chatbot, Form::Ndjson, Form::Ocsf] {
                check(form, &render(alert, form, &Links::default()));
            }
        }
        let mut evidence = Evidence::default();
        let id = EventId::parse("ASIAHOSTILE0000-0").expect("an id");
        evidence.note("ASIAHOSTILE0000-0", &record, std::slice::from_ref(&id), false);
        prop_assert!(evidence.show(&id).is_some_and(|shown| shown["eventID"] == "ASIAHOSTILE0000-0"));
    }
}

#[test]
fn a_user_agent_of_a_megabyte_is_cut() {
    // A little less: an event of more than a mebibyte is none of CloudTrail's, and becomes a dead letter.
    let long = "x<\u{202e}".repeat(190_000);
    let told = story::play(&EngineSettings::default(), story::observe(record("dana", &long, "anthropic.claude-v2", "no").as_bytes()));
    assert_eq!(told.alerts.len(), 1);
    for form in [Form::Text, Form::Chatbot, Form::Ndjson, Form::Ocsf] {
        let message = render(&told.alerts[0], form, &Links::default());
        check(form, &message);
        assert!(message.body.len() < 20_000, "{form:?}: {} bytes", message.body.len());
    }
}
