//! `/api/v1` against its own description (`docs/openapi.json`), and what can be changed through it: by whom, and by nobody
//! else.

use std::fs;

use geophone::alerting::Status;
use serde_json::{Value, json};

use crate::support::http::{self, Reply};
use crate::support::program::{Daemon, run};
use crate::support::records::key;
use crate::support::schema::Schema;
use crate::support::stage::{Stage, are_paged, refusals};
use crate::support::wait::eventually;

const TOKEN: &str = "0123456789abcdef0123";
const BEARER: (&str, &str) = ("authorization", "Bearer 0123456789abcdef0123");

fn description() -> Value {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    serde_json::from_str(&fs::read_to_string(path).expect("the description")).expect("JSON")
}

/// Whether an answer is one that the description has, by status and form.
fn is_described(api: &Value, method: &str, path: &str, reply: &Reply) {
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
    stage.put(&refusals(&keys, 0..3)).await;
    stage.sns.until("pages", |all| are_paged(all, &keys)).await;
    let api = description();
    let send = async |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
        http::send(&daemon.page, method, path, headers, body).await.expect("an answer")
    };
    let alerts =
        eventually("alerts", async || Some(send("GET", "/api/v1/alerts", &[], "").await).filter(|reply| reply.body.lines().count() == 2))
            .await;
    is_described(&api, "get", "/api/v1/alerts", &alerts);
    let id = serde_json::from_str::<Value>(alerts.body.lines().next().expect("an alert")).expect("JSON")["alert_id"].clone();
    let one = send("GET", &format!("/api/v1/alerts/{}", id.as_str().expect("an id")), &[], "").await;
    is_described(&api, "get", "/api/v1/alerts/{id}", &one);
    assert_eq!(one.body.lines().count(), 1);
    for path in ["/api/v1/matrix", "/api/v1/unlinked", "/api/v1/silences"] {
        is_described(&api, "get", path, &send("GET", path, &[], "").await);
    }

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
