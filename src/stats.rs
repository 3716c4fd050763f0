//! Numbers over event time: windows that late events change as if they had come in order, cohorts, and the memory of which events were seen.
//!
//! This module knows numbers and time, not Bedrock. Everything has a cap.

pub mod cohort;
pub mod dedup;
pub mod ring;

pub use cohort::Cohort;
pub use dedup::Dedup;
pub use ring::Ring;

/// Numbers as a line of blocks, the highest a full one; what is 0 or less is a dot.
pub fn sparkline(values: &[f64]) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let highest = values.iter().copied().filter(|value| value.is_finite()).fold(0.0, f64::max);
    let block = |value: &f64| match value / highest {
        share if share > 0.0 => BLOCKS[((share * 8.0).ceil() as usize).clamp(1, 8) - 1],
        _ => '·',
    };
    values.iter().map(block).collect()
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_blocks() {
        assert_eq!(sparkline(&[0.0, 1.0, 4.0, 8.0, -3.0]), "·▁▄█·");
        assert_eq!(sparkline(&[0.0, 0.0]), "··");
        assert_eq!(sparkline(&[]), "");
        assert_eq!(sparkline(&[f64::NAN, 2.0]), "·█");
    }

    #[test]
    fn digits_in_threes() {
        assert_eq!([0, 12, 1_234, 1_234_567].map(|number| grouped(number, ',')), ["0", "12", "1,234", "1,234,567"]);
    }
}
