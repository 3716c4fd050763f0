//! Where readers put what they have to say.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::delivery::Delivery;

/// Nobody receives any more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Closed;

type Sent<'a> = Pin<Box<dyn Future<Output = Result<(), Closed>> + Send + 'a>>;

/// Puts deliveries into a channel whose messages say more than the delivery itself.
pub(crate) trait Wrap: fmt::Debug + Send + Sync {
    /// Returns when the delivery has its place in the channel, not before: until then the reader
    /// counts its page as being fetched.
    fn send(&self, delivery: Delivery) -> Sent<'_>;
}

/// The caller's channel.
#[derive(Debug, Clone)]
pub(crate) enum Outlet {
    Plain(mpsc::Sender<Delivery>),
    Wrapped(Arc<dyn Wrap>),
}

impl Outlet {
    /// Waits for a place.
    pub(crate) async fn send(&self, delivery: Delivery) -> Result<(), Closed> {
        match self {
            Self::Plain(channel) => channel.send(delivery).await.map_err(|_| Closed),
            Self::Wrapped(wrap) => wrap.send(delivery).await,
        }
    }
}

impl From<mpsc::Sender<Delivery>> for Outlet {
    fn from(channel: mpsc::Sender<Delivery>) -> Self {
        Self::Plain(channel)
    }
}
