//! `/api/v1` against its own description (`docs/openapi.json`), and what can be changed through it: by whom, and by nobody
//! else.

use std::fs;

use geophone::alerting::Status;
use geophone_company::wire;
use serde_json::{Value, json};

use crate::support::http::{self, Reply};
use crate::support::program::{Daemon, run};
use crate::support::records::{granted, key, now};
use crate::support::schema::Schema;
use crate::support::stage::{Stage, are_paged, refusals};
use crate::support::wait::eventually;

const TOKEN: &str = "0123456789abcdef0123";
const USER: &str = "arn:aws:iam::111122223333:user/build";
const BEARER: (&str, &str) = ("authorization", "Bearer 0123456789abcdef0123");

/// The description.
pub fn description() -> Value {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    serde_json::from_str(&fs::read_to_string(path).expect("the description")).expect("JSON")
}

/// Whether an answer is one that the description has, by status and form.
pub fn is_described(api: &Value, method: &str, path: &str, reply: &Reply) {
    let operation = &api["paths"][path][method];
    let mut described = &operation["responses"][reply.status.to_string()];
    assert!(described.is_object(), "{method} {path} answers {}, which is not described", reply.status);
    if let Some(reference) = described["$ref"].as_str() {
        described = api.pointer(reference.trim_start_matches('#')).expect("described");
    }
    let Some(content) = described["content"].as_object() else { return assert_eq!(reply.body, "", "{method} {path}") };
    let (form, schema) = content.iter().next().expect("a form");
    assert_eq!(reply.header("content-type"), Some(form.as_str()), "{method} {path}");
    let mut root = api.clone();
    root["checked"] = schema["schema"].clone();
    let schema = Schema::part(&root, "/checked");
    for line in if form.contains("ndjson") { reply.body.lines().collect() } else { vec![reply.body.as_str()] } {
        let value: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(schema.mistakes(&value), Vec::<String>::new(), "{method} {path}");
    }
}

async fn staged() -> (Stage, Daemon) {
    let stage = Stage::new(1).await;
    stage.write("token", TOKEN);
    let config = fs::read_to_string(stage.config()).expect("written");
    fs::write(stage.config(), config.replace("[http]\n", "[http]\ntoken_file = \"token\"\n")).expect("written");
    let daemon = stage.daemon().await;
    (stage, daemon)
}

fn asked(reason: &str) -> String {
    json!({"detector": "access-denied", "author": "dana", "reason": reason, "seconds": 3600}).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_is_what_its_description_says() {
    let (stage, daemon) = staged().await;
    let keys = [key("API", 0), key("API", 1)];
    let user = granted_to_user();
    stage.put(&[(USER.to_owned(), wire::eventbridge(&user))]).await;
    stage.put(&refusals(&keys, 0..3)).await;
    stage.sns.until("pages", |all| are_paged(all, &keys)).await;
    let api = description();
    let send = async |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
        http::send(&daemon.page, method, path, headers, body).await.expect("an answer")
    };
    let alerts = eventually("alerts", async || {
        Some(send("GET", "/api/v1/alerts", &[], "").await).filter(|reply| reply.body.matches("\"access-denied\"").count() == 2)
    })
    .await;
    is_described(&api, "get", "/api/v1/alerts", &alerts);
    let refused = alerts.body.lines().find(|line| line.contains("\"access-denied\"")).expect("an alert");
    let id = serde_json::from_str::<Value>(refused).expect("JSON")["alert_id"].clone();
    let one = send("GET", &format!("/api/v1/alerts/{}", id.as_str().expect("an id")), &[], "").await;
    is_described(&api, "get", "/api/v1/alerts/{id}", &one);
    assert_eq!(one.body.lines().count(), 1);
    for path in ["/api/v1/matrix", "/api/v1/unlinked", "/api/v1/silences", "/api/v1/fleet", "/api/v1/acknowledgements"] {
        is_described(&api, "get", path, &send("GET", path, &[], "").await);
    }
    let alert: Value = serde_json::from_str(&one.body).expect("JSON");
    let event = alert["event_ids"][0].as_str().expect("an event");
    for (path, template, statuses) in [
        (format!("/api/v1/events/{event}"), "/api/v1/events/{id}", 200),
        ("/api/v1/events/nobody".to_owned(), "/api/v1/events/{id}", 404),
        // Its call waits for its STS record and is not counted yet.
        (format!("/api/v1/actor?key={}", actor_key(&alert)), "/api/v1/actor", 404),
        (format!("/api/v1/actor?key=user%3A{USER}"), "/api/v1/actor", 200),
        ("/api/v1/actor?key=person:nobody".to_owned(), "/api/v1/actor", 404),
        ("/api/v1/actor?key=nobody".to_owned(), "/api/v1/actor", 400),
        ("/api/v1/actor".to_owned(), "/api/v1/actor", 400),
    ] {
        let reply = send("GET", &path, &[], "").await;
        assert_eq!(reply.status, statuses, "{path}: {}", reply.body);
        is_described(&api, "get", template, &reply);
    }
    let record: Value = serde_json::from_str(&send("GET", &format!("/api/v1/events/{event}"), &[], "").await.body).expect("JSON");
    assert_eq!((&record["eventID"], &record["errorCode"]), (&json!(event), &json!("AccessDenied")));
    check_acknowledging(&daemon, &api, &alert).await;

    let post = async |headers: &[(&str, &str)], body: &str| {
        let reply = send("POST", "/api/v1/silences", headers, body).await;
        is_described(&api, "post", "/api/v1/silences", &reply);
        (reply.status, serde_json::from_str::<Value>(&reply.body).expect("JSON"))
    };
    assert_eq!(post(&[], &asked("a test")).await.0, 401);
    assert_eq!(post(&[("authorization", "Bearer 0123456789abcdef0124")], &asked("a test")).await.0, 401);
    assert_eq!(post(&[BEARER, ("origin", "http://evil.example")], &asked("a test")).await.0, 403);
    assert_eq!(post(&[BEARER], "{").await.0, 400);
    for (field, wrong) in [
        ("reason", json!("")),
        ("author", json!(" ")),
        ("detector", json!("*")),
        ("seconds", json!(0)),
        ("seconds", json!(i64::MAX)),
        ("until", json!(1)),
    ] {
        let mut body: Value = serde_json::from_str(&asked("a test")).expect("JSON");
        body[field] = wrong;
        assert_eq!(post(&[BEARER], &body.to_string()).await.0, 400, "{body}");
    }
    let (status, made) = post(&[BEARER], &asked("a planned test")).await;
    assert_eq!((status, &made["reason"]), (201, &json!("a planned test")));
    eventually("the silence", async || {
        let shown = send("GET", "/api/v1/silences", &[], "").await;
        is_described(&api, "get", "/api/v1/silences", &shown);
        shown.body.contains("a planned test").then_some(())
    })
    .await;

    let path = format!("/api/v1/silences/{}", made["id"].as_str().expect("an id"));
    for (headers, path, status) in [
        (&[][..], path.as_str(), 401),
        (&[BEARER][..], "/api/v1/silences/x", 404),
        (&[BEARER][..], &path, 204),
        (&[BEARER][..], &path, 404),
    ] {
        let reply = send("DELETE", path, headers, "").await;
        is_described(&api, "delete", "/api/v1/silences/{id}", &reply);
        assert_eq!(reply.status, status, "{path}");
    }
    assert_eq!(http::send(&daemon.page, "GET", "/", &[("host", "evil.example")], "").await.expect("an answer").status, 403);
    assert_eq!(send("POST", "/api/v1/silences", &[BEARER], &"x".repeat(20_000)).await.status, 413);
}

/// A call of an IAM user, who waits for no session.
fn granted_to_user() -> String {
    let mut record: Value = serde_json::from_str(&granted("AKIAUSER0000", 0, now() - 60)).expect("JSON");
    record["userIdentity"] =
        json!({"type": "IAMUser", "arn": USER, "accountId": "111122223333", "accessKeyId": "AKIAUSER0000", "userName": "build"});
    record.to_string()
}

/// The actor's key as its page is asked for.
fn actor_key(alert: &Value) -> String {
    let part = |name: &str| alert["actor"][name].as_str().expect("a text").to_owned();
    format!("{}:{}", part("kind"), part("key")).replace(':', "%3A").replace('/', "%2F").replace('@', "%40")
}

async fn check_acknowledging(daemon: &Daemon, api: &Value, alert: &Value) {
    let template = "/api/v1/incidents/{id}/acknowledge";
    let path = template.replace("{id}", alert["incident_id"].as_str().expect("an id"));
    let unknown = template.replace("{id}", &"0".repeat(32));
    let said = json!({"author": "dana", "remark": "calling <b>them</b>", "usual": true}).to_string();
    for (headers, path, body, status) in [
        (&[][..], &path, said.as_str(), 401),
        (&[BEARER, ("origin", "http://evil.example")][..], &path, &said, 403),
        (&[BEARER][..], &path, "{}", 400),
        (&[BEARER][..], &path, r#"{"author":" "}"#, 400),
        (&[BEARER][..], &unknown, &said, 404),
        (&[BEARER][..], &path, &said, 200),
    ] {
        let reply = http::send(&daemon.page, "POST", path, headers, body).await.expect("an answer");
        assert_eq!(reply.status, status, "{path} {body}: {}", reply.body);
        is_described(api, "post", template, &reply);
    }
    eventually("the acknowledgement", async || {
        let shown = http::send(&daemon.page, "GET", "/api/v1/acknowledgements", &[], "").await.expect("an answer");
        is_described(api, "get", "/api/v1/acknowledgements", &shown);
        shown.body.contains("dana").then_some(())
    })
    .await;
    let page = path.trim_start_matches("/api/v1").trim_end_matches("/acknowledge");
    let page = http::get(&daemon.page, page).await.expect("an answer").body;
    assert!(page.contains("in hand of dana") && page.contains("as usual from now on: calling &#60;b&#62;them"), "{page}");
}

/// A silence holds back what people are sent, over a restart, and gives it back at its end; programs are sent everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silence_holds_over_a_restart_and_gives_back() {
    let (stage, daemon) = staged().await;
    let config = fs::read_to_string(stage.config()).expect("written");
    drop(daemon);
    fs::write(stage.config(), config.replace("form = \"ndjson\"", "form = \"text\"")).expect("written");
    let daemon = stage.daemon().await;
    let made = http::send(&daemon.page, "POST", "/api/v1/silences", &[BEARER], &asked("a planned test")).await.expect("an answer");
    assert_eq!(made.status, 201, "{}", made.body);
    let keys = [key("QUIET", 0)];
    stage.put(&refusals(&keys, 0..3)).await;
    daemon.until("geophone_pages_held_total", "reason=\"silence\"", 1.0).await;
    daemon.stop().await;
    assert!(stage.sns.received().is_empty(), "{:?}", stage.sns.received());

    let daemon = stage.daemon().await;
    let id = serde_json::from_str::<Value>(&made.body).expect("JSON")["id"].as_str().expect("an id").to_owned();
    let lifted = http::send(&daemon.page, "DELETE", &format!("/api/v1/silences/{id}"), &[BEARER], "").await.expect("an answer");
    assert_eq!(lifted.status, 204, "{}", lifted.body);
    stage.sns.until("the page", |all| all.iter().any(|one| one.body.contains(&keys[0]) && one.body.contains(Status::Opened.label()))).await;
}

/// Topics with pseudonyms name nobody, and the holder of the key can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pseudonyms_hide_people_from_a_topic_and_the_key_resolves_them() {
    let stage = Stage::new(1).await;
    let (keys, secret) = ([key("HIDDEN", 0)], "0123456789abcdef0123456789abcdef");
    stage.write("pseudonyms.key", secret);
    let config = fs::read_to_string(stage.config()).expect("written");
    let hidden = config.replace("form = \"ndjson\"\n", "form = \"ocsf\"\npseudonyms = true\n");
    fs::write(stage.config(), format!("{hidden}[privacy]\nkey_file = \"pseudonyms.key\"\n")).expect("written");
    let _daemon = stage.daemon().await;
    stage.put(&refusals(&keys, 0..3)).await;
    let received = stage.sns.until("a message", |all| !all.is_empty()).await;
    let body: Value = serde_json::from_str(&received[0].body).expect("JSON");
    let pseudonym = body["evidences"][0]["actor"]["user"]["name"].as_str().expect("a name").to_owned();
    assert!(pseudonym.starts_with("person-"), "{pseudonym}");
    let session = format!("arn:aws:sts::111122223333:assumed-role/analyst/{}", keys[0]);
    assert!(!received[0].body.contains(&session) && !received[0].subject.contains(&session), "{}", received[0].body);

    let config = stage.config().display().to_string();
    let told = run(&["resolve", "--config", &config, "--name", &session, &pseudonym]).expect(0).stdout;
    assert_eq!(told, format!("{pseudonym} {session}\n"));
    run(&["resolve", "--config", &config, "person-000000000000"]).expect(66);
}
