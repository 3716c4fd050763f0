//! Inputs (shards, files) and the watermark: how far event time has certainly come.
//!
//! watermark = the least, over open inputs, of (largest event time seen − lateness). An input that is read to its end and
//! quiet moves on with `now`; a closed one no longer counts. The watermark never goes back.

use serde::{Deserialize, Serialize};

use crate::time::EventTime;

/// An input of an engine, by the order in which it was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InputId(u32);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Input {
    name: String,
    /// Largest event time seen.
    newest: EventTime,
    /// The same, or the time up to which the input is known to be quiet.
    reached: EventTime,
    is_open: bool,
}

/// All inputs of an engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Inputs {
    inputs: Vec<Input>,
    lateness: i64,
    watermark: EventTime,
}

impl Inputs {
    /// No inputs; events may be `lateness` seconds late.
    pub fn new(lateness: i64) -> Self {
        Self { inputs: Vec::new(), lateness, watermark: EventTime::MIN }
    }

    /// The input of this name, opened where it is new or was closed.
    pub fn open(&mut self, name: &str) -> InputId {
        let index = self.inputs.iter().position(|input| input.name == name).unwrap_or_else(|| {
            self.inputs.push(Input { name: name.to_owned(), newest: EventTime::MIN, reached: EventTime::MIN, is_open: true });
            self.inputs.len() - 1
        });
        self.inputs[index].is_open = true;
        InputId(index as u32)
    }

    /// Notes an event of `time`. Returns whether it is older than one before it on the same input.
    pub fn see(&mut self, input: InputId, time: EventTime) -> bool {
        let Some(input) = self.inputs.get_mut(input.0 as usize) else { return false };
        let is_out_of_order = time < input.newest;
        input.newest = input.newest.max(time);
        if time < input.reached {
            return is_out_of_order;
        }
        let held_back = input.reached.plus(-self.lateness) <= self.watermark;
        input.reached = time;
        if held_back {
            self.update();
        }
        false
    }

    /// Notes that the input is read to its end and quiet at `now`.
    pub fn idle(&mut self, input: InputId, now: EventTime) {
        if let Some(input) = self.inputs.get_mut(input.0 as usize) {
            input.reached = input.reached.max(now);
        }
        self.update();
    }

    /// Notes that nothing more will come from the input.
    pub fn close(&mut self, input: InputId) {
        if let Some(input) = self.inputs.get_mut(input.0 as usize) {
            input.is_open = false;
        }
        self.update();
    }

    /// The same state with another lateness and no input open: those that are still read are opened again by name.
    pub fn reopened(mut self, lateness: i64) -> Self {
        self.lateness = lateness;
        self.inputs.iter_mut().for_each(|input| input.is_open = false);
        self
    }

    /// What a snapshot keeps: inputs that are over are forgotten.
    pub fn image(&self) -> Self {
        let inputs = self.inputs.iter().filter(|input| input.is_open).cloned().collect();
        Self { inputs, ..*self }
    }

    /// Everything of before this time has been seen, as far as lateness holds.
    pub const fn watermark(&self) -> EventTime {
        self.watermark
    }

    /// The largest event time of an input; `None` where it has said nothing.
    pub fn newest(&self, name: &str) -> Option<EventTime> {
        let input = self.inputs.iter().find(|input| input.name == name)?;
        Some(input.newest).filter(|newest| *newest > EventTime::MIN)
    }

    /// Moves the watermark to the end of everything that was seen: no input will say more.
    pub fn finish(&mut self) {
        let end = self.inputs.iter().map(|input| input.reached).max().unwrap_or(EventTime::MIN);
        self.watermark = self.watermark.max(end);
    }

    fn update(&mut self) {
        let least = self.inputs.iter().filter(|input| input.is_open).map(|input| input.reached).min();
        if let Some(least) = least {
            self.watermark = self.watermark.max(least.plus(-self.lateness));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> EventTime {
        EventTime::from_unix(seconds)
    }

    #[test]
    fn the_slowest_open_input_holds_the_watermark() {
        let mut inputs = Inputs::new(900);
        let (a, b) = (inputs.open("a"), inputs.open("b"));
        inputs.see(a, at(10_000));
        assert_eq!(inputs.watermark(), EventTime::MIN.plus(-900).max(EventTime::MIN));
        assert!(!inputs.see(b, at(5_000)) && inputs.see(b, at(4_000)));
        assert_eq!(inputs.watermark(), at(4_100));
        inputs.idle(b, at(8_000));
        assert_eq!(inputs.watermark(), at(7_100));
        inputs.close(b);
        assert_eq!(inputs.watermark(), at(9_100));
        assert_eq!(inputs.open("b"), b);
        inputs.see(a, at(20_000));
        assert_eq!(inputs.watermark(), at(9_100), "never back, and held by b again");
    }
}
