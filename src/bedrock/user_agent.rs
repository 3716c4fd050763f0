//! User agents: what tool, on what operating system. Callers choose them, so they prove nothing; that one credential has
//! two at once is telling.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// The hash of an operating system that an agent does not name.
pub const NO_SYSTEM: u64 = 0;

/// A user agent, read once for all calls that carry it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserAgent {
    /// As the record has it, cut to 256 bytes.
    pub text: Arc<str>,
    /// Hash of tool and operating system, without versions.
    pub tool_hash: u64,
    /// Hash of the operating system alone; [`NO_SYSTEM`] where it names none.
    pub system_hash: u64,
}

impl UserAgent {
    /// Reads `text`.
    pub fn parse(text: &str) -> Self {
        let (tool, system) = tool_and_system(text);
        let hash = |text: &str| if text.is_empty() { NO_SYSTEM } else { xxh3_64(text.as_bytes()) };
        Self { text: text.into(), tool_hash: hash(&tool), system_hash: hash(system) }
    }
}

/// Tool and operating system of a user agent, without versions: `Boto3 linux`. Old agents have `Linux/5.10`, newer ones
/// `os/linux#5.10`.
pub fn tool_and_system(user_agent: &str) -> (String, &'static str) {
    let tool: String = user_agent.split(['/', ' ', '[', '(']).find(|part| !part.is_empty()).unwrap_or("").chars().take(40).collect();
    let lower = user_agent.to_ascii_lowercase();
    let systems = [("os/windows", "windows"), ("os/macos", "macos"), ("os/linux", "linux"), ("os/android", "android"), ("os/ios", "ios")];
    let older = [
        ("windows", "windows"),
        ("darwin", "macos"),
        ("mac os x", "macos"),
        ("macos", "macos"),
        ("android", "android"),
        ("linux", "linux"),
    ];
    let system = systems.iter().chain(&older).find(|(mark, _)| lower.contains(mark)).map_or("", |(_, name)| *name);
    let agent = if system.is_empty() { tool } else { format!("{tool} on {system}") };
    (agent, system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents() {
        for (text, tool, system) in [
            ("Boto3/1.34.1 md/Botocore#1.34.1 ua/2.0 os/windows#10 md/arch#amd64", "Boto3 on windows", "windows"),
            ("aws-cli/2.7.25 Python/3.9.11 Linux/5.10", "aws-cli on linux", "linux"),
            ("[aws-sdk-go/1.44 (go1.19; darwin)]", "aws-sdk-go on macos", "macos"),
            ("Python/3.11 aiohttp/3.8", "Python", ""),
            ("", "", ""),
        ] {
            assert_eq!(tool_and_system(text), (tool.to_owned(), system), "{text}");
        }
    }
}
