//! Who may see the page: names with bcrypt hashes in a file, as `htpasswd -nB` writes them, and the passwords that were
//! found right not long ago. bcrypt is slow on purpose; a scrape every few seconds must not pay for it each time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Most users of a file.
const USERS_MAX: usize = 1_000;
/// Costs that are taken: below it a stolen file is soon read, above it each login is an attack on this machine.
const COSTS: std::ops::RangeInclusive<u32> = 10..=14;
/// Length of a bcrypt hash as text.
const HASH_BYTES: usize = 60;
/// Longest name.
const NAME_BYTES_MAX: usize = 128;
/// How long a right password need not be looked at again.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Right passwords that are remembered.
const REMEMBERED_MAX: usize = 256;

/// Names and hashes.
#[derive(Clone, Default)]
pub(super) struct Users {
    hashes: HashMap<String, String>,
    /// A hash of nobody's password: an unknown name must cost as much as a known one.
    nobody: String,
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Users").field("users", &self.hashes.len()).finish_non_exhaustive()
    }
}

impl Users {
    /// Reads `name:hash` lines; `#` begins a comment.
    ///
    /// # Errors
    /// Every line that is none, with its cure; never what is in it.
    pub(super) fn parse(text: &str) -> Result<Self, Vec<String>> {
        const CURE: &str = "write the line with `htpasswd -nB -C 12 NAME`";
        let (mut users, mut errors) = (Self::default(), Vec::new());
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, hash) = line.split_once(':').unwrap_or_default();
            let mut wrong = |what: String| errors.push(format!("line {number}: {what}; {CURE}"));
            if name.is_empty() || name.len() > NAME_BYTES_MAX {
                wrong("is no name and hash".to_owned());
            } else if let Err(what) = check(hash) {
                wrong(what);
            } else if users.hashes.insert(name.to_owned(), hash.to_owned()).is_some() {
                wrong("names somebody a second time".to_owned());
            }
        }
        if users.hashes.is_empty() && errors.is_empty() {
            errors.push(format!("names nobody; {CURE}"));
        }
        if users.hashes.len() > USERS_MAX {
            errors.push(format!("names more than {USERS_MAX} users; put a proxy with sign-in in front"));
        }
        // The same cost and a salt of its own; its digest is nobody's.
        users.nobody = users.hashes.values().next().map_or_else(String::new, |hash| format!("{}{}", &hash[..29], ".".repeat(31)));
        if errors.is_empty() { Ok(users) } else { Err(errors) }
    }

    /// What a password is compared with, and whether it can be right at all.
    pub(super) fn hash_of(&self, name: &str) -> (String, bool) {
        self.hashes.get(name).map_or_else(|| (self.nobody.clone(), false), |hash| (hash.clone(), true))
    }
}

/// Whether this is a hash of bcrypt's, at a cost that is taken.
fn check(hash: &str) -> Result<(), String> {
    let parts: Vec<&str> = hash.split('$').collect();
    let ["", "2a" | "2b" | "2y", cost, digest] = parts[..] else { return Err("is not hashed by bcrypt".to_owned()) };
    let is_text = digest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/'));
    match cost.parse::<u32>() {
        Ok(cost) if COSTS.contains(&cost) && hash.len() == HASH_BYTES && is_text => Ok(()),
        Ok(cost) if !COSTS.contains(&cost) => Err(format!("has cost {cost}, not {} to {}", COSTS.start(), COSTS.end())),
        _ => Err("is not hashed by bcrypt".to_owned()),
    }
}

/// Passwords that were right, by a hash under a key of this process: neither they nor anything that gives them away is kept.
#[derive(Debug)]
pub(super) struct Remembered {
    key: [u8; 32],
    until: HashMap<[u8; 32], Instant>,
}

impl Remembered {
    /// Nothing yet. The key is random.
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { key, until: HashMap::new() }
    }

    /// What a name with a password and the hash that it was compared with is remembered by.
    pub(super) fn tag(&self, name: &str, password: &[u8], hash: &str) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
        // Lengths are in it, so that no other name and password make the same bytes.
        for part in [name.as_bytes(), hash.as_bytes(), password] {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// Whether it was right not long ago.
    pub(super) fn knows(&self, tag: &[u8; 32], now: Instant) -> bool {
        self.until.get(tag).is_some_and(|until| now < *until)
    }

    /// It is right.
    pub(super) fn remember(&mut self, tag: [u8; 32], now: Instant) {
        self.until.retain(|_, until| now < *until);
        if self.until.len() >= REMEMBERED_MAX
            && let Some(oldest) = self.until.iter().min_by_key(|(_, until)| **until).map(|(tag, _)| *tag)
        {
            self.until.remove(&oldest);
        }
        self.until.insert(tag, now + REMEMBERED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::moment;

    const HASH: &str = "$2y$12$C6UzMDM.H6dfI/f/IKcEeO7ZG3Bf6uHvG8oFyT5EnHUh3VwcnkF4S";

    #[test]
    fn a_file_is_taken_as_a_whole_or_every_line_is_named() {
        let users = Users::parse(&format!("# on-call\n\ndana:{HASH}\nnoor:{HASH}\n")).expect("right");
        assert_eq!(users.hash_of("dana"), (HASH.to_owned(), true));
        let (nobody, is_somebody) = users.hash_of("mallory");
        assert!(!is_somebody && check(&nobody).is_ok() && nobody != HASH, "{nobody}");

        let weak = HASH.replace("$12$", "$05$");
        let text =
            format!("dana:{HASH}\ndana:{HASH}\nplain:secret\n{HASH}\nweak:{weak}\nheavy:{}\nx:{HASH}x\n", HASH.replace("$12$", "$31$"));
        let errors = Users::parse(&text).expect_err("wrong");
        let starts = [
            "line 2: names somebody a second time",
            "line 3: is not hashed by bcrypt",
            "line 4: is no name and hash",
            "line 5: has cost 5, not 10 to 14",
            "line 6: has cost 31",
            "line 7: is not hashed by bcrypt",
        ];
        assert_eq!(errors.len(), starts.len(), "{errors:?}");
        for (error, start) in errors.iter().zip(starts) {
            assert!(error.starts_with(start) && error.contains("htpasswd") && !error.contains("secret"), "{error}");
        }
        assert!(Users::parse("# nobody\n").is_err());
        assert!(!format!("{users:?}").contains("$2y$"));
    }

    #[test]
    fn what_was_right_is_remembered_for_a_while_and_within_limits() {
        let mut remembered = Remembered::new([7; 32]);
        let (tag, start) = (remembered.tag("dana", b"right", HASH), moment());
        assert!(!remembered.knows(&tag, start));
        remembered.remember(tag, start);
        assert!(remembered.knows(&tag, start + REMEMBERED - Duration::from_secs(1)));
        assert!(!remembered.knows(&tag, start + REMEMBERED));
        for other in [("dan", &b"aright"[..], HASH), ("dana", b"wrong", HASH), ("dana", b"right", "another")] {
            assert_ne!(remembered.tag(other.0, other.1, other.2), tag);
        }
        assert_ne!(Remembered::new([8; 32]).tag("dana", b"right", HASH), tag);
        for n in 0..1_000_u64 {
            let tag = remembered.tag("dana", &n.to_le_bytes(), HASH);
            remembered.remember(tag, start + Duration::from_millis(n));
            assert!(remembered.until.len() <= REMEMBERED_MAX && remembered.knows(&tag, start + Duration::from_millis(n)));
        }
    }
}
