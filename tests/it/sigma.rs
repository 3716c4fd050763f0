//! Sigma on a stream: SigmaHQ's own rules against a plain reading, the pack, the probes that other engines fail, and bad
//! rules.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use geophone::alerting::Alert;
use geophone::cli::rules::{play_all, read};
use geophone::cloudtrail::{Decoder, Limits};
use geophone::engine::{Engine, EngineSettings, Report};
use geophone::finding::{DetectorId, Severity};
use geophone::observation::{Body, Observer};
use geophone::sigma::{Raw, RuleSet, SigmaEvent, Source, UnknownFields, load};
use geophone::time::{EventTime, Now};
use serde_json::{Value, json};

use crate::support::calls::{CLAUDE, call, refused, sts};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn pack() -> Arc<RuleSet> {
    Arc::new(read(&[root().join("rules")]).expect("the shipped pack loads").0)
}

fn rules(text: &str) -> Arc<RuleSet> {
    let source = Source { file: "test.yml".to_owned(), text: text.to_owned() };
    Arc::new(load(&[source], UnknownFields::Refuse).unwrap_or_else(|mistakes| panic!("{mistakes:?}")))
}

fn mistakes(text: &str) -> Vec<String> {
    let source = Source { file: "test.yml".to_owned(), text: text.to_owned() };
    load(&[source], UnknownFields::Refuse).expect_err("mistakes").iter().map(ToString::to_string).collect()
}

/// Alerts of rules, in the order of being said.
fn play(set: &Arc<RuleSet>, events: &[Value]) -> Vec<Alert> {
    let text: String = events.iter().map(|event| format!("{event}\n")).collect();
    let mut observer = Observer::with_rules(Arc::default(), Arc::clone(set));
    let mut observations = Vec::new();
    Decoder::new(Limits { keep_text: true, ..Limits::for_files() }).decode(text.as_bytes(), &mut |item| {
        if let Ok(decoded) = item {
            observations.push(observer.observe(decoded, EventTime::from_unix(0)));
        }
    });
    let mut engine = Engine::new(EngineSettings { rules: Arc::clone(set), dedup_capacity: 1 << 16, ..EngineSettings::default() });
    let input = engine.input("test");
    let (mut report, mut now) = (Report::default(), EventTime::MIN);
    for observation in observations {
        now = now.max(observation.time);
        engine.handle(input, observation, Now(now), &mut report);
    }
    engine.finish(&mut report);
    report.alerts.into_iter().filter(|alert| alert.detector == DetectorId::Sigma).collect()
}

fn opened(set: &Arc<RuleSet>, events: &[Value]) -> usize {
    play(set, events).iter().filter(|alert| alert.status.label() == "opened").count()
}

#[test]
fn every_case_of_the_pack_comes_out_as_it_says() {
    let (set, files) = read(&[root().join("rules")]).expect("the shipped pack loads");
    let outcome = play_all(&Arc::new(set), &files).expect("cases");
    assert!(outcome.wrong.is_empty(), "{:#?}", outcome.wrong);
    assert!(outcome.untested.is_empty(), "{:#?}", outcome.untested);
    assert!(outcome.cases >= 1_390, "{}", outcome.cases);
}

#[test]
fn every_rule_of_the_pack_says_what_on_call_needs() {
    let mut poor = Vec::new();
    for rule in pack().alerting() {
        let is_whole = !rule.description.is_empty()
            && !rule.references.is_empty()
            && !rule.triage.is_empty()
            && !rule.false_positives.is_empty()
            && rule.severity > Severity::Informational
            && rule.techniques.iter().any(|technique| technique.starts_with('T'));
        if !is_whole {
            poor.push(rule.name.to_string());
        }
    }
    assert!(poor.is_empty(), "{poor:?}");
}

/// The matches of an index are those of a plain scan over all rules, on real records.
#[test]
fn the_index_says_what_a_full_scan_says() {
    let corpora = root().join("../shared/corpora");
    if !corpora.is_dir() {
        println!("skipped: SigmaHQ's rules are not beside the project");
        return;
    }
    let (sources, _) =
        geophone::sources::rule_files(&[corpora.join("sigma/rules/cloud/aws/cloudtrail"), root().join("rules")], Path::new(""))
            .expect("files");
    let set = load(&sources, UnknownFields::Accept).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    assert!(set.singles().len() >= 57 + 150, "{}", set.singles().len());
    let (mut events, mut matches) = (0, 0);
    let mut files: Vec<PathBuf> = fs::read_dir(corpora.join("stratus")).expect("recordings").flatten().map(|entry| entry.path()).collect();
    files.push(corpora.join("invictus_cloudtrail_part1.jsonl"));
    for path in files {
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Decoder::new(Limits { keep_text: true, ..Limits::for_files() }).decode(&bytes, &mut |item| {
            let Ok(decoded) = item else { return };
            let event = SigmaEvent::new(&decoded.event, Raw(decoded.text));
            let (source, name) = (decoded.event.event_source.as_str(), decoded.event.event_name.as_str());
            let mut indexed: Vec<Arc<str>> =
                set.matches(&event).into_iter().filter(|found| !found.is_open).map(|found| found.rule).collect();
            let mut plain = set.matches_by_full_scan(event.whole());
            plain.retain(|id| !set.single(id).expect("its own").1.asks_own);
            indexed.sort_unstable();
            plain.sort_unstable();
            assert_eq!(indexed, plain, "{source} {name}");
            events += 1;
            matches += plain.len();
        });
    }
    assert!(events > 500 && matches > 100, "{events} events, {matches} matches");
}

const COUNT: &str = r#"
title: A call
id: 00000000-0000-4000-8000-000000000001
name: a_call
logsource: {product: aws, service: cloudtrail}
detection:
    call: {eventSource: bedrock.amazonaws.com, eventName: Converse}
    condition: call
level: informational
---
title: Five calls
id: 00000000-0000-4000-8000-000000000002
name: five_calls
correlation:
    type: event_count
    rules: [a_call]
    group-by: [userIdentity.accessKeyId]
    timespan: 60s
    condition: {gte: 5}
level: medium
"#;

fn at(id: &str, seconds: i64) -> Value {
    call(id, 10_000 + seconds, "AKIA1", "Converse", CLAUDE)
}

/// Section 2 of the comparison with other engines: each of these fires falsely, or not at all, elsewhere.
#[test]
fn the_probes_that_other_engines_fail() {
    let set = rules(COUNT);
    // A rule may be called by its name.
    assert_eq!(opened(&set, &(0..5).map(|n| at(&format!("e{n}"), n)).collect::<Vec<_>>()), 1);
    // One event delivered five times is one event.
    assert_eq!(opened(&set, &vec![at("same", 0); 5]), 0);
    // Late events lie where they belong.
    let late = |times: &[i64]| -> Vec<Value> { times.iter().enumerate().map(|(n, time)| at(&format!("e{n}"), *time)).collect() };
    assert_eq!(opened(&set, &late(&[0, 590, 595, 598, 600, 0])), 0);
    assert_eq!(opened(&set, &late(&[300, 200, 100, 0, 301])), 0);
    // …and complete what they belong to.
    assert_eq!(opened(&set, &late(&[0, 10, 20, 30, 200, 25])), 1);
    // Twenty in twenty seconds are one crossing.
    assert_eq!(opened(&set, &late(&(0..20).collect::<Vec<_>>())), 1);
    // What has no field to group by is in no group.
    let nameless: Vec<Value> = (0..9)
        .map(|n| {
            let mut event = at(&format!("e{n}"), n);
            event["userIdentity"].as_object_mut().expect("an object").remove("accessKeyId");
            event
        })
        .collect();
    assert_eq!(opened(&set, &nameless), 0);
}

#[test]
fn rules_are_told_at_once_and_learn_whose_call_it_was() {
    let set = rules(
        r#"
title: Guardrail gone
id: 00000000-0000-4000-8000-000000000003
name: guardrail_gone
description: What an attacker gains. More of it. And more.
logsource: {product: aws, service: cloudtrail}
detection:
    change: {eventSource: bedrock.amazonaws.com, eventName: DeleteGuardrail}
    condition: change
level: high
tags: [attack.t1685, atlas.aml.t0054, attack.impact]
triage: [Look, Ask]
"#,
    );
    let events = [call("d", 50, "ASIA1", "DeleteGuardrail", CLAUDE), sts("s", 40, "ASIA1", json!({"dept": "legal"}))];
    let said = play(&set, &events);
    assert_eq!((said[0].status.label(), said[0].severity), ("opened", Severity::High));
    assert!(said[0].title.starts_with("Guardrail gone: ") && said[0].who.department.name().is_none(), "{}", said[0].title);
    assert!(said[0].explanation.ends_with("What an attacker gains. More of it."), "{}", said[0].explanation);
    assert_eq!(said[0].techniques, ["T1685", "AML.T0054"]);
    let last = said.last().expect("an update");
    assert_eq!(last.who.department.name().map(|name| &**name), Some("legal"), "{last:?}");
    let line: Value = serde_json::from_str(&last.to_ndjson()).expect("JSON");
    assert_eq!(line["detector"], "sigma:00000000-0000-4000-8000-000000000003");
    assert_eq!(line["rule"], "guardrail_gone");
}

#[test]
fn fields_of_geophone_wait_until_it_is_known_whose_call_it_was() {
    let set = rules(
        r#"
title: Legal is refused
id: 00000000-0000-4000-8000-000000000004
name: legal_refused
logsource: {product: aws, service: cloudtrail}
detection:
    call: {eventSource: bedrock.amazonaws.com, eventName: InvokeModel, geophone.department: legal, geophone.denial.kind: missing-permission}
    condition: call
level: low
"#,
    );
    let denied = |id: &str, key: &str| refused(call(id, 50, key, "InvokeModel", CLAUDE), "because no identity-based policy allows it");
    let events = [
        denied("a", "ASIA1"),
        denied("b", "ASIA2"),
        sts("s", 40, "ASIA1", json!({"dept": "legal"})),
        sts("t", 40, "ASIA2", json!({"dept": "marketing"})),
    ];
    let said = play(&set, &events);
    assert!(said.len() == 1 && said[0].who.access_key_id.contains("ASIA1"), "{said:?}");
}

#[test]
fn the_real_llmjacking_sequence_is_one_incident() {
    let path = root().join("../shared/samples/real-stratus-sequence.json");
    let Ok(bytes) = fs::read(&path) else {
        println!("skipped: the recorded sequence is not beside the project");
        return;
    };
    let mut events = Vec::new();
    Decoder::new(Limits { keep_text: true, ..Limits::for_files() }).decode(&bytes, &mut |item| {
        if let Ok(decoded) = item {
            events.push(serde_json::from_str(decoded.text.expect("its text")).expect("JSON"));
        }
    });
    let said = play(&pack(), &events);
    let incidents: std::collections::HashSet<_> = said.iter().map(|alert| alert.incident_id).collect();
    let names: Vec<String> = said.iter().filter_map(|alert| alert.rule.as_ref()).map(|rule| rule.name.to_string()).collect();
    assert_eq!(incidents.len(), 1, "{names:?}");
    assert!(said.iter().any(|alert| alert.severity >= Severity::High), "{names:?}");
}

#[test]
fn mistakes_have_file_line_and_cure() {
    let rule = |body: &str| {
        format!("title: T\nid: 00000000-0000-4000-8000-000000000009\nlogsource: {{product: aws, service: cloudtrail}}\n{body}")
    };
    let plain = "detection:\n    call: {eventName: X}\n    condition: call\nlevel: low\n";
    for (text, told) in [
        (
            rule("detection:\n    call: {EventName: X}\n    condition: call\n"),
            "test.yml:5: CloudTrail has no field \"EventName\"; write eventName",
        ),
        (rule("detection:\n    call: {geophone.clearance: X}\n    condition: call\n"), "geophone has no field"),
        (
            rule("detection:\n    call: {eventName: X}\n    other: {eventName: Y}\n    condition: call\n"),
            "test.yml:6: \"other\" is in no condition",
        ),
        (rule(plain).replace("id: 00000000-0000-4000-8000-000000000009\n", ""), "\"T\" has no id; give it one with uuidgen"),
        (rule(plain).replace("service: cloudtrail", "service: guardduty"), "is about aws guardduty"),
        (
            format!("{}---\n{}", rule(plain), rule(plain)),
            "test.yml:10: \"00000000-0000-4000-8000-000000000009\" is the id or name of another rule",
        ),
        (COUNT.replace("rules: [a_call]", "rules: [no_call]"), "there is no rule \"no_call\""),
        (COUNT.replace("event_count", "value_avg").replace("{gte: 5}", "{gte: 5, field: awsRegion}"), "not supported"),
        (COUNT.replace("{gte: 5}", "{lt: 5}"), "true of every group in which nothing happens"),
        (COUNT.replace("event_count", "value_count"), "does not say of which field"),
        (COUNT.replace("60s", "99d"), "timespan 99d is out of range"),
        (rule("detection:\n    call: {eventName|re: '('}\n    condition: call\n"), "test.yml:"),
        (rule("detection:\n    call: &a {eventName: X}\n    condition: call\n"), "an anchor or alias"),
        ("a: [".to_owned(), "test.yml:1: "),
    ] {
        let mistakes = mistakes(&text);
        assert!(mistakes.iter().any(|mistake| mistake.contains(told)), "{told}: {mistakes:?}");
    }
}

#[test]
fn bad_rules_are_refused_or_survived() {
    // A bomb of aliases, a file that is too long, a correlation of itself, a folder of nothing.
    let bomb = format!("a: &a [x]\n{}", (0..30).map(|n| format!("b{n}: &b{n} [*a, *a]\n")).collect::<String>());
    assert!(mistakes(&bomb)[0].contains("an anchor or alias"));
    assert!(mistakes(&format!("title: {}", "x".repeat(2 << 20)))[0].contains("part the file"));
    let itself = COUNT.replace("rules: [a_call]", "rules: [five_calls]");
    assert!(mistakes(&itself).iter().any(|mistake| mistake.contains("correlations of correlations")), "{:?}", mistakes(&itself));
    // Ten thousand rules load, and an event pays only for those that can concern it.
    let many: String = (0..10_000)
        .map(|n| {
            format!("title: T{n}\nid: 00000000-0000-4000-8000-{n:012}\nlogsource: {{product: aws, service: cloudtrail}}\ndetection:\n    call: {{eventName: Name{n}}}\n    condition: call\n---\n")
        })
        .collect();
    let parts: Vec<Source> = many
        .split_inclusive("---\n")
        .collect::<Vec<_>>()
        .chunks(1_000)
        .enumerate()
        .map(|(n, part)| Source { file: format!("{n}.yml"), text: part.concat() })
        .collect();
    let set = Arc::new(load(&parts, UnknownFields::Refuse).expect("ten thousand rules"));
    assert_eq!(opened(&set, &[call("x", 0, "AKIA1", "Name77", CLAUDE)]), 1);
    // A regular expression that ruins backtracking engines, on a field that is sometimes an object.
    let set = rules(
        "title: T\nid: 00000000-0000-4000-8000-000000000005\nlogsource: {product: aws, service: cloudtrail}\ndetection:\n    call: {eventName: Converse, requestParameters.modelId|re: '^(a+)+$'}\n    condition: call\nlevel: low\n",
    );
    let with = |model: Value| {
        let mut event = call("x", 0, "AKIA1", "Converse", CLAUDE);
        event["requestParameters"]["modelId"] = model;
        opened(&set, &[event])
    };
    assert_eq!(with(json!("aaaa")), 1);
    assert_eq!(with(json!(format!("{}!", "a".repeat(200_000)))), 0);
    for odd in [json!({"modelId": "aaaa"}), json!(["b"]), json!(null), json!(7)] {
        assert_eq!(with(odd), 0);
    }
}

#[test]
fn what_is_remembered_survives_a_restart() {
    let set = rules(COUNT);
    let settings = EngineSettings { rules: Arc::clone(&set), dedup_capacity: 1 << 10, ..EngineSettings::default() };
    let observe = |events: &[Value]| {
        let mut observer = Observer::with_rules(Arc::default(), Arc::clone(&set));
        let text: String = events.iter().map(|event| format!("{event}\n")).collect();
        let mut all = Vec::new();
        Decoder::new(Limits { keep_text: true, ..Limits::default() }).decode(text.as_bytes(), &mut |item| {
            all.extend(item.ok().map(|decoded| observer.observe(decoded, EventTime::from_unix(0))));
        });
        assert!(all.iter().all(|observation| matches!(&observation.body, Body::Call(call) if !call.matched.is_empty())));
        all
    };
    let told = |engine: &mut Engine, events: &[Value]| {
        let input = engine.input("test");
        let mut report = Report::default();
        for observation in observe(events) {
            let now = Now(observation.time);
            engine.handle(input, observation, now, &mut report);
        }
        report.alerts.iter().filter(|alert| alert.rule.is_some()).count()
    };
    let mut engine = Engine::new(settings.clone());
    assert_eq!(told(&mut engine, &(0..4).map(|n| at(&format!("e{n}"), n)).collect::<Vec<_>>()), 0);
    let mut again = Engine::restore(settings, engine.image());
    assert_eq!(told(&mut again, &[at("e4", 9)]), 1);
}

/// The plain reading of a count, a count of values and a sequence: is there a window that holds it?
fn holds(kind: &str, events: &[(i64, u64)], span: i64) -> bool {
    let within = |end: i64| events.iter().filter(move |(time, _)| (end - span..=end).contains(time));
    events.iter().any(|(end, _)| match kind {
        "event_count" => within(*end).count() >= 4,
        "value_count" => within(*end).map(|(_, value)| value).collect::<std::collections::HashSet<_>>().len() >= 3,
        "temporal" => [0, 1].iter().all(|rule| within(*end).any(|(_, value)| value == rule)),
        _ => within(*end).any(|(first, value)| *value == 0 && within(*end).any(|(second, value)| *value == 1 && second >= first)),
    })
}

proptest::proptest! {
    #[test]
    fn correlations_say_what_a_plain_reading_says_in_any_order(
        events in proptest::collection::vec((0i64..300, 0u64..5), 0..40), which in 0usize..4,
    ) {
        use geophone::sigma::correlate::{CorrelatorLimits, Occurrence};
        let kind = ["event_count", "value_count", "temporal", "temporal_ordered"][which];
        let base = |n: u64| format!("title: R{n}\nid: r{n}\nname: r{n}\nlogsource: {{product: aws, service: cloudtrail}}\ndetection:\n    call: {{eventName: E{n}}}\n    condition: call\n---\n");
        let condition = match kind {
            "event_count" => "rules: [r0]\n    timespan: 60s\n    condition: {gte: 4}\n",
            "value_count" => "rules: [r0]\n    timespan: 60s\n    condition: {gte: 3, field: awsRegion}\n",
            _ => "rules: [r0, r1]\n    timespan: 60s\n",
        };
        let set = rules(&format!("{}{}title: C\nid: c\ncorrelation:\n    type: {kind}\n    {condition}", base(0), base(1)));
        let mut correlator = geophone::sigma::Correlator::<()>::new(CorrelatorLimits::default());
        let (mut fired, facts) = (Vec::new(), geophone::sigma::RuleFacts::default());
        let events: Vec<(i64, u64)> = events.into_iter().filter(|(_, value)| !kind.starts_with("temporal") || *value < 2).collect();
        for (time, value) in &events {
            let fields = [("awsRegion".to_owned(), Value::String(format!("r{value}")))].into_iter().collect();
            let found = geophone::sigma::RuleMatch { rule: "r0".into(), fields, is_open: false };
            let place = if kind.starts_with("temporal") { *value as u32 } else { 0 };
            let occurrence = Occurrence { found: &found, facts: &facts, time: EventTime::from_unix(*time), id: None };
            correlator.feed(&set, (0, place), &occurrence, || (), &mut fired);
        }
        proptest::prop_assert_eq!(!fired.is_empty(), holds(kind, &events, 60), "{:?}", events);
    }
}
