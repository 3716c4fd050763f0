//! A proxy that sits before a server and misbehaves as its script says.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// One request.
pub struct Call<'a> {
    /// `GetRecords` and so on.
    pub operation: &'a str,
    /// How many calls of this operation came before.
    pub nth: usize,
    pub body: &'a str,
}

/// What to do with it.
pub enum Act {
    Pass,
    /// Pass this body on instead.
    Rewrite(String),
    /// Answer with a status and a body; the server never hears of it.
    Answer(u16, String),
    /// Answer with an event stream that ends, or that falls silent.
    Events(Vec<u8>, After),
    /// Never answer; the server never hears of it.
    Hang,
    /// Let the server do it, and never say so.
    LoseReply,
}

/// What comes after the events of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    End,
    Silence,
}

impl Act {
    /// A service error in awsJson1.1.
    pub fn error(status: u16, code: &str) -> Self {
        Self::Answer(status, format!(r#"{{"__type":"{code}","message":"injected"}}"#))
    }
}

type Script = Box<dyn Fn(&Call<'_>) -> Act + Send + Sync>;

struct Inner {
    upstream: String,
    script: Script,
    counts: Mutex<BTreeMap<String, usize>>,
}

pub struct Proxy {
    pub endpoint: String,
    inner: Arc<Inner>,
    task: AbortHandle,
}

impl Proxy {
    pub async fn start(upstream: &str, script: impl Fn(&Call<'_>) -> Act + Send + Sync + 'static) -> Self {
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let inner = Arc::new(Inner { upstream, script: Box::new(script), counts: Mutex::default() });
        let app = Router::new().fallback(handle).with_state(inner.clone());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }).abort_handle();
        Self { endpoint, inner, task }
    }

    /// How many calls of an operation came.
    pub fn count(&self, operation: &str) -> usize {
        self.inner.counts.lock().unwrap().get(operation).copied().unwrap_or(0)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn handle(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let target = headers["x-amz-target"].to_str().unwrap().to_owned();
    let operation = target.rsplit('.').next().unwrap();
    let nth = {
        let mut counts = inner.counts.lock().unwrap();
        let count = counts.entry(operation.to_owned()).or_default();
        *count += 1;
        *count - 1
    };
    let body = String::from_utf8(body.to_vec()).unwrap();
    match (inner.script)(&Call { operation, nth, body: &body }) {
        Act::Pass => forward(&inner.upstream, &headers, &body).await,
        Act::Rewrite(body) => forward(&inner.upstream, &headers, &body).await,
        Act::Answer(status, body) => answer(status, body.into()),
        Act::Events(events, after) => answer_events(events, after),
        Act::Hang => std::future::pending().await,
        Act::LoseReply => {
            forward(&inner.upstream, &headers, &body).await;
            std::future::pending().await
        }
    }
}

pub(super) fn answer(status: u16, body: Body) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap();
    Response::builder().status(status).header("content-type", "application/x-amz-json-1.1").body(body).unwrap()
}

fn answer_events(events: Vec<u8>, after: After) -> Response<Body> {
    use futures_util::{StreamExt, stream};
    let events = stream::once(async { Ok::<_, std::io::Error>(Bytes::from(events)) });
    let body = match after {
        After::End => Body::from_stream(events),
        After::Silence => Body::from_stream(events.chain(stream::pending())),
    };
    Response::builder().header("content-type", "application/vnd.amazon.eventstream").body(body).unwrap()
}

/// As HTTP/1.0, which spares a client library: the answer ends where the connection ends.
pub(super) async fn forward(upstream: &str, headers: &HeaderMap, body: &str) -> Response<Body> {
    let mut request = format!("POST / HTTP/1.0\r\nhost: {upstream}\r\ncontent-length: {}\r\n", body.len());
    for name in ["x-amz-target", "content-type", "authorization", "x-amz-date"] {
        if let Some(value) = headers.get(name) {
            request += &format!("{name}: {}\r\n", value.to_str().unwrap());
        }
    }
    request += "\r\n";
    request += body;
    let mut socket = TcpStream::connect(upstream).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    socket.read_to_end(&mut reply).await.unwrap();
    let head_end = reply.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(reply[..head_end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = reply.split_off(head_end + 4);
    // A subscription, from its beginning to its end.
    if head.contains("vnd.amazon.eventstream") { answer_events(body, After::End) } else { answer(status, body.into()) }
}
