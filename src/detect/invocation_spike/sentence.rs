//! The sentence: what was observed, what is usual, how rare it is. From stored numbers only.

use crate::baseline::{Channel, Comparison};
use crate::stats::grouped;

/// Rarer than this is never claimed, whatever the sample: beyond it the tail is an extrapolation of an extrapolation.
const CLAIM_MAX: f64 = 100_000.0;

/// What is said of a moment, without the name of whom it is about.
pub fn sentence(channel: Channel, numbers: &Comparison, group_median: u32, rarity: f64, sample: f64) -> String {
    let [bucket, ten_minutes, hour] = numbers.calls;
    let observed = match channel {
        Channel::TenMinutes if bucket * 10 >= ten_minutes * 8 => format!("{} in 5 min", calls(bucket)),
        Channel::TenMinutes => format!("{} in 10 min", calls(ten_minutes)),
        Channel::Hour => format!("{} in 1 h", calls(hour)),
        Channel::Steady => format!("{} in 1 h, at least {} in each 5 min of the last 15", calls(hour), calls(numbers.pace)),
        Channel::Unbroken => format!("calls without a pause for {}, {} in the last hour", spoken_minutes(numbers.unbroken_minutes), hour),
        Channel::OddHours => format!("{} in 1 h, at an hour at which there is usually none", calls(hour)),
        Channel::Context => format!("{} in 10 min from a new context", calls(ten_minutes)),
    };
    let mut compared = vec![format!("expected this hour {}", rounded(numbers.expected[1]))];
    if numbers.days > 0 {
        compared.push(format!("highest hour in 28 days {}", numbers.busiest_hour));
    } else {
        compared.push("no day of its own to compare with".to_owned());
    }
    if group_median > 0 {
        compared.push(format!("group median busiest hour {group_median}"));
    }
    format!("{observed} ({}); {}", compared.join("; "), claim(rarity, sample))
}

/// How rare a moment is, as far as the sample can say.
pub fn claim(rarity: f64, sample: f64) -> String {
    let most = sample.clamp(1.0, CLAIM_MAX);
    let days = 10f64.powf(rarity);
    if days >= most {
        return format!("rarer than 1 in {} identity-days", thousands(round_down(most)));
    }
    format!("as rare as 1 in {} identity-days", thousands(round_down(days)))
}

pub(super) fn calls(number: u32) -> String {
    if number == 1 { "1 call".to_owned() } else { format!("{} calls", thousands(u64::from(number))) }
}

fn spoken_minutes(minutes: u32) -> String {
    if minutes < 120 { format!("{minutes} min") } else { format!("{} h {} min", minutes / 60, minutes % 60) }
}

fn rounded(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { thousands(value.round() as u64) }
}

/// Two digits: more would claim what nobody knows.
fn round_down(value: f64) -> u64 {
    let step = 10f64.powf(value.log10().floor() - 1.0).max(1.0);
    ((value / step).floor() * step) as u64
}

fn thousands(number: u64) -> String {
    grouped(number, ',')
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: Comparison =
        Comparison { calls: [412, 430, 900], expected: [0.02, 0.1], unbroken_minutes: 250, pace: 120, busiest_hour: 71, days: 30 };

    #[test]
    fn has_the_actors_own_numbers() {
        assert_eq!(
            sentence(Channel::TenMinutes, &NUMBERS, 32, 4.41, 60_000.0),
            "412 calls in 5 min (expected this hour 0.1; highest hour in 28 days 71; group median busiest hour 32); as rare as 1 in 25,000 identity-days"
        );
        let lone = Comparison { days: 0, ..NUMBERS };
        assert_eq!(
            sentence(Channel::Unbroken, &lone, 0, 3.0, 900.0),
            "calls without a pause for 4 h 10 min, 900 in the last hour (expected this hour 0.1; no day of its own to compare with); rarer than 1 in 900 identity-days"
        );
    }

    #[test]
    fn a_small_company_is_never_told_a_large_number() {
        assert_eq!(claim(9.0, 845.0), "rarer than 1 in 840 identity-days");
        assert_eq!(claim(9.0, 1e9), "rarer than 1 in 100,000 identity-days");
        assert_eq!(claim(0.0, 0.0), "rarer than 1 in 1 identity-days");
    }
}
