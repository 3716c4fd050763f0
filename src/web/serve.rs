//! Connections: how many, for how long, and with TLS or without. Requests are the router's.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::attempts::guest;
use super::tls::Tls;
use crate::telemetry::Metrics;
use crate::telemetry::metric_name::MetricName;

/// Most connections at once.
const CONNECTIONS_MAX: usize = 512;
/// Most of them of one guest that is not this machine: nobody alone can use up all.
const CONNECTIONS_PER_GUEST: usize = 64;
/// How long a handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// How long the head of a request may take, and how long a connection may be idle before it.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// Most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How long to wait where the system has no file for a further connection.
const BREATHER: Duration = Duration::from_millis(100);

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub IpAddr);

/// Serves for ever.
pub(super) async fn serve(listener: TcpListener, router: Router, tls: Option<Arc<Tls>>, metrics: Arc<Metrics>) {
    let slots = Arc::new(Slots::default());
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection to the page cannot be taken");
                sleep(BREATHER).await;
                continue;
            }
        };
        let Some(slot) = slots.take(peer.ip()) else {
            metrics.count(MetricName::HttpRefused, &["connections"], 1);
            continue;
        };
        let (router, tls, metrics) = (router.clone(), tls.clone(), Arc::clone(&metrics));
        tokio::spawn(async move {
            connection(stream, peer, router, tls.as_deref(), &metrics).await;
            drop(slot);
        });
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, tls: Option<&Tls>, metrics: &Metrics) {
    // Small answers must not wait for more to send.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return converse(stream, peer, router).await };
    match timeout(HANDSHAKE_WITHIN, tls.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => converse(stream, peer, router).await,
        Ok(Err(error)) => {
            metrics.count(MetricName::HttpRefused, &["tls"], 1);
            tracing::debug!(%peer, %error, "no TLS");
        }
        Err(_) => metrics.count(MetricName::HttpRefused, &["tls"], 1),
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, peer: SocketAddr, router: Router) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Peer(peer.ip()));
        router.call(request)
    });
    let mut protocol = http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(HEAD_BYTES_MAX);
    // Whoever leaves in the middle of an answer is no news.
    if let Err(error) = protocol.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%peer, %error, "a connection to the page ended early");
    }
}

/// Connections by guest.
#[derive(Debug, Default)]
struct Slots {
    by_guest: Mutex<HashMap<IpAddr, usize>>,
}

/// A place among the connections; free again when it is dropped.
#[derive(Debug)]
struct Slot {
    slots: Arc<Slots>,
    guest: IpAddr,
}

impl Slots {
    fn take(self: &Arc<Self>, address: IpAddr) -> Option<Slot> {
        let guest = guest(address);
        let mut by_guest = self.by_guest.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = by_guest.values().sum();
        let own = by_guest.get(&guest).copied().unwrap_or(0);
        // A reverse proxy on this machine comes for many.
        if all >= CONNECTIONS_MAX || (own >= CONNECTIONS_PER_GUEST && !address.to_canonical().is_loopback()) {
            return None;
        }
        by_guest.insert(guest, own + 1);
        Some(Slot { slots: Arc::clone(self), guest })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut by_guest = self.slots.by_guest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_guest.get_mut(&self.guest) {
            *count -= 1;
            if *count == 0 {
                by_guest.remove(&self.guest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_alone_takes_all_connections_and_all_together_no_more_than_there_are() {
        let slots = Arc::new(Slots::default());
        let address = |n: usize| IpAddr::from([10, 0, 0, u8::try_from(n).expect("small")]);
        let mut held: Vec<Slot> = (0..1_000).filter_map(|_| slots.take(address(1))).collect();
        assert_eq!(held.len(), CONNECTIONS_PER_GUEST);
        held.extend((2..100).flat_map(|n| [n; 64]).filter_map(|n| slots.take(address(n))));
        assert_eq!(held.len(), CONNECTIONS_MAX);
        let here = IpAddr::from([127, 0, 0, 1]);
        assert!(slots.take(here).is_none(), "full is full");
        drop(held);
        assert!(slots.by_guest.lock().expect("no panics").is_empty(), "nothing is remembered of who has gone");
        assert_eq!((0..1_000).filter_map(|_| slots.take(here)).collect::<Vec<_>>().len(), CONNECTIONS_MAX);
    }
}
