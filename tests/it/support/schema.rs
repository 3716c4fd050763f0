//! JSON Schema, as far as our schemas use it.

use regex::Regex;
use serde_json::Value;

/// A schema within the document that its references point into.
pub struct Schema {
    root: Value,
    place: String,
}

impl Schema {
    /// The whole document is the schema.
    pub fn whole(root: Value) -> Self {
        Self { root, place: String::new() }
    }

    /// A part of a document.
    pub fn part(root: &Value, place: &str) -> Self {
        Self { root: root.clone(), place: place.to_owned() }
    }

    /// Everything that is wrong with a value.
    pub fn mistakes(&self, value: &Value) -> Vec<String> {
        let mut out = Vec::new();
        let schema = self.root.pointer(&self.place).unwrap_or_else(|| panic!("{} is not in the document", self.place));
        mistakes(&self.root, schema, value, "", &mut out);
        out
    }
}

/// Everything that is wrong with a value by the keywords that the schema uses.
fn mistakes(root: &Value, schema: &Value, value: &Value, place: &str, out: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let target = root.pointer(name.trim_start_matches('#'));
        mistakes(root, target.unwrap_or_else(|| panic!("{name} is not in the schema")), value, place, out);
    }
    let mut say = |what: String| out.push(format!("{place}: {what}"));
    let is_type = |wanted: &str| match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("type {other}"),
    };
    match &schema["type"] {
        Value::String(wanted) if !is_type(wanted) => say(format!("{value} is no {wanted}")),
        Value::Array(any) if !any.iter().filter_map(Value::as_str).any(is_type) => say(format!("{value} has none of {any:?}")),
        _ => {}
    }
    if schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
        say(format!("{value} is not allowed"));
    }
    if let Some(text) = value.as_str() {
        if schema["maxLength"].as_u64().is_some_and(|most| text.chars().count() as u64 > most) {
            say(format!("longer than {}", schema["maxLength"]));
        }
        if schema["pattern"].as_str().is_some_and(|pattern| !Regex::new(pattern).expect("a pattern").is_match(text)) {
            say(format!("{text} does not fit {}", schema["pattern"]));
        }
    }
    if let (Some(number), minimum, maximum) = (value.as_f64(), schema["minimum"].as_f64(), schema["maximum"].as_f64())
        && (minimum.is_some_and(|least| number < least) || maximum.is_some_and(|most| number > most))
    {
        say(format!("{number} is out of range"));
    }
    let holds = |part: &Value| {
        let mut found = Vec::new();
        mistakes(root, part, value, place, &mut found);
        found.is_empty()
    };
    if schema["anyOf"].as_array().is_some_and(|parts| !parts.iter().any(holds)) {
        say(format!("none of {} holds", schema["anyOf"]));
    }
    if schema["oneOf"].as_array().is_some_and(|parts| parts.iter().filter(|part| holds(part)).count() != 1) {
        say(format!("not one of {} holds", schema["oneOf"]));
    }
    if let Some(object) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !object.contains_key(name) {
                say(format!("{name} is missing"));
            }
        }
        for name in object.keys().filter(|name| schema["additionalProperties"] == false && schema["properties"].get(name).is_none()) {
            say(format!("there is no {name}"));
        }
    }
    schema["allOf"].as_array().into_iter().flatten().for_each(|part| mistakes(root, part, value, place, out));
    for (name, part) in value.as_object().into_iter().flatten() {
        if let Some(schema) = schema["properties"].get(name) {
            mistakes(root, schema, part, &format!("{place}.{name}"), out);
        }
    }
    if schema["items"].is_object() {
        value.as_array().into_iter().flatten().for_each(|part| mistakes(root, &schema["items"], part, &format!("{place}[]"), out));
    }
}
