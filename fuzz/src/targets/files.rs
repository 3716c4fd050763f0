//! What operators write: the configuration, the directory, names of models.

use geophone::bedrock::model_id::OTHER_FAMILY;
use geophone::bedrock::{Model, ModelMap};
use geophone::config::Settings;
use geophone::identity::Directory;
use geophone::identity::directory::Member;
use serde_json::json;

/// A configuration: settings, or mistakes that each have a line of the file, a reason and a cure.
pub fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match Settings::parse(&text) {
        // What is whole stays whole with a line of comment behind it.
        Ok(_) => assert!(Settings::parse(&format!("{text}\n# end\n")).is_ok()),
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            let lines = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
            for mistake in &mistakes {
                assert!((1..=lines).contains(&mistake.line), "{mistake} of {lines} lines");
                assert!(!mistake.key.is_empty() && !mistake.what.is_empty() && !mistake.cure.is_empty(), "{mistake:?}");
            }
            assert_eq!(Settings::parse(&text).err(), Some(mistakes), "the same file has the same mistakes");
        }
    }
}

/// A directory as CSV or JSON: everybody is found by every id, and what was read says the same when it is written again.
pub fn directory(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(directory) = Directory::parse(&text) else { return };
    assert!(directory.people() > 0, "a directory of nobody is an error");
    let members: Vec<_> = directory.members().collect();
    assert!(!members.is_empty() && members.len() <= directory.people());
    for member in &members {
        assert!(!member.person.is_empty());
        for id in &member.ids {
            assert_eq!(directory.find(id), Some(*member), "{id}");
        }
    }
    let again = Directory::parse(&json!(members.iter().map(|member| row(member)).collect::<Vec<_>>()).to_string()).expect("the same");
    assert_eq!(again.people(), members.len());
    assert!(members.iter().all(|member| again.find(&member.person) == Some(*member)));
}

/// A row with all ids of a member. One with blanks in it can only be the first or the second behind the name.
fn row(member: &Member) -> serde_json::Value {
    let id = |place: usize| member.ids.get(place).map(|id| &**id);
    json!({
        "person": id(0),
        "user_pool_sub": id(1),
        "cognito_identity_id": id(2),
        "other_ids": member.ids.get(3..).unwrap_or_default().join(" "),
        "department": member.department.as_deref(),
        "clearance": member.clearance.as_deref(),
        "group": member.group.as_deref(),
        "manager": member.manager.as_deref(),
    })
}

/// A model id or ARN: its canonical id is that of itself, and nothing of a caller's gets longer or loses its limits.
pub fn model_id(bytes: &[u8]) {
    const KEPT_BYTES_MAX: usize = 256;
    let text = String::from_utf8_lossy(bytes);
    let plain = ModelMap::default();
    let model = Model::parse(&text, &plain);
    assert!(model.as_written.len() <= KEPT_BYTES_MAX && model.id.len() <= model.as_written.len());
    assert!(model.mapped.is_none());
    let again = Model::parse(&model.id, &plain);
    assert_eq!((&again.id, &again.family), (&model.id, &model.family), "{text:?}");
    assert_eq!(Model::parse(&model.as_written, &plain), model, "what is kept of it says the same");
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.';
    assert!(&*model.family == OTHER_FAMILY || model.family.len() <= 49 && model.family.chars().all(is_plain), "{:?}", model.family);

    // A map has the last word, whatever the rest of the ARN is.
    let base = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0";
    let map = ModelMap::new([(model.as_written.to_string(), base.to_owned())]);
    let mapped = Model::parse(&text, &map);
    assert_eq!((&*mapped.id, mapped.mapped.as_deref()), ("anthropic.claude-sonnet-4-5-20250929-v1:0", Some(base)));
}
