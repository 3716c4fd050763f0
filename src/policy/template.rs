//! Text of a policy with wildcards and variables: `arn:aws:bedrock:*::foundation-model/${aws:PrincipalTag/line}-*`.
//!
//! Source: "IAM policy elements: Variables and tags" in the IAM User Guide. Variables work from version 2012-10-17 on;
//! before, `${…}` is plain text. `${*}`, `${?}` and `${$}` stand for the characters themselves. A variable may have a
//! default value, `${aws:PrincipalTag/team, 'company-wide'}`.
//!
//! **Invariant:** a value that is put in for a variable is text. It is never read for wildcards or variables again, so a
//! tag whose value is `*` matches a star and nothing else.

use std::sync::Arc;

use super::context::{Context, Fact};
use crate::glob::{self, Piece};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Any,
    One,
    Variable { key: String, default: Option<String> },
}

/// A character of a resolved template.
pub type Token = Piece<char>;

/// A template with its variables filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// The text.
    Tokens(Vec<Token>),
    /// A variable without a default value is not in the request: nothing matches.
    Missing,
    /// A variable cannot be told.
    Unknown(Arc<str>),
}

/// A parsed text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

impl Template {
    /// Reads `text`; `with_variables` from version 2012-10-17 on.
    ///
    /// # Errors
    /// What is wrong with a variable.
    pub fn parse(text: &str, with_variables: bool) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if with_variables && let Some(behind) = rest.strip_prefix("${") {
                let (inner, after) = split_variable(behind).ok_or_else(|| format!("\"{text}\" has a ${{ without its }}"))?;
                pieces.push(variable(inner).ok_or_else(|| format!("${{{inner}}} is no policy variable"))?);
                rest = after;
                continue;
            }
            rest = &rest[c.len_utf8()..];
            match (c, pieces.last_mut()) {
                ('*', _) => pieces.push(Part::Any),
                ('?', _) => pieces.push(Part::One),
                (c, Some(Part::Text(text))) => text.push(c),
                (c, _) => pieces.push(Part::Text(c.to_string())),
            }
        }
        Ok(Self(pieces))
    }

    /// Whether it is a single `*`.
    pub fn is_any(&self) -> bool {
        self.0 == [Part::Any]
    }

    /// The text, where it has neither wildcards nor variables.
    pub fn as_text(&self) -> Option<&str> {
        match &self.0[..] {
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text without wildcards and variables: something that it may match.
    pub fn without_wildcards(&self) -> String {
        let text = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Any | Part::One | Part::Variable { .. } => String::new(),
        };
        self.0.iter().map(text).collect()
    }

    /// Keys of its variables, in lower case.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Part::Variable { key, .. } => Some(key.as_str()),
            Part::Text(_) | Part::Any | Part::One => None,
        })
    }

    /// Fills in the variables.
    pub fn resolve(&self, context: &Context) -> Resolved {
        let mut tokens = Vec::new();
        for piece in &self.0 {
            match piece {
                Part::Text(text) => tokens.extend(text.chars().map(Token::Is)),
                Part::Any => tokens.push(Token::Any),
                Part::One => tokens.push(Token::One),
                Part::Variable { key, default } => match (context.get(key), default) {
                    (Fact::Values([value]), _) => tokens.extend(value.chars().map(Token::Is)),
                    (Fact::Values(_), _) => return Resolved::Unknown(format!("{key} has several values").into()),
                    (Fact::Absent, Some(default)) => tokens.extend(default.chars().map(Token::Is)),
                    (Fact::Absent, None) => return Resolved::Missing,
                    (Fact::Unknown(why), _) => return Resolved::Unknown(Arc::clone(why)),
                },
            }
        }
        Resolved::Tokens(tokens)
    }
}

/// Splits behind `${` into what is inside and what follows the `}`. A `}` inside a quoted default value does not end it.
fn split_variable(text: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            '}' if !quoted => return Some((&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    None
}

fn variable(inner: &str) -> Option<Part> {
    if let "*" | "?" | "$" = inner {
        return Some(Part::Text(inner.to_owned()));
    }
    let (key, default) = match inner.split_once(',') {
        Some((key, default)) => (key, Some(default.trim().strip_prefix('\'')?.strip_suffix('\'')?.to_owned())),
        None => (inner, None),
    };
    let key = key.trim().to_lowercase();
    (key.contains(':') && !key.contains("${")).then_some(Part::Variable { key, default })
}

/// The text of tokens, wildcards as the characters that they are written with.
pub fn text_of(tokens: &[Token]) -> String {
    tokens.iter().map(|token| literal(*token)).collect()
}

/// A token where wildcards mean nothing.
pub fn literal(token: Token) -> char {
    match token {
        Token::Is(c) => c,
        Token::Any => '*',
        Token::One => '?',
    }
}

/// Whether `text` matches `tokens`.
pub fn matches(tokens: &[Token], text: &[char]) -> bool {
    glob::matches_pieces(tokens, text, |token| *token, |_| 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_match(template: &str, with_variables: bool, tag: Option<&str>, text: &str) -> bool {
        let mut context = Context::complete();
        if let Some(tag) = tag {
            context.set("aws:PrincipalTag/dept", tag);
        }
        let template = Template::parse(template, with_variables).expect("a template");
        match template.resolve(&context) {
            Resolved::Tokens(tokens) => matches(&tokens, &text.chars().collect::<Vec<_>>()),
            Resolved::Missing | Resolved::Unknown(_) => false,
        }
    }

    #[test]
    fn variables_are_filled_in_as_text() {
        let own = "m/${aws:PrincipalTag/dept}-*";
        assert!(is_match(own, true, Some("legal"), "m/legal-1"));
        assert!(!is_match(own, true, Some("*"), "m/legal-1"));
        assert!(is_match(own, true, Some("*"), "m/*-1"));
        assert!(!is_match(own, true, Some("${aws:PrincipalTag/dept}"), "m/legal-1"));
        assert!(!is_match(own, true, None, "m/-1"));
        assert!(is_match(own, false, Some("legal"), "m/${aws:PrincipalTag/dept}-1"));
        assert!(is_match("m/${aws:principaltag/DEPT, 'all'}", true, None, "m/all"));
        assert!(is_match("m/${aws:PrincipalTag/dept, 'a}b'}", true, None, "m/a}b"));
        assert!(is_match("${*}?${$}", true, None, "*x$"));
        assert!(!is_match("${*}", true, None, "x"));
    }

    #[test]
    fn what_is_no_variable_is_an_error() {
        for text in ["${", "a${aws:username", "${}", "${user}", "${aws:username,x}", "${aws:a${b}}"] {
            assert!(Template::parse(text, true).is_err(), "{text}");
            assert!(Template::parse(text, false).is_ok(), "{text}");
        }
    }
}
