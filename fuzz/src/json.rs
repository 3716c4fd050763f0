//! Mutations of JSON as JSON: most of what a byte-wise mutation makes of it ends in the parser.

use serde_json::{Map, Value, json};

/// Texts of others that parsers and messages stumble over.
const TEXTS: [&str; 24] = [
    "",
    "*",
    "null",
    "true",
    "-1",
    "9223372036854775807",
    "1e400",
    "arn:aws:sts::111122223333:assumed-role/r/s",
    "AccessDenied",
    "2026-06-01T09:00:00Z",
    "9999-12-31T23:59:59Z",
    "0000-01-01T00:00:00Z",
    "<!channel>",
    "\u{202e}",
    "\u{0}\r\n",
    "é\u{1f600}",
    "${aws:username}",
    "bedrock.amazonaws.com",
    "InvokeModel",
    "ASIAEXAMPLE00000001",
    "10.0.0.1",
    "::/0",
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "{\"a\":[]}",
];

/// A little randomness from a seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % end.max(1) as u64) as usize
    }
}

/// Changes one place in one of the JSON documents of `data[..size]`, which stand one a line. `None` where there is none, and
/// each third time: bytes are for the fuzzer itself.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> Option<usize> {
    let mut dice = Dice(u64::from(seed));
    if dice.below(3) == 0 {
        return None;
    }
    let text = std::str::from_utf8(&data[..size]).ok()?;
    let mut documents: Vec<Value> = serde_json::Deserializer::from_str(text).into_iter().collect::<Result<_, _>>().ok()?;
    if documents.is_empty() {
        return None;
    }
    let chosen = dice.below(documents.len());
    match dice.below(12) {
        0 => documents.push(documents[chosen].clone()),
        1 if documents.len() > 1 => drop(documents.remove(chosen)),
        2 => {
            let other = dice.below(documents.len());
            documents.swap(chosen, other);
        }
        _ => {
            let graft = part_of(&documents[dice.below(documents.len())], &mut dice).clone();
            change(&mut documents[chosen], graft, &mut dice);
        }
    }
    let written = documents.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let room = data.get_mut(..written.len()).filter(|_| written.len() <= max_size)?;
    room.copy_from_slice(written.as_bytes());
    Some(written.len())
}

/// Some value within `value`.
fn part_of<'v>(value: &'v Value, dice: &mut Dice) -> &'v Value {
    let inner: Vec<&Value> = match value {
        Value::Array(list) => list.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    if inner.is_empty() || dice.below(4) == 0 { value } else { part_of(inner[dice.below(inner.len())], dice) }
}

fn change(value: &mut Value, graft: Value, dice: &mut Dice) {
    match value {
        Value::Array(list) if !list.is_empty() && dice.below(4) > 0 => {
            let at = dice.below(list.len());
            match dice.below(8) {
                0 => drop(list.remove(at)),
                1 => list.insert(at, graft),
                2 => list.push(list[at].clone()),
                _ => change(&mut list[at], graft, dice),
            }
        }
        Value::Object(fields) if !fields.is_empty() && dice.below(6) > 0 => change_object(fields, graft, dice),
        other => {
            let scalar = scalar(other, dice);
            *other = if dice.below(3) == 0 { graft } else { scalar };
        }
    }
}

fn change_object(fields: &mut Map<String, Value>, graft: Value, dice: &mut Dice) {
    let key = fields.keys().nth(dice.below(fields.len())).cloned().unwrap_or_default();
    match dice.below(12) {
        0 => drop(fields.remove(&key)),
        1 => drop(fields.insert(TEXTS[dice.below(TEXTS.len())].to_owned(), graft)),
        2 => {
            let moved = fields.remove(&key).unwrap_or_default();
            fields.insert(format!("{key}{key}"), moved);
        }
        _ => change(&mut fields[&key], graft, dice),
    }
}

/// Another value in the place of `value`.
fn scalar(value: &Value, dice: &mut Dice) -> Value {
    let told = TEXTS[dice.below(TEXTS.len())];
    match dice.below(12) {
        0 => Value::Null,
        1 => json!(dice.below(2) == 0),
        2 => json!([i64::MIN, -1, 0, 1, 1 << 53, i64::MAX][dice.below(6)]),
        3 => json!([0.5, 1e308, -1e-9, u64::MAX as f64][dice.below(4)]),
        4 => json!([value]),
        5 => json!({ told: value }),
        6 => json!(value.to_string()),
        7 => json!(told.repeat(1 << dice.below(8))),
        8 | 9 => value.as_str().map_or_else(|| json!(told), |text| json!(format!("{text}{told}"))),
        _ => json!(told),
    }
}
