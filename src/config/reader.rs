//! Reads a TOML document by asking for what is known, and notes every mistake with its line and its cure.

use std::cell::RefCell;
use std::ops::Range;

use toml_edit::{Document, Item, TableLike, Value};

use crate::time::{DAY, HOUR, MINUTE};

/// One mistake in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Line, counted from 1.
    pub line: usize,
    /// The key that it is about, with its section: `detect.invocation-spike.floor`.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub cure: String,
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}: {}; {}", self.line, self.key, self.what, self.cure)
    }
}

/// A document being read.
pub(super) struct Reader<'t> {
    text: &'t str,
    mistakes: RefCell<Vec<Mistake>>,
}

/// One table of a document. Keys that were never asked for are mistakes when it is dropped through [`Section::finish`].
pub(super) struct Section<'d, 't> {
    reader: &'d Reader<'t>,
    table: &'d dyn TableLike,
    path: String,
    span: Option<Range<usize>>,
    known: Vec<String>,
}

/// Reads `text` with `read` and returns what it made and every mistake, by line.
pub(super) fn read<T>(text: &str, read: impl FnOnce(&mut Section<'_, '_>) -> T) -> (Option<T>, Vec<Mistake>) {
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            let what = error.message().lines().next().unwrap_or("not TOML").to_owned();
            return (None, vec![Mistake { line, key: "file".into(), what, cure: "correct the TOML syntax there".into() }]);
        }
    };
    let reader = Reader { text, mistakes: RefCell::new(Vec::new()) };
    let mut section = Section { reader: &reader, table: document.as_table(), path: String::new(), span: None, known: Vec::new() };
    let made = read(&mut section);
    section.finish();
    let mut mistakes = reader.mistakes.into_inner();
    mistakes.sort();
    (Some(made), mistakes)
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

impl<'d, 't> Section<'d, 't> {
    /// Notes that a key that must be there is not; one that is there with a wrong type was noted already.
    pub(super) fn missing(&self, key: &str, cure: impl Into<String>) {
        if self.table.get(key).is_none() {
            self.mistake(key, "is missing", cure);
        }
    }

    /// Notes a mistake at the value of `key` (or at the section).
    pub(super) fn mistake(&self, key: &str, what: impl Into<String>, cure: impl Into<String>) {
        let span = self.table.get(key).and_then(Item::span).or_else(|| self.span.clone());
        self.note(key, span, what, cure);
    }

    fn note(&self, key: &str, span: Option<Range<usize>>, what: impl Into<String>, cure: impl Into<String>) {
        let line = span.map_or(1, |span| line_of(self.reader.text, span.start));
        let key = [self.path.as_str(), key].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
        self.reader.mistakes.borrow_mut().push(Mistake { line, key, what: what.into(), cure: cure.into() });
    }

    fn value(&mut self, key: &str) -> Option<&'d Value> {
        self.known.push(key.to_owned());
        let item = self.table.get(key)?;
        if item.as_value().is_none() {
            self.mistake(key, "is a table", format!("write {key} = …"));
        }
        item.as_value()
    }

    fn wrong_type(&self, key: &str, value: &Value, wanted: &str) {
        self.mistake(key, format!("is {} where {wanted} is wanted", article(value.type_name())), format!("write {key} = {wanted}"));
    }

    /// A text.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        let value = self.value(key)?;
        let text = value.as_str().map(str::to_owned);
        if text.is_none() {
            self.wrong_type(key, value, "\"text\"");
        }
        text.filter(|text| {
            if text.is_empty() {
                self.mistake(key, "is empty", "give it a value or remove the line");
            }
            !text.is_empty()
        })
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        let value = self.value(key)?;
        let flag = value.as_bool();
        if flag.is_none() {
            self.wrong_type(key, value, "true or false");
        }
        flag
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, key: &str) -> Option<Vec<String>> {
        let value = self.value(key)?;
        let list = value.as_array().and_then(|array| array.iter().map(|entry| entry.as_str().map(str::to_owned)).collect());
        if list.is_none() {
            self.wrong_type(key, value, "[\"text\", …]");
        }
        list
    }

    /// A whole number within `range`.
    pub(super) fn count(&mut self, key: &str, range: Range<i64>) -> Option<i64> {
        let value = self.value(key)?;
        let Some(number) = value.as_integer() else {
            self.wrong_type(key, value, "a whole number");
            return None;
        };
        self.within(key, number, &range).then_some(number)
    }

    /// A number within `range`.
    pub(super) fn number(&mut self, key: &str, range: Range<f64>) -> Option<f64> {
        let value = self.value(key)?;
        let Some(number) = value.as_float().or_else(|| value.as_integer().map(|n| n as f64)) else {
            self.wrong_type(key, value, "a number");
            return None;
        };
        self.within(key, number, &range).then_some(number)
    }

    fn within<N: PartialOrd + std::fmt::Display>(&self, key: &str, number: N, range: &Range<N>) -> bool {
        let fits = range.contains(&number);
        if !fits {
            self.mistake(key, format!("{number} is out of range"), format!("choose from {} up to below {}", range.start, range.end));
        }
        fits
    }

    /// A span of time, `"90s"`, `"15m"`, `"6h"`, `"2d"`, within `range` seconds.
    pub(super) fn duration(&mut self, key: &str, range: Range<i64>) -> Option<i64> {
        let value = self.value(key)?;
        let Some(seconds) = value.as_str().and_then(parse_duration) else {
            let written = value.as_str().map_or_else(|| article(value.type_name()), |text| format!("\"{text}\""));
            self.mistake(key, format!("{written} is no time span"), "write it as \"90s\", \"15m\", \"6h\" or \"2d\"");
            return None;
        };
        self.within(key, seconds, &range).then_some(seconds)
    }

    /// One of the words that `parse` knows; `words` lists them for the cure.
    pub(super) fn choice<T>(&mut self, key: &str, words: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.text(key)?;
        let choice = parse(&text);
        if choice.is_none() {
            self.mistake(key, format!("\"{text}\" is not known"), format!("choose one of {words}"));
        }
        choice
    }

    /// A table of this section.
    pub(super) fn section<T>(&mut self, key: &str, read: impl FnOnce(&mut Section<'d, 't>) -> T) -> Option<T> {
        self.known.push(key.to_owned());
        let item = self.table.get(key)?;
        let Some(table) = item.as_table_like() else {
            self.mistake(key, "is not a table", format!("write it as a section [{key}]"));
            return None;
        };
        Some(self.enter(key, table, item.span(), read))
    }

    /// Every entry of a table of this section whose values are tables: `[departments.legal]`.
    pub(super) fn sections(&mut self, key: &str, mut read: impl FnMut(&str, &mut Section<'d, 't>)) {
        self.section(key, |section| {
            let names: Vec<String> = section.table.iter().map(|(name, _)| name.to_owned()).collect();
            for name in names {
                section.section(&name, |entry| read(&name, entry));
            }
        });
    }

    /// Every element of an array of tables: `[[streams]]`.
    pub(super) fn list(&mut self, key: &str, mut read: impl FnMut(&mut Section<'d, 't>)) {
        self.known.push(key.to_owned());
        let Some(item) = self.table.get(key) else { return };
        let Some(tables) = item.as_array_of_tables() else {
            return self.mistake(key, "is not a list of tables", format!("write each as a section [[{key}]]"));
        };
        for (index, table) in tables.iter().enumerate() {
            self.enter(&format!("{key}[{index}]"), table, table.span(), &mut read);
        }
    }

    /// A table of texts: `"pattern" = "department"`, in order.
    pub(super) fn pairs(&mut self, key: &str) -> Vec<(String, String)> {
        self.entries(key, |section, name| section.text(name))
    }

    /// A table of lists of texts: `"pattern" = ["file", …]`, in order.
    pub(super) fn lists(&mut self, key: &str) -> Vec<(String, Vec<String>)> {
        self.entries(key, |section, name| section.texts(name))
    }

    /// The entries of a table with names of the user's own, in order.
    fn entries<T>(&mut self, key: &str, value: impl Fn(&mut Section<'d, 't>, &str) -> Option<T>) -> Vec<(String, T)> {
        let read = |section: &mut Section<'d, 't>| {
            let names: Vec<String> = section.table.iter().map(|(name, _)| name.to_owned()).collect();
            names.into_iter().filter_map(|name| value(section, &name).map(|value| (name, value))).collect()
        };
        self.section(key, read).unwrap_or_default()
    }

    fn enter<T>(&self, key: &str, table: &'d dyn TableLike, span: Option<Range<usize>>, read: impl FnOnce(&mut Section<'d, 't>) -> T) -> T {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        let mut section = Section { reader: self.reader, table, path, span, known: Vec::new() };
        let made = read(&mut section);
        section.finish();
        made
    }

    /// Notes keys that were not asked for.
    fn finish(&self) {
        for (name, item) in self.table.iter().filter(|(name, _)| !self.known.iter().any(|known| known == name)) {
            let span = self.table.get_key_value(name).and_then(|(key, _)| key.span()).or_else(|| item.span());
            let nearest = self.known.iter().min_by_key(|known| distance(known, name)).filter(|known| distance(known, name) <= 3);
            let cure = match nearest {
                Some(known) => format!("did you mean \"{known}\"?"),
                None if self.known.is_empty() => "remove it".to_owned(),
                None => format!("known here: {}", self.known.join(", ")),
            };
            self.note(name, span, "is not known here", cure);
        }
    }
}

fn article(type_name: &str) -> String {
    let vowel = type_name.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {type_name}", if vowel { "an" } else { "a" })
}

pub(super) fn parse_duration(text: &str) -> Option<i64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "s" => 1,
        "m" | "min" => MINUTE,
        "h" => HOUR,
        "d" => DAY,
        _ => return None,
    };
    digits.trim_end().parse::<i64>().ok().filter(|n| *n >= 0)?.checked_mul(unit)
}

/// Edits between two words (Levenshtein), for "did you mean".
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.chars().enumerate() {
            let next = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row[b.chars().count()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_distances() {
        for (text, seconds) in [
            ("90s", Some(90)),
            ("15m", Some(900)),
            ("6h", Some(21_600)),
            ("2d", Some(172_800)),
            ("-1s", None),
            ("5", None),
            ("h", None),
            ("9999999999999999d", None),
        ] {
            assert_eq!(parse_duration(text), seconds, "{text}");
        }
        assert_eq!((distance("lateness", "latness"), distance("", "abc"), distance("a", "a")), (1, 3, 0));
    }
}
