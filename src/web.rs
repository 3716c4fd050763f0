//! Page, metrics and health, on loopback. Reads an exported view; decides nothing and changes nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::alerting::Alert;
use crate::engine::Gauges;
use crate::policy::PolicyBook;
use crate::state::Shared;
use crate::telemetry::Metrics;
use crate::time::EventTime;

pub mod api;
mod page;

/// What the page shows, exported by the daemon about once a second.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Open alerts, the most severe and latest first.
    pub alerts: Vec<Alert>,
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

/// The shared read handle.
#[derive(Debug)]
pub struct Web {
    view: RwLock<Arc<View>>,
    metrics: Arc<Metrics>,
    shared: Arc<Shared>,
}

impl Web {
    /// A handle that shows nothing yet.
    pub fn new(metrics: Arc<Metrics>, shared: Arc<Shared>) -> Self {
        Self { view: RwLock::default(), metrics, shared }
    }

    /// Shows `view` from now on.
    pub fn publish(&self, view: View) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }

    /// What is shown.
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Listens on `address`; returns the address that it got (a port of 0 gives any) and the server to be driven.
///
/// # Errors
/// The address is in use or not this machine's.
pub async fn listen(address: &str, web: Arc<Web>) -> std::io::Result<(SocketAddr, impl Future<Output = ()> + Send + use<>)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let router = Router::new()
        .route(
            "/",
            get(|State(web): State<Arc<Web>>| async move {
                guarded("text/html; charset=utf-8", page::render(&web.view(), &web.shared.access_rows(), web.shared.unlinked_count()))
            }),
        )
        .route(
            "/metrics",
            get(|State(web): State<Arc<Web>>| async move { guarded("text/plain; version=0.0.4", web.metrics.expose(&web.shared)) }),
        )
        .route(
            "/api/v1/matrix",
            get(|State(web): State<Arc<Web>>| async move {
                guarded("application/json", api::matrix(&web.view().policy, &web.shared.access_rows()))
            }),
        )
        .route(
            "/api/v1/unlinked",
            get(|State(web): State<Arc<Web>>| async move { guarded("application/json", api::unlinked(&web.shared.unlinked())) }),
        )
        .route(
            "/api/v1/alerts",
            get(|State(web): State<Arc<Web>>| async move { guarded("application/x-ndjson", api::alerts(&web.view(), "")) }),
        )
        .route(
            "/api/v1/alerts/{id}",
            get(|State(web): State<Arc<Web>>, axum::extract::Path(id): axum::extract::Path<String>| async move {
                guarded("application/x-ndjson", api::alerts(&web.view(), &id))
            }),
        )
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(web)
        .layer(axum::middleware::from_fn(only_by_loopback_name));
    let server = async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "page and metrics stopped");
        }
    };
    Ok((address, server))
}

/// Answers only who asked for this machine by a loopback name: a web page elsewhere whose name was bent to this address
/// (DNS rebinding) sends its own.
async fn only_by_loopback_name(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit())).map_or(host, |(name, _)| name);
    let is_loopback = name == "localhost" || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if is_loopback { next.run(request).await } else { (StatusCode::FORBIDDEN, "ask for it as localhost or 127.0.0.1\n").into_response() }
}

async fn ready(State(web): State<Arc<Web>>) -> (StatusCode, String) {
    let view = web.view();
    match (view.is_ready, view.troubles.is_empty()) {
        (true, true) => (StatusCode::OK, "ok\n".to_owned()),
        (true, false) => (StatusCode::OK, format!("ok, but: {}\n", view.troubles.join("; "))),
        (false, _) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not reading yet{}\n", view.troubles.iter().map(|t| format!(": {t}")).collect::<String>()),
        ),
    }
}

/// A response that no browser runs scripts in, frames or caches.
fn guarded(content_type: &'static str, body: String) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
