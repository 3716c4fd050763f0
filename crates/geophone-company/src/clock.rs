//! Calendar arithmetic on epoch seconds; CloudTrail knows only UTC.

/// Seconds in a day.
pub(crate) const DAY: i64 = 86_400;
/// Seconds in an hour.
pub(crate) const HOUR: i64 = 3_600;
/// Seconds in a minute.
pub(crate) const MINUTE: i64 = 60;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// 0 = Monday … 6 = Sunday.
pub(crate) fn weekday(time: i64) -> i64 {
    // 1970-01-01 was a Thursday.
    (time.div_euclid(DAY) + 3).rem_euclid(7)
}

/// Appends `2026-06-01T08:03:59Z`.
pub(crate) fn write_iso(out: &mut String, time: i64) {
    let (year, month, day) = civil(time.div_euclid(DAY));
    let second = time.rem_euclid(DAY);
    digits(out, year, 4);
    for (separator, value) in [('-', month), ('-', day), ('T', second / HOUR), (':', second / MINUTE % 60), (':', second % 60)] {
        out.push(separator);
        digits(out, value, 2);
    }
    out.push('Z');
}

/// `2026-06-01T08:03:59Z`.
pub(crate) fn iso(time: i64) -> String {
    let mut out = String::with_capacity(20);
    write_iso(&mut out, time);
    out
}

/// Epoch seconds of `2026-06-01T08:03:59Z`.
pub(crate) fn parse_iso(text: &str) -> Option<i64> {
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let second = part(11, 13)? * HOUR + part(14, 16)? * MINUTE + part(17, 19)?;
    // Years begin in March, so that the leap day is the last one; the inverse of `civil`.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_era = year.rem_euclid(400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    let days = year.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * DAY + second)
}

/// The American form that STS uses for `credentials.expiration`.
pub(crate) fn expiration(time: i64) -> String {
    let (year, month, day) = civil(time.div_euclid(DAY));
    let second = time.rem_euclid(DAY);
    let (hour, half) = (second / HOUR, if second < 12 * HOUR { "AM" } else { "PM" });
    let month = MONTHS[(month - 1) as usize];
    let hour = if hour % 12 == 0 { 12 } else { hour % 12 };
    let (minute, second) = (second / MINUTE % 60, second % 60);
    format!("{month} {day}, {year}, {hour}:{minute:02}:{second:02} {half}")
}

/// Year, month and day of a day count since 1970-01-01 (Howard Hinnant's algorithm).
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let moved_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * moved_month + 2) / 5 + 1;
    let month = if moved_month < 10 { moved_month + 3 } else { moved_month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

fn digits(out: &mut String, value: i64, width: u32) {
    for place in (0..width).rev() {
        let digit = value / 10_i64.pow(place) % 10;
        out.push(char::from(b'0' + digit as u8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right() {
        assert_eq!(iso(1_780_272_000), "2026-06-01T00:00:00Z");
        assert_eq!(weekday(1_780_272_000), 0);
        assert_eq!(iso(1_709_210_096), "2024-02-29T12:34:56Z");
        assert_eq!(expiration(1_780_272_000 + 12 * HOUR + 65), "Jun 1, 2026, 12:01:05 PM");
        for time in [0, 951_782_400, 1_709_210_096, 1_780_272_000, 4_107_542_399] {
            assert_eq!(parse_iso(&iso(time)), Some(time));
        }
        assert_eq!(parse_iso("2026"), None);
        assert_eq!(expiration(1_780_272_000), "Jun 1, 2026, 12:00:00 AM");
    }
}
