//! A small SNS endpoint that shows what it receives: the two calls that the daemon makes, in SNS's query protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Form, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::post;
use tokio::net::TcpListener;

use crate::cli::output::say;
use crate::cli::{Exit, Failure, Format};

/// What was received.
#[derive(Clone, Debug, Default)]
pub(super) struct Received {
    /// Messages.
    pub messages: u64,
    /// Messages by detector, as their attribute says.
    pub detectors: BTreeMap<String, u64>,
    /// Bodies of alerts that were opened: whom they are about is in them.
    pub subjects: BTreeSet<String>,
}

impl Received {
    /// `3 access-denied, 1 invocation-spike`.
    pub(super) fn by_detector(&self) -> String {
        let parts: Vec<String> = self.detectors.iter().map(|(detector, count)| format!("{count} {detector}")).collect();
        if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
    }
}

/// The endpoint.
#[derive(Debug)]
pub(super) struct Inbox {
    /// Its URL.
    pub endpoint: String,
    state: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    received: Mutex<Received>,
    format: Format,
}

impl Inbox {
    /// Starts the endpoint on a port of loopback.
    pub(super) async fn start(format: Format) -> Result<Self, Failure> {
        let unavailable = |error| Failure::new(Exit::Unavailable, format_args!("no port on loopback for the SNS endpoint: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(unavailable)?;
        let endpoint = format!("http://{}", listener.local_addr().map_err(unavailable)?);
        let state = Arc::new(Shared { received: Mutex::default(), format });
        let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { endpoint, state })
    }

    /// What was received so far.
    pub(super) fn received(&self) -> Received {
        self.state.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn answer(State(state): State<Arc<Shared>>, Form(fields): Form<Vec<(String, String)>>) -> impl IntoResponse {
    let fields: BTreeMap<String, String> = fields.into_iter().collect();
    let (status, body) = match fields.get("Action").map(String::as_str) {
        Some("PublishBatch") => (StatusCode::OK, publish_batch(&state, &fields)),
        Some("GetTopicAttributes") => (StatusCode::OK, reply("GetTopicAttributes", "<Attributes/>")),
        _ => (
            StatusCode::BAD_REQUEST,
            "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidAction</Code></Error></ErrorResponse>".to_owned(),
        ),
    };
    (status, [(header::CONTENT_TYPE, "text/xml")], body)
}

fn reply(action: &str, result: &str) -> String {
    format!(
        "<{action}Response xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><{action}Result>{result}</{action}Result>\
         <ResponseMetadata><RequestId>demo</RequestId></ResponseMetadata></{action}Response>"
    )
}

fn publish_batch(state: &Shared, fields: &BTreeMap<String, String>) -> String {
    let mut successful = String::new();
    for number in 1..=10 {
        let prefix = format!("PublishBatchRequestEntries.member.{number}");
        let Some(id) = fields.get(&format!("{prefix}.Id")) else { break };
        receive(state, fields, &prefix);
        let _ = write!(successful, "<member><Id>{id}</Id><MessageId>demo-{id}</MessageId></member>");
    }
    reply("PublishBatch", &format!("<Successful>{successful}</Successful><Failed/>"))
}

fn receive(state: &Shared, fields: &BTreeMap<String, String>, prefix: &str) {
    let text = |name: &str| fields.get(&format!("{prefix}.{name}")).map_or("", String::as_str);
    let attribute = |wanted: &str| {
        (1..=10).find_map(|n| {
            let entry = format!("{prefix}.MessageAttributes.entry.{n}");
            let is_it = fields.get(&format!("{entry}.Name")).is_some_and(|name| name == wanted);
            is_it.then(|| fields.get(&format!("{entry}.Value.StringValue")).cloned().unwrap_or_default())
        })
    };
    let mut received = state.received.lock().unwrap_or_else(PoisonError::into_inner);
    received.messages += 1;
    // A rule's id tells nobody anything.
    let detector = attribute("detector").unwrap_or_default();
    let kind = detector.split(':').next().unwrap_or_default().to_owned();
    *received.detectors.entry(kind).or_default() += 1;
    if attribute("status").as_deref() == Some("opened") {
        received.subjects.insert(text("Message").to_owned());
    }
    // Printed while the lock is held, so that two messages are never mixed.
    match state.format {
        Format::Ndjson => say(text("Message")),
        Format::Text => say(format_args!("── SNS ── {}\n{}", text("Subject"), indented(text("Message")))),
    }
}

fn indented(text: &str) -> String {
    // The first two lines repeat the subject, which was just printed.
    text.lines().skip(3).map(|line| format!("   {line}\n")).collect()
}
