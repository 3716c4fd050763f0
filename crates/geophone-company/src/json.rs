//! JSON written straight into a string.
//!
//! The bulk stream makes hundreds of thousands of records a second, which rules a
//! tree of values out; and CloudTrail's own field order stays, which a map would lose.

use std::fmt::Write as _;

/// An object being written; the closing brace is put by [`object`].
pub(crate) struct Object<'a> {
    out: &'a mut String,
    empty: bool,
}

/// Appends an object with the fields that `fields` writes.
pub(crate) fn object(out: &mut String, fields: impl FnOnce(&mut Object<'_>)) {
    out.push('{');
    fields(&mut Object { out, empty: true });
    out.push('}');
}

/// The same as a string of its own.
pub(crate) fn object_text(fields: impl FnOnce(&mut Object<'_>)) -> String {
    let mut out = String::with_capacity(256);
    object(&mut out, fields);
    out
}

/// Appends a quoted, escaped string.
pub(crate) fn quote(out: &mut String, text: &str) {
    out.push('"');
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.push_str(text);
    } else {
        for character in text.chars() {
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                control if control < ' ' => {
                    // Writing into a String cannot fail.
                    let _ = write!(out, "\\u{:04x}", control as u32);
                }
                other => out.push(other),
            }
        }
    }
    out.push('"');
}

impl Object<'_> {
    /// Writes the key and gives the place where its value goes.
    pub(crate) fn value(&mut self, key: &str) -> &mut String {
        if !self.empty {
            self.out.push(',');
        }
        self.empty = false;
        quote(self.out, key);
        self.out.push(':');
        self.out
    }

    pub(crate) fn text(&mut self, key: &str, text: &str) {
        quote(self.value(key), text);
    }

    pub(crate) fn number(&mut self, key: &str, number: u64) {
        // Writing into a String cannot fail.
        let _ = write!(self.value(key), "{number}");
    }

    pub(crate) fn flag(&mut self, key: &str, flag: bool) {
        self.raw(key, if flag { "true" } else { "false" });
    }

    /// A value that is JSON already.
    pub(crate) fn raw(&mut self, key: &str, json: &str) {
        self.value(key).push_str(json);
    }

    pub(crate) fn object(&mut self, key: &str, fields: impl FnOnce(&mut Object<'_>)) {
        object(self.value(key), fields);
    }

    pub(crate) fn texts(&mut self, key: &str, texts: &[&str]) {
        let out = self.value(key);
        out.push('[');
        for (index, text) in texts.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            quote(out, text);
        }
        out.push(']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let nasty = "a\"b\\c\nd\u{1}é";
        let json = object_text(|o| {
            o.text("t", nasty);
            o.number("n", 7);
            o.object("o", |o| o.flag("f", true));
            o.texts("l", &["x", "y"]);
            o.raw("z", "null");
        });
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        let expected = serde_json::json!(
            {"t": nasty, "n": 7, "o": {"f": true}, "l": ["x", "y"], "z": null});
        assert_eq!(read, expected);
    }
}
