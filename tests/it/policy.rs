//! The policy evaluator: tables of cases, laws that hold for every policy, and another simulator's opinion.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use geophone::policy::{Context, Decision, Document, Policies, Request};
use serde_json::{Value, json};

use crate::support::policy_cases::{Case, generate};
use crate::support::program;

const DIFFERENTIAL_CASES: usize = 20_000;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents(kind: &str, values: &[Value]) -> Vec<Arc<Document>> {
    let one = |(index, value): (usize, &Value)| Document::parse(&format!("{kind}-{index}"), &value.to_string()).expect("a document").into();
    values.iter().enumerate().map(one).collect()
}

fn policies(case: &Case) -> Policies {
    let control = documents("scp", &case.scps);
    Policies {
        identity: documents("policy", &case.policies),
        boundary: documents("boundary", &case.boundaries),
        control: if control.is_empty() { Vec::new() } else { vec![control] },
    }
}

fn decide(policies: &Policies, case: &Case, hidden: &[&String]) -> Decision {
    let mut context = Context::complete();
    for (key, values) in &case.ctx {
        context.set_all(key, values.clone());
    }
    // A key that cannot be told: nothing is said about it but that.
    if !hidden.is_empty() {
        context = Context::complete();
        for (key, values) in case.ctx.iter().filter(|(key, _)| !hidden.contains(key)) {
            context.set_all(key, values.clone());
        }
        hidden.iter().for_each(|key| context.set_unknown(key, "hidden"));
    }
    policies.evaluate(&Request { action: &case.action, resource: Some(&case.resource), context: &context }).decision
}

/// Which deny it is may turn on what is not known; that it is one may not.
fn is_the_same(one: Decision, other: Decision) -> bool {
    one == other || (one.is_deny() && other.is_deny())
}

#[test]
fn the_tables_of_cases_agree() {
    let shared = root().join("../shared/iam/cases_part1.json");
    let mut paths = vec![root().join("tests/data/policy/cases")];
    if shared.is_file() {
        paths.push(shared);
    } else {
        println!("skipped: ../shared/iam is not here; the own cases run without it");
    }
    let mut args = vec!["policy".into(), "test".into()];
    args.extend(paths.into_iter().map(PathBuf::into_os_string));
    let told = program::run(&args).expect(0).stdout;
    let cases: usize = told.split(" of ").next().and_then(|text| text.trim().parse().ok()).expect("a count");
    assert!(cases >= 460, "{told}");
}

#[test]
fn another_deny_never_widens() {
    for case in generate(11, 3_000) {
        let before = decide(&policies(&case), &case, &[]);
        let mut more = policies(&case);
        // The deny of another case: sometimes it matches, sometimes not.
        let other = generate(12 + case.id, 1).remove(0);
        let mut extra = other.policies.clone();
        for document in &mut extra {
            for statement in statements(document) {
                statement["Effect"] = json!("Deny");
            }
        }
        more.identity.extend(documents("extra", &extra));
        let after = decide(&more, &case, &[]);
        assert!(after != Decision::Allow || before == Decision::Allow, "case {}: {before:?} became {after:?}", case.id);
    }
}

#[test]
fn what_is_said_of_a_partly_known_request_holds_for_the_whole_one() {
    let mut told = BTreeMap::<Decision, usize>::new();
    for case in generate(21, 4_000) {
        let policies = policies(&case);
        let whole = decide(&policies, &case, &[]);
        let keys: Vec<&String> = case.ctx.keys().collect();
        for hidden in [keys.clone(), keys.iter().step_by(2).copied().collect(), keys.iter().take(1).copied().collect()] {
            let part = decide(&policies, &case, &hidden);
            *told.entry(part).or_default() += 1;
            assert!(part == Decision::Unknown || is_the_same(part, whole), "case {}: {part:?} of a part, {whole:?} of the whole", case.id);
        }
    }
    assert!(told.values().all(|count| *count > 100) && told.len() == 4, "the cases say little: {told:?}");
}

#[test]
fn an_operator_that_nobody_knows_never_decides() {
    for case in generate(31, 3_000) {
        let Some((at, index)) = condition_of(&case) else { continue };
        let variant = |change: &dyn Fn(&mut Vec<Value>, usize)| {
            let mut policies = case.policies.clone();
            let mut list: Vec<Value> = statements(&mut policies[at]).map(|statement| statement.clone()).collect();
            change(&mut list, index);
            policies[at]["Statement"] = json!(list);
            let changed = Case {
                policies,
                boundaries: case.boundaries.clone(),
                scps: case.scps.clone(),
                action: case.action.clone(),
                resource: case.resource.clone(),
                ctx: case.ctx.clone(),
                ..case
            };
            decide(&self::policies(&changed), &changed, &[])
        };
        let strange = variant(&|list, index| list[index]["Condition"] = json!({"GeoMatch": {"aws:Planet": "earth"}}));
        let without = variant(&|list, index| drop(list.remove(index)));
        let always = variant(&|list, index| drop(list[index].as_object_mut().expect("a statement").remove("Condition")));
        assert!(
            strange == Decision::Unknown || (is_the_same(strange, without) && is_the_same(strange, always)),
            "case {}: {strange:?}, {without:?}, {always:?}",
            case.id
        );
    }
}

/// The statements of a document, one or a list.
fn statements(document: &mut Value) -> Box<dyn Iterator<Item = &mut Value> + '_> {
    match document.get_mut("Statement") {
        Some(Value::Array(list)) => Box::new(list.iter_mut()),
        Some(one) => Box::new(std::iter::once(one)),
        None => Box::new(std::iter::empty()),
    }
}

/// A document and a statement of it with a condition.
fn condition_of(case: &Case) -> Option<(usize, usize)> {
    let mut documents = case.policies.clone();
    let found =
        |(at, document): (usize, &mut Value)| Some((at, statements(document).position(|statement| statement.get("Condition").is_some())?));
    documents.iter_mut().enumerate().find_map(found)
}

/// Disagreements that are explained, each with the text of AWS's that decides it.
fn explained() -> BTreeMap<u64, String> {
    let text = std::fs::read_to_string(root().join("tests/differential/explained.json")).expect("a file");
    let list: Value = serde_json::from_str(&text).expect("JSON");
    let entries = list["generated"].as_array().expect("a list");
    entries.iter().map(|entry| (entry["id"].as_u64().expect("an id"), entry["why"].as_str().expect("a reason").to_owned())).collect()
}

/// What the other simulator says about `lines`, one verdict a line; nothing where it is not installed.
fn simulate(lines: &str) -> Option<Vec<Value>> {
    let prefix: PathBuf = std::env::var_os("IAM_SIMULATE").map_or_else(|| root().join("target/tools/iam-simulate"), PathBuf::from);
    if !prefix.join("node_modules").is_dir() {
        println!("skipped: iam-simulate is not installed (make tools)");
        return None;
    }
    let mut command = Command::new("node");
    command.arg(root().join("tests/differential/simulate.mjs")).env("IAM_SIMULATE", &prefix).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("node starts");
    let mut input = child.stdin.take().expect("a pipe");
    let lines = lines.to_owned();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().expect("node ends");
    writer.join().expect("no panic").expect("written");
    assert!(output.status.success(), "the simulator failed");
    Some(String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("a verdict")).collect())
}

#[test]
fn another_simulator_agrees_or_the_difference_is_explained() {
    let cases = generate(1, DIFFERENTIAL_CASES);
    let lines: String = cases.iter().map(|case| case.to_json().to_string() + "\n").collect();
    let Some(verdicts) = simulate(&lines) else { return };
    assert_eq!(verdicts.len(), cases.len());
    let explained = explained();
    let mut told = BTreeMap::<Decision, usize>::new();
    let mut differences = Vec::new();
    for (case, verdict) in cases.iter().zip(&verdicts) {
        let ours = decide(&policies(case), case, &[]);
        *told.entry(ours).or_default() += 1;
        if verdict["verdict"] != ours.name() && !explained.contains_key(&case.id) {
            differences.push(format!("{}\n  here {}, there {verdict}", case.to_json(), ours.name()));
        }
    }
    println!("{} cases: {told:?}, {} explained", cases.len(), explained.len());
    assert!(
        differences.is_empty(),
        "{} differences are not explained, among them:\n{}",
        differences.len(),
        differences[..differences.len().min(5)].join("\n")
    );
}

#[test]
fn known_deviations_of_the_other_simulator_stay_as_they_are_explained() {
    let text = std::fs::read_to_string(root().join("tests/differential/explained.json")).expect("a file");
    let list: Value = serde_json::from_str(&text).expect("JSON");
    let cases = list["by_hand"].as_array().expect("a list");
    assert!(cases.len() >= 8);
    for case in cases {
        let texts = |key: &str| case[key].as_array().cloned().unwrap_or_default();
        let ctx = case["ctx"].as_object().expect("a context").iter().map(|(key, value)| {
            let values = value.as_array().map_or_else(
                || vec![value.as_str().expect("a text").to_owned()],
                |list| list.iter().map(|value| value.as_str().expect("a text").to_owned()).collect(),
            );
            (key.clone(), values)
        });
        let (action, resource) = (case["action"].as_str().expect("an action"), case["resource"].as_str().expect("a resource"));
        let case_of = Case {
            id: 0,
            policies: texts("policies"),
            boundaries: texts("boundaries"),
            scps: texts("scps"),
            action: action.to_owned(),
            resource: resource.to_owned(),
            ctx: ctx.collect(),
        };
        let ours = decide(&policies(&case_of), &case_of, &[]);
        assert_eq!(ours.name(), case["aws"].as_str().expect("a verdict"), "{}", case["name"]);
    }
}
