//! What a request passes before it reaches a page: the name it asks for, credentials, and a limit in time.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::{sleep, timeout};

use super::door::{Door, Stopped};
use super::serve::Peer;
use super::{JSON, Web, api, guarded};
use crate::telemetry::metric_name::MetricName;

/// What a wrong password or token costs.
const WRONG_COSTS: Duration = Duration::from_millis(500);
/// How long an answer may take, the body of the request included; the daemon has ten seconds of it.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Probes have no credentials.
const PROBES: [&str; 2] = ["/livez", "/readyz"];

/// What requests are held against.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    pub web: Arc<Web>,
    pub door: Arc<Door>,
}

/// Marks a probe without credentials where they are asked for: it hears how it is, and not what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stranger;

impl Gate {
    fn refuse(&self, reason: &'static str) {
        self.web.metrics.count(MetricName::HttpRefused, &[reason], 1);
    }
}

/// Answers only who asked for this machine by a loopback name, or by the name in the configuration: a web page elsewhere
/// whose name was bent to this address (DNS rebinding) sends its own. Where other machines may come, any address will do:
/// only names can be bent.
pub(super) async fn only_by_known_name(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit())).map_or(host, |(name, _)| name);
    let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
    let is_known = name == "localhost" || address.is_ok_and(|address| gate.door.is_open || address.is_loopback());
    if is_known || gate.web.own_host() == Some(host) {
        return next.run(request).await;
    }
    gate.refuse("host");
    (StatusCode::FORBIDDEN, "ask for it as localhost or 127.0.0.1, or set [http] url\n").into_response()
}

/// Answers only who has a password or the token, where the configuration asks for them.
pub(super) async fn only_with_credentials(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    if gate.door.asks {
        if PROBES.contains(&request.uri().path()) {
            request.extensions_mut().insert(Stranger);
            return next.run(request).await;
        }
        let from = request.extensions().get::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0);
        if let Err(stopped) = gate.door.admit(request.headers(), from, &gate.web.control).await {
            return stop(&gate, stopped, request.uri().path().starts_with("/api/")).await;
        }
    }
    let response = next.run(request).await;
    if response.status() == StatusCode::UNAUTHORIZED {
        gate.refuse("wrong-credentials");
    }
    response
}

async fn stop(gate: &Gate, stopped: Stopped, is_program: bool) -> Response {
    let (reason, status, text) = match stopped {
        Stopped::NoCredentials => ("no-credentials", StatusCode::UNAUTHORIZED, "name and password, or a token, are needed"),
        Stopped::WrongCredentials => ("wrong-credentials", StatusCode::UNAUTHORIZED, "name, password or token is wrong"),
        Stopped::Limited(_) => ("limited", StatusCode::TOO_MANY_REQUESTS, "too many wrong passwords; come again later"),
    };
    gate.refuse(reason);
    let body = if is_program { guarded(JSON, api::error(text)) } else { guarded("text/plain; charset=utf-8", format!("{text}\n")) };
    let mut response = (status, body).into_response();
    match stopped {
        Stopped::NoCredentials | Stopped::WrongCredentials => {
            let scheme = HeaderValue::from_static("Basic realm=\"geophone\", charset=\"UTF-8\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        Stopped::Limited(wait) => {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
    }
    if stopped == Stopped::WrongCredentials {
        sleep(WRONG_COSTS).await;
    }
    response
}

/// Ends a request whose body does not come.
pub(super) async fn within_time(request: Request, next: Next) -> Response {
    let late = (StatusCode::REQUEST_TIMEOUT, "the request took too long\n");
    timeout(ANSWER_WITHIN, next.run(request)).await.unwrap_or_else(|_| late.into_response())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::alerting::message::Links;
    use crate::telemetry::Metrics;
    use crate::web::{Control, listen};

    /// The status that asking for `host` gives, by whether other machines can come.
    async fn ask(host: &str, is_open: bool) -> u16 {
        let metrics = Arc::new(Metrics::new([]).expect("valid names"));
        let links = Links { page: Some("https://geophone.example.com".to_owned()), ..Links::default() };
        let control = Control { token: None, commands: tokio::sync::mpsc::channel(1).0 };
        let web = Arc::new(Web::new(metrics, Arc::default(), links, control));
        let mut door = Door::plain("127.0.0.1:0");
        door.is_open = is_open;
        let (address, server) = listen(door, web).await.expect("a port");
        let server = tokio::spawn(server);
        let mut socket = TcpStream::connect(address).await.expect("connected");
        socket.write_all(format!("GET /livez HTTP/1.0\r\nhost: {host}\r\n\r\n").as_bytes()).await.expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("an answer");
        server.abort();
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }

    #[tokio::test]
    async fn only_addresses_and_own_names_are_answered() {
        for (host, here, open) in [
            ("127.0.0.1:9464", 200, 200),
            ("localhost:9464", 200, 200),
            ("[::1]:9464", 200, 200),
            ("geophone.example.com", 200, 200),
            ("192.0.2.7:9464", 403, 200),
            ("[2001:db8::1]:9464", 403, 200),
            ("evil.example", 403, 403),
            ("192.0.2.7.evil.example:9464", 403, 403),
            ("", 403, 403),
        ] {
            assert_eq!((ask(host, false).await, ask(host, true).await), (here, open), "{host}");
        }
    }
}
