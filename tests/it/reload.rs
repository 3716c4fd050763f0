//! The daemon with the files that its configuration names: grants of the past, and files that change while it runs.

use geophone_company::wire;
use serde_json::{Value, json};

use crate::support::http;
use crate::support::records;
use crate::support::stage::Stage;
use crate::support::wait::eventually;

const DIRECTORY: &str = "person,user_pool_sub,department\nada@example.com,sub-ada,legal\nben@example.com,sub-ben,legal\n";
const ALLOW: &str = r#"{"Version": "2012-10-17", "Statement": [{"Sid": "Legal", "Effect": "Allow", "Action": "bedrock:InvokeModel*",
    "Resource": "arn:aws:bedrock:*::foundation-model/anthropic.*", "Condition": {"StringEquals": {"aws:PrincipalTag/dept": "legal"}}}]}"#;

/// The record that issued `key` to Ada, an hour ago.
fn grant(key: &str) -> String {
    let time = geophone::time::EventTime::from_unix(records::now() - 3_600).to_string();
    json!({"eventSource": "sts.amazonaws.com", "eventName": "AssumeRoleWithWebIdentity", "eventID": "g1", "eventTime": time,
        "userIdentity": {"type": "WebIdentityUser", "identityProvider": "arn:aws:iam::111122223333:oidc-provider/pool", "userName": "sub-ada"},
        "requestParameters": {"principalTags": {"dept": "legal"}, "roleArn": "arn:aws:iam::111122223333:role/analyst"},
        "responseElements": {"credentials": {"accessKeyId": key}, "subjectFromWebIdentityToken": "sub-ada"}})
    .to_string()
}

async fn api(page: &str, path: &str) -> Value {
    let reply = http::get(page, path).await.expect("an answer");
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    serde_json::from_str(&reply.body).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_of_the_past_and_files_that_change_are_used() {
    let stage = Stage::new(1).await;
    stage.configure("[identity]\ndirectory = \"people.csv\"\nwarm_from = \"history\"\n[policy]\ndocuments = [\"policies/*.json\"]\n");
    stage.write("people.csv", DIRECTORY);
    stage.write("policies/perimeter.json", ALLOW);
    stage.write("history/day.jsonl", &grant("ASIAADA0001"));
    let daemon = stage.daemon().await;

    // Her session began before the stream did, and she is known at her first call.
    let call = |number: usize, ago: i64| wire::eventbridge(&records::granted("ASIAADA0001", number, records::now() - ago));
    stage.put(&[("a".to_owned(), call(1, 5))]).await;
    daemon.until("geophone_invocations_total", "department=\"legal\"", 1.0).await;
    daemon.until("geophone_attribution_share", "reason=\"session-tag\"", 0.99).await;
    let matrix = api(&daemon.page, "/api/v1/matrix").await;
    let cells = matrix["cells"].as_array().expect("cells");
    let legal = cells.iter().find(|cell| cell["department"] == "legal" && cell["family"] == "anthropic.claude").expect("a cell");
    assert_eq!((legal["verdict"].as_str(), legal["calls"]["success"].as_u64()), (Some("allow"), Some(1)), "{legal}");
    assert_eq!(api(&daemon.page, "/api/v1/unlinked").await["people"], 0);

    // A broken file is told and not used; a good one is.
    stage.write("policies/perimeter.json", "{\"Version\": ");
    daemon.until("geophone_reloads_total", "file=\"policy\",outcome=\"refused\"", 1.0).await;
    eventually("the file in the log", async || daemon.log().contains("perimeter.json").then_some(())).await;
    stage.write("policies/perimeter.json", &ALLOW.replace("Allow", "Deny"));
    daemon.until("geophone_reloads_total", "file=\"policy\",outcome=\"used\"", 1.0).await;
    stage.put(&[("b".to_owned(), call(2, 1))]).await;
    let is = |detector: &'static str| move |alert: &Value| alert["detector"] == detector;
    let received = stage.sns.until("a page about drift", |all| all.iter().any(|m| is("cross-department")(&m.alert()))).await;
    let drift = received.iter().map(|message| message.alert()).find(is("cross-department")).expect("just seen");
    assert_eq!((drift["policy"]["verdict"].as_str(), drift["actor"]["person"].as_str()), (Some("explicit-deny"), Some("ada@example.com")));

    // She leaves the directory, and her session goes on.
    stage.write("people.csv", &DIRECTORY.replace("ada@example.com,sub-ada,legal\n", ""));
    daemon.until("geophone_reloads_total", "file=\"directory\",outcome=\"used\"", 1.0).await;
    stage.put(&[("c".to_owned(), wire::eventbridge(&records::granted("ASIAADA0001", 3, records::now() + 30)))]).await;
    let received = stage.sns.until("a page about a leaver", |all| all.iter().any(|m| is("offboarded")(&m.alert()))).await;
    let gone = received.iter().map(|message| message.alert()).find(is("offboarded")).expect("just seen");
    assert!(gone["explanation"].as_str().expect("a text").contains("left the directory file"), "{gone}");
    let unlinked = eventually("the leaver among the unlinked", async || {
        let unlinked = api(&daemon.page, "/api/v1/unlinked").await;
        (unlinked["people"] == 1).then_some(unlinked)
    })
    .await;
    assert_eq!(unlinked["unlinked"][0]["id"], "sub-ada");
    let (status, _, log) = daemon.stop().await;
    assert!(status.success(), "{log}");
}

const RULE: &str = "title: Claude asked\nid: 00000000-0000-4000-8000-0000000000aa\nname: claude_asked\nlogsource: {product: aws, service: cloudtrail}\n\
detection:\n    call: {eventName: Nothing}\n    condition: call\nlevel: high\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_change_at_once_on_sighup_and_broken_ones_are_refused() {
    let stage = Stage::new(1).await;
    stage.configure("[rules]\npaths = [\"rules\"]\n");
    stage.write("rules/claude.yml", RULE);
    let daemon = stage.daemon().await;
    stage.put(&[("a".to_owned(), wire::eventbridge(&records::granted("ASIAADA0001", 1, records::now() - 5)))]).await;
    daemon.until("geophone_events_total", "", 1.0).await;

    // What is broken is told with file and line, and the rules before it stay.
    stage.write("rules/claude.yml", &RULE.replace("eventName", "EventName"));
    daemon.ask_to_reload();
    daemon.until("geophone_reloads_total", "file=\"rules\",outcome=\"refused\"", 1.0).await;
    assert!(daemon.log().contains("claude.yml:6: CloudTrail has no field"), "{}", daemon.log());

    stage.write("rules/claude.yml", &RULE.replace("Nothing", "[InvokeModel, Converse]"));
    daemon.ask_to_reload();
    daemon.until("geophone_reloads_total", "file=\"rules\",outcome=\"used\"", 1.0).await;
    stage.put(&[("b".to_owned(), wire::eventbridge(&records::granted("ASIAADA0001", 2, records::now() - 1)))]).await;
    let is_rule = |alert: &Value| alert["detector"] == "sigma:00000000-0000-4000-8000-0000000000aa" && alert["rule"] == "claude_asked";
    stage.sns.until("a page of the rule", |all| all.iter().any(|message| is_rule(&message.alert()))).await;
    let (status, _, log) = daemon.stop().await;
    assert!(status.success(), "{log}");
}
