//! Asks a running daemon over HTTP, with TLS where it has it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderValue, Request, StatusCode, Uri};
use clap::Args;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;

use super::{Exit, Failure};
use crate::web::trust;

/// How the daemon is known, and how it knows who asks.
#[derive(Debug, Default, Args)]
pub(super) struct Known {
    /// The daemon's own certificate ([http] tls_certificate), for https://; its name and its end do not matter then
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// The daemon's token ([http] token_file), where it asks for credentials
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// What is at `url`: at most `bytes_max`, within `wait`.
///
/// # Errors
/// The address is none, a file cannot be read, or nobody answers there who has the certificate.
pub(super) fn get(url: &str, known: &Known, bytes_max: usize, wait: Duration) -> Result<(StatusCode, String), Failure> {
    let failed =
        |what: String| Failure::new(Exit::Unavailable, format_args!("{url}: {what}; is `geophone run` listening there ([http] listen)?"));
    let uri: Uri = url.parse().map_err(|error| Failure::new(Exit::Usage, format_args!("{url}: {error}; write http://HOST:PORT")))?;
    let tls = match (uri.scheme_str(), &known.certificate) {
        (Some("http"), None) => None,
        (Some("https"), Some(file)) => Some(trusting(file)?),
        (Some("https"), None) => {
            return Err(Failure::new(Exit::Usage, format_args!("{url}: whom to trust there? give the daemon's own --certificate")));
        }
        _ => return Err(Failure::new(Exit::Usage, format_args!("{url}: write http://HOST:PORT, or https:// with --certificate"))),
    };
    let token = known.token_file.as_deref().map(bearer).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Unavailable, format_args!("no runtime: {error}; free memory or raise the process limit")))?;
    let answer = runtime.block_on(async { tokio::time::timeout(wait, fetch(uri, tls, token, bytes_max)).await });
    let (status, text) = answer.map_err(|_| failed(format!("no answer in {} s", wait.as_secs())))?.map_err(failed)?;
    if status == StatusCode::UNAUTHORIZED {
        return Err(Failure::new(Exit::Unavailable, format_args!("{url}: {}; give --token-file", text.trim())));
    }
    Ok((status, text))
}

fn trusting(file: &Path) -> Result<ClientConfig, Failure> {
    trust::only(file).map_err(|error| Failure::new(Exit::NoInput, format_args!("{}: {error}; give a PEM file", file.display())))
}

fn bearer(file: &Path) -> Result<HeaderValue, Failure> {
    let no_input =
        |error: String| Failure::new(Exit::NoInput, format_args!("{}: {error}; name the file of the daemon's token", file.display()));
    let token = std::fs::read_to_string(file).map_err(|error| no_input(error.to_string()))?;
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim())).map_err(|error| no_input(error.to_string()))?;
    value.set_sensitive(true);
    Ok(value)
}

async fn fetch(uri: Uri, tls: Option<ClientConfig>, token: Option<HeaderValue>, bytes_max: usize) -> Result<(StatusCode, String), String> {
    let mut request = Request::get(uri).body(Empty::<axum::body::Bytes>::new()).map_err(|error| error.to_string())?;
    token.into_iter().for_each(|token| drop(request.headers_mut().insert(AUTHORIZATION, token)));
    let response = match tls {
        None => Client::builder(TokioExecutor::new()).build_http().request(request).await,
        Some(tls) => {
            let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().build();
            Client::builder(TokioExecutor::new()).build(connector).request(request).await
        }
    };
    let response = response.map_err(|error| crate::sns::describe(&error))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), bytes_max).collect().await.map_err(|error| error.to_string())?;
    let text = String::from_utf8(body.to_bytes().to_vec()).map_err(|error| error.to_string())?;
    Ok((status, text))
}
