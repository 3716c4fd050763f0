//! The pager server: SNS in this process, which keeps what it accepted and when.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::extract::{Form, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// The topic of programs, which gets every alert.
pub const TOPIC: &str = "arn:aws:sns:us-east-1:111122223333:programs";
/// The topic of people, under their budget.
pub const PEOPLE: &str = "arn:aws:sns:us-east-1:111122223333:on-call";

/// A message of [`TOPIC`] as it was accepted.
#[derive(Clone, Debug)]
pub struct Received {
    pub at: Instant,
    pub alert: Value,
}

#[derive(Default)]
struct Shared {
    received: Mutex<Vec<Received>>,
    /// Of a thousand entries so many are refused for now.
    refused_per_mille: Mutex<(u32, fastrand::Rng)>,
    refused: Mutex<u64>,
}

/// See the module.
pub struct Pager {
    /// `127.0.0.1:PORT`
    pub address: String,
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl Drop for Pager {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Pager {
    pub async fn start(seed: u64) -> Self {
        let shared = Arc::new(Shared { refused_per_mille: Mutex::new((0, fastrand::Rng::with_seed(seed))), ..Shared::default() });
        let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&shared));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port of loopback");
        let address = listener.local_addr().expect("bound").to_string();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("serves") }).abort_handle();
        Self { address, shared, task }
    }

    /// What was accepted so far, in order.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().expect("no panics").clone()
    }

    /// From now on so many of a thousand entries of batches fail by the service's fault.
    pub fn refuse_entries(&self, per_mille: u32) {
        self.shared.refused_per_mille.lock().expect("no panics").0 = per_mille;
    }

    /// How many entries were refused.
    pub fn refused(&self) -> u64 {
        *self.shared.refused.lock().expect("no panics")
    }
}

impl Shared {
    fn refuses(&self) -> bool {
        let mut guard = self.refused_per_mille.lock().expect("no panics");
        let per_mille = guard.0;
        per_mille > 0 && guard.1.u32(..1_000) < per_mille
    }

    fn take(&self, topic: &str, body: &str) {
        // What people are sent is under a budget, and text.
        if topic == TOPIC
            && let Ok(alert) = serde_json::from_str(body)
        {
            self.received.lock().expect("no panics").push(Received { at: Instant::now(), alert });
        }
    }
}

async fn answer(State(shared): State<Arc<Shared>>, Form(fields): Form<Vec<(String, String)>>) -> Response {
    let fields: BTreeMap<String, String> = fields.into_iter().collect();
    let text = |name: &str| fields.get(name).map_or("", String::as_str);
    let operation = text("Action");
    if operation != "PublishBatch" {
        return reply(operation, "<Attributes/>");
    }
    let (mut successful, mut failed) = (String::new(), String::new());
    for number in 1.. {
        let prefix = format!("PublishBatchRequestEntries.member.{number}");
        let Some(id) = fields.get(&format!("{prefix}.Id")) else { break };
        if shared.refuses() {
            *shared.refused.lock().expect("no panics") += 1;
            let _ = write!(
                failed,
                "<member><Id>{id}</Id><Code>InternalError</Code><Message>injected</Message><SenderFault>false</SenderFault></member>"
            );
        } else {
            shared.take(text("TopicArn"), text(&format!("{prefix}.Message")));
            let _ = write!(successful, "<member><Id>{id}</Id><MessageId>m-{id}</MessageId></member>");
        }
    }
    reply(operation, &format!("<Successful>{successful}</Successful><Failed>{failed}</Failed>"))
}

fn reply(operation: &str, result: &str) -> Response {
    let body = format!(
        "<{operation}Response xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><{operation}Result>{result}</{operation}Result>\
         <ResponseMetadata><RequestId>torture</RequestId></ResponseMetadata></{operation}Response>"
    );
    ([(header::CONTENT_TYPE, "text/xml")], body).into_response()
}
