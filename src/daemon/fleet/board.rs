//! What the shards of one machine show together, and how people's wishes reach them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use kinesis_lease::ShardKey;
use tokio::sync::{mpsc, oneshot};

use crate::alerting::acknowledged::AcknowledgeError;
use crate::alerting::paging::Held;
use crate::engine::Gauges;
use crate::policy::PolicyBook;
use crate::telemetry::Metrics;
use crate::time::EventTime;
use crate::web::{Command, View, Web};

/// Wishes that wait for one shard.
const COMMANDS_MAX: usize = 16;

/// A shard's place on the board.
#[derive(Debug)]
struct Place {
    view: Option<View>,
    held: Held,
    commands: mpsc::Sender<Command>,
}

/// All shards that this machine reads.
#[derive(Debug, Default)]
pub(super) struct Board {
    places: Mutex<BTreeMap<ShardKey, Place>>,
    /// What shards showed that are read elsewhere now, or ended.
    gone: Mutex<Gone>,
    /// What is wrong and not about a shard of this machine.
    troubles: Mutex<BTreeMap<String, EventTime>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Gone {
    events: u64,
    invocations: u64,
    held: Held,
}

/// A trouble is shown for so many seconds after it was last told.
const TROUBLE_SHOWN: i64 = 60;
const TROUBLES_MAX: usize = 50;

impl Board {
    /// A place for a shard; its wishes come out of what is returned. Whoever works on it closes that when it is done.
    pub(super) fn add(&self, shard: ShardKey) -> mpsc::Receiver<Command> {
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let before = self.places().insert(shard, Place { view: None, held: Held::default(), commands });
        before.into_iter().for_each(|place| self.leave(&place));
        receiver
    }

    /// Shows a shard.
    pub(super) fn show(&self, shard: &ShardKey, view: View, held: Held) {
        if let Some(place) = self.places().get_mut(shard) {
            (place.view, place.held) = (Some(view), held);
        }
    }

    /// A shard is read elsewhere now, or ended. One that was lost and taken again meanwhile has a new place, which stays.
    pub(super) fn remove(&self, shard: &ShardKey) {
        let mut places = self.places();
        let is_over = places.get(shard).is_some_and(|place| place.commands.is_closed());
        let removed = if is_over { places.remove(shard) } else { None };
        drop(places);
        removed.into_iter().for_each(|place| self.leave(&place));
    }

    /// What a place counted stays counted.
    fn leave(&self, place: &Place) {
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        gone.held.silenced += place.held.silenced;
        gone.held.digested += place.held.digested;
        if let Some(view) = &place.view {
            gone.events += view.events;
            gone.invocations += view.invocations;
        }
    }

    /// Notes a trouble; `true` where it is news.
    pub(super) fn trouble(&self, text: String, now: EventTime) -> bool {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        if troubles.len() >= TROUBLES_MAX && !troubles.contains_key(&text) {
            return false;
        }
        troubles.insert(text, now).is_none()
    }

    /// Brings page and gauges up to date.
    pub(super) fn publish(&self, web: &Web, metrics: &Metrics, policy: &Arc<PolicyBook>, now: EventTime) {
        let (mut all, mut held) = self.together(policy, now);
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.retain(|_, told| now.since(*told) < TROUBLE_SHOWN);
        all.troubles.extend(troubles.keys().cloned());
        drop(troubles);
        let gone = *self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        all.events += gone.events;
        all.invocations += gone.invocations;
        held.silenced += gone.held.silenced;
        held.digested += gone.held.digested;
        metrics.gauges(&all.gauges, all.outbox);
        metrics.paging(all.silences.len(), held);
        web.publish(all);
    }

    fn together(&self, policy: &Arc<PolicyBook>, now: EventTime) -> (View, Held) {
        let places = self.places();
        let mut all = View { now, policy: Arc::clone(policy), ..View::default() };
        let (mut alerts, mut acknowledged, mut held) = (Vec::new(), Vec::new(), Held::default());
        let mut unknown: BTreeMap<&'static str, u64> = BTreeMap::new();
        let mut watermark = None::<EventTime>;
        for place in places.values() {
            held.silenced += place.held.silenced;
            held.digested += place.held.digested;
            let Some(view) = &place.view else { continue };
            alerts.extend(view.alerts.iter().cloned());
            acknowledged.extend(view.acknowledged.iter().cloned());
            all.shards.extend(view.shards.iter().cloned());
            all.rate += view.rate;
            all.attributed.person += view.attributed.person;
            all.attributed.department += view.attributed.department;
            view.attributed.unknown.iter().for_each(|(why, calls)| *unknown.entry(why).or_default() += calls);
            all.silences.extend(view.silences.iter().filter(|silence| !all.silences.contains(silence)).cloned().collect::<Vec<_>>());
            all.events += view.events;
            all.invocations += view.invocations;
            all.outbox += view.outbox;
            all.is_ready |= view.is_ready;
            all.troubles.extend(view.troubles.iter().cloned());
            all.policy = Arc::clone(&view.policy);
            watermark = Some(watermark.map_or(view.gauges.watermark, |least| least.min(view.gauges.watermark)));
            add(&mut all.gauges, &view.gauges);
        }
        // Each shard gives its own in this order.
        alerts.sort_by_key(|alert| std::cmp::Reverse((alert.severity, alert.last_event)));
        (all.alerts, all.acknowledged) = (Arc::new(alerts), Arc::new(acknowledged));
        all.attributed.unknown = unknown.into_iter().collect();
        all.gauges.watermark = watermark.unwrap_or_default();
        (all, held)
    }

    /// Hands a wish to every shard, and answers with the first that could do something with it.
    pub(super) async fn command(&self, command: Command) {
        let shards: Vec<mpsc::Sender<Command>> = self.places().values().map(|place| place.commands.clone()).collect();
        match command {
            Command::Acknowledge { taken, reply } => {
                let answers = ask(&shards, |reply| Command::Acknowledge { taken: taken.clone(), reply }).await;
                let _ = reply.send(answers.into_iter().reduce(Result::or).unwrap_or(Err(AcknowledgeError::NotOpen)));
            }
            Command::Portrait { key, reply } => {
                let answers = ask(&shards, |reply| Command::Portrait { key: key.clone(), reply }).await;
                let _ = reply.send(answers.into_iter().flatten().next());
            }
            Command::Event { id, reply } => {
                let answers = ask(&shards, |reply| Command::Event { id: id.clone(), reply }).await;
                let _ = reply.send(answers.into_iter().flatten().next());
            }
            // Without a shard nobody answers: the page says that the daemon does not.
            Command::Silence { asked, reply } => {
                let answers = ask(&shards, |reply| Command::Silence { asked: asked.clone(), reply }).await;
                if let Some(answer) = answers.into_iter().reduce(Result::or) {
                    let _ = reply.send(answer);
                }
            }
            Command::Lift { id, reply } => {
                let _ = reply.send(ask(&shards, |reply| Command::Lift { id, reply }).await.contains(&true));
            }
        }
    }

    fn places(&self) -> std::sync::MutexGuard<'_, BTreeMap<ShardKey, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answers of all shards that gave one.
async fn ask<T>(shards: &[mpsc::Sender<Command>], command: impl Fn(oneshot::Sender<T>) -> Command) -> Vec<T> {
    let mut waiting = Vec::new();
    for shard in shards {
        let (reply, answer) = oneshot::channel();
        if shard.send(command(reply)).await.is_ok() {
            waiting.push(answer);
        }
    }
    let mut answers = Vec::new();
    for answer in waiting {
        answers.extend(answer.await.ok());
    }
    answers
}

fn add(all: &mut Gauges, one: &Gauges) {
    all.tables.actors += one.tables.actors;
    all.tables.credentials += one.tables.credentials;
    all.tables.actors_evicted += one.tables.actors_evicted;
    all.tables.newcomers_evicted += one.tables.newcomers_evicted;
    all.tables.credentials_evicted += one.tables.credentials_evicted;
    all.held += one.held;
    all.grants += one.grants;
    all.grants_evicted += one.grants_evicted;
    // Engines count them together.
    all.unlinked = all.unlinked.max(one.unlinked);
    all.open_alerts += one.open_alerts;
    all.resolved_early += one.resolved_early;
    all.correlations_evicted += one.correlations_evicted;
    let least = |a: u32, b: u32| if a == 0 { b } else { a.min(b) };
    all.baseline_days = (least(all.baseline_days.0, one.baseline_days.0), all.baseline_days.1.max(one.baseline_days.1));
    all.dedup_horizon = if all.dedup_horizon == 0 { one.dedup_horizon } else { all.dedup_horizon.min(one.dedup_horizon) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The task of a lease that was lost ends after the task of the same lease, taken again, has begun.
    #[test]
    fn a_shard_that_was_taken_again_at_once_keeps_its_place() {
        let (board, shard) = (Board::default(), ShardKey::new("trail", "shardId-000000000000"));
        let first = board.add(shard.clone());
        let second = board.add(shard.clone());
        drop(first);
        board.remove(&shard);
        assert!(board.places().contains_key(&shard), "the second one's place");
        drop(second);
        board.remove(&shard);
        assert!(board.places().is_empty());
    }
}
