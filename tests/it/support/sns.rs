//! An SNS endpoint that keeps what it receives and misbehaves as its script says.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_sns::config::retry::RetryConfig;
use aws_sdk_sns::config::{BehaviorVersion, Credentials, Region};
use axum::Router;
use axum::extract::{Form, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpSocket;
use tokio::task::AbortHandle;

use super::wait::eventually;

pub const TOPIC: &str = "arn:aws:sns:us-east-1:111122223333:on-call";

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub topic: String,
    pub subject: String,
    pub body: String,
    pub attributes: BTreeMap<String, String>,
}

impl Received {
    /// The body of a topic of form `ndjson`.
    pub fn alert(&self) -> Value {
        serde_json::from_str(&self.body).expect("a line of JSON")
    }
}

/// One call of an operation.
pub struct Call<'a> {
    /// `PublishBatch` or `GetTopicAttributes`.
    pub operation: &'a str,
    /// How many calls of this operation came before.
    pub nth: usize,
    /// What is to be published.
    pub messages: &'a [Received],
}

/// What to do with a call.
pub enum Act {
    /// Take it all.
    Accept,
    /// Refuse the call with a status and a code.
    Refuse(u16, &'static str),
    /// Refuse these entries, by their place in the batch, with a code and whose fault it was; take the others.
    RefuseEntries(Vec<(usize, &'static str, Fault)>),
    /// Never answer.
    Hang,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Sender,
    Service,
}

type Script = Box<dyn Fn(&Call<'_>) -> Act + Send + Sync>;

struct Shared {
    script: Script,
    calls: Mutex<BTreeMap<String, usize>>,
    received: Mutex<Vec<Received>>,
}

/// A port of loopback that refuses connections, until it is opened.
pub struct Closed {
    socket: TcpSocket,
    pub endpoint: String,
}

impl Closed {
    /// Bound and not listening: nobody else gets the port meanwhile.
    pub fn reserve() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port");
        let endpoint = format!("http://{}", socket.local_addr().expect("bound"));
        Self { socket, endpoint }
    }

    pub fn open(self, script: impl Fn(&Call<'_>) -> Act + Send + Sync + 'static) -> Sns {
        let shared = Arc::new(Shared { script: Box::new(script), calls: Mutex::default(), received: Mutex::default() });
        let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&shared));
        let listener = self.socket.listen(64).expect("listens");
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("serves") }).abort_handle();
        Sns { endpoint: self.endpoint, shared, task }
    }
}

pub struct Sns {
    pub endpoint: String,
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl Drop for Sns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sns {
    /// An endpoint that takes everything.
    pub fn start() -> Self {
        Self::scripted(|_| Act::Accept)
    }

    pub fn scripted(script: impl Fn(&Call<'_>) -> Act + Send + Sync + 'static) -> Self {
        Closed::reserve().open(script)
    }

    /// What was taken so far, in order.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().expect("no panics").clone()
    }

    /// How many calls of an operation came.
    pub fn calls(&self, operation: &str) -> usize {
        self.shared.calls.lock().expect("no panics").get(operation).copied().unwrap_or(0)
    }

    /// Waits until what was taken is `enough`.
    pub async fn until(&self, what: &str, enough: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        eventually(what, async || Some(self.received()).filter(|received| enough(received))).await
    }
}

/// A client without retries of its own, as a fault test wants it.
pub fn client(endpoint: &str) -> aws_sdk_sns::Client {
    let config = aws_sdk_sns::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .retry_config(RetryConfig::disabled())
        .credentials_provider(Credentials::new("AKIATEST", "secret", None, None, "test"));
    aws_sdk_sns::Client::from_conf(config.build())
}

async fn answer(State(shared): State<Arc<Shared>>, Form(fields): Form<Vec<(String, String)>>) -> Response {
    let fields: BTreeMap<String, String> = fields.into_iter().collect();
    let operation = fields.get("Action").map_or("", String::as_str);
    let nth = {
        let mut calls = shared.calls.lock().expect("no panics");
        let count = calls.entry(operation.to_owned()).or_default();
        *count += 1;
        *count - 1
    };
    let entries = entries(&fields);
    let messages: Vec<Received> = entries.iter().map(|(_, message)| message.clone()).collect();
    match (shared.script)(&Call { operation, nth, messages: &messages }) {
        Act::Hang => {
            tokio::time::sleep(Duration::MAX).await;
            unreachable!("waits for ever")
        }
        Act::Refuse(status, code) => xml(status, refusal(code)),
        _ if operation != "PublishBatch" => xml(200, reply(operation, "<Attributes/>")),
        Act::Accept => xml(200, take(&shared, entries, &[])),
        Act::RefuseEntries(refused) => xml(200, take(&shared, entries, &refused)),
    }
}

fn xml(status: u16, body: String) -> Response {
    (StatusCode::from_u16(status).expect("a status"), [(header::CONTENT_TYPE, "text/xml")], body).into_response()
}

fn refusal(code: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error><Type>Sender</Type><Code>{code}</Code>\
         <Message>injected</Message></Error><RequestId>test</RequestId></ErrorResponse>"
    )
}

fn reply(operation: &str, result: &str) -> String {
    format!(
        "<{operation}Response xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><{operation}Result>{result}</{operation}Result>\
         <ResponseMetadata><RequestId>test</RequestId></ResponseMetadata></{operation}Response>"
    )
}

/// The entries of a PublishBatch call, with their ids.
fn entries(fields: &BTreeMap<String, String>) -> Vec<(String, Received)> {
    let text = |name: String| fields.get(&name).cloned().unwrap_or_default();
    let mut entries = Vec::new();
    for number in 1.. {
        let prefix = format!("PublishBatchRequestEntries.member.{number}");
        let Some(id) = fields.get(&format!("{prefix}.Id")) else { break };
        let attribute = |n: usize| {
            let entry = format!("{prefix}.MessageAttributes.entry.{n}");
            Some((fields.get(&format!("{entry}.Name"))?.clone(), text(format!("{entry}.Value.StringValue"))))
        };
        let received = Received {
            topic: text("TopicArn".to_owned()),
            subject: text(format!("{prefix}.Subject")),
            body: text(format!("{prefix}.Message")),
            attributes: (1..).map_while(attribute).collect(),
        };
        entries.push((id.clone(), received));
    }
    entries
}

fn take(shared: &Shared, entries: Vec<(String, Received)>, refused: &[(usize, &'static str, Fault)]) -> String {
    let (mut successful, mut failed) = (String::new(), String::new());
    for (place, (id, message)) in entries.into_iter().enumerate() {
        if let Some((_, code, fault)) = refused.iter().find(|(at, _, _)| *at == place) {
            let by_sender = *fault == Fault::Sender;
            let _ = write!(
                failed,
                "<member><Id>{id}</Id><Code>{code}</Code><Message>injected</Message><SenderFault>{by_sender}</SenderFault></member>"
            );
        } else {
            let _ = write!(successful, "<member><Id>{id}</Id><MessageId>m-{id}</MessageId></member>");
            shared.received.lock().expect("no panics").push(message);
        }
    }
    reply("PublishBatch", &format!("<Successful>{successful}</Successful><Failed>{failed}</Failed>"))
}
