//! The sieve, against a scan of every rule over the plain JSON: rules of random conditions, records of odd shapes.

use std::sync::Arc;

use geophone::cloudtrail::CloudTrailEvent;
use geophone::sigma::{Raw, SigmaEvent, Source, UnknownFields, load};
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof};
use serde_json::{Value, json};

const FIELDS: [&str; 9] = [
    "eventSource",
    "eventName",
    "errorCode",
    "userIdentity.type",
    "userIdentity.arn",
    "userIdentity.sessionContext.sessionIssuer.userName",
    "requestParameters.modelId",
    "additionalEventData.callWithBearerToken",
    "requestParameters.other",
];

/// One line of a detection.
fn item() -> impl Strategy<Value = String> {
    let field = || proptest::sample::select(FIELDS.to_vec());
    let text = || proptest::sample::select(vec!["ab", "AB", "abc", "b", "x*", "true", "Ä", "''"]);
    prop_oneof![
        4 => (field(), text()).prop_map(|(field, text)| format!("{field}: {text}")),
        2 => (field(), text(), text()).prop_map(|(field, a, b)| format!("{field}: [{a}, {b}]")),
        2 => (field(), proptest::sample::select(vec!["startswith", "endswith", "contains", "re", "cased"]), text())
            .prop_map(|(field, how, text)| format!("{field}|{how}: {}", if text == "x*" { "a" } else { text })),
        2 => (field(), any::<bool>()).prop_map(|(field, there)| format!("{field}|exists: {there}")),
        1 => (field(), field()).prop_map(|(field, other)| format!("{field}|fieldref: {other}")),
        1 => field().prop_map(|field| format!("{field}: null")),
        1 => (field(), any::<bool>()).prop_map(|(field, truth)| format!("{field}: {truth}")),
    ]
}

fn rule() -> impl Strategy<Value = String> {
    let condition = proptest::sample::select(vec![
        "sa and sb",
        "sa or sb",
        "sa and not sb",
        "not sa and sb",
        "not (sa or sb)",
        "1 of s*",
        "all of s*",
        "all of them",
        "sa and not 1 of sb*",
    ]);
    (item(), item(), item(), condition).prop_map(|(a, b, c, condition)| {
        let both = if a.split(['|', ':']).next() == b.split(['|', ':']).next() { String::new() } else { format!("        {b}\n") };
        format!("detection:\n    sa:\n        {a}\n{both}    sb:\n        {c}\n    condition: {condition}\n")
    })
}

/// What a field may be in a record; mostly a text.
fn value() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        3 => Just(None),
        6 => proptest::sample::select(vec!["ab", "aB", "abc", "b", "xyz", "true", "ä", "Ä", "a\nb"]).prop_map(|text| Some(text.into())),
        1 => proptest::sample::select(vec![Value::Null, json!(""), json!(true), json!([]), json!(["ab"]), json!({"a": "ab"})]).prop_map(Some),
    ]
}

fn record() -> impl Strategy<Value = Value> {
    (proptest::collection::vec(value(), FIELDS.len()), proptest::option::weighted(0.1, 0usize..3)).prop_map(|(values, odd)| {
        let mut record = json!({});
        for (path, value) in FIELDS.iter().zip(values) {
            let Some(value) = value else { continue };
            let parts: Vec<&str> = path.split('.').collect();
            let mut at = &mut record;
            for part in &parts[..parts.len() - 1] {
                at = &mut at[*part];
            }
            at[*parts.last().expect("a part")] = value;
        }
        // A list in the place of an object: Sigma looks into it.
        if let Some(odd) = odd {
            let name = ["userIdentity", "requestParameters", "additionalEventData"][odd];
            let inner = record[name].take();
            record[name] = json!([inner]);
        }
        record
    })
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn it_says_what_the_rules_say(rules in proptest::collection::vec(rule(), 1..12), records in proptest::collection::vec(record(), 1..12)) {
        let text: Vec<String> = rules
            .iter()
            .enumerate()
            .map(|(n, rule)| format!("title: R{n}\nid: r{n}\nlogsource: {{product: aws, service: cloudtrail}}\n{rule}"))
            .collect();
        let text = text.join("---\n");
        let set = load(&[Source { file: "rules.yml".to_owned(), text: text.clone() }], UnknownFields::Refuse)
            .unwrap_or_else(|mistakes| panic!("{mistakes:?}\n{text}"));
        for record in records {
            let raw = record.to_string();
            let event: CloudTrailEvent<'_> = serde_json::from_str(&raw).expect("a record");
            let mut sieved: Vec<Arc<str>> =
                set.matches(&SigmaEvent::new(&event, Raw(Some(&raw)))).into_iter().map(|found| found.rule).collect();
            let mut plain = set.matches_by_full_scan(&record);
            sieved.sort_unstable();
            plain.sort_unstable();
            prop_assert_eq!(sieved, plain, "{}\n{}", raw, text);
        }
    }
}
