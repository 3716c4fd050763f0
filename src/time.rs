//! Time as data. The core never reads a clock: whoever calls it says what time it is.
//!
//! CloudTrail's `eventTime` is the completion time of a call in whole seconds, UTC, so whole seconds
//! are what every window counts in.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Seconds in a minute.
pub const MINUTE: i64 = 60;
/// Seconds in an hour.
pub const HOUR: i64 = 3_600;
/// Seconds in a UTC day.
pub const DAY: i64 = 86_400;

/// When something happened, by the record's own account: whole seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventTime(i64);

/// What time it is for whoever drives the core: a wall clock in the daemon, the largest event time in a replay,
/// a scaled clock in the demo. A separate type so that it can never be taken for a record's own time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now(pub EventTime);

impl EventTime {
    /// Earlier than every event; the watermark of an engine that has read nothing.
    pub const MIN: Self = Self(i64::MIN / 4);

    /// From seconds since the Unix epoch. Values outside the years 1–9999 are pulled to their edge, so that
    /// no later addition of a window can overflow.
    pub const fn from_unix(seconds: i64) -> Self {
        const YEAR_1: i64 = -62_135_596_800;
        const YEAR_9999: i64 = 253_402_300_799;
        if seconds < YEAR_1 {
            Self(YEAR_1)
        } else if seconds > YEAR_9999 {
            Self(YEAR_9999)
        } else {
            Self(seconds)
        }
    }

    /// Seconds since the Unix epoch.
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// This time moved by `seconds` (negative: earlier).
    pub const fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Seconds from `earlier` to this time; negative where `earlier` is later.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Number of the interval of `length` seconds (> 0) that holds this time; intervals start at the epoch.
    pub const fn slot(self, length: i64) -> i64 {
        self.0.div_euclid(length)
    }

    /// Start of the interval of `length` seconds (> 0) that holds this time.
    pub const fn floor_to(self, length: i64) -> Self {
        Self(self.0.div_euclid(length) * length)
    }

    /// Reads a CloudTrail time: `2026-06-02T22:24:15Z`, also with a blank for the `T`, with a fraction (cut),
    /// without the `Z` (UTC is meant) or with an offset `+02:00`. `None` where it is no such time.
    pub fn parse(text: &str) -> Option<Self> {
        let b = text.as_bytes();
        let well_shaped = b.len() >= 19
            && b[4] == b'-'
            && b[7] == b'-'
            && (b[10] == b'T' || b[10] == b't' || b[10] == b' ')
            && b[13] == b':'
            && b[16] == b':';
        if !well_shaped {
            return None;
        }
        let year = digits(&b[0..4])?;
        let (month, day) = (digits(&b[5..7])?, digits(&b[8..10])?);
        let (hour, minute, second) = (digits(&b[11..13])?, digits(&b[14..16])?, digits(&b[17..19])?);
        // 60: a leap second is written by some systems; it is counted as the second before.
        if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let offset = parse_zone(&b[19..])?;
        let seconds = days_from_civil(year, month, day) * DAY + hour * HOUR + minute * MINUTE + second.min(59) - offset;
        Some(Self::from_unix(seconds))
    }
}

impl fmt::Display for EventTime {
    /// RFC 3339 in UTC, as CloudTrail writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, rest) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        let (year, month, day) = civil_from_days(days);
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / HOUR, rest % HOUR / MINUTE, rest % MINUTE)
    }
}

/// A span as people say it: `45 s`, `7 min`, `3 h`, `2 days`. For sentences, not for computing.
pub fn spoken(seconds: i64) -> String {
    match seconds.max(0) {
        s if s < 2 * MINUTE => format!("{s} s"),
        s if s < 2 * HOUR => format!("{} min", s / MINUTE),
        s if s < 2 * DAY => format!("{} h", s / HOUR),
        s => format!("{} days", s / DAY),
    }
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0i64, |value, b| b.is_ascii_digit().then(|| value * 10 + i64::from(b - b'0')))
}

/// What follows the seconds: an optional fraction, then nothing, `Z` or an offset. Returns the offset in seconds.
fn parse_zone(mut rest: &[u8]) -> Option<i64> {
    if let Some((b'.' | b',', fraction)) = rest.split_first() {
        let end = fraction.iter().position(|b| !b.is_ascii_digit()).unwrap_or(fraction.len());
        rest = &fraction[end..];
    }
    match rest {
        [] | [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, middle @ ..] => {
            let minutes = match middle {
                [] => 0,
                [b':', m @ ..] | m if m.len() == 2 => digits(m)?,
                _ => return None,
            };
            let offset = digits(&[*h1, *h2])? * HOUR + minutes * MINUTE;
            Some(if *sign == b'-' { -offset } else { offset })
        }
        _ => None,
    }
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a proleptic Gregorian date: years are counted from March, so that the leap day is a
/// year's last, and 400 years (146,097 days) repeat exactly.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days - era * 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_that_records_use() {
        for (text, unix) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-06-02T22:24:15Z", 1_780_439_055),
            ("2026-06-02T22:24:15", 1_780_439_055),
            ("2026-06-02 22:24:15.000000000", 1_780_439_055),
            ("2026-06-02T22:24:15.379877250Z", 1_780_439_055),
            ("2026-06-03T00:24:15+02:00", 1_780_439_055),
            ("2026-06-02T17:24:15-0500", 1_780_439_055),
            ("2024-02-29T12:00:00Z", 1_709_208_000),
            ("1969-12-31T23:59:59Z", -1),
        ] {
            assert_eq!(EventTime::parse(text).map(EventTime::unix), Some(unix), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "yesterday",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00 PM",
            "1780439055",
        ] {
            assert_eq!(EventTime::parse(text), None, "{text}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        // Every 37 hours over six centuries meets each month length, leap years and both centuries' exceptions.
        for step in 0..140_000 {
            let time = EventTime::from_unix(-9_000_000_000 + step * 37 * HOUR + step);
            assert_eq!(EventTime::parse(&time.to_string()), Some(time));
        }
    }

    #[test]
    fn slots_are_continuous_across_the_epoch() {
        assert_eq!(EventTime::from_unix(-1).slot(300), -1);
        assert_eq!(EventTime::from_unix(-1).floor_to(300).unix(), -300);
        assert_eq!(EventTime::from_unix(299).slot(300), 0);
    }
}
