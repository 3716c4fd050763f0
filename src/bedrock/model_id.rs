//! One name for a model, however the caller wrote it.
//!
//! | as written | canonical |
//! |---|---|
//! | `anthropic.claude-3-sonnet-20240229-v1:0` | the same |
//! | `us.anthropic.claude-…`, `global.…` (inference profile) | without the area |
//! | `arn:aws:bedrock:us-east-1::foundation-model/anthropic.…` | the id behind `foundation-model/` |
//! | `arn:…:inference-profile/us.anthropic.…` | the id, without the area |
//! | `arn:…:application-inference-profile/x`, provisioned, custom, imported | through the configured map, else `kind/x` |
//!
//! An application inference profile hides its base model: only a configured [`ModelMap`] can tell it.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cloudtrail::Arn;
use crate::cloudtrail::lenient::cut;

/// Longest model id that is kept, in bytes. Bedrock's own limit for a modelId is 2,048; real ones stay under 120.
const MODEL_ID_BYTES_MAX: usize = 256;

/// Areas that prefix the id of a cross-region inference profile ("Supported Regions and models for inference
/// profiles", Bedrock User Guide).
pub const AREAS: [&str; 10] = ["us", "eu", "apac", "jp", "au", "ca", "sa", "us-gov", "global", "in"];

/// What a caller's `modelId` means.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Model {
    /// The canonical id; see the table above.
    pub id: Arc<str>,
    /// As the caller wrote it, cut to 256 bytes.
    pub as_written: Arc<str>,
    /// What the configured map says is behind the id as written, with its area.
    pub mapped: Option<Arc<str>>,
    /// Provider and line, `anthropic.claude`; `other` where the id does not tell.
    pub family: Arc<str>,
}

/// The family of models whose id does not tell it.
pub const OTHER_FAMILY: &str = "other";

/// Base models of application inference profiles, provisioned and custom models, as configured: ARN, or the part
/// behind its last `/`, to a model id.
#[derive(Clone, Debug, Default)]
pub struct ModelMap(HashMap<String, String>);

impl ModelMap {
    /// A map from pairs of (ARN or its last part, model id).
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(pairs.into_iter().collect())
    }

    fn base_of(&self, arn: &str, name: &str) -> Option<&str> {
        self.0.get(arn).or_else(|| self.0.get(name)).map(String::as_str)
    }
}

impl Model {
    /// The model that `written` names. Never fails: what is not understood is its own model of family `other`.
    pub fn parse(written: &str, map: &ModelMap) -> Self {
        let written = cut(written.trim(), MODEL_ID_BYTES_MAX).trim_end();
        let id = canonical_id(written, map);
        let family = family_of(&id);
        let name = Arn::parse(written).map_or(written, |arn| arn.resource.split_once('/').map_or("", |(_, name)| name));
        let mapped = map.base_of(written, name).map(Into::into);
        Self { id: id.into(), as_written: written.into(), mapped, family: family.into() }
    }

    /// Whether the call went to a global inference profile.
    pub fn is_global(&self) -> bool {
        let written = self.mapped.as_ref().unwrap_or(&self.as_written);
        written.rsplit('/').next().is_some_and(|name| name.starts_with("global."))
    }
}

/// The canonical id of a canonical id is itself, whatever a caller nests (`us.eu.…`, an ARN in an ARN): one model must not go by
/// two names. Each step makes it shorter.
fn canonical_id(written: &str, map: &ModelMap) -> String {
    let mut id = unwrapped(written, map);
    loop {
        let inner = unwrapped(id.trim(), &ModelMap::default());
        if inner == id {
            return id;
        }
        id = inner;
    }
}

/// `written` without one wrapping.
fn unwrapped(written: &str, map: &ModelMap) -> String {
    let Some(arn) = Arn::parse(written) else {
        return map.base_of(written, written).map_or_else(|| without_area(written).to_owned(), |base| without_area(base).to_owned());
    };
    let (kind, name) = arn.resource.split_once('/').unwrap_or((arn.resource, ""));
    if let Some(base) = map.base_of(written, name) {
        return without_area(base).to_owned();
    }
    match kind {
        "foundation-model" | "inference-profile" => without_area(name).to_owned(),
        // A custom model's name begins with its base model: custom-model/amazon.titan-text-express-v1:0:8k/abc.
        "custom-model" if name.contains('/') => name.split('/').next().unwrap_or(name).to_owned(),
        _ => arn.resource.to_owned(),
    }
}

fn without_area(id: &str) -> &str {
    match id.split_once('.') {
        // "us.anthropic.claude…" has a provider behind the area; "us.something" has not.
        Some((area, rest)) if AREAS.contains(&area) && rest.contains('.') => rest,
        _ => id,
    }
}

/// Provider and line of a model id: `meta.llama3-70b-instruct-v1:0` → `meta.llama`.
fn family_of(id: &str) -> String {
    let Some((provider, name)) = id.split_once('.') else { return OTHER_FAMILY.to_owned() };
    let is_provider =
        !provider.is_empty() && provider.len() <= 24 && provider.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let line = name.split(['-', ':', '.']).next().unwrap_or("");
    let without_version = line.trim_end_matches(|c: char| c.is_ascii_digit());
    // "r1" is a line's whole name; "llama3" is a line with its version.
    let line = if without_version.len() >= 2 { without_version } else { line };
    let is_line = !line.is_empty() && line.len() <= 24 && line.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if is_provider && is_line { format!("{provider}.{}", line.to_ascii_lowercase()) } else { OTHER_FAMILY.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(written: &str) -> (String, String) {
        let map = ModelMap::new([("abc123".to_owned(), "us.anthropic.claude-sonnet-4-6".to_owned())]);
        let model = Model::parse(written, &map);
        (model.id.to_string(), model.family.to_string())
    }

    #[test]
    fn every_form_has_one_name() {
        const CLAUDE: &str = "anthropic.claude-3-sonnet-20240229-v1:0";
        for written in [
            CLAUDE,
            "us.anthropic.claude-3-sonnet-20240229-v1:0",
            "us-gov.anthropic.claude-3-sonnet-20240229-v1:0",
            "global.anthropic.claude-3-sonnet-20240229-v1:0",
            "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-sonnet-20240229-v1:0",
            "arn:aws:bedrock:::foundation-model/anthropic.claude-3-sonnet-20240229-v1:0",
            "arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.anthropic.claude-3-sonnet-20240229-v1:0",
            " anthropic.claude-3-sonnet-20240229-v1:0\n",
        ] {
            assert_eq!(parsed(written), (CLAUDE.to_owned(), "anthropic.claude".to_owned()), "{written}");
        }
    }

    #[test]
    fn opaque_arns_need_the_map() {
        let profile = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/";
        assert_eq!(parsed(&format!("{profile}abc123")).0, "anthropic.claude-sonnet-4-6");
        assert_eq!(parsed(&format!("{profile}zzz")), ("application-inference-profile/zzz".to_owned(), OTHER_FAMILY.to_owned()));
        assert_eq!(parsed("arn:aws:bedrock:us-east-1:1:provisioned-model/p").1, OTHER_FAMILY);
        assert_eq!(parsed("arn:aws:bedrock:us-east-1:1:custom-model/amazon.titan-text-express-v1:0:8k/a1").1, "amazon.titan");
    }

    #[test]
    fn families() {
        for (id, family) in [
            ("meta.llama3-70b-instruct-v1:0", "meta.llama"),
            ("amazon.nova-pro-v1:0", "amazon.nova"),
            ("mistral.mixtral-8x7b-instruct-v0:1", "mistral.mixtral"),
            ("deepseek.r1-v1:0", "deepseek.r1"),
            ("ai21.jamba-1-5-large-v1:0", "ai21.jamba"),
            ("openai.gpt-oss-120b-1:0", "openai.gpt"),
            ("", OTHER_FAMILY),
            ("../../etc/passwd", OTHER_FAMILY),
            ("<script>.x", OTHER_FAMILY),
        ] {
            assert_eq!(family_of(id), family, "{id}");
        }
    }

    #[test]
    fn a_canonical_id_is_its_own() {
        for (written, id) in [
            ("us.eu.anthropic.claude-v2", "anthropic.claude-v2"),
            (
                "arn:aws:bedrock:us-east-1::foundation-model/arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2",
                "anthropic.claude-v2",
            ),
            ("arn:aws:bedrock:us-east-1::foundation-model/ anthropic.claude-v2", "anthropic.claude-v2"),
            ("arn:aws:bedrock:us-east-1:1:us.anthropic.claude-v2", "anthropic.claude-v2"),
        ] {
            assert_eq!(parsed(written).0, id, "{written}");
            assert_eq!(parsed(id).0, id);
        }
        let long = format!("{}    x", "a".repeat(MODEL_ID_BYTES_MAX - 2));
        assert_eq!(Model::parse(&long, &ModelMap::default()).as_written.len(), MODEL_ID_BYTES_MAX - 2);
    }

    #[test]
    fn a_long_id_is_cut() {
        assert_eq!(Model::parse(&"ä".repeat(1_000_000), &ModelMap::default()).as_written.len(), MODEL_ID_BYTES_MAX);
    }
}
