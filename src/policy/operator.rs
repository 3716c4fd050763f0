//! Condition operators and what each makes of two values.
//!
//! Source: "IAM JSON policy elements: Condition operators" in the IAM User Guide.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::template::{Token, literal, matches, text_of};
use super::truth::Truth;
use crate::time::EventTime;

/// How two numbers or times are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The same.
    Equal,
    /// The request's is smaller.
    Less,
    /// The request's is smaller or the same.
    LessOrEqual,
    /// The request's is larger.
    Greater,
    /// The request's is larger or the same.
    GreaterOrEqual,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text, letter by letter.
    Exact,
    /// Text without regard to case.
    IgnoreCase,
    /// Text with wildcards.
    Like,
    /// ARNs, each of their six parts with wildcards; ArnEquals and ArnLike are the same.
    Arn,
    /// Whether the key is absent.
    Null,
    /// `true` or `false`.
    Bool,
    /// Numbers.
    Numeric(Order),
    /// Times, ISO 8601 or seconds since 1970.
    Date(Order),
    /// Addresses and CIDR ranges.
    Ip,
}

/// Which values of a multivalued key must match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantifier {
    /// `ForAnyValue:`
    Any,
    /// `ForAllValues:`
    All,
}

/// A condition operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator {
    /// What is compared.
    pub kind: Kind,
    /// `…Not…`: holds where nothing listed matches.
    pub is_negated: bool,
    /// `…IfExists`: holds where the key is absent.
    pub if_exists: bool,
    /// Set operator.
    pub quantifier: Option<Quantifier>,
}

const NAMES: [(&str, Kind, bool); 27] = [
    ("StringEquals", Kind::Exact, false),
    ("StringNotEquals", Kind::Exact, true),
    ("StringEqualsIgnoreCase", Kind::IgnoreCase, false),
    ("StringNotEqualsIgnoreCase", Kind::IgnoreCase, true),
    ("StringLike", Kind::Like, false),
    ("StringNotLike", Kind::Like, true),
    ("ArnEquals", Kind::Arn, false),
    ("ArnNotEquals", Kind::Arn, true),
    ("ArnLike", Kind::Arn, false),
    ("ArnNotLike", Kind::Arn, true),
    ("Null", Kind::Null, false),
    ("Bool", Kind::Bool, false),
    ("BinaryEquals", Kind::Exact, false),
    ("NumericEquals", Kind::Numeric(Order::Equal), false),
    ("NumericNotEquals", Kind::Numeric(Order::Equal), true),
    ("NumericLessThan", Kind::Numeric(Order::Less), false),
    ("NumericLessThanEquals", Kind::Numeric(Order::LessOrEqual), false),
    ("NumericGreaterThan", Kind::Numeric(Order::Greater), false),
    ("NumericGreaterThanEquals", Kind::Numeric(Order::GreaterOrEqual), false),
    ("DateEquals", Kind::Date(Order::Equal), false),
    ("DateNotEquals", Kind::Date(Order::Equal), true),
    ("DateLessThan", Kind::Date(Order::Less), false),
    ("DateLessThanEquals", Kind::Date(Order::LessOrEqual), false),
    ("DateGreaterThan", Kind::Date(Order::Greater), false),
    ("DateGreaterThanEquals", Kind::Date(Order::GreaterOrEqual), false),
    ("IpAddress", Kind::Ip, false),
    ("NotIpAddress", Kind::Ip, true),
];

/// No such operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownOperator;

impl FromStr for Operator {
    type Err = UnknownOperator;

    fn from_str(name: &str) -> Result<Self, UnknownOperator> {
        let (quantifier, rest) = match name.split_once(':') {
            Some(("ForAnyValue", rest)) => (Some(Quantifier::Any), rest),
            Some(("ForAllValues", rest)) => (Some(Quantifier::All), rest),
            Some(_) => return Err(UnknownOperator),
            None => (None, name),
        };
        let (base, if_exists) = rest.strip_suffix("IfExists").map_or((rest, false), |base| (base, true));
        let (_, kind, is_negated) = NAMES.into_iter().find(|(name, ..)| *name == base).ok_or(UnknownOperator)?;
        // "You can add IfExists to the end of any condition operator name except the Null condition."
        if kind == Kind::Null && (if_exists || quantifier.is_some()) {
            return Err(UnknownOperator);
        }
        Ok(Self { kind, is_negated, if_exists, quantifier })
    }
}

impl Operator {
    /// The name that `written` may have been meant to be.
    pub fn suggestion(written: &str) -> Option<&'static str> {
        let base = written.rsplit(':').next().unwrap_or(written);
        let base = base.strip_suffix("IfExists").unwrap_or(base).to_lowercase();
        NAMES.into_iter().map(|(name, ..)| name).find(|name| {
            let name = name.to_lowercase();
            name == base || (name.len().abs_diff(base.len()) <= 1 && name.bytes().zip(base.bytes()).filter(|(a, b)| a != b).count() <= 2)
        })
    }
}

impl Kind {
    /// Whether `text` can be a policy's value for this kind; variables are checked when they are known.
    pub fn takes(self, text: &str) -> bool {
        match self {
            Self::Exact | Self::IgnoreCase | Self::Like | Self::Arn => true,
            Self::Null | Self::Bool => boolean(text).is_some(),
            Self::Numeric(_) => number(text).is_some(),
            Self::Date(_) => instant(text).is_some(),
            Self::Ip => range(text).is_some(),
        }
    }

    /// Whether the request's `value` matches the policy's `wanted`. A request value of the wrong type matches nothing; a
    /// policy value of the wrong type cannot be understood.
    pub fn compare(self, wanted: &[Token], value: &str) -> Truth {
        let text = || text_of(wanted);
        let unreadable = |what: &str| Truth::unknown(format!("\"{}\" in the policy is no {what}", text()));
        match self {
            Self::Exact => wanted.iter().copied().map(literal).eq(value.chars()).into(),
            Self::IgnoreCase => {
                wanted.iter().copied().map(literal).flat_map(char::to_lowercase).eq(value.chars().flat_map(char::to_lowercase)).into()
            }
            Self::Like => matches(wanted, &value.chars().collect::<Vec<_>>()).into(),
            Self::Arn => arn_matches(wanted, value).into(),
            Self::Null => Truth::unknown("Null compares no values"),
            Self::Bool => boolean(&text()).map_or_else(|| unreadable("boolean"), |wanted| (boolean(value) == Some(wanted)).into()),
            Self::Numeric(order) => number(&text())
                .map_or_else(|| unreadable("number"), |wanted| number(value).is_some_and(|value| order.holds(&value, &wanted)).into()),
            Self::Date(order) => instant(&text())
                .map_or_else(|| unreadable("time"), |wanted| instant(value).is_some_and(|value| order.holds(&value, &wanted)).into()),
            Self::Ip => range(&text()).map_or_else(
                || unreadable("address range"),
                |wanted| value.trim().parse::<IpAddr>().is_ok_and(|address| wanted.contains(&address)).into(),
            ),
        }
    }
}

impl Order {
    fn holds<T: PartialOrd>(self, value: &T, wanted: &T) -> bool {
        match self {
            Self::Equal => value == wanted,
            Self::Less => value < wanted,
            Self::LessOrEqual => value <= wanted,
            Self::Greater => value > wanted,
            Self::GreaterOrEqual => value >= wanted,
        }
    }
}

/// "Each of the six colon-delimited components of the ARN is checked separately": a wildcard does not cross a colon. The
/// sixth holds the rest, colons included.
fn arn_matches(wanted: &[Token], value: &str) -> bool {
    let wanted: Vec<&[Token]> = wanted.splitn(6, |token| *token == Token::Is(':')).collect();
    let value: Vec<Vec<char>> = value.splitn(6, ':').map(|part| part.chars().collect()).collect();
    wanted.len() == 6 && value.len() == 6 && wanted.iter().zip(&value).all(|(wanted, value)| matches(wanted, value))
}

/// `true` or `false`, in any case.
pub fn boolean(text: &str) -> Option<bool> {
    match text.trim() {
        text if text.eq_ignore_ascii_case("true") => Some(true),
        text if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// A number. Integers keep all their digits: account-sized ones must not be rounded together.
#[derive(Clone, Copy, Debug)]
enum Number {
    Integer(i128),
    Decimal(f64),
}

impl Number {
    fn decimal(self) -> f64 {
        match self {
            Self::Integer(integer) => integer as f64,
            Self::Decimal(decimal) => decimal,
        }
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.partial_cmp(other) == Some(Ordering::Equal)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(one), Self::Integer(other)) => Some(one.cmp(other)),
            (one, other) => one.decimal().partial_cmp(&other.decimal()),
        }
    }
}

fn number(text: &str) -> Option<Number> {
    let text = text.trim();
    if let Ok(integer) = text.parse() {
        return Some(Number::Integer(integer));
    }
    let is_plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E'));
    text.parse().ok().filter(|number: &f64| is_plain && number.is_finite()).map(Number::Decimal)
}

/// Nanoseconds since 1970 of an ISO 8601 time, of a date, or of seconds written as a number.
fn instant(text: &str) -> Option<i128> {
    const SECOND: i128 = 1_000_000_000;
    let text = text.trim();
    let fraction: String = text.split_once('.').map_or("", |(_, behind)| behind).chars().take_while(char::is_ascii_digit).take(9).collect();
    let nanos: i128 = format!("{fraction:0<9}").parse().ok()?;
    seconds(text).map(|seconds| i128::from(seconds) * SECOND + nanos)
}

fn seconds(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && digits.len() != 4 {
        return text.parse().ok();
    }
    let full = match text.len() {
        4 => format!("{text}-01-01T00:00:00Z"),
        7 => format!("{text}-01T00:00:00Z"),
        10 => format!("{text}T00:00:00Z"),
        16 => format!("{text}:00Z"),
        17 if text.ends_with('Z') => format!("{}:00Z", &text[..16]),
        _ => text.to_owned(),
    };
    EventTime::parse(&full).map(EventTime::unix)
}

fn range(text: &str) -> Option<IpNet> {
    let text = text.trim();
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::context::Context;
    use crate::policy::template::{Resolved, Template};

    fn compare(name: &str, wanted: &str, value: &str) -> Truth {
        let operator: Operator = name.parse().expect("an operator");
        let Resolved::Tokens(tokens) = Template::parse(wanted, true).expect("a template").resolve(&Context::complete()) else {
            panic!("unresolved")
        };
        operator.kind.compare(&tokens, value)
    }

    #[test]
    fn names() {
        let operator: Operator = "ForAllValues:StringNotLikeIfExists".parse().expect("an operator");
        assert_eq!(operator, Operator { kind: Kind::Like, is_negated: true, if_exists: true, quantifier: Some(Quantifier::All) });
        for name in ["stringEquals", "StringEqualz", "NullIfExists", "ForSome:StringEquals", "ForAnyValue:Null", ""] {
            assert!(name.parse::<Operator>().is_err(), "{name}");
        }
        assert_eq!(Operator::suggestion("StringEqualz"), Some("StringEquals"));
        assert_eq!(Operator::suggestion("ForAnyValue:stringlikeIfExists"), Some("StringLike"));
        assert_eq!(Operator::suggestion("GeoMatch"), None);
    }

    #[test]
    fn values_of_each_type() {
        for (name, wanted, value, holds) in [
            ("StringEquals", "a*", "abc", false),
            ("StringEquals", "a*", "a*", true),
            ("StringEqualsIgnoreCase", "STRASSE", "strasse", true),
            ("StringLike", "a?c", "aäc", true),
            ("ArnLike", "arn:aws:iam::*:role/x-*", "arn:aws:iam::1:role/x-y:z", true),
            ("ArnEquals", "arn:aws:*:role/x", "arn:aws:iam::1:role/x", false),
            ("ArnLike", "*", "arn:aws:iam::1:role/x", false),
            ("Bool", "True", "true", true),
            ("Bool", "true", "yes", false),
            ("NumericLessThan", "3600", "60", true),
            ("NumericEquals", "1.50", "1.5", true),
            ("NumericEquals", "1", "one", false),
            ("NumericEquals", "9007199254740993", "9007199254740992", false),
            ("DateEquals", "2026-06-01T00:00:00Z", "2026-06-01T00:00:00.5Z", false),
            ("DateEquals", "2026-06-01T00:00:00Z", "2026-06-01T00:00:00.000Z", true),
            ("DateGreaterThan", "2026", "2026-01-01T00:00:01Z", true),
            ("DateLessThan", "2026-06-01T00:00:00Z", "2026-05-31T23:59:59Z", true),
            ("DateGreaterThanEquals", "2026-06-01", "1780272000", true),
            ("IpAddress", "10.0.0.0/8", "10.9.8.7", true),
            ("IpAddress", "2001:db8::/32", "2001:db8::1", true),
            ("IpAddress", "192.0.2.1", "192.0.2.1", true),
            ("IpAddress", "0.0.0.0/0", "2001:db8::1", false),
            ("IpAddress", "10.0.0.0/8", "AWS Internal", false),
        ] {
            assert_eq!(compare(name, wanted, value), Truth::from(holds), "{name} {wanted} {value}");
        }
        for (name, wanted) in [("Bool", "yes"), ("NumericEquals", "inf"), ("DateEquals", "soon"), ("IpAddress", "10.0.0.0/99")] {
            assert!(matches!(compare(name, wanted, "1"), Truth::Unknown(_)), "{name} {wanted}");
        }
    }
}
