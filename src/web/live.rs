//! What follows the daemon: an event whenever what is shown has changed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;

/// Most listeners at once; a further one is told to come again later.
const LISTENERS_MAX: usize = 64;
/// Changes are told at most this often.
const PAUSE: Duration = Duration::from_secs(2);

/// Who listens.
#[derive(Debug)]
pub(super) struct Live {
    shown: watch::Sender<u64>,
    listeners: Arc<Semaphore>,
}

impl Default for Live {
    fn default() -> Self {
        Self { shown: watch::Sender::new(0), listeners: Arc::new(Semaphore::new(LISTENERS_MAX)) }
    }
}

impl Live {
    /// Something else is shown now.
    pub(super) fn tell(&self) {
        self.shown.send_modify(|shown| *shown += 1);
    }

    /// A stream of changes.
    pub(super) fn listen(&self) -> Response {
        let Ok(place) = Arc::clone(&self.listeners).try_acquire_owned() else {
            return (axum::http::StatusCode::SERVICE_UNAVAILABLE, "too many listeners; come again later\n").into_response();
        };
        let changes = unfold((self.shown.subscribe(), place, true), |(mut shown, place, is_first)| async move {
            if !is_first {
                sleep(PAUSE).await;
            }
            // The daemon has ended where nobody shows anything any more.
            shown.changed().await.ok()?;
            let number = shown.borrow_and_update().to_string();
            Some((Ok::<_, Infallible>(Event::default().event("changed").data(number)), (shown, place, false)))
        });
        Sse::new(changes).keep_alive(KeepAlive::default()).into_response()
    }
}
