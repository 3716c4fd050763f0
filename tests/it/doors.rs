//! TLS and credentials: who is let in, who is not, and what it costs to try.

use std::time::{Duration, Instant};

use geophone_company::wire;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::api::{description, is_described};
use crate::support::http::{self, Reply};
use crate::support::program::{Daemon, run};
use crate::support::records::{granted, now};
use crate::support::stage::Stage;
use crate::support::tls::Pair;
use crate::support::wait::eventually;

const TOKEN: &str = "0123456789abcdef0123";
const BEARER: (&str, &str) = ("authorization", "Bearer 0123456789abcdef0123");

/// A line of `users_file`. The least cost: tests have better to do.
fn user(name: &str, password: &str) -> String {
    format!("{name}:{}\n", bcrypt::hash(password, 10).expect("a hash"))
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", base64_simd::STANDARD.encode_to_string(format!("{name}:{password}")))
}

/// A daemon behind TLS that knows dana.
async fn guarded() -> (Stage, Daemon, Pair) {
    let (stage, pair) = (Stage::new(1).await, Pair::new());
    stage.write("users", &user("dana", "correct horse"));
    stage.write("token", TOKEN);
    write_pair(&stage, &pair);
    let keys = "[http]\ntoken_file = \"token\"\nusers_file = \"users\"\ntls_certificate = \"page.pem\"\ntls_key = \"page.key\"\n";
    let config = std::fs::read_to_string(stage.config()).expect("written");
    std::fs::write(stage.config(), config.replace("[http]\n", keys)).expect("written");
    let daemon = stage.daemon().await;
    (stage, daemon, pair)
}

fn write_pair(stage: &Stage, pair: &Pair) {
    stage.write("page.pem", &pair.certificate);
    stage.write("page.key", &pair.key);
}

async fn get(daemon: &Daemon, pair: &Pair, path: &str, authorization: Option<&str>) -> Reply {
    let headers: Vec<(&str, &str)> = authorization.into_iter().map(|value| ("authorization", value)).collect();
    pair.send(&daemon.page, "GET", path, &headers, "").await.unwrap_or_else(|| panic!("no answer; the log is\n{}", daemon.log()))
}

/// How often somebody was refused for this reason.
async fn refused(daemon: &Daemon, pair: &Pair, reason: &str) -> u64 {
    let metrics = get(daemon, pair, "/metrics", Some(BEARER.1)).await.body;
    let series = format!("geophone_http_refused_total{{reason=\"{reason}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&series)).unwrap_or_else(|| panic!("no {series}"));
    line.parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_a_password_or_the_token_is_let_in_and_nobody_else() {
    let (stage, daemon, pair) = guarded().await;
    assert!(http::get(&daemon.page, "/livez").await.is_none(), "no plain HTTP where TLS is spoken");
    assert!(Pair::new().connect(&daemon.page).await.is_none(), "another certificate is another daemon");

    let right = basic("dana", "correct horse");
    for path in ["/", "/metrics", "/api/v1/alerts", "/api/v1/live", "/assets/app.js", "/no/such/page"] {
        let reply = get(&daemon, &pair, path, None).await;
        assert_eq!((reply.status, reply.header("www-authenticate").is_some()), (401, true), "{path}");
        assert!(!reply.body.contains("geophone_") && !reply.body.contains('<'), "{path}: {}", reply.body);
    }
    is_described(&description(), "get", "/api/v1/alerts", &get(&daemon, &pair, "/api/v1/alerts", None).await);
    for path in ["/", "/metrics", "/api/v1/alerts"] {
        for authorization in [right.as_str(), BEARER.1] {
            assert_eq!(get(&daemon, &pair, path, Some(authorization)).await.status, 200, "{path}");
        }
    }
    let wrong = [
        basic("dana", "correct horsf"),
        basic("mallory", "correct horse"),
        basic("dana", ""),
        "Basic !!".to_owned(),
        "Bearer 0123456789abcdef0124".to_owned(),
        "Digest dana".to_owned(),
    ];
    for authorization in &wrong {
        assert_eq!(get(&daemon, &pair, "/metrics", Some(authorization)).await.status, 401, "{authorization}");
    }
    assert_eq!(refused(&daemon, &pair, "no-credentials").await, 8, "Digest is none that is known here");
    assert_eq!(refused(&daemon, &pair, "wrong-credentials").await, 5);
    assert!(refused(&daemon, &pair, "tls").await >= 2);

    // Probes have no credentials, and are not told what only people may know.
    eventually("a shard that is read", async || Some(get(&daemon, &pair, "/readyz", None).await).filter(|reply| reply.status == 200)).await;
    stage.kinesis.throttle_reads(true);
    let told = eventually("trouble", async || Some(get(&daemon, &pair, "/readyz", None).await).filter(|reply| reply.body != "ok\n")).await;
    assert_eq!((told.status, told.body.as_str()), (200, "ok, but there is trouble\n"));
    assert_eq!(get(&daemon, &pair, "/livez", None).await.status, 200);

    // Whoever may look may not change anything: that takes the token.
    let body = json!({"detector": "access-denied", "author": "dana", "reason": "a test", "seconds": 3600}).to_string();
    for (header, status) in [(("authorization", right.as_str()), 401), (BEARER, 201)] {
        let reply = pair.send(&daemon.page, "POST", "/api/v1/silences", &[header], &body).await.expect("an answer");
        assert_eq!(reply.status, status, "{}", reply.body);
    }
    assert!(!daemon.log().contains("correct hors") && !daemon.log().contains(TOKEN));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_guesses_is_stopped_and_who_is_known_is_not() {
    let (_stage, daemon, pair) = guarded().await;
    let right = basic("dana", "correct horse");
    assert_eq!(get(&daemon, &pair, "/", Some(&right)).await.status, 200);
    let guesses = (0..24).map(|n| {
        let (daemon, pair) = (&daemon, &pair);
        async move { get(daemon, pair, "/", Some(&basic("dana", &format!("guess {n}")))).await }
    });
    let replies = futures_util::future::join_all(guesses).await;
    let count = |status: u16| replies.iter().filter(|reply| reply.status == status).count();
    assert_eq!((count(401), count(429)), (10, 14), "however many come at once");
    let stopped = replies.iter().find(|reply| reply.status == 429).expect("one");
    let wait: u64 = stopped.header("retry-after").expect("how long").parse().expect("seconds");
    assert!((1..=300).contains(&wait), "{wait}");
    assert_eq!(get(&daemon, &pair, "/", Some(&right)).await.status, 200, "a password that was right is not looked at again");
    let program = get(&daemon, &pair, "/api/v1/fleet", Some(&basic("dana", "guess"))).await;
    assert_eq!(program.status, 429);
    is_described(&description(), "get", "/api/v1/fleet", &program);
    assert_eq!(refused(&daemon, &pair, "limited").await, 15);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificate_and_users_that_change_are_used_and_broken_ones_are_not() {
    let (stage, daemon, old) = guarded().await;
    assert_eq!(get(&daemon, &old, "/", Some(&basic("dana", "correct horse"))).await.status, 200);
    let new = Pair::new();
    write_pair(&stage, &new);
    stage.write("users", &user("noor", "battery staple"));
    eventually("the new certificate", async || new.connect(&daemon.page).await).await;
    assert!(old.connect(&daemon.page).await.is_none());
    eventually("the new user", async || {
        Some(get(&daemon, &new, "/", Some(&basic("noor", "battery staple"))).await).filter(|reply| reply.status == 200)
    })
    .await;
    let gone = get(&daemon, &new, "/", Some(&basic("dana", "correct horse"))).await.status;
    assert_eq!(gone, 401, "who was taken out is out, also who was let in a moment ago");

    stage.write("page.pem", &old.certificate);
    stage.write("users", "noor:battery staple\n");
    eventually("a word about both", async || {
        let log = daemon.log();
        (log.contains("give the key that belongs to it") && log.contains("is not hashed by bcrypt")).then_some(())
    })
    .await;
    assert_eq!(get(&daemon, &new, "/", Some(&basic("noor", "battery staple"))).await.status, 200);
    assert!(!daemon.log().contains("battery staple"));
    let metrics = get(&daemon, &new, "/metrics", Some(BEARER.1)).await.body;
    for series in ["file=\"tls\",outcome=\"refused\"} 1", "file=\"users\",outcome=\"refused\"} 1", "file=\"tls\",outcome=\"used\"} 1"] {
        assert!(metrics.contains(series), "{series}\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_does_not_come_is_ended_and_holds_nobody_up() {
    let (_stage, daemon, pair) = guarded().await;
    let started = Instant::now();
    let mut silent = TcpStream::connect(&daemon.page).await.expect("connected");
    assert_eq!(get(&daemon, &pair, "/livez", None).await.status, 200);
    let mut bytes = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), silent.read_to_end(&mut bytes)).await.expect("ended by the daemon");
    assert!(ended.is_ok() && bytes.is_empty() && started.elapsed() > Duration::from_secs(4), "{ended:?} after {:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_explain_ask_over_tls() {
    let (stage, daemon, pair) = guarded().await;
    stage.put(&[("ASIAKNOWN".to_owned(), wire::eventbridge(&granted("ASIAKNOWN", 0, now() - 60)))]).await;
    eventually("a shard that is read", async || Some(get(&daemon, &pair, "/readyz", None).await).filter(|reply| reply.status == 200)).await;
    let beside = |name: &str| stage.config().with_file_name(name).display().to_string();
    let (url, certificate, token) = (format!("https://{}", daemon.page), beside("page.pem"), beside("token"));
    let ask = |args: &[&str]| tokio::task::block_in_place(|| run(args));
    assert_eq!(ask(&["health", "--url", &url, "--certificate", &certificate]).expect(0).stdout, "ok\n");
    ask(&["health", "--url", &url]).expect(64).says(&["--certificate"]);
    stage.write("other.pem", &Pair::new().certificate);
    ask(&["health", "--url", &url, "--certificate", &beside("other.pem")]).expect(69).says(&["certificate"]);
    ask(&["health", "--url", &url, "--certificate", &beside("users")]).expect(66).says(&["give a PEM file"]);
    ask(&["health", "--url", &format!("http://{}", daemon.page)]).expect(69);
    let explain = ["explain", "0123456789ab", "--daemon", &url, "--certificate", &certificate];
    ask(&explain).expect(69).says(&["--token-file"]);
    ask(&[&explain[..], &["--token-file", &token]].concat()).expect(66).says(&["no alert 0123456789ab"]);
}

#[test]
fn check_and_run_refuse_what_would_guard_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    let (one, other) = (Pair::new(), Pair::new());
    write("one.pem", &one.certificate);
    write("one.key", &one.key);
    write("other.key", &other.key);
    write("users", &user("dana", "correct horse"));
    write("plain", "dana:correct horse\n");
    let config = folder.path().join("geophone.toml");
    let check = |http: &str| {
        write("geophone.toml", &format!("[http]\n{http}"));
        run(&["check", "--config", config.to_str().expect("UTF-8")])
    };
    let tls = |certificate: &str, key: &str| format!("tls_certificate = \"{certificate}\"\ntls_key = \"{key}\"\n");
    check(&tls("one.pem", "one.key")).expect(0);
    check(&(tls("one.pem", "one.key") + "users_file = \"users\"\nlisten = \"0.0.0.0:443\"\n")).expect(0);
    check(&tls("one.pem", "other.key")).expect(78).says(&["one.pem", "give the key that belongs to it"]);
    check(&tls("one.key", "one.key")).expect(78).says(&["one.key", "give a PEM file"]);
    check(&tls("none.pem", "one.key")).expect(78).says(&["none.pem"]);
    let done = check("users_file = \"plain\"\n").expect(78).says(&["plain: line 1: is not hashed by bcrypt", "htpasswd -nB"]);
    assert!(!done.stderr.contains("correct horse"));
    check("listen = \"0.0.0.0:80\"\n").expect(78).says(&["without TLS and without credentials", "listen on 127.0.0.1"]);
    let done = check("listen = \"0.0.0.0:80\"\ninsecure = true\n").expect(0);
    assert!(done.stdout.contains("note: [http] insecure"), "{}", done.stdout);
}
