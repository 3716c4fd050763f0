//! Pseudonyms in the place of people's names, which only the holder of the key can resolve.
//!
//! A name becomes `person-` and the first twelve hex digits of HMAC-SHA-256 over it (RFC 2104): the same name has the same
//! pseudonym everywhere, and without the key nobody can try names. What belongs to no person stays: roles, services,
//! departments, access keys and addresses; they may lead to one with other records. Ids of alerts and incidents are hashes
//! without a key of whom they are about: who guesses a name and the time can confirm it by them.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{Alert, Digest, Page};
use crate::identity::{ActorKey, ActorKind};

/// Shortest key, in bytes.
pub const KEY_BYTES_MIN: usize = 32;
/// What every pseudonym begins with.
const PREFIX: &str = "person-";
const DIGITS: usize = 12;
/// Shorter names are left in sentences: they are parts of other words.
const NAME_BYTES_MIN: usize = 3;

/// Makes pseudonyms.
#[derive(Clone)]
pub struct Pseudonyms(Hmac<Sha256>);

impl std::fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pseudonyms")
    }
}

impl Pseudonyms {
    /// With this key; `None` where it is shorter than 32 bytes.
    pub fn new(key: &[u8]) -> Option<Self> {
        let hmac = Hmac::<Sha256>::new_from_slice(key).ok()?;
        (key.len() >= KEY_BYTES_MIN).then_some(Self(hmac))
    }

    /// The pseudonym of a name.
    pub fn of(&self, name: &str) -> String {
        let mut hmac = self.0.clone();
        hmac.update(name.as_bytes());
        let digest = hmac.finalize().into_bytes();
        let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{PREFIX}{}", &digits[..DIGITS])
    }

    /// A page without names of people. A digest is left with ids and severities: its titles are told without the names.
    pub fn hide_page(&self, page: &Page) -> Page {
        match page {
            Page::Alert(alert) => Page::Alert(Box::new(self.hide(alert))),
            Page::Record(alert) => Page::Record(Box::new(self.hide(alert))),
            Page::Digest(digest) => {
                let kind = |title: &str| title.split(':').next().unwrap_or_default().to_owned();
                let shown = digest.shown.iter().map(|(id, severity, title)| (*id, *severity, kind(title))).collect();
                Page::Digest(Box::new(Digest { shown, ..(**digest).clone() }))
            }
        }
    }

    /// The alert without names of people.
    pub fn hide(&self, alert: &Alert) -> Alert {
        let mut hidden = alert.clone();
        let who = &mut hidden.who;
        let is_person = matches!(who.actor.kind, ActorKind::Person | ActorKind::Session | ActorKind::User);
        let session = who.arn.rsplit_once('/').map(|(_, session)| session.to_owned()).filter(|_| is_person);
        let mut names: Vec<String> =
            [who.person.as_deref(), who.manager.as_deref(), session.as_deref()].into_iter().flatten().map(str::to_owned).collect();
        if is_person {
            let last = who.actor.name.rsplit('/').next().unwrap_or_default();
            names.extend([who.actor.name.to_string(), last.to_owned()]);
        }
        names.retain(|name| name.len() >= NAME_BYTES_MIN && *name != *who.access_key_id);
        // The longest first: a name may be a part of another.
        names.sort_unstable_by_key(|name| std::cmp::Reverse(name.len()));
        names.dedup();
        let replaced = |text: &str| names.iter().fold(text.to_owned(), |text, name| text.replace(name.as_str(), &self.of(name)));
        let shared = |text: &Arc<str>| -> Arc<str> { replaced(text).into() };
        if is_person {
            who.actor = ActorKey::new(who.actor.kind, self.named(&who.actor.name, &who.access_key_id));
        }
        (who.person, who.manager) = (who.person.as_ref().map(shared), who.manager.as_ref().map(shared));
        who.arn = shared(&who.arn);
        hidden.title = replaced(&alert.title);
        hidden.explanation = replaced(&alert.explanation);
        if let Some(policy) = &mut hidden.policy {
            policy.why = policy.why.as_ref().map(shared);
        }
        hidden
    }

    /// A key that stands for an actor whom nobody knows by name stays.
    fn named(&self, name: &str, access_key_id: &str) -> String {
        if name == access_key_id { name.to_owned() } else { self.of(name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerting::message::{Form, Links, render};
    use crate::alerting::tests::finding;
    use crate::finding::{Digest128, Severity};

    #[test]
    fn no_name_is_left_in_any_form() {
        let pseudonyms = Pseudonyms::new(&[7; 32]).expect("long enough");
        assert!(Pseudonyms::new(&[7; 31]).is_none());
        let id = Digest128::of(&[b"x"]);
        let mut alert = Alert::open(finding("dana@example.com", 0, Severity::High), id, id);
        alert.who.manager = Some("noor@example.com".into());
        alert.who.arn = "arn:aws:sts::111122223333:assumed-role/analyst/dana@example.com".into();
        alert.explanation = "dana@example.com (legal) was refused, and noor@example.com was not.".to_owned();
        let hidden = pseudonyms.hide(&alert);
        for form in [Form::Text, Form::Chatbot, Form::Ndjson, Form::Ocsf] {
            let message = render(&hidden, form, &Links::default());
            for name in ["dana", "noor"] {
                assert!(!message.body.contains(name) && !message.subject.contains(name), "{form:?}: {}", message.body);
            }
            assert!(message.body.contains(&pseudonyms.of("dana@example.com")) && message.body.contains("legal"), "{form:?}");
        }
        assert_eq!(hidden.alert_id, alert.alert_id);
        assert_ne!(pseudonyms.of("dana@example.com"), Pseudonyms::new(&[8; 32]).expect("long enough").of("dana@example.com"));
        assert_eq!(pseudonyms.of("dana@example.com").len(), PREFIX.len() + DIGITS);
    }
}
