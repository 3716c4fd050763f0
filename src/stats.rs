//! Numbers over event time: windows that late events change as if they had come in order, cohorts, and the memory of which events were seen.
//!
//! This module knows numbers and time, not Bedrock. Everything has a cap.

pub mod cohort;
pub mod dedup;
pub mod ring;

pub use cohort::Cohort;
pub use dedup::Dedup;
pub use ring::Ring;

/// A number with its digits in threes, for people: `12,345`.
pub fn grouped(number: u64, separator: char) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(separator);
        }
        text.push(digit);
    }
    text
}
