//! Leaves of a record that never refuse what they meet.
//!
//! CloudTrail's fields change type between services and years (`mfaAuthenticated` is a string, `responseElements`
//! may be null, a string or missing), and one odd field must not cost the event. So every leaf here accepts any JSON
//! value and keeps what it can use. Only broken JSON is an error.
//!
//! These newtypes also avoid a trap: `#[serde(borrow)]` does not reach inside `Option<Cow<str>>`, which then
//! allocates for every field. [`Text`] borrows whenever the JSON string holds no escape.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Longest string that is copied out of a record, in bytes. Strings without escapes are borrowed and cost nothing.
const COPIED_TEXT_BYTES_MAX: usize = 64 * 1024;
/// Most entries that a list or a map of tags keeps. AWS allows 50 session tags.
const ENTRIES_MAX: usize = 64;

/// A text field. Numbers and booleans become their text; null, lists and objects become empty.
///
/// What is empty is owned where the field is absent, and borrowed where it is there and has no text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    /// The text; empty where the field is absent or has no text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, or `None` where it is empty.
    pub fn non_empty(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(&*self.0)
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it says yes: the boolean `true` or its name.
    pub fn is_true(&self) -> bool {
        self.0.eq_ignore_ascii_case("true")
    }

    /// Whether the field is absent, rather than null, an empty string, a list or an object.
    pub fn is_absent(&self) -> bool {
        matches!(&self.0, Cow::Owned(text) if text.is_empty())
    }

    const fn odd() -> Self {
        Text(Cow::Borrowed(""))
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Text(Cow::Borrowed(text))
    }
}

/// A count, written as a number or as a numeric string. Negative, fractional or other values are absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count(pub Option<u64>);

/// Whether a field is there with any value but null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Present(pub bool);

/// A list of texts; a single text counts as a list of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextList<'a>(pub Vec<Text<'a>>);

/// Keys with values, from a map (`principalTags`) or from a list of `{key, value}` (`tags` of AssumeRole).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs<'a>(pub Vec<(Text<'a>, Text<'a>)>);

/// An object whose known fields are taken and whose unknown ones are passed over. A key that comes twice: the last
/// one counts, as in every JSON reader that records pass through on their way.
pub(crate) trait LenientObject<'a>: Default {
    /// Whether `key` is one of its fields.
    fn knows(key: &str) -> bool;

    /// Takes the value of `key` from `map`; `false` (and nothing taken) where the key is not known.
    fn accept<A: MapAccess<'a>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error>;
}

/// Fills a [`LenientObject`] from a JSON object; every other JSON value gives the default.
pub(crate) struct ObjectVisitor<T>(pub PhantomData<T>);

/// Visitor methods for JSON values that a leaf has no use for: all scalars, or those that are named.
macro_rules! scalars_are_default {
    () => {
        crate::cloudtrail::lenient::scalars_are_default!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
        fn visit_unit<E>(self) -> Result<Self::Value, E> { Ok(Default::default()) }
    };
    ($($method:ident: $ty:ty),+) => { $(
        fn $method<E>(self, _: $ty) -> Result<Self::Value, E> { Ok(Default::default()) }
    )+ };
}
pub(crate) use scalars_are_default;

impl<'a, T: LenientObject<'a>> Visitor<'a> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<T, A::Error> {
        let mut object = T::default();
        while let Some(key) = map.next_key::<Text<'a>>()? {
            if !object.accept(key.as_str(), &mut map)? {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(object)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, seq: A) -> Result<T, A::Error> {
        drain(seq)?;
        Ok(T::default())
    }

    scalars_are_default!();
}

/// Declares a struct of lenient fields with the JSON keys that fill them. Keys of a struct after `..` go into that one,
/// which is only made when the first of them comes: the records without them stay small.
macro_rules! lenient_object {
    ($(#[$meta:meta])* $vis:vis struct $name:ident<'a> {
        $($(#[$field_meta:meta])* $key:literal => $field:ident: $ty:ty,)*
        $(.. => $rare:ident: $rare_ty:ident,)?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default)]
        $vis struct $name<'a> {
            $(#[doc = concat!("CloudTrail's `", $key, "`.")] $(#[$field_meta])* pub $field: $ty,)*
            $($rare: Option<Box<$rare_ty<'a>>>,)?
        }

        impl<'a> crate::cloudtrail::lenient::LenientObject<'a> for $name<'a> {
            fn knows(key: &str) -> bool {
                matches!(key, $($key)|*) $(|| $rare_ty::knows(key))?
            }

            #[inline]
            fn accept<A: serde::de::MapAccess<'a>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
                match key {
                    $($key => self.$field = map.next_value()?,)*
                    $(rare if $rare_ty::knows(rare) => return self.$rare.get_or_insert_default().accept(rare, map),)?
                    _ => return Ok(false),
                }
                Ok(true)
            }
        }

        impl<'a> serde::de::Deserialize<'a> for $name<'a> {
            fn deserialize<D: serde::de::Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(crate::cloudtrail::lenient::ObjectVisitor(std::marker::PhantomData))
            }
        }
    };
}
pub(crate) use lenient_object;

/// Passes over the rest of a list.
pub(crate) fn drain<'a, A: SeqAccess<'a>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Passes over the rest of an object.
pub(crate) fn drain_map<'a, A: MapAccess<'a>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Cuts `text` to at most `bytes_max` bytes at a character's border.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let mut end = bytes_max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON value")
            }
            fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(v)))
            }
            fn visit_str<E>(self, v: &str) -> Result<Text<'de>, E> {
                Ok(if v.is_empty() { Text::odd() } else { Text(Cow::Owned(cut(v, COPIED_TEXT_BYTES_MAX).to_owned())) })
            }
            fn visit_bool<E>(self, v: bool) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(if v { "true" } else { "false" })))
            }
            fn visit_i64<E>(self, v: i64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(v.to_string())))
            }
            fn visit_u64<E>(self, v: u64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(v.to_string())))
            }
            fn visit_f64<E>(self, v: f64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(v.to_string())))
            }
            fn visit_unit<E>(self) -> Result<Text<'de>, E> {
                Ok(Text::odd())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Text<'de>, A::Error> {
                drain(seq).map(|()| Text::odd())
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Text<'de>, A::Error> {
                drain_map(map).map(|()| Text::odd())
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountVisitor;
        impl<'de> Visitor<'de> for CountVisitor {
            type Value = Count;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON value")
            }
            fn visit_u64<E>(self, v: u64) -> Result<Count, E> {
                Ok(Count(Some(v)))
            }
            fn visit_str<E>(self, v: &str) -> Result<Count, E> {
                Ok(Count(v.parse().ok()))
            }
            scalars_are_default!(visit_bool: bool, visit_i64: i64, visit_f64: f64);
            fn visit_unit<E>(self) -> Result<Count, E> {
                Ok(Count(None))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Count, A::Error> {
                drain(seq).map(|()| Count(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Count, A::Error> {
                drain_map(map).map(|()| Count(None))
            }
        }
        deserializer.deserialize_any(CountVisitor)
    }
}

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::<IgnoredAny>::deserialize(deserializer).map(|value| Present(value.is_some()))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for TextList<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor;
        impl<'de> Visitor<'de> for ListVisitor {
            type Value = TextList<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON value")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<TextList<'de>, A::Error> {
                let mut list = Vec::new();
                while let Some(text) = seq.next_element::<Text<'de>>()? {
                    if list.len() < ENTRIES_MAX {
                        list.push(text);
                    }
                }
                Ok(TextList(list))
            }
            fn visit_borrowed_str<E>(self, v: &'de str) -> Result<TextList<'de>, E> {
                Ok(TextList(vec![Text::from(v)]))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TextList<'de>, A::Error> {
                drain_map(map).map(|()| TextList::default())
            }
            scalars_are_default!();
        }
        deserializer.deserialize_any(ListVisitor)
    }
}

lenient_object! {
    /// One entry of a list of pairs.
    struct Pair<'a> {
        "key" => key: Text<'a>,
        "Key" => key_capital: Text<'a>,
        "value" => value: Text<'a>,
        "Value" => value_capital: Text<'a>,
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON value")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some((key, value)) = map.next_entry::<Text<'de>, Text<'de>>()? {
                    if pairs.len() < ENTRIES_MAX {
                        pairs.push((key, value));
                    }
                }
                Ok(Pairs(pairs))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = seq.next_element::<Pair<'de>>()? {
                    let key = if pair.key.is_empty() { pair.key_capital } else { pair.key };
                    let value = if pair.value.is_empty() { pair.value_capital } else { pair.value };
                    if pairs.len() < ENTRIES_MAX && !key.is_empty() {
                        pairs.push((key, value));
                    }
                }
                Ok(Pairs(pairs))
            }
            scalars_are_default!();
        }
        deserializer.deserialize_any(PairsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kind of JSON value, nested ones too.
    const ANYTHING: [&str; 9] =
        ["null", "true", "-3", "7", "2.5", r#""text""#, r#""a\u0041""#, r#"[1,[2],{"a":null}]"#, r#"{"a":[{"b":1}],"c":"d"}"#];

    #[test]
    fn no_leaf_refuses_any_value() {
        for json in ANYTHING {
            serde_json::from_str::<Text<'_>>(json).expect(json);
            serde_json::from_str::<Count>(json).expect(json);
            serde_json::from_str::<Present>(json).expect(json);
            serde_json::from_str::<TextList<'_>>(json).expect(json);
            serde_json::from_str::<Pairs<'_>>(json).expect(json);
            serde_json::from_str::<Pair<'_>>(json).expect(json);
        }
    }

    #[test]
    fn text_borrows_unless_it_is_escaped() {
        assert!(matches!(serde_json::from_str::<Text<'_>>(r#""plain""#).expect("json").0, Cow::Borrowed("plain")));
        assert_eq!(serde_json::from_str::<Text<'_>>(r#""a\nb""#).expect("json").as_str(), "a\nb");
        assert_eq!(serde_json::from_str::<Text<'_>>("12").expect("json").as_str(), "12");
    }

    #[test]
    fn absent_is_not_the_same_as_there_and_no_text() {
        lenient_object! {
            struct One<'a> {
                "a" => a: Text<'a>,
            }
        }
        let of = |json: &str| serde_json::from_str::<One<'_>>(json).map(|one| (one.a.is_empty(), one.a.is_absent())).expect("json");
        assert_eq!(of("{}"), (true, true));
        for there in [r#"{"a":null}"#, r#"{"a":""}"#, r#"{"a":[]}"#, r#"{"a":{"b":"c"}}"#] {
            assert_eq!(of(there), (true, false), "{there}");
        }
        assert_eq!(of(r#"{"a":false}"#), (false, false));
    }

    #[test]
    fn copied_text_is_cut_at_a_character() {
        let json = format!("\"\\n{}\"", "ä".repeat(COPIED_TEXT_BYTES_MAX));
        let text = serde_json::from_str::<Text<'_>>(&json).expect("json");
        assert!(text.as_str().len() <= COPIED_TEXT_BYTES_MAX && text.as_str().ends_with('ä'));
    }

    #[test]
    fn tags_come_as_map_or_as_list() {
        let map = serde_json::from_str::<Pairs<'_>>(r#"{"dept":"legal","n":1}"#).expect("json");
        let list = serde_json::from_str::<Pairs<'_>>(r#"[{"key":"dept","value":"legal"},{"value":"1","key":"n"},{}]"#).expect("json");
        assert_eq!(map, list);
    }

    #[test]
    fn a_repeated_key_counts_once_and_the_last_wins() {
        let pair = serde_json::from_str::<Pair<'_>>(r#"{"key":"a","value":"1","key":"b"}"#).expect("json");
        assert_eq!(pair.key.as_str(), "b");
    }
}
