//! The channels: the ways in which a moment can be unusual, and what one moment looks like in all of them.

use serde::{Deserialize, Serialize};

use super::calibration::Curves;

/// How many channels there are.
pub const CHANNELS: usize = 6;
/// Channels whose daily maxima an actor remembers: all but [`Channel::Context`], which is judged by the fleet alone.
pub const TAILS: usize = 5;

/// A way in which a moment can be unusual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Channel {
    /// Calls in 10 minutes, over what this hour usually has.
    TenMinutes,
    /// Calls in an hour, over what these hours usually have.
    Hour,
    /// A pace that was kept up for 15 to 20 minutes.
    Steady,
    /// Activity without a pause.
    Unbroken,
    /// Activity at hours at which the actor does not work.
    OddHours,
    /// Networks, regions, models or clients that the actor has not used before.
    Context,
}

impl Channel {
    /// Every channel, in the order of arrays.
    pub const ALL: [Self; CHANNELS] = [Self::TenMinutes, Self::Hour, Self::Steady, Self::Unbroken, Self::OddHours, Self::Context];

    /// The name as alerts and score files write it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::TenMinutes => "volume-10m",
            Self::Hour => "volume-1h",
            Self::Steady => "steady-pace",
            Self::Unbroken => "persistence",
            Self::OddHours => "odd-hours",
            Self::Context => "new-context",
        }
    }
}

/// Which days an actor is compared with in the fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Class {
    /// A human with a week of active days.
    #[default]
    Human,
    /// A human with less.
    Newcomer,
    /// A machine.
    Machine,
}

/// How many classes there are.
pub const CLASSES: usize = 3;

/// Active days from which a human is no newcomer.
const SETTLED_DAYS: u16 = 7;

impl Class {
    /// The class of an actor with this many active days.
    pub const fn of(is_machine: bool, active_days: u16) -> Self {
        match (is_machine, active_days < SETTLED_DAYS) {
            (true, _) => Self::Machine,
            (false, true) => Self::Newcomer,
            (false, false) => Self::Human,
        }
    }
}

/// One moment of one actor, judged.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Per channel: −log10 of the share of identity-days of this class that reach as far in the channel.
    pub channels: [f32; CHANNELS],
    /// All channels together: the 4-norm of the above.
    pub alone: f64,
    /// The same less what the crowd takes from it.
    pub together: f64,
    /// −log10 of the share of identity-days that reach as far in all: what a budget is compared with.
    pub rarity: f64,
}

impl Score {
    /// Puts the surprises of a moment together: each read against the fleet, their 4-norm, less what the crowd takes from it,
    /// read against the fleet once more.
    pub fn of(surprises: &[f64; CHANNELS], curves: &Curves, class: Class, discount: f64, bonus: f64) -> Self {
        let mut score = Self::default();
        let mut sum = 0.0;
        for (channel, surprise) in surprises.iter().enumerate() {
            let rarity = curves.channel(class, channel).rarity(*surprise);
            score.channels[channel] = rarity as f32;
            sum += rarity.powi(4);
        }
        score.alone = sum.sqrt().sqrt();
        score.together = (score.alone - discount).max(0.0);
        score.rarity = curves.together(class).rarity(score.together) + bonus;
        score
    }

    /// The most unusual channel.
    pub fn leading(&self) -> Channel {
        let best = Channel::ALL.into_iter().reduce(|a, b| if self.channels[b as usize] > self.channels[a as usize] { b } else { a });
        best.unwrap_or(Channel::TenMinutes)
    }
}
