//! Wishes as they come: read, checked, handed to the daemon, answered.

use std::collections::HashMap;
use std::time::Duration;

use axum::extract::{Form, FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::control::{Asked, Command, Control, Refused, Taken};
use crate::alerting::acknowledged::{AcknowledgeError, Acknowledgement};
use crate::alerting::{Scope, Silence, SilenceError};
use crate::bedrock::EventId;
use crate::engine::portrait::Portrait;
use crate::finding::Digest128;
use crate::identity::ActorKey;
use crate::time::HOUR;

/// How long the daemon may take: it answers between two deliveries.
const ANSWER_IN: Duration = Duration::from_secs(10);
/// What a wrong token costs.
const WRONG_COSTS: Duration = Duration::from_millis(500);

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    Refused(Refused),
    Malformed(String),
    Silence(SilenceError),
    Acknowledgement(AcknowledgeError),
    Unknown(&'static str),
    Busy,
}

impl Failed {
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::Refused(Refused::WrongToken) => StatusCode::UNAUTHORIZED,
            Self::Refused(_) => StatusCode::FORBIDDEN,
            Self::Malformed(_) | Self::Silence(_) | Self::Acknowledgement(AcknowledgeError::NoAuthor | AcknowledgeError::LongText) => {
                StatusCode::BAD_REQUEST
            }
            Self::Unknown(_) | Self::Acknowledgement(AcknowledgeError::NotOpen) => StatusCode::NOT_FOUND,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Refused(refused) => refused.text().to_owned(),
            Self::Malformed(why) => format!("the request is not understood: {why}"),
            Self::Silence(error) => format!("this silence cannot be: {error}"),
            Self::Acknowledgement(error) => error.to_string(),
            Self::Unknown(what) => (*what).to_owned(),
            Self::Busy => "geophone does not answer; try again".to_owned(),
        }
    }
}

/// A silence as a program asks for it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(default)]
    detector: Option<String>,
    #[serde(default)]
    actor: Option<String>,
    #[serde(default)]
    department: Option<String>,
    #[serde(default)]
    model: Option<String>,
    author: String,
    reason: String,
    seconds: i64,
}

/// Silences what a program asks for.
pub(super) async fn silence_by_json(control: &Control, headers: &HeaderMap, body: &[u8]) -> Result<Silence, Failed> {
    admit(control, headers, None).await?;
    let body: Body = serde_json::from_slice(body).map_err(|error| Failed::Malformed(error.to_string()))?;
    let scope = Scope { detector: body.detector, actor: body.actor, department: body.department, model: body.model };
    silence(control, Asked { scope, author: body.author, reason: body.reason, seconds: body.seconds }).await
}

/// Silences what a form asks for.
pub(super) async fn silence_by_form(control: &Control, headers: &HeaderMap, body: &[u8]) -> Result<Silence, Failed> {
    let mut form = form(body).await?;
    admit(control, headers, form.remove("token").as_deref()).await?;
    let mut take = |name: &str| form.remove(name).filter(|text| !text.is_empty());
    let scope = Scope { detector: take("detector"), actor: take("actor"), department: take("department"), model: take("model") };
    let hours: i64 =
        take("hours").and_then(|hours| hours.parse().ok()).ok_or_else(|| Failed::Malformed("hours is no number".to_owned()))?;
    let (author, reason) = (take("author").unwrap_or_default(), take("reason").unwrap_or_default());
    silence(control, Asked { scope, author, reason, seconds: hours.saturating_mul(HOUR) }).await
}

/// Ends a silence.
pub(super) async fn lift(control: &Control, headers: &HeaderMap, body: Option<&[u8]>, id: &str) -> Result<(), Failed> {
    let token = match body {
        Some(body) => form(body).await?.remove("token"),
        None => None,
    };
    admit(control, headers, token.as_deref()).await?;
    let unknown = Failed::Unknown("there is no such silence; it may have ended");
    let Some(id) = Digest128::parse(id) else { return Err(unknown) };
    if ask(control, |reply| Command::Lift { id, reply }).await? { Ok(()) } else { Err(unknown) }
}

/// An acknowledgement as a program says it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    author: String,
    #[serde(default)]
    remark: String,
    #[serde(default)]
    usual: bool,
}

/// Notes who has an incident in hand, as a program says it.
pub(super) async fn acknowledge_by_json(control: &Control, headers: &HeaderMap, id: &str, body: &[u8]) -> Result<Acknowledgement, Failed> {
    admit(control, headers, None).await?;
    let said: Said = serde_json::from_slice(body).map_err(|error| Failed::Malformed(error.to_string()))?;
    acknowledge(control, id, said).await
}

/// Notes who has an incident in hand, as a form says it.
pub(super) async fn acknowledge_by_form(control: &Control, headers: &HeaderMap, id: &str, body: &[u8]) -> Result<Acknowledgement, Failed> {
    let mut form = form(body).await?;
    admit(control, headers, form.remove("token").as_deref()).await?;
    let usual = form.contains_key("usual");
    let mut take = |name: &str| form.remove(name).unwrap_or_default();
    acknowledge(control, id, Said { author: take("author"), remark: take("remark"), usual }).await
}

async fn acknowledge(control: &Control, id: &str, said: Said) -> Result<Acknowledgement, Failed> {
    let incident = Digest128::parse(id).ok_or(Failed::Acknowledgement(AcknowledgeError::NotOpen))?;
    let taken = Taken { incident, author: said.author, remark: said.remark, is_usual: said.usual };
    ask(control, |reply| Command::Acknowledge { taken, reply }).await?.map_err(Failed::Acknowledgement)
}

/// What is known about an actor.
pub(super) async fn portrait(control: &Control, key: &str) -> Result<Box<Portrait>, Failed> {
    let key =
        ActorKey::parse(key).ok_or_else(|| Failed::Malformed("an actor is written as kind:name, person:alice@example.com".to_owned()))?;
    let portrait = ask(control, |reply| Command::Portrait { key, reply }).await?;
    portrait.ok_or(Failed::Unknown(
        "nobody of this name is known; a call counts when it is settled whose it is, so one that waits for its STS record does not yet",
    ))
}

/// The record of an event.
pub(super) async fn event(control: &Control, id: &str) -> Result<serde_json::Value, Failed> {
    const UNKNOWN: Failed = Failed::Unknown(
        "the record is not kept here: it belongs to no alert, is of before the last start, or newer ones took its place; CloudTrail has it",
    );
    let id = EventId::parse(id).ok_or(UNKNOWN)?;
    ask(control, |reply| Command::Event { id, reply }).await?.ok_or(UNKNOWN)
}

async fn silence(control: &Control, asked: Asked) -> Result<Silence, Failed> {
    ask(control, |reply| Command::Silence { asked, reply }).await?.map_err(Failed::Silence)
}

async fn admit(control: &Control, headers: &HeaderMap, token: Option<&str>) -> Result<(), Failed> {
    let admitted = control.admit(headers, token);
    if admitted == Err(Refused::WrongToken) {
        sleep(WRONG_COSTS).await;
    }
    admitted.map_err(Failed::Refused)
}

async fn ask<T>(control: &Control, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Failed> {
    let (reply, answer) = oneshot::channel();
    let asked = async {
        control.commands.send(command(reply)).await.map_err(|_| Failed::Busy)?;
        answer.await.map_err(|_| Failed::Busy)
    };
    timeout(ANSWER_IN, asked).await.unwrap_or(Err(Failed::Busy))
}

/// Fields of a form.
async fn form(body: &[u8]) -> Result<HashMap<String, String>, Failed> {
    let request = Request::builder()
        .method("POST")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body.to_vec().into())
        .map_err(|error| Failed::Malformed(error.to_string()))?;
    let Form(fields) = Form::from_request(request, &()).await.map_err(|error| Failed::Malformed(error.to_string()))?;
    Ok(fields)
}
