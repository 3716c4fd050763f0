//! Bytes that nobody meant: whatever comes in, decoding ends, counts what it says, and loses no good neighbour.

use geophone::cloudtrail::{Decoder, Limits, Outcome};
use geophone::engine::{Engine, EngineSettings, Report};
use geophone::observation::Observer;
use geophone::time::{EventTime, Now};
use geophone_company::load::Load;
use geophone_company::wire;
use proptest::prelude::*;

/// Ids of the events in `bytes`, in order, and what was counted.
fn ids(bytes: &[u8]) -> (Vec<String>, Outcome) {
    let mut ids = Vec::new();
    let mut errors = 0;
    let outcome = Decoder::new(Limits::default()).decode(bytes, &mut |item| match item {
        Ok(decoded) => ids.push(decoded.event.event_id.as_str().to_owned()),
        Err(_) => errors += 1,
    });
    assert_eq!((outcome.events, outcome.errors), (ids.len() as u64, errors), "what is counted is what was told");
    (ids, outcome)
}

fn texts(count: usize) -> Vec<String> {
    Load::new(1, 10).take(count).map(|event| event.json).collect()
}

/// Every wire form of the same events.
fn forms(texts: &[&str]) -> Vec<Vec<u8>> {
    let subscription = wire::cloudwatch_logs(texts);
    vec![
        wire::ndjson(texts),
        wire::json_array(texts),
        wire::records(texts),
        wire::records_gz(texts),
        wire::lookup_events(texts),
        subscription.clone(),
        wire::gzip(&subscription),
        wire::kpl(&[("key", &subscription)]),
    ]
}

#[test]
fn every_wire_form_gives_the_same_events() {
    let texts = texts(40);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let expected = ids(&wire::ndjson(&texts)).0;
    assert_eq!(expected.len(), 40);
    for (number, form) in forms(&texts).into_iter().enumerate() {
        assert_eq!(ids(&form).0, expected, "form {number}");
    }
    let one_by_one: Vec<String> = texts.iter().flat_map(|text| ids(&wire::eventbridge(text)).0).collect();
    assert_eq!(one_by_one, expected);
    assert_eq!(ids(&wire::control_message()).1, Outcome { events: 0, errors: 0, control_messages: 1 });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        ids(&bytes);
        ids(&[&[0x1f, 0x8b, 0x08][..], &bytes].concat());
        ids(&[&[0xf3, 0x89, 0x9a, 0xc2][..], &bytes].concat());
        ids(&wire::gzip(&bytes));
    }

    #[test]
    fn json_like_text_ends(text in r#"([\[\]{}",:]|"eventName"|"Records"|"logEvents"|"message"|"detail"|null|true|1|\\u0041|[a-z ]){0,200}"#) {
        ids(text.as_bytes());
    }

    /// A few bytes of a good record are changed: the events outside of the damage are all still there. Gzip is left out,
    /// where one byte can damage everything behind it.
    #[test]
    fn damage_costs_only_its_own_event(form in 0usize..3, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let texts = texts(12);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut bytes = forms(&texts).swap_remove(form);
        let whole = ids(&bytes).0;
        let position = at.index(bytes.len());
        bytes[position] = byte;
        let (kept, outcome) = ids(&bytes);
        let lost = whole.iter().filter(|id| !kept.contains(id)).count();
        // A quote that opens or closes a text may take the next event with it.
        prop_assert!(lost <= 2, "{lost} lost of {} after changing byte {position} to {byte:#x}: {outcome:?}", whole.len());
    }

    /// The same for a record that ends anywhere: everything whole before the end is kept.
    #[test]
    fn a_cut_costs_only_what_it_cuts(form in 0usize..3, at in any::<prop::sample::Index>()) {
        let texts = texts(12);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let bytes = forms(&texts).swap_remove(form);
        let whole = ids(&bytes).0;
        let end = at.index(bytes.len());
        let kept = ids(&bytes[..end]).0;
        prop_assert!(whole.starts_with(&kept) || kept.last().is_some_and(String::is_empty) || kept.len() <= whole.len());
        let per_event = bytes.len() / 12;
        prop_assert!(kept.len() + 2 >= end / (per_event + 400), "{} kept of {end} bytes", kept.len());
    }

    /// No field value can bring the engine down.
    #[test]
    fn any_field_values_pass_through_the_engine(time in any::<i64>(), name in ".{0,40}", arn in ".{0,60}", model in ".{0,80}", code in "(AccessDenied|Throttling|.{0,10})", message in ".{0,120}", key in "(ASIA|AKIA|).{0,16}") {
        let event = serde_json::json!({
            "eventSource": "bedrock.amazonaws.com", "eventName": "InvokeModel", "eventID": format!("{time}"),
            "eventTime": EventTime::from_unix(time).to_string(), "errorCode": code, "errorMessage": message,
            "requestParameters": {"modelId": model}, "awsRegion": name,
            "userIdentity": {"type": "AssumedRole", "arn": arn, "principalId": name, "accessKeyId": key},
        });
        let mut engine = Engine::new(EngineSettings { dedup_capacity: 64, ..EngineSettings::default() });
        let input = engine.input("x");
        let (mut observer, mut report) = (Observer::new(Default::default()), Report::default());
        Decoder::new(Limits::default()).decode(event.to_string().as_bytes(), &mut |item| {
            let observation = observer.observe(item.expect("an event"), EventTime::from_unix(0));
            let now = Now(observation.time);
            engine.handle(input, observation, now, &mut report);
        });
        engine.finish(&mut report);
        prop_assert_eq!(report.counts.events, 1);
        for alert in &report.alerts {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&alert.to_ndjson()).is_ok());
            let message = geophone::alerting::message::render(alert, geophone::alerting::message::Form::Chatbot, &geophone::alerting::message::Links::default());
            prop_assert!(message.subject.is_ascii() && serde_json::from_str::<serde_json::Value>(&message.body).is_ok());
        }
    }
}
