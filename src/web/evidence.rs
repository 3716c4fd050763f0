//! The records behind alerts, as CloudTrail wrote them, kept for whoever reads an alert. Secrets are masked when a record
//! is shown: some records carry session tokens.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::collections::hash_map::Entry;

use serde_json::Value;

use crate::alerting::message::clean;
use crate::bedrock::EventId;

/// Bytes of records that are kept for alerts.
const KEPT_BYTES_MAX: usize = 32 << 20;
/// Bytes of records whose calls wait for the record that issued their key: what they come to is decided later.
const WAITING_BYTES_MAX: usize = 32 << 20;
/// What is shown in the place of a secret.
const MASK: &str = "(masked)";

/// Records of events, within limits; the oldest go first.
#[derive(Debug)]
pub struct Evidence {
    kept: Shelf,
    waiting: Shelf,
}

impl Default for Evidence {
    fn default() -> Self {
        Self { kept: Shelf::new(KEPT_BYTES_MAX), waiting: Shelf::new(WAITING_BYTES_MAX) }
    }
}

impl Evidence {
    /// Takes in what an event came to: alerts were made of the events `cited`, and its call may wait.
    pub fn note(&mut self, id: &str, text: &str, cited: &[EventId], waits: bool) {
        for cited in cited {
            if let Some(text) = self.waiting.take(cited) {
                self.kept.put(cited.clone(), text);
            }
        }
        let Some(id) = EventId::parse(id) else { return };
        if cited.contains(&id) {
            self.kept.put(id, text.into());
        } else if waits {
            self.waiting.put(id, text.into());
        }
    }

    /// The record of an event, indented and without secrets; nothing where it is not here (any more).
    pub fn show(&self, id: &EventId) -> Option<Value> {
        let text = self.kept.texts.get(id)?;
        let mut value: Value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(clean(text)));
        // What is around it is EventBridge's, not CloudTrail's.
        if value.get("detail-type").is_some()
            && let Some(detail @ Value::Object(_)) = value.get_mut("detail")
        {
            value = detail.take();
        }
        mask(&mut value);
        Some(value)
    }
}

/// Texts by event, at most so many bytes; the oldest go first.
#[derive(Debug)]
struct Shelf {
    texts: HashMap<EventId, Box<str>>,
    order: VecDeque<EventId>,
    bytes: usize,
    bytes_max: usize,
}

impl Shelf {
    fn new(bytes_max: usize) -> Self {
        Self { texts: HashMap::new(), order: VecDeque::new(), bytes: 0, bytes_max }
    }

    fn put(&mut self, id: EventId, text: Box<str>) {
        if text.len() > self.bytes_max {
            return;
        }
        if let Entry::Vacant(place) = self.texts.entry(id.clone()) {
            self.bytes += text.len();
            place.insert(text);
            self.order.push_back(id);
        }
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.bytes -= self.texts.remove(&oldest).map_or(0, |text| text.len());
        }
    }

    fn take(&mut self, id: &EventId) -> Option<Box<str>> {
        let text = self.texts.remove(id)?;
        self.bytes -= text.len();
        // Its place in the order is passed over; there are never many more places than texts.
        if self.order.len() > 2 * self.texts.len() + 64 {
            self.order.retain(|id| self.texts.contains_key(id));
        }
        Some(text)
    }
}

/// Whether a field of this name holds something that gives access. CloudTrail hides most of them itself; session tokens of
/// STS and whatever a caller put into a field it should not have are left.
fn is_secret(name: &str) -> bool {
    const WORDS: [&str; 6] = ["secret", "token", "password", "credential", "authorization", "signature"];
    // What a model reads and writes is counted in tokens, and a page of a list is named by one.
    const HARMLESS: [&str; 4] = ["tokencount", "tokens", "nexttoken", "tokenlistconfig"];
    let name = name.to_ascii_lowercase();
    !HARMLESS.iter().any(|harmless| name.ends_with(harmless)) && WORDS.iter().any(|word| name.contains(word))
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                if is_secret(name) {
                    // Texts and lists of them under such a name; an object under it (`credentials`) is looked into.
                    let items = match field {
                        Value::Array(items) => items.as_mut_slice(),
                        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                            std::slice::from_mut(field)
                        }
                    };
                    let is_plain = |item: &&mut Value| item.is_string() || item.is_number();
                    items.iter_mut().filter(is_plain).for_each(|item| *item = Value::String(MASK.to_owned()));
                }
                mask(field);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> EventId {
        EventId::parse(&n.to_string()).expect("an id")
    }

    #[test]
    fn secrets_are_masked_wherever_they_are() {
        let mut evidence = Evidence::default();
        let text = r#"{"eventID":"x","responseElements":{"credentials":{"accessKeyId":"ASIAEXAMPLE","sessionToken":"FwoG...","expiration":"later"}},
            "requestParameters":{"SecretAccessKey":"s","passwords":["a",{"authorization":"b"}],"nextToken":"n","maxTokens":5},
            "additionalEventData":{"inputTokens":12,"inputTokenCount":3,"bearerToken":["q"]}}"#;
        evidence.note("1", text, &[id(1)], false);
        let shown = evidence.show(&id(1)).expect("kept");
        let said = shown.to_string();
        for secret in ["FwoG", "\"s\"", "\"a\"", "\"b\"", "\"q\""] {
            assert!(!said.contains(secret), "{secret} in {said}");
        }
        for kept in ["ASIAEXAMPLE", "later", "\"n\"", ":5", ":12", ":3"] {
            assert!(said.contains(kept), "{kept} not in {said}");
        }
        evidence.note("2", "no JSON\u{202e} at all", &[id(2)], true);
        assert_eq!(evidence.show(&id(2)), Some(Value::String("no JSON at all".into())));
        assert_eq!(evidence.show(&id(3)), None);
    }

    #[test]
    fn what_waits_is_kept_when_it_is_cited_and_all_of_it_is_bounded() {
        let mut evidence = Evidence::default();
        evidence.note("1", "{}", &[], true);
        evidence.note("2", "{}", &[], false);
        assert_eq!(evidence.show(&id(1)), None, "not evidence yet");
        evidence.note("3", "{}", &[id(1), id(2), id(9)], false);
        assert_eq!(evidence.show(&id(2)), None, "nobody had asked for it");
        assert_eq!(evidence.show(&id(3)), None, "nothing was made of it");
        assert_eq!(evidence.show(&id(1)), Some(Value::Object(Default::default())));

        let mut shelf = Shelf::new(1_000);
        for n in 0..500 {
            shelf.put(id(n), "x".repeat(100).into());
            if n % 3 == 0 {
                shelf.take(&id(n));
            }
            assert!(shelf.bytes <= 1_000 && shelf.texts.len() <= 10 && shelf.order.len() <= 100, "{}", shelf.order.len());
        }
        assert_eq!(shelf.bytes, shelf.texts.values().map(|text| text.len()).sum::<usize>());
        shelf.put(id(1_000), "x".repeat(2_000).into());
        assert!(!shelf.texts.contains_key(&id(1_000)), "longer than the whole shelf");
    }
}
