//! What can be changed from outside, and by whom: whoever has the token, from this page or from a program.

use axum::http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};

use crate::alerting::acknowledged::{AcknowledgeError, Acknowledgement};
use crate::alerting::{Scope, Silence, SilenceError};
use crate::bedrock::EventId;
use crate::engine::portrait::Portrait;
use crate::finding::Digest128;
use crate::identity::ActorKey;

/// A silence as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What it is about.
    pub scope: Scope,
    /// Who asks.
    pub author: String,
    /// Why.
    pub reason: String,
    /// For how long, in seconds.
    pub seconds: i64,
}

/// Who has an incident in hand, as they say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The incident.
    pub incident: Digest128,
    /// Who has it.
    pub author: String,
    /// What they say about it; may be empty.
    pub remark: String,
    /// Whether what happened is how things are from now on.
    pub is_usual: bool,
}

/// What the daemon is asked. Each is answered.
#[derive(Debug)]
pub enum Command {
    /// Note who has an incident in hand.
    Acknowledge {
        /// Which, and who.
        taken: Taken,
        /// What was noted, or why it cannot be.
        reply: oneshot::Sender<Result<Acknowledgement, AcknowledgeError>>,
    },
    /// Show an actor.
    Portrait {
        /// Which.
        key: ActorKey,
        /// What is known about it.
        reply: oneshot::Sender<Option<Box<Portrait>>>,
    },
    /// Show the record of an event.
    Event {
        /// Which.
        id: EventId,
        /// The record without secrets.
        reply: oneshot::Sender<Option<serde_json::Value>>,
    },
    /// Silence something.
    Silence {
        /// What, why and for how long.
        asked: Asked,
        /// The silence, or why it cannot be.
        reply: oneshot::Sender<Result<Silence, SilenceError>>,
    },
    /// End a silence.
    Lift {
        /// Its id.
        id: Digest128,
        /// Whether there was one.
        reply: oneshot::Sender<bool>,
    },
}

/// Who may change something, and where the wish goes.
#[derive(Debug)]
pub struct Control {
    /// The token; without one nothing can be changed.
    pub token: Option<String>,
    /// To the daemon.
    pub commands: mpsc::Sender<Command>,
}

/// Why a wish is not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No token is configured.
    NoToken,
    /// The token is missing or wrong.
    WrongToken,
    /// A page of another origin asks.
    ForeignOrigin,
}

impl Refused {
    /// What to say.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NoToken => "nothing can be changed here: set [http] token_file",
            Self::WrongToken => "the token is missing or wrong",
            Self::ForeignOrigin => "asked for by a page of another origin",
        }
    }
}

impl Control {
    /// Whether who sends these headers, and perhaps a form's token, may change something.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, headers: &HeaderMap, form: Option<&str>) -> Result<(), Refused> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        // A browser says where a form was; a program does not.
        let host = text(header::HOST).unwrap_or("");
        let is_foreign = text(header::ORIGIN).is_some_and(|origin| origin.split_once("://").is_none_or(|(_, place)| place != host));
        let is_cross_site = headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none");
        if is_foreign || is_cross_site {
            return Err(Refused::ForeignOrigin);
        }
        if self.token.is_none() {
            return Err(Refused::NoToken);
        }
        let bearer = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        if self.is_token(bearer.or(form).unwrap_or("")) { Ok(()) } else { Err(Refused::WrongToken) }
    }

    /// Whether this is the token; never where none is configured.
    pub fn is_token(&self, given: &str) -> bool {
        // Hashes are compared: how long that takes tells nothing of the token.
        let is_same = |wanted: &str| Sha256::digest(given.trim().as_bytes()) == Sha256::digest(wanted.as_bytes());
        self.token.as_deref().is_some_and(is_same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(token: Option<&str>, headers: &[(&str, &str)], form: Option<&str>) -> Result<(), Refused> {
        let control = Control { token: token.map(str::to_owned), commands: mpsc::channel(1).0 };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(header::HeaderName::try_from(*name).expect("a name"), value.parse().expect("a value"));
        }
        control.admit(&map, form)
    }

    #[test]
    fn only_the_token_from_the_same_origin_is_admitted() {
        let token = Some("0123456789abcdef");
        assert_eq!(admit(None, &[], Some("")), Err(Refused::NoToken));
        assert_eq!(admit(token, &[], None), Err(Refused::WrongToken));
        assert_eq!(admit(token, &[("authorization", "Bearer 0123456789abcdee")], None), Err(Refused::WrongToken));
        assert_eq!(admit(token, &[("authorization", "Bearer 0123456789abcdef")], None), Ok(()));
        let own = [("host", "127.0.0.1:9464"), ("origin", "http://127.0.0.1:9464"), ("sec-fetch-site", "same-origin")];
        assert_eq!(admit(token, &own, token), Ok(()));
        let foreign = [("host", "127.0.0.1:9464"), ("origin", "http://evil.example")];
        assert_eq!(admit(token, &foreign, token), Err(Refused::ForeignOrigin));
        assert_eq!(admit(token, &[("host", "localhost"), ("origin", "null")], token), Err(Refused::ForeignOrigin));
        assert_eq!(admit(token, &[("sec-fetch-site", "cross-site")], token), Err(Refused::ForeignOrigin));
    }
}
