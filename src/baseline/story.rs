//! When an unusual actor is spoken of: once, again only when it gets much worse or unusual in another way, and not after it
//! has become quiet.

use serde::{Deserialize, Serialize};

use super::channel::{CHANNELS, Channel, Score};

/// Buckets of quiet after which a story is over (6 h).
const QUIET_BUCKETS: i32 = 72;
/// Rarity by which a story must grow to be told again: ten times rarer.
const GROWTH: f64 = 1.0;
/// A channel tells of itself from this share of the leading one's rarity.
const CHANNEL_SHARE: f32 = 0.8;

/// What was said of an actor lately. 16 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Story {
    /// Newest slot that reached the threshold; 0 before the first.
    last: i32,
    /// The slot in which it began.
    onset: i32,
    /// Highest rarity that was told.
    told: f32,
    /// Bit n: channel n was told of.
    channels: u8,
}

/// Why it is spoken of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A story begins.
    Start,
    /// It is ten times rarer than what was told.
    Rarer,
    /// It is unusual in a channel that was not told of.
    Channel(Channel),
}

impl Story {
    /// Hears a moment that reaches the threshold, and says whether it is worth telling. Moments of before the story's
    /// latest belong to it where they are near.
    pub fn hear(&mut self, slot: i64, score: &Score) -> Option<Step> {
        let slot = slot as i32;
        let is_new = self.last == 0 || slot - self.last > QUIET_BUCKETS;
        if is_new {
            *self = Self { last: slot, onset: slot, told: score.rarity as f32, channels: speaking(score) };
            return Some(Step::Start);
        }
        self.last = self.last.max(slot);
        if slot < self.onset && self.onset - slot <= QUIET_BUCKETS {
            self.onset = slot;
        }
        if score.rarity >= f64::from(self.told) + GROWTH {
            self.told = score.rarity as f32;
            self.channels |= speaking(score);
            return Some(Step::Rarer);
        }
        let added = speaking(score) & !self.channels;
        self.channels |= added;
        let channel = Channel::ALL.into_iter().find(|channel| added & 1 << *channel as u8 != 0)?;
        Some(Step::Channel(channel))
    }

    /// The slot in which the story began.
    pub const fn onset(&self) -> i64 {
        self.onset as i64
    }
}

/// The channels that speak: those that are near the leading one and rare by themselves.
fn speaking(score: &Score) -> u8 {
    let leading = score.channels.iter().copied().fold(0.0, f32::max);
    (0..CHANNELS).filter(|n| score.channels[*n] >= CHANNEL_SHARE * leading && score.channels[*n] >= 2.0).fold(0, |bits, n| bits | 1 << n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(rarity: f64, channel: Channel) -> Score {
        let mut score = Score { rarity, ..Score::default() };
        score.channels[channel as usize] = rarity as f32;
        score
    }

    #[test]
    fn is_told_once_then_when_worse_or_otherwise_then_anew_after_quiet() {
        let mut story = Story::default();
        assert_eq!(story.hear(100, &score(3.1, Channel::Hour)), Some(Step::Start));
        assert_eq!(story.hear(101, &score(3.5, Channel::Hour)), None);
        assert_eq!(story.hear(102, &score(4.2, Channel::Hour)), Some(Step::Rarer));
        assert_eq!(story.hear(103, &score(4.2, Channel::Context)), Some(Step::Channel(Channel::Context)));
        assert_eq!(story.hear(104, &score(4.9, Channel::Context)), None);
        assert_eq!(story.hear(104 + i64::from(QUIET_BUCKETS), &score(3.1, Channel::Hour)), None);
        assert_eq!(story.hear(105 + 2 * i64::from(QUIET_BUCKETS), &score(3.1, Channel::Hour)), Some(Step::Start));
        assert_eq!(story.onset(), 105 + 2 * i64::from(QUIET_BUCKETS));
    }

    #[test]
    fn what_comes_late_belongs_to_the_story() {
        let mut story = Story::default();
        story.hear(100, &score(3.1, Channel::Hour));
        assert_eq!(story.hear(98, &score(3.0, Channel::Hour)), None);
        assert_eq!(story.onset(), 98);
    }
}
