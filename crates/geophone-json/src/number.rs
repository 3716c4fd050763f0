//! Numbers and literals.

use crate::error::Error;

/// A number as serde's data model has it: as serde_json gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Unsigned(u64),
    /// Always below zero.
    Signed(i64),
    Float(f64),
}

/// Where the number or literal at `place` ends; `None` where there is none, or where it is followed by what cannot follow.
#[inline]
pub(crate) fn end_of_scalar(bytes: &[u8], place: usize) -> Option<usize> {
    let literal: &[u8] = match bytes.get(place)? {
        b't' => b"true",
        b'f' => b"false",
        b'n' => b"null",
        _ => return end_of_number(bytes, place),
    };
    bytes.get(place..)?.starts_with(literal).then_some(place + literal.len())
}

/// Whatever follows the number is the caller's to judge: it is a comma, a closing bracket, white space, the end, or wrong.
#[inline]
fn end_of_number(bytes: &[u8], mut place: usize) -> Option<usize> {
    let digits = |mut place: usize| {
        let from = place;
        while bytes.get(place).is_some_and(u8::is_ascii_digit) {
            place += 1;
        }
        (place > from).then_some(place)
    };
    place += usize::from(bytes[place] == b'-');
    place = match bytes.get(place)? {
        // Nothing follows a leading zero.
        b'0' => place + 1,
        _ => digits(place)?,
    };
    if bytes.get(place) == Some(&b'.') {
        place = digits(place + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(place) {
        place += 1;
        place += usize::from(matches!(bytes.get(place), Some(b'+' | b'-')));
        place = digits(place)?;
    }
    Some(place)
}

/// The value of a number whose grammar is right.
///
/// Integers are exact up to 64 bits. Others are computed as serde_json computes them without its feature `float_roundtrip`,
/// which can be off by a unit in the last place: the first 19 or 20 digits as an integer, times or through a power of ten.
///
/// # Errors
///
/// [`Error::Number`] where it is beyond the range of floats.
pub(crate) fn parse(text: &[u8]) -> Result<Number, Error> {
    let is_negative = text.first() == Some(&b'-');
    let digits = &text[usize::from(is_negative)..];
    let mut significand = 0_u64;
    for (read, byte) in digits.iter().enumerate() {
        let more = if byte.is_ascii_digit() { shifted(significand, *byte) } else { None };
        let Some(more) = more else { return float(is_negative, significand, &digits[read..]).map(Number::Float) };
        significand = more;
    }
    if !is_negative {
        return Ok(Number::Unsigned(significand));
    }
    // Zero keeps its sign only as a float, and some have no room in an i64.
    match 0_i64.checked_sub_unsigned(significand) {
        Some(negative) if negative < 0 => Ok(Number::Signed(negative)),
        Some(_) | None => Ok(Number::Float(-(significand as f64))),
    }
}

/// A digit more, if there is room.
fn shifted(significand: u64, digit: u8) -> Option<u64> {
    significand.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
}

/// `rest` begins with the digit for which there is no room, or with the fraction or the exponent.
fn float(is_negative: bool, mut significand: u64, rest: &[u8]) -> Result<f64, Error> {
    let dropped = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut exponent = i64::try_from(dropped).map_err(|_| Error::Number)?;
    let mut rest = &rest[dropped..];
    if let [b'.', fraction @ ..] = rest {
        let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        for digit in &fraction[..length] {
            let Some(more) = shifted(significand, *digit) else { break };
            significand = more;
            exponent -= 1;
        }
        rest = &fraction[length..];
    }
    if let [b'e' | b'E', power @ ..] = rest {
        let power = std::str::from_utf8(power).map_err(|_| Error::Syntax)?;
        exponent += match power.parse::<i32>() {
            Ok(power) => i64::from(power),
            // Beyond all floats, or so near to zero that nothing is left.
            Err(_) if significand != 0 && !power.starts_with('-') => return Err(Error::Number),
            Err(_) => return Ok(if is_negative { -0.0 } else { 0.0 }),
        };
    }
    let value = scaled(significand as f64, exponent)?;
    Ok(if is_negative { -value } else { value })
}

/// `value` times ten to the `exponent`.
fn scaled(mut value: f64, mut exponent: i64) -> Result<f64, Error> {
    while exponent < -POWER_MAX && value != 0.0 {
        value /= power_of_ten(POWER_MAX);
        exponent += POWER_MAX;
    }
    if value == 0.0 {
        return Ok(value);
    }
    if exponent < 0 {
        return Ok(value / power_of_ten(-exponent));
    }
    let value = if exponent > POWER_MAX { f64::INFINITY } else { value * power_of_ten(exponent) };
    if value.is_infinite() { Err(Error::Number) } else { Ok(value) }
}

/// The largest power of ten that is a float.
const POWER_MAX: i64 = 308;

/// The float that is nearest to a power of ten, from none to [`POWER_MAX`].
fn power_of_ten(power: i64) -> f64 {
    /// Those that floats hold exactly, which are nearly all that come.
    const EXACT: [f64; 23] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22];
    if let Some(exact) = usize::try_from(power).ok().and_then(|power| EXACT.get(power)) {
        return *exact;
    }
    let digits = [b'1', b'e', b'0' + (power / 100) as u8, b'0' + (power / 10 % 10) as u8, b'0' + (power % 10) as u8];
    std::str::from_utf8(&digits).ok().and_then(|text| text.parse().ok()).unwrap_or(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_where_their_grammar_ends() {
        let end = |text: &str| end_of_scalar(text.as_bytes(), 0);
        for whole in ["0", "-0", "10", "1.5", "1e5", "1E+05", "0.0e-0", "-12.34e56", "true", "false", "null"] {
            assert_eq!(end(whole), Some(whole.len()), "{whole}");
        }
        for wrong in ["", "-", "-a", ".5", "1.", "1.e5", "1e", "1e+", "+1", "tru", "nul", "True", "NaN", "\u{e9}"] {
            assert_eq!(end(wrong), None, "{wrong}");
        }
        assert_eq!(end("01"), Some(1), "the second digit is what cannot follow");
    }

    #[test]
    fn values_are_those_of_serde_json() {
        let long_zeros = format!("0.{}1", "0".repeat(400));
        let long = format!("{}e-300", "9".repeat(330));
        let texts = [
            "0",
            "-0",
            "7",
            "-7",
            "18446744073709551615",
            "18446744073709551616",
            "184467440737095516150",
            "-9223372036854775808",
            "-9223372036854775809",
            "-18446744073709551615",
            "-18446744073709551616",
            "1.5",
            "-1.5",
            "0.1",
            "1e22",
            "1e23",
            "1e308",
            "1.7976931348623157e308",
            "1.7976931348623159e308",
            "1e309",
            "-1e309",
            "5e-324",
            "2e-324",
            "1e-400",
            "1e-2147483648",
            "1e-99999999999",
            "1e99999999999",
            "0e99999999999",
            "-0e99999999999",
            "0e400",
            "123456789012345678901234567890.123e-5",
            "18446744073709551615.5",
            "18446744073709551615.6",
            "1844674407370955161.55",
            "1844674407370955161.56",
            "9007199254740993.0",
            "1e2147483647",
            "0.00000000000000000000000000000000000001e38",
            &long_zeros,
            &long,
        ];
        for text in texts {
            match serde_json::from_str::<serde_json::Value>(text) {
                Err(_) => assert_eq!(parse(text.as_bytes()), Err(Error::Number), "{text}"),
                Ok(value) => match parse(text.as_bytes()).expect(text) {
                    Number::Unsigned(number) => assert_eq!(value.as_u64(), Some(number), "{text}"),
                    Number::Signed(number) => assert_eq!((value.as_i64(), value.is_i64()), (Some(number), true), "{text}"),
                    Number::Float(number) => {
                        assert!(value.is_f64(), "{text}");
                        assert_eq!(value.as_f64().map(f64::to_bits), Some(number.to_bits()), "{text}");
                    }
                },
            }
        }
    }
}
