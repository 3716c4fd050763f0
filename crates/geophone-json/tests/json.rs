//! The reader beside serde_json, by the very function that the fuzzer runs.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "../benches/json/record.rs"]
#[allow(dead_code, missing_docs, reason = "the benches' own record")]
mod record;
#[path = "../../../fuzz/src/targets/json.rs"]
mod target;

use std::fs;
use std::path::Path;

use geophone_company::load::Load;
use geophone_json::{DEPTH_MAX, Error, Index, Level, unescape};
use proptest::prelude::*;
use proptest::sample::Index as Place;
use record::Record;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// Cases of a property; a tenth of a percent of the speed is left under Miri.
const CASES: u32 = if cfg!(miri) { 4 } else { 1_500 };

/// Runs the fuzzer's function and names the text that fails.
fn check(text: &str) {
    let run = std::panic::catch_unwind(|| target::json(text.as_bytes()));
    assert!(run.is_ok(), "{text:?}");
}

/// Right and wrong texts, some of which only one type accepts.
#[rustfmt::skip]
const TEXTS: &[&str] = &[
        "",
        " ",
        "{}",
        "[]",
        "{} ",
        "\t[\r\n]",
        "{}{}",
        "[] x",
        "[",
        "]",
        "{",
        "}",
        "[}",
        "{]",
        "[[]",
        "[]]",
        "null",
        "nul",
        "nulll",
        "true",
        "false",
        "truefalse",
        "[truefalse]",
        "[true false]",
        "[1 2]",
        "[1,]",
        "[,1]",
        "[,]",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":1 \"b\":2}",
        "{\"a\" 1}",
        "{1:2}",
        "{\"a\"::1}",
        "{\"a\":1:2}",
        "{null:1}",
        "[\"a\":1]",
        "{\"a\",\"b\"}",
        "{\"a\":\"b\":\"c\"}",
        "01",
        "[01]",
        "[-]",
        "[1.]",
        "[.5]",
        "[1e]",
        "[1e+]",
        "[+1]",
        "[0x1]",
        "[1_0]",
        "-0",
        "[1-2]",
        "[1.2.3]",
        "[1e5e5]",
        "1e999",
        "[-1e999]",
        "\"",
        "\"a",
        "a\"",
        "\"a\"b",
        "\"a\"\"b\"",
        "[\"a\"\"b\"]",
        "[\"a\"1]",
        "[1\"a\"]",
        "\"\\\"",
        "\"\\\\\"",
        "\"\\\\\\\"",
        "\\",
        "\\\"",
        "[\\\"a\"]",
        "\"\\a\"",
        "\"\\u\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\u0041\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"\\ud800\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\\u0041\"",
        "\"\\ud83dx\"",
        "\"\\uD83D\\uDE00\"",
        "{\"\\ud800\":1}",
        "[{\"\\ud800\":1}]",
        "\"\n\"",
        "\"\u{0}\"",
        "\"\u{1f}\"",
        "\"\u{7f}\"",
        "[\u{b}]",
        "[\u{c}]",
        "[\u{0}]",
        "[\u{a0}]",
        "\u{feff}{}",
        "[é]",
        "\"é\u{1f600}\"",
        "é\"é\"",
        "{\"a\":1,\"a\":2}",
        "{\"\":{\"\":[]}}",
        "{\"Two\":7}",
        "\"One\"",
        "\"Two\"",
        "{\"One\":null}",
        "{\"One\":1}",
        "{\"Three\":[1,\"One\"]}",
        "{\"Three\":[1,\"One\",2]}",
        "{\"Four\":{\"a\":{\"Two\":1}}}",
        "{\"Four\":[null]}",
        "{\"Two\":7,\"One\":null}",
        "{\"1\":1.5,\"-2\":null}",
        "{\"01\":1}",
        "{\"1.5\":1}",
        "{\" 1\":1}",
        "{\"true\":1,\"false\":-170141183460469231731687303715884105728}",
        "[[1,2,3]]",
        "[[1,2]]",
        "[[1,2,3,4]]",
        "[[256,1,1]]",
        "{\"b\":-1}",
        "{\"b\":1.0}",
        "{\"d\":1}",
        "{\"d\":\"1\"}",
        "{\"e\":\"a\\n\"}",
        "{\"e\":\"a\"}",
        "{\"f\":\"é\"}",
        "{\"f\":\"ab\"}",
        "{\"h\":[1,\"\\u00e9\"],\"i\":null}",
        "{\"m\":{\"1\":null}}",
        "[null,true,null]",
        "{\"j\":{\"j\":{\"j\":null}}}",
        "{\"l\":1e5}",
        "{\"l\":12345678901234567890123}",
        "[true,false,1,2,3,null,\"a\",{},[]]",
        "[1\u{a0},2]",
    ];

#[test]
fn the_grammar_is_that_of_serde_json() {
    for text in TEXTS {
        check(text);
    }
}

#[test]
fn everything_holds_wherever_a_block_ends() {
    let pieces = [
        "{\"a\":[1,\"b\\\"c\",null]}",
        "\"\\\\\\\\\\\\\\\"\"",
        "\"\\u00e9\\ud83d\\ude00\"",
        "[\"é\",{}]",
        "\"\\",
        "\"\u{1}\"",
        "12.5e3",
        "\\\"\"",
        "\"a\\/b\\n\"",
    ];
    let lengths: Vec<usize> = if cfg!(miri) { vec![0, 57, 63] } else { (0..70).chain(120..132).collect() };
    for piece in pieces {
        for length in &lengths {
            check(&format!("{}{piece}", " ".repeat(*length)));
            check(&format!("[\"{}\",{piece}]", "x".repeat(*length)));
            check(&format!("\"{}{}\"", "x".repeat(*length), piece.trim_matches('"')));
            check(&format!("\"{}\"", "\\".repeat(*length)));
            check(&format!("{}\\n{}", "\\\\".repeat(*length), "\\\"".repeat(*length)));
        }
    }
}

#[test]
fn depth_is_limited_as_serde_json_limits_it() {
    for depth in [1, DEPTH_MAX - 1, DEPTH_MAX, DEPTH_MAX + 1, DEPTH_MAX + 200] {
        let depth = depth as usize;
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"b\":", "}]")] {
            let levels = depth / close.len();
            check(&format!("{}1{}", open.repeat(levels), close.repeat(levels)));
        }
    }
    let deep = "[".repeat(DEPTH_MAX as usize + 1) + &"]".repeat(DEPTH_MAX as usize + 1);
    assert_eq!(Index::new().read(&deep).err(), Some(Error::TooDeep));
    assert!(Index::new().read(&deep[1..deep.len() - 1]).is_ok());
}

/// Any value as a text: keys that come twice, white space, every kind of escape.
fn value() -> impl Strategy<Value = String> {
    let blank = || "[ \n\t\r]{0,2}";
    let character = prop_oneof![
        8 => "[a-zA-Z0-9 :,{}\\[\\]é\u{1f600}]{1,12}",
        1 => Just("\\\\".repeat(40)),
        4 => r#"\\["\\/bfnrt]"#,
        2 => r"\\u[0-9a-fA-F]{4}",
        1 => r"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}",
    ];
    let string = move || proptest::collection::vec(character.clone(), 0..8).prop_map(|parts| format!("\"{}\"", parts.concat()));
    let number = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(|number| format!("{number:e}")),
        "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?",
    ];
    let scalar = prop_oneof![4 => string(), 2 => number, 1 => prop_oneof!["null", "true", "false"]];
    scalar.prop_recursive(6, 48, 6, move |inner| {
        let element = (blank(), inner, blank()).prop_map(|(before, value, after)| format!("{before}{value}{after}"));
        let entry =
            (blank(), string(), blank(), element.clone()).prop_map(|(before, key, after, value)| format!("{before}{key}{after}:{value}"));
        let list = proptest::collection::vec(element, 0..6).prop_map(|list| format!("[{}]", list.join(",")));
        let object = proptest::collection::vec(entry, 0..6).prop_map(|list| format!("{{{}}}", list.join(",")));
        prop_oneof![list, object]
    })
}

/// One change of a text at a place of it.
fn mutated(text: &str, changes: &[(Place, char, u8)]) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for (place, character, kind) in changes {
        let at = place.index(characters.len() + 1);
        match kind {
            0 => characters.insert(at, *character),
            1 => characters.truncate(at),
            2 if at < characters.len() => characters[at] = *character,
            _ if at < characters.len() => drop(characters.remove(at)),
            _ => {}
        }
    }
    characters.into_iter().collect()
}

fn cases() -> ProptestConfig {
    ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_value_is_read_as_serde_json_reads_it(text in value()) {
        check(&text);
    }

    #[test]
    fn any_change_of_a_value_is_read_or_refused_as_by_serde_json(
        text in value(),
        changes in proptest::collection::vec((any::<Place>(), prop_oneof![r#"["\\{}\[\],:u0-9a-f\x00-\x20]"#.prop_map(|one| one.chars().next().unwrap()), any::<char>()], 0_u8..8), 1..4),
    ) {
        check(&mutated(&text, &changes));
    }

    #[test]
    fn any_text_of_few_characters_is_too(text in r#"["\\{}\[\],:u0-9a-fn \n]{0,200}"#) {
        check(&text);
    }
}

fn records(count: usize) -> Vec<String> {
    Load::new(3, 500).take(count).map(|event| event.json).collect()
}

#[test]
fn a_record_of_cloudtrail_is_read_into_its_fields() {
    for text in records(if cfg!(miri) { 1 } else { 300 }) {
        let theirs: Record<'_> = serde_json::from_str(&text).unwrap();
        for level in Level::all() {
            let mut index = Index::at(level);
            let ours = Record::deserialize(&mut index.read(&text).unwrap()).unwrap();
            assert_eq!(ours, theirs, "{level}");
            assert!(!ours.id.0.is_empty() && matches!(ours.id.0, std::borrow::Cow::Borrowed(_)));
        }
        check(&text);
        check(&serde_json::to_string(&[&text]).unwrap());
    }
}

#[test]
fn the_text_of_a_value_can_be_had() {
    let text = "[ {\"a\" : [1]} ,\t\"b\\n\", 1.50 ]";
    let mut index = Index::new();
    let parts = Vec::<&RawValue>::deserialize(&mut index.read(text).unwrap()).unwrap();
    assert_eq!(parts.into_iter().map(RawValue::get).collect::<Vec<_>>(), ["{\"a\" : [1]}", "\"b\\n\"", "1.50"]);
}

/// What a visitor does that no derive writes.
struct Rude(u8);

impl<'de> serde::de::Visitor<'de> for Rude {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object or a list")
    }
    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        match self.0 {
            // Leaves all.
            0 => {}
            // Keys only.
            1 => while map.next_key::<IgnoredAny>()?.is_some() {},
            // A value without a key.
            2 => drop(map.next_value::<IgnoredAny>()?),
            // One of two values.
            3 => drop(map.next_entry::<IgnoredAny, IgnoredAny>()?),
            // The same value twice.
            _ => {
                map.next_entry::<IgnoredAny, IgnoredAny>()?;
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        seq.next_element::<IgnoredAny>()?;
        Ok(())
    }
}

#[test]
fn a_visitor_that_leaves_its_turns_out_gets_an_error() {
    use serde::Deserializer as _;
    let mut index = Index::new();
    for text in ["{\"a\":\"b\",\"c\":\"d\"}", "{\"a\":{\"b\":1},\"c\":[2]}", "[1,2]", "[[],{}]"] {
        for kind in 0..5 {
            let mut document = index.read(text).unwrap();
            assert!(document.deserialize_any(Rude(kind)).is_err(), "{text} {kind}");
            assert!(serde_json::Deserializer::from_str(text).deserialize_any(Rude(kind)).is_err(), "{text} {kind}");
        }
    }
}

#[test]
fn a_boolean_key_is_one_of_two_words() {
    let read = |text| std::collections::BTreeMap::<bool, u8>::deserialize(&mut Index::new().read(text).unwrap());
    assert_eq!(read(r#"{"true":1,"false":2}"#), Ok([(true, 1), (false, 2)].into()));
    for wrong in [r#"{"":1}"#, r#"{"True":1}"#, r#"{"é":1}"#, r#"{"true ":1}"#] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_document_is_read_once() {
    let mut index = Index::new();
    let mut document = index.read(" {\"a\":1} ").unwrap();
    assert_eq!(document.text(), " {\"a\":1} ");
    assert!(IgnoredAny::deserialize(&mut document).is_ok());
    assert_eq!(IgnoredAny::deserialize(&mut document).err(), Some(Error::Syntax));
}

#[test]
fn what_is_in_the_buffer_stays_there() {
    let mut out = String::from("é");
    assert_eq!(unescape("a\\ud800", &mut out), Err(Error::Escape));
    assert_eq!(out, "é");
    unescape("\\u00e9\\\"", &mut out).unwrap();
    assert_eq!(out, "éé\"");
}

/// Sees every value and keeps none: an allocator's time is not the reader's.
struct Seen;

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> serde::de::Visitor<'de> for Seen {
    type Value = Self;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<Self>()?.is_some() {}
        Ok(self)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }
}

/// Processor time of this thread in nanoseconds, whatever else runs on the machine. `None` where the kernel does not say.
fn processor_time() -> Option<u64> {
    fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

/// A text ten times as long takes about as much work as ten texts, whatever it is made of. What is not linear takes ten times
/// as much, and that of seconds.
#[test]
#[cfg_attr(miri, ignore = "measures work")]
fn hostile_texts_take_linear_time() {
    let pieces = ["[", "\"", "\\", "{\"a\":", "\"a\",", "1", "[],", "\\u", "\"\\\\\"", "{\"a\":[", " ", "\"\\\"", "\u{e9}", "]", "\\ud800"];
    let texts = |bytes: usize| {
        pieces.iter().flat_map(move |piece| {
            let many = piece.repeat(bytes / piece.len());
            [many.clone(), format!("[{many}1]"), format!("\"{many}\"")]
        })
    };
    if processor_time().is_none() {
        eprintln!("left out: the kernel does not tell a thread's processor time");
        return;
    }
    let mut out = String::new();
    let mut run = |index: &mut Index, text: &str, times: u32| {
        let begin = processor_time().unwrap();
        for _ in 0..times {
            if let Ok(mut document) = index.read(text) {
                let _ = std::hint::black_box(Seen::deserialize(&mut document));
            }
            out.clear();
            let _ = std::hint::black_box(unescape(text, &mut out));
        }
        processor_time().unwrap() - begin
    };
    for level in Level::all() {
        let mut index = Index::at(level);
        for (small, large) in texts(100_000).zip(texts(1_000_000)) {
            let mut least = |text: &str, times: u32| (0..2).map(|_| run(&mut index, text, times)).min().unwrap();
            let (small_work, large_work) = (least(&small, 10), least(&large, 1));
            // The kernel counts in ticks of some milliseconds.
            let limit = small_work * 4 + 60_000_000;
            assert!(large_work < limit, "{level}: {small_work} and {large_work} ns for {:?}…", small.chars().take(20).collect::<String>());
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "reads files")]
fn the_fuzzers_corpus_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/json");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let run = std::panic::catch_unwind(|| target::json(&bytes));
        assert!(run.is_ok(), "{}", path.display());
        count += 1;
    }
    assert!(count >= 5, "{count} files");
}
