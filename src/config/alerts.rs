//! Keys about alerts: silences and links.

use super::reader::Section;
use crate::alerting::silence::SILENCE_MAX;
use crate::alerting::{Scope, Silence};
use crate::finding::DetectorId;
use crate::time::EventTime;

/// A silence: whom it is about, who asked for it, why, and until when.
pub(super) fn read_silence(section: &mut Section<'_, '_>) -> Option<Silence> {
    let scope = Scope {
        detector: section.text("detector"),
        actor: section.text("actor"),
        department: section.text("department"),
        model: section.text("model"),
    };
    let (author, reason) = (section.text("author").unwrap_or_default(), section.text("reason").unwrap_or_default());
    let form = "a time \"2026-06-01T00:00:00Z\"";
    let from = section.choice("from", form, EventTime::parse);
    let Some(until) = section.choice("until", form, EventTime::parse) else {
        section.missing("until", "every silence ends: write a time such as \"2026-06-01T00:00:00Z\"");
        return None;
    };
    match Silence::new(scope, &author, &reason, from.unwrap_or_else(|| until.plus(-SILENCE_MAX)), until) {
        Ok(silence) => Some(Silence { is_configured: true, ..silence }),
        Err(error) => {
            let text = error.to_string();
            let (what, cure) = text.split_once("; ").unwrap_or((&text, "correct the silence"));
            section.mistake("until", format!("this silence cannot be: {what}"), cure);
            None
        }
    }
}

/// An address on the web without a slash at its end.
pub(super) fn read_url(section: &mut Section<'_, '_>, key: &'static str) -> Option<String> {
    let url = section.text(key)?;
    if !url.starts_with("https://") && !url.starts_with("http://") || url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        section.mistake(key, format!("\"{url}\" is no address on the web"), "write it as \"https://geophone.example.com\"");
        return None;
    }
    Some(url.trim_end_matches('/').to_owned())
}

/// Names of detectors.
pub(super) fn read_detectors(section: &mut Section<'_, '_>) -> Vec<String> {
    let names = section.texts("detectors").unwrap_or_default();
    let known: Vec<&str> = DetectorId::ALL.iter().map(|detector| detector.label()).collect();
    for name in names.iter().filter(|name| !known.contains(&name.as_str())) {
        section.mistake("detectors", format!("there is no detector \"{name}\""), format!("choose of {}", known.join(", ")));
    }
    names
}
