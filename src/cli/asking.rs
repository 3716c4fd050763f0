//! Asks a running daemon over HTTP.

use std::time::Duration;

use axum::http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::{Exit, Failure};

/// What is at `url`: at most `bytes_max`, within `wait`.
///
/// # Errors
/// The address is none, or nobody answers there.
pub(super) fn get(url: &str, bytes_max: usize, wait: Duration) -> Result<(StatusCode, String), Failure> {
    let failed =
        |what: String| Failure::new(Exit::Unavailable, format_args!("{url}: {what}; is `geophone run` listening there ([http] listen)?"));
    let uri: Uri = url.parse().map_err(|error| Failure::new(Exit::Usage, format_args!("{url}: {error}; write http://HOST:PORT")))?;
    if uri.scheme_str() != Some("http") {
        return Err(Failure::new(Exit::Usage, format_args!("{url}: is no http:// address; ask on the daemon's own machine")));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Unavailable, format_args!("no runtime: {error}; free memory or raise the process limit")))?;
    let answer = runtime.block_on(async { tokio::time::timeout(wait, fetch(uri, bytes_max)).await });
    answer.map_err(|_| failed(format!("no answer in {} s", wait.as_secs())))?.map_err(failed)
}

async fn fetch(uri: Uri, bytes_max: usize) -> Result<(StatusCode, String), String> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::get(uri).body(Empty::<axum::body::Bytes>::new()).map_err(|error| error.to_string())?;
    let response = client.request(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    let body = Limited::new(response.into_body(), bytes_max).collect().await.map_err(|error| error.to_string())?;
    let text = String::from_utf8(body.to_bytes().to_vec()).map_err(|error| error.to_string())?;
    Ok((status, text))
}
