//! Page, API, metrics and health: on loopback, or behind TLS and credentials. Reads an exported view; what changes something
//! is asked of the daemon.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{delete, get, post};
use tokio::net::TcpListener;

use crate::alerting::acknowledged::Acknowledgement;
use crate::alerting::message::Links;
use crate::alerting::{Alert, Silence};
use crate::engine::Gauges;
use crate::finding::Digest128;
use crate::policy::PolicyBook;
use crate::state::Shared;
use crate::telemetry::Metrics;
use crate::time::EventTime;

mod actors;
pub mod api;
mod asking;
mod attempts;
mod control;
mod door;
mod evidence;
mod fleet;
mod gate;
mod incidents;
mod live;
mod pages;
mod serve;
mod tls;
pub mod trust;
mod users;

use asking::Failed;
pub use control::{Asked, Command, Control, Taken};
pub use door::Door;
pub use evidence::Evidence;
use gate::{Gate, Stranger};
use live::Live;

/// Longest body of a request.
const BODY_BYTES_MAX: usize = 16 * 1024;
const STYLE: &str = include_str!("web/assets/app.css");
const SCRIPT: &str = include_str!("web/assets/app.js");
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// What the page shows, exported by the daemon about once a second.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Open alerts, the most severe and latest first.
    pub alerts: Arc<Vec<Alert>>,
    /// Incidents that somebody has in hand.
    pub acknowledged: Arc<Vec<Acknowledgement>>,
    /// Shards that are read, and how far behind their ends that is, in milliseconds.
    pub shards: Vec<(String, i64)>,
    /// Events a second, over the last minute.
    pub rate: f64,
    /// How far calls were attributed.
    pub attributed: Attributed,
    /// Silences that have not ended.
    pub silences: Vec<Silence>,
    /// How full the engine is.
    pub gauges: Gauges,
    /// Events decoded since the start.
    pub events: u64,
    /// Bedrock calls since the start.
    pub invocations: u64,
    /// Messages that SNS has not accepted yet.
    pub outbox: usize,
    /// What time the daemon has.
    pub now: EventTime,
    /// Whether every stream has been read to its end once, or is being read.
    pub is_ready: bool,
    /// What is wrong right now, in a line each.
    pub troubles: Vec<String>,
    /// The policies in use.
    pub policy: Arc<PolicyBook>,
}

/// How far calls were attributed, since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributed {
    /// Calls whose person is known.
    pub person: u64,
    /// Calls whose department is known.
    pub department: u64,
    /// Calls whose department is unknown, by reason.
    pub unknown: Vec<(&'static str, u64)>,
}

/// The shared read handle, and the way to the daemon.
#[derive(Debug)]
pub struct Web {
    view: RwLock<Arc<View>>,
    metrics: Arc<Metrics>,
    shared: Arc<Shared>,
    links: Links,
    control: Control,
    live: Live,
}

impl Web {
    /// A handle that shows nothing yet.
    pub fn new(metrics: Arc<Metrics>, shared: Arc<Shared>, links: Links, control: Control) -> Self {
        Self { view: RwLock::default(), metrics, shared, links, control, live: Live::default() }
    }

    /// Shows `view` from now on.
    pub fn publish(&self, view: View) {
        let mut shown = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let is_news = shown.events != view.events || shown.gauges != view.gauges || shown.silences != view.silences;
        *shown = Arc::new(view);
        drop(shown);
        if is_news {
            self.live.tell();
        }
    }

    /// What is shown.
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn can_change(&self) -> bool {
        self.control.token.is_some()
    }

    /// The host that a reverse proxy in front is asked for.
    fn own_host(&self) -> Option<&str> {
        self.links.page.as_ref()?.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or(rest))
    }
}

type Shown = State<Arc<Web>>;

/// Listens at `door`; returns the address that it got (a port of 0 gives any) and the server to be driven.
///
/// # Errors
/// The address is in use or not this machine's.
pub async fn listen(door: Door, web: Arc<Web>) -> std::io::Result<(SocketAddr, impl Future<Output = ()> + Send + use<>)> {
    let listener = TcpListener::bind(&door.listen).await?;
    let address = listener.local_addr()?;
    let (metrics, door) = (Arc::clone(&web.metrics), Arc::new(door));
    let (router, tls) = (router(Gate { web, door: Arc::clone(&door) }), door.tls.clone());
    let server = async move {
        tokio::join!(serve::serve(listener, router, tls, Arc::clone(&metrics)), door.keep_up(metrics));
    };
    Ok((address, server))
}

fn router(gate: Gate) -> Router {
    let read = Router::new()
        .route("/", get(|State(web): Shown| async move { guarded(HTML, pages::overview(&web.view())) }))
        .route("/incidents/{id}", get(incident))
        .route("/actor", get(actor))
        .route("/events/{id}", get(event))
        .route("/departments", get(departments))
        .route("/fleet", get(|State(web): Shown| async move { guarded(HTML, fleet::page(&web.view())) }))
        .route("/silences", get(|State(web): Shown| async move { guarded(HTML, pages::silences(&web.view(), web.can_change())) }))
        .route("/assets/app.css", get(|| async { guarded("text/css; charset=utf-8", STYLE.to_owned()) }))
        .route("/assets/app.js", get(|| async { guarded("text/javascript; charset=utf-8", SCRIPT.to_owned()) }))
        .route("/metrics", get(|State(web): Shown| async move { guarded("text/plain; version=0.0.4", web.metrics.expose(&web.shared)) }))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready));
    let api = Router::new()
        .route("/live", get(|State(web): Shown| async move { web.live.listen() }))
        .route("/matrix", get(|State(web): Shown| async move { guarded(JSON, api::matrix(&web.view().policy, &web.shared.access_rows())) }))
        .route("/unlinked", get(|State(web): Shown| async move { guarded(JSON, api::unlinked(&web.shared.unlinked())) }))
        .route("/alerts", get(|State(web): Shown| async move { guarded(NDJSON, api::alerts(&web.view(), "")) }))
        .route(
            "/alerts/{id}",
            get(|State(web): Shown, Path(id): Path<String>| async move { guarded(NDJSON, api::alerts(&web.view(), &id)) }),
        )
        .route("/actor", get(api_actor))
        .route("/events/{id}", get(api_event))
        .route("/fleet", get(|State(web): Shown| async move { guarded(JSON, fleet::json(&web.view())) }))
        .route("/acknowledgements", get(|State(web): Shown| async move { guarded(JSON, api::acknowledgements(&web.view())) }))
        .route("/incidents/{id}/acknowledge", post(api_acknowledge))
        .route("/silences", get(|State(web): Shown| async move { guarded(JSON, api::silences(&web.view())) }).post(api_silence))
        .route("/silences/{id}", delete(api_lift));
    read.route("/silences", post(form_silence))
        .route("/incidents/{id}/acknowledge", post(form_acknowledge))
        .route("/silences/{id}/lift", post(form_lift))
        .nest("/api/v1", api)
        .fallback(|| async { told(StatusCode::NOT_FOUND, "There is no such page", "The address is not one of geophone's.") })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(gate::within_time))
        .layer(from_fn_with_state(gate.clone(), gate::only_with_credentials))
        .layer(from_fn_with_state(gate.clone(), gate::only_by_known_name))
        .with_state(gate.web)
}

async fn incident(State(web): Shown, Path(id): Path<String>) -> Response {
    let page = Digest128::parse(&id).and_then(|id| pages::incident(&web.view(), id, &web.links, web.can_change()));
    match page {
        Some(page) => guarded(HTML, page),
        None => told(StatusCode::NOT_FOUND, "This incident is not open", "It is resolved, or this is not its id."),
    }
}

async fn departments(State(web): Shown) -> Response {
    guarded(HTML, pages::departments(&web.view(), &web.shared.access_rows(), web.shared.unlinked_count()))
}

async fn api_silence(State(web): Shown, headers: HeaderMap, body: Bytes) -> Response {
    match asking::silence_by_json(&web.control, &headers, &body).await {
        Ok(silence) => (StatusCode::CREATED, guarded(JSON, api::silence(&silence))).into_response(),
        Err(failed) => failed_json(&failed),
    }
}

async fn api_lift(State(web): Shown, headers: HeaderMap, Path(id): Path<String>) -> Response {
    match asking::lift(&web.control, &headers, None, &id).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(failed) => failed_json(&failed),
    }
}

async fn api_acknowledge(State(web): Shown, headers: HeaderMap, Path(id): Path<String>, body: Bytes) -> Response {
    match asking::acknowledge_by_json(&web.control, &headers, &id, &body).await {
        Ok(said) => guarded(JSON, api::acknowledgement(&said)),
        Err(failed) => failed_json(&failed),
    }
}

/// Which actor: the key as [`ActorKey`] writes it.
#[derive(serde::Deserialize)]
struct Wanted {
    #[serde(default)]
    key: String,
}

async fn api_actor(State(web): Shown, Query(wanted): Query<Wanted>) -> Response {
    match asking::portrait(&web.control, &wanted.key).await {
        Ok(portrait) => guarded(JSON, actors::json(&portrait)),
        Err(failed) => failed_json(&failed),
    }
}

async fn api_event(State(web): Shown, Path(id): Path<String>) -> Response {
    match asking::event(&web.control, &id).await {
        Ok(record) => guarded(JSON, record.to_string() + "\n"),
        Err(failed) => failed_json(&failed),
    }
}

fn failed_json(failed: &Failed) -> Response {
    (failed.status(), guarded(JSON, api::error(&failed.text()))).into_response()
}

async fn actor(State(web): Shown, Query(wanted): Query<Wanted>) -> Response {
    if wanted.key.is_empty() {
        return guarded(HTML, actors::ask());
    }
    match asking::portrait(&web.control, &wanted.key).await {
        Ok(portrait) => guarded(HTML, actors::page(&portrait, &web.view())),
        Err(failed) => failed_page(&failed),
    }
}

async fn event(State(web): Shown, Path(id): Path<String>) -> Response {
    match asking::event(&web.control, &id).await {
        Ok(record) => guarded(HTML, pages::event(&id, &record)),
        Err(failed) => failed_page(&failed),
    }
}

async fn form_acknowledge(State(web): Shown, headers: HeaderMap, Path(id): Path<String>, body: Bytes) -> Response {
    match asking::acknowledge_by_form(&web.control, &headers, &id, &body).await {
        Ok(said) => Redirect::to(&format!("/incidents/{}", said.incident)).into_response(),
        Err(failed) => failed_page(&failed),
    }
}

async fn form_silence(State(web): Shown, headers: HeaderMap, body: Bytes) -> Response {
    match asking::silence_by_form(&web.control, &headers, &body).await {
        Ok(_) => Redirect::to("/silences").into_response(),
        Err(failed) => failed_page(&failed),
    }
}

async fn form_lift(State(web): Shown, headers: HeaderMap, Path(id): Path<String>, body: Bytes) -> Response {
    match asking::lift(&web.control, &headers, Some(&body), &id).await {
        Ok(()) => Redirect::to("/silences").into_response(),
        Err(failed) => failed_page(&failed),
    }
}

fn failed_page(failed: &Failed) -> Response {
    told(failed.status(), "That was not done", &failed.text())
}

fn told(status: StatusCode, title: &str, text: &str) -> Response {
    (status, guarded(HTML, pages::message(title, text))).into_response()
}

async fn ready(State(web): Shown, stranger: Option<Extension<Stranger>>) -> (StatusCode, String) {
    let view = web.view();
    match (view.is_ready, view.troubles.is_empty()) {
        (true, false) if stranger.is_some() => (StatusCode::OK, "ok, but there is trouble\n".to_owned()),
        (false, _) if stranger.is_some() => (StatusCode::SERVICE_UNAVAILABLE, "not reading yet\n".to_owned()),
        (true, true) => (StatusCode::OK, "ok\n".to_owned()),
        (true, false) => (StatusCode::OK, format!("ok, but: {}\n", view.troubles.join("; "))),
        (false, _) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not reading yet{}\n", view.troubles.iter().map(|t| format!(": {t}")).collect::<String>()),
        ),
    }
}

/// A response that runs no script but ours, and that nobody frames or caches.
fn guarded(content_type: &'static str, body: String) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; \
             frame-ancestors 'none'; base-uri 'none'",
        ),
        // "no-referrer" would make the origin of our own forms "null".
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
