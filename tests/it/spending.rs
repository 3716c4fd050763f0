//! What tokens cost, whenever they come; and what an actor has never used.

use geophone::alerting::Alert;
use geophone::engine::EngineSettings;
use geophone::finding::{DetectorId, Severity};
use geophone::time::{DAY, HOUR};
use serde_json::{Value, json};

use crate::support::calls::{CLAUDE, NOVA, call, of, play};

const OPUS: &str = "anthropic.claude-opus-4-1-20250805-v1:0";
const DAYS: i64 = 20;

/// A call of an IAM user: nothing waits for anything.
fn by_user(id: &str, at: i64, user: &str, model: &str, tokens: [u64; 2]) -> Value {
    let mut call = call(id, at, &format!("AKIA{user}"), "Converse", model);
    call["userIdentity"] = json!({"type": "IAMUser", "userName": user, "accessKeyId": format!("AKIA{user}"), "accountId": "111122223333",
        "arn": format!("arn:aws:iam::111122223333:user/{user}"), "principalId": format!("AIDA{user}")});
    call["additionalEventData"] = json!({"inputTokens": tokens[0], "outputTokens": tokens[1]});
    call
}

/// Three weeks of a dozen users, with six calls a day and a few thousand tokens each; a little different every day.
fn history() -> Vec<Value> {
    let mut events = Vec::new();
    for day in 0..DAYS {
        for user in 0..12 {
            for n in 0..6 {
                let at = day * DAY + n * HOUR + user * 61 + (day * 7 + n) % 13 * 60;
                let tokens = [2_000 + (day * 131 + user * 57 + n * 11) as u64 % 1_500, 300 + (day * 17 + n) as u64 % 200];
                let model = if n % 3 == 0 { NOVA } else { CLAUDE };
                events.push(by_user(&format!("h-{day}-{user}-{n}"), at, &format!("u{user}"), model, tokens));
            }
        }
    }
    events
}

fn settings() -> EngineSettings {
    EngineSettings { dedup_capacity: 1 << 14, ..EngineSettings::default() }
}

fn told(detector: DetectorId, more: &[Value]) -> Vec<Alert> {
    let events = [history(), more.to_vec()].concat();
    of(&play(&settings(), &events), detector)
}

/// A streaming call without tokens, and the companion record that has them.
fn streamed(id: &str, at: i64, user: &str, model: &str, tokens: [u64; 2]) -> [Value; 2] {
    let mut call = by_user(id, at, user, model, tokens);
    call["eventName"] = json!("ConverseStream");
    call.as_object_mut().expect("an object").remove("additionalEventData");
    let companion = json!({"eventVersion": "1.11", "eventSource": "bedrock.amazonaws.com", "eventName": "ConverseStream",
        "eventID": format!("c-{id}"), "eventTime": call["eventTime"], "awsRegion": "us-east-1", "eventType": "AwsServiceEvent",
        "userIdentity": {"accountId": "111122223333", "invokedBy": "bedrock.amazonaws.com"}, "requestParameters": null,
        "recipientAccountId": "111122223333",
        "serviceEventDetails": {"parentRequestId": call["requestID"],
            "AdditionalEventData": {"additionalEntries": {"inputTokens": tokens[0], "outputTokens": tokens[1]}}}});
    [call, companion]
}

#[test]
fn a_call_with_a_long_prompt_is_money_and_no_spike() {
    let start = DAYS * DAY + 2 * HOUR;
    let long = [by_user("x", start + 183, "u3", CLAUDE, [2_500_000, 4_000])];
    let alerts = told(DetectorId::TokenSpend, &long);
    let [alert] = &alerts[..] else { panic!("{alerts:?}") };
    assert!(alert.title.starts_with("Token spend: IAM user u3 (department unknown), $8.32 in "), "{}", alert.title);
    for words in ["2.5 million tokens in ", "$8.32 at list prices of 2026-", "highest hour in 28 days $0.", "identity-days"] {
        assert!(alert.explanation.contains(words), "{}", alert.explanation);
    }
    assert!(alert.numbers["dollars_10m"] == 8.32 && alert.numbers["expected_dollars_10m"] < 0.1, "{:?}", alert.numbers);
    let spikes = told(DetectorId::InvocationSpike, &long);
    assert!(
        !spikes.iter().any(|spike| spike.who.actor == alert.who.actor && spike.last_event >= alert.onset),
        "one call is no spike: {spikes:?}"
    );
    // The same with nothing unusual about it.
    let usual: Vec<Value> = vec![by_user("x", start + 183, "u3", CLAUDE, [2_500, 400])];
    assert!(told(DetectorId::TokenSpend, &usual).is_empty());
}

#[test]
fn tokens_count_at_the_time_of_their_call_whichever_record_comes_first() {
    let start = DAYS * DAY + 2 * HOUR;
    let pairs: Vec<[Value; 2]> = (0..4).map(|n| streamed(&format!("x{n}"), start + n * 60, "u3", OPUS, [900_000, 4_000])).collect();
    let calls: Vec<Value> = pairs.iter().map(|pair| pair[0].clone()).collect();
    let companions: Vec<Value> = pairs.iter().map(|pair| pair[1].clone()).collect();
    // Something of a quarter of an hour later, so that the companions come well after their calls.
    let later = by_user("later", start + 900, "u7", CLAUDE, [2_000, 300]);
    let alerts: Vec<Vec<Alert>> = [
        [calls.clone(), companions.clone()].concat(),
        [companions.clone(), calls.clone()].concat(),
        [calls.clone(), vec![later], companions.clone()].concat(),
        [calls.clone(), companions.clone(), companions, calls.clone()].concat(),
    ]
    .iter()
    .map(|events| told(DetectorId::TokenSpend, events))
    .collect();
    for alerts in &alerts {
        let [alert] = &alerts[..] else { panic!("{alerts:?}") };
        assert_eq!((alert.alert_id, alert.onset), (alerts[0].alert_id, alerts[0].onset));
    }
    assert!(told(DetectorId::TokenSpend, &calls).is_empty(), "without their companions they cost nothing that is known");
}

#[test]
fn absurd_token_counts_alert_and_teach_nothing_lasting() {
    let start = DAYS * DAY + 2 * HOUR;
    let absurd = by_user("x", start, "u3", OPUS, [u64::MAX, u64::MAX]);
    assert_eq!(told(DetectorId::TokenSpend, std::slice::from_ref(&absurd)).len(), 1);
    // Two days later the usual long prompts of a thief still stand out.
    let mut events = vec![absurd];
    events.extend((0..4).map(|n| by_user(&format!("y{n}"), start + 2 * DAY + n * 60, "u3", OPUS, [900_000, 4_000])));
    assert_eq!(told(DetectorId::TokenSpend, &events).len(), 2);
}

#[test]
fn several_new_things_in_one_call_are_first_seen_and_a_launch_is_not() {
    let start = DAYS * DAY + 2 * HOUR;
    let mut away = by_user("x", start, "u3", OPUS, [2_000, 300]);
    away["sourceIPAddress"] = json!("203.0.113.9");
    away["awsRegion"] = json!("ap-southeast-3");
    let alerts = told(DetectorId::FirstSeen, &[away]);
    let [alert] = &alerts[..] else { panic!("{alerts:?}") };
    assert_eq!(alert.severity, Severity::Medium);
    for words in
        ["network 203.0.113.0/24 (nobody else's)", "region ap-southeast-3", "model anthropic.claude-opus-4-1", "after 20 active days"]
    {
        assert!(alert.explanation.contains(words), "{}", alert.explanation);
    }
    // A launch: four of them use the new model within two days; from the third on it is no news.
    let launch: Vec<Value> =
        (0..4).map(|n| by_user(&format!("l{n}"), start + n * 4 * HOUR, &format!("u{n}"), OPUS, [2_000, 300])).collect();
    let names: Vec<String> = told(DetectorId::FirstSeen, &launch).iter().map(|alert| alert.who.actor.name.to_string()).collect();
    assert!(!names.iter().any(|name| name.ends_with("u3")), "{names:?}");
    // Nobody is judged before a week of days.
    let mut newcomer = by_user("n", start, "u99", CLAUDE, [2_000, 300]);
    newcomer["sourceIPAddress"] = json!("203.0.113.9");
    assert!(told(DetectorId::FirstSeen, &[newcomer]).is_empty());
}
