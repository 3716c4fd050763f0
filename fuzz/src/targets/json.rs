//! The JSON reader beside serde_json, with every kind of instructions that the machine has.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::marker::PhantomData;

use geophone_json::{Error, Index, Level, unescape_at};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The same values or the same refusal for what is read whole; where parts are passed over, serde_json alone may look past
/// what is nested too deep. Escapes are resolved as serde_json resolves them.
pub fn json(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for level in Level::all() {
        let mut index = Index::at(level);
        same::<Tree>(&mut index, text);
        same::<Half>(&mut index, text);
        same::<IgnoredAny>(&mut index, text);
        same::<&RawValue>(&mut index, text);
        same::<Vec<&RawValue>>(&mut index, text);
        same::<BTreeMap<String, Box<RawValue>>>(&mut index, text);
        same::<BTreeMap<i64, Option<f32>>>(&mut index, text);
        // No boolean keys: serde_json 1.0.154, asked for one, cuts a key's first character in two and makes a text of the rest.
        same::<BTreeMap<char, i128>>(&mut index, text);
        same::<Vec<(u8, i64, f64)>>(&mut index, text);
        same::<Typed<'_>>(&mut index, text);
        same::<Kind>(&mut index, text);
        unescaped(level, text);
    }
}

fn same<'de, T: Deserialize<'de> + Debug>(index: &mut Index, text: &'de str) {
    let level = index.level();
    let ours = index.read(text).and_then(|mut document| T::deserialize(&mut document));
    match (ours, serde_json::from_str::<T>(text)) {
        (Ok(ours), Ok(theirs)) => assert_eq!(format!("{ours:?}"), format!("{theirs:?}"), "{level}"),
        (Err(_), Err(_)) | (Err(Error::TooDeep), Ok(_)) => {}
        (Ok(ours), Err(theirs)) => panic!("{level}: we read {ours:?}, serde_json says {theirs}"),
        (Err(ours), Ok(theirs)) => panic!("{level}: we say {ours:?}, serde_json reads {theirs:?}"),
    }
}

/// `raw` as the inside of a string. Where it is none, as it has bare quotes or control characters, all levels agree.
fn unescaped(level: Level, raw: &str) {
    let run = |level| {
        let mut out = String::from("before ");
        let result = unescape_at(level, raw, &mut out);
        assert!(out.starts_with("before ") && (result.is_ok() || out.len() == 7), "{level}: {out}");
        result.map(|()| out.split_off(7))
    };
    let ours = run(level);
    assert_eq!(ours, run(Level::PORTABLE), "{level}");
    let mut is_escaped = false;
    let is_inside = raw.bytes().all(|byte| {
        let is_bare = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        byte >= 0x20 && !is_bare
    });
    if is_inside {
        let theirs = serde_json::from_str::<String>(&format!("\"{raw}\""));
        assert_eq!(ours.ok(), theirs.ok(), "{level}");
    }
}

/// A value with all that is written: the order of keys and those that come twice, and floats to the last bit.
#[derive(Debug)]
#[allow(dead_code, reason = "compared as Debug shows it")]
enum Tree {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    /// Its bits.
    Float(u64),
    Text(String),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

/// The same with every second element and value passed over.
#[derive(Debug)]
#[allow(dead_code, reason = "compared as Debug shows it")]
enum Half {
    Scalar(Tree),
    List(Vec<Half>),
    Object(Vec<(String, Half)>),
}

struct TreeVisitor<T>(PhantomData<T>);

/// Scalars of both.
macro_rules! scalars {
    () => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str("any JSON value") }
        fn visit_unit<E>(self) -> Result<Self::Value, E> { Ok(Tree::Null.into()) }
        scalars! {
            visit_bool bool: value => Tree::Bool(value);
            visit_u64 u64: value => Tree::Unsigned(value);
            visit_i64 i64: value => Tree::Signed(value);
            visit_f64 f64: value => Tree::Float(value.to_bits());
            visit_str &str: value => Tree::Text(value.to_owned());
        }
    };
    ($($method:ident $ty:ty: $value:ident => $tree:expr;)*) => { $(
        fn $method<E>(self, $value: $ty) -> Result<Self::Value, E> { Ok($tree.into()) }
    )* };
}

impl From<Tree> for Half {
    fn from(tree: Tree) -> Self {
        Self::Scalar(tree)
    }
}

impl<'de> Visitor<'de> for TreeVisitor<Tree> {
    type Value = Tree;
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = seq.next_element()? {
            list.push(element);
        }
        Ok(Tree::List(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut object = Vec::new();
        while let Some(entry) = map.next_entry()? {
            object.push(entry);
        }
        Ok(Tree::Object(object))
    }
    scalars!();
}

impl<'de> Visitor<'de> for TreeVisitor<Half> {
    type Value = Half;
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Half, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = seq.next_element()? {
            list.push(element);
            if seq.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(Half::List(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Half, A::Error> {
        let mut object = Vec::new();
        while let Some(entry) = map.next_entry()? {
            object.push(entry);
            if map.next_entry::<IgnoredAny, IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(Half::Object(object))
    }
    scalars!();
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor::<Self>(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Half {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor::<Self>(PhantomData))
    }
}

/// A field for each method of a deserializer. It holds itself, so that one input can reach them all.
#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "compared as Debug shows it")]
struct Typed<'a> {
    a: Option<bool>,
    b: Option<u64>,
    c: Option<i32>,
    d: Option<f64>,
    #[serde(borrow)]
    e: Option<&'a str>,
    f: Option<char>,
    g: Option<Kind>,
    h: Option<(u8, String)>,
    i: Option<()>,
    #[serde(borrow)]
    j: Option<Box<Typed<'a>>>,
    k: Option<Vec<Kind>>,
    l: Option<i128>,
    m: Option<Named>,
}

/// Variants of every form.
#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "compared as Debug shows it")]
enum Kind {
    One,
    Two(u16),
    Three(i8, Box<Kind>),
    Four { a: Option<Box<Kind>> },
}

/// A newtype, whose name must not matter.
#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "compared as Debug shows it")]
struct Named(BTreeMap<u8, ()>);
