//! A policy document: the JSON that is attached to a role, read with the line of everything that is wrong in it.
//!
//! Source: "Grammar of the IAM JSON policy language" in the IAM User Guide. What `aws iam get-role-policy` and
//! `aws iam get-policy-version` print around a document is taken off.
//!
//! **Invariant:** a document is never read as saying less than it says. What is not understood makes its statement
//! unclear, and an unclear statement makes a verdict Unknown.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use jsonc_parser::ast::{Object, ObjectProp, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde::de::IgnoredAny;

use super::condition::Condition;
use super::operator::{Kind, Operator};
use super::statement::{Effect, Listed, Statement};
use super::template::Template;

/// Largest document that is read, in bytes. IAM's own limit is 6,144 characters for a managed policy, an SCP may have
/// 5,120; a role has at most a few dozen.
const BYTES_MAX: usize = 1 << 20;

/// Something that a document says and nobody understands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Notice {
    /// The document's name: its file.
    pub document: Arc<str>,
    /// Line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub cure: String,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.document, self.line, self.what, self.cure)
    }
}

/// A document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its name: its file.
    pub name: Arc<str>,
    /// Its statements, in order.
    pub statements: Vec<Statement>,
    /// What was not understood.
    pub notices: Vec<Notice>,
}

impl Document {
    /// Reads the JSON `text` of the document `name`.
    ///
    /// # Errors
    /// Text that is no JSON or no policy at all. What is only partly understood is no error but a notice, and gives the
    /// verdict Unknown where it could decide.
    pub fn parse(name: &str, text: &str) -> Result<Self, Notice> {
        let mut reader = Reader { name: name.into(), text, with_variables: false, unclear: None, notices: Vec::new() };
        if text.len() > BYTES_MAX {
            return Err(reader.notice(0, "is larger than 1 MiB", "split it"));
        }
        let parsed = parse_to_ast(text.trim_start_matches('\u{feff}'), &CollectOptions::default(), &STRICT);
        let parsed = parsed.map_err(|error| reader.notice(error.range().start, format!("is no JSON: {}", error.kind()), "correct it"))?;
        let root = parsed.value.as_ref().and_then(Value::as_object).map(unwrapped);
        let Some(root) = root else {
            return Err(reader.notice(0, "is no JSON object", "give a policy document with Version and Statement"));
        };
        // The parser that knows places lets more pass than JSON has, such as line breaks in texts. IAM does not.
        if let Err(error) = serde_json::from_str::<IgnoredAny>(text.trim_start_matches('\u{feff}')) {
            let line = error.line().max(1);
            return Err(Notice { line, ..reader.notice(0, format!("is no JSON: {error}"), "correct it") });
        }
        let statements = reader.document(root)?;
        Ok(Self { name: reader.name, statements, notices: reader.notices })
    }

    /// Context keys that it reads, in lower case.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.statements.iter().flat_map(Statement::keys)
    }
}

const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// The document inside what the AWS CLI prints.
fn unwrapped<'o, 'a>(root: &'o Object<'a>) -> &'o Object<'a> {
    let inner = match root.get_object("PolicyVersion") {
        Some(version) => version.get_object("Document"),
        None => root.get_object("PolicyDocument"),
    };
    inner.filter(|_| root.get("Statement").is_none()).unwrap_or(root)
}

/// "If you specify an incomplete ARN (one with fewer than the standard six fields), AWS completes it by adding wildcard
/// characters to all missing fields" ("IAM JSON policy elements: Resource").
fn completed(text: &str) -> String {
    let missing = if text.starts_with("arn:") { 6_usize.saturating_sub(text.split(':').count()) } else { 0 };
    format!("{text}{}", ":*".repeat(missing))
}

struct Reader<'t> {
    name: Arc<str>,
    text: &'t str,
    with_variables: bool,
    /// What in the whole document is unclear.
    unclear: Option<Arc<str>>,
    notices: Vec<Notice>,
}

impl Reader<'_> {
    fn line(&self, at: usize) -> usize {
        self.text.as_bytes().iter().take(at).filter(|b| **b == b'\n').count() + 1
    }

    fn notice(&self, at: usize, what: impl Into<String>, cure: impl Into<String>) -> Notice {
        Notice { document: Arc::clone(&self.name), line: self.line(at), what: what.into(), cure: cure.into() }
    }

    /// Notes what is not understood, and gives the reason that the statement then is unclear for.
    fn unclear(&mut self, at: usize, what: impl Into<String>, cure: impl Into<String>) -> Arc<str> {
        let notice = self.notice(at, what, cure);
        let why = format!("{}:{}: {}", notice.document, notice.line, notice.what).into();
        self.notices.push(notice);
        why
    }

    fn document(&mut self, root: &Object<'_>) -> Result<Vec<Statement>, Notice> {
        let mut found = None;
        for property in &root.properties {
            match property.name.as_str() {
                "Version" => self.version(property),
                "Statement" if found.is_none() => found = Some(&property.value),
                "Id" => {}
                other => {
                    let what = format!("\"{other}\" is no element of a policy document, or written twice");
                    self.unclear = Some(self.unclear(property.range.start, what, "remove it"));
                }
            }
        }
        let objects: Vec<&Value<'_>> = match found {
            Some(Value::Array(list)) => list.elements.iter().collect(),
            Some(one @ Value::Object(_)) => vec![one],
            _ => return Err(self.notice(root.range.start, "has no Statement", "give a policy document with Version and Statement")),
        };
        let mut statements = Vec::with_capacity(objects.len());
        for (index, value) in objects.into_iter().enumerate() {
            let Some(object) = value.as_object() else {
                return Err(self.notice(value.start(), "a statement is no JSON object", "correct it"));
            };
            statements.push(self.statement(index, object));
        }
        Ok(statements)
    }

    fn version(&mut self, property: &ObjectProp<'_>) {
        match property.value.as_string_lit().map(|text| &*text.value) {
            Some("2012-10-17") => self.with_variables = true,
            Some("2008-10-17") => {}
            _ => {
                let why = self.unclear(property.range.start, "an unknown Version", "write \"2012-10-17\"");
                self.unclear = Some(why);
            }
        }
    }

    /// Notes what makes a statement unclear as a whole: it may then be about anything, and either way.
    fn spoil(statement: &mut Statement) {
        statement.effect = Effect::Unclear;
        statement.actions = Listed::Only(vec!["*".to_owned()]);
        statement.resources = Listed::AllBut(Vec::new());
        statement.conditions.clear();
    }

    fn statement(&mut self, index: usize, object: &Object<'_>) -> Statement {
        let sid = object.get_string("Sid").map(|sid| sid.value.clone().into_owned()).filter(|sid| !sid.is_empty());
        let mut unclear = self.unclear.clone();
        let mut statement = Statement {
            id: format!("{}#{}", self.name, sid.unwrap_or_else(|| (index + 1).to_string())).into(),
            line: self.line(object.range.start),
            effect: Effect::Unclear,
            actions: Listed::Only(vec!["*".to_owned()]),
            resources: Listed::Only(Vec::new()),
            conditions: Vec::new(),
            unclear: None,
        };
        let (mut seen, mut is_spoiled) = (HashSet::new(), self.unclear.is_some());
        for property in &object.properties {
            let name = property.name.as_str();
            // Action and NotAction exclude each other, and nothing may come twice.
            if !seen.insert(name.strip_prefix("Not").unwrap_or(name)) {
                unclear = Some(self.unclear(property.range.start, format!("{name} after {name} or its opposite"), "keep one of the two"));
                is_spoiled = true;
                continue;
            }
            if let Err(why) = self.element(name, property, &mut statement) {
                unclear = Some(why);
            }
        }
        for (element, cure) in [("Effect", "write Allow or Deny"), ("Action", "list actions"), ("Resource", "list resources, or \"*\"")] {
            if !seen.contains(element) {
                unclear = Some(self.unclear(object.range.start, format!("a statement without {element}"), cure));
                if element == "Resource" {
                    statement.resources = Listed::AllBut(Vec::new());
                }
            }
        }
        statement.unclear = unclear;
        if is_spoiled {
            Self::spoil(&mut statement);
        }
        statement
    }

    fn element(&mut self, name: &str, property: &ObjectProp<'_>, statement: &mut Statement) -> Result<(), Arc<str>> {
        let (at, value) = (property.range.start, &property.value);
        match name {
            "Sid" if value.as_string_lit().is_some() => {}
            "Effect" => match value.as_string_lit().map(|text| &*text.value) {
                Some("Allow") => statement.effect = Effect::Allow,
                Some("Deny") => statement.effect = Effect::Deny,
                _ => return Err(self.unclear(at, "an Effect that is neither Allow nor Deny", "write Allow or Deny, with this case")),
            },
            "Action" | "NotAction" => {
                let texts = self.texts(at, name, value)?;
                if let Some(odd) = texts.iter().find(|text| *text != "*" && !text.contains(':')) {
                    return Err(self.unclear(at, format!("\"{odd}\" is no action"), "write service:Action"));
                }
                let listed = texts.iter().map(|text| text.to_lowercase()).collect();
                statement.actions = if name == "Action" { Listed::Only(listed) } else { Listed::AllBut(listed) };
            }
            "Resource" | "NotResource" => {
                // Until it is read: every resource, so that the statement is unclear for all of them.
                statement.resources = Listed::AllBut(Vec::new());
                let mut listed = Vec::new();
                for text in self.texts(at, name, value)? {
                    listed.push(self.template(at, &completed(&text))?);
                }
                statement.resources = if name == "Resource" { Listed::Only(listed) } else { Listed::AllBut(listed) };
            }
            "Condition" => return self.conditions(property, statement),
            "Principal" | "NotPrincipal" => {
                return Err(self.unclear(at, format!("{name} belongs into resource and trust policies"), "give the policies of the role"));
            }
            _ => return Err(self.unclear(at, format!("\"{name}\" is no element of a statement"), "remove or correct it")),
        }
        Ok(())
    }

    /// A text or a list of texts; numbers and booleans as their text.
    fn texts(&mut self, at: usize, name: &str, value: &Value<'_>) -> Result<Vec<String>, Arc<str>> {
        let one = |value: &Value<'_>| match value {
            Value::StringLit(text) => Some(text.value.clone().into_owned()),
            Value::NumberLit(number) => Some(number.value.to_owned()),
            Value::BooleanLit(boolean) => Some(boolean.value.to_string()),
            Value::Object(_) | Value::Array(_) | Value::NullKeyword(_) => None,
        };
        let texts = match value.as_array() {
            Some(list) => list.elements.iter().map(one).collect(),
            None => one(value).map(|text| vec![text]),
        };
        let texts = texts.ok_or_else(|| self.unclear(at, format!("{name} is neither a text nor a list of texts"), "correct it"))?;
        if texts.is_empty() {
            return Err(self.unclear(at, format!("{name} lists nothing"), "list something, or remove it"));
        }
        Ok(texts)
    }

    fn template(&mut self, at: usize, text: &str) -> Result<Template, Arc<str>> {
        Template::parse(text, self.with_variables).map_err(|what| self.unclear(at, what, "correct the variable"))
    }

    fn conditions(&mut self, property: &ObjectProp<'_>, statement: &mut Statement) -> Result<(), Arc<str>> {
        let Some(block) = property.value.as_object() else {
            return Err(self.unclear(property.range.start, "Condition is no JSON object", "write {operator: {key: values}}"));
        };
        let (mut result, mut seen) = (Ok(()), HashSet::new());
        for operator in &block.properties {
            let read = if seen.insert(operator.name.as_str()) {
                self.condition_keys(operator, statement)
            } else {
                Err(self.unclear(operator.range.start, format!("{} comes twice", operator.name.as_str()), "join the two"))
            };
            result = result.and(read);
        }
        result
    }

    fn condition_keys(&mut self, property: &ObjectProp<'_>, statement: &mut Statement) -> Result<(), Arc<str>> {
        let (at, name) = (property.range.start, property.name.as_str());
        let Ok(operator) = name.parse::<Operator>() else {
            let cure =
                Operator::suggestion(name).map_or_else(|| "use an operator of IAM's".to_owned(), |name| format!("did you mean {name}?"));
            return Err(self.unclear(at, format!("unknown condition operator \"{name}\""), cure));
        };
        let Some(keys) = property.value.as_object() else {
            return Err(self.unclear(at, format!("{name} is no JSON object"), "write {key: values}"));
        };
        let (mut result, mut seen) = (Ok(()), HashSet::new());
        for key in &keys.properties {
            let key_name = key.name.as_str().to_lowercase();
            if !seen.insert(key_name.clone()) {
                let what = format!("{} comes twice under {name}; keys are compared without case", key.name.as_str());
                result = Err(self.unclear(key.range.start, what, "join the two"));
                continue;
            }
            match self.condition(operator, key, key_name) {
                Ok(condition) => statement.conditions.push(condition),
                Err(why) => result = Err(why),
            }
        }
        result
    }

    fn condition(&mut self, operator: Operator, property: &ObjectProp<'_>, key: String) -> Result<Condition, Arc<str>> {
        let at = property.range.start;
        let mut values = Vec::new();
        for text in self.texts(at, property.name.as_str(), &property.value)? {
            let template = self.template(at, &text)?;
            if template.keys().next().is_none() && !operator.kind.takes(&text) {
                let kind = match operator.kind {
                    Kind::Numeric(_) => "a number",
                    Kind::Date(_) => "a time such as 2026-06-01T00:00:00Z",
                    Kind::Ip => "an address or a range such as 10.0.0.0/8",
                    Kind::Null | Kind::Bool | Kind::Exact | Kind::IgnoreCase | Kind::Like | Kind::Arn => "true or false",
                };
                return Err(self.unclear(at, format!("\"{text}\" is not {kind}"), format!("write {kind}")));
            }
            values.push(template);
        }
        Ok(Condition { operator, key, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Document {
        Document::parse("p.json", text).expect("a document")
    }

    #[test]
    fn mistakes_have_their_line() {
        let document = read(
            "{\"Version\":\"2012-10-17\",\n\"Statement\":{\"Effect\":\"allow\",\n\"Action\":\"bedrock:*\",\"Resource\":\"*\",\n\
             \"Condition\":{\"StringEqualz\":{\"a:b\":\"x\"},\n\"Bool\":{\"aws:SecureTransport\":\"yes\"}}}}",
        );
        let told: Vec<String> = document.notices.iter().map(Notice::to_string).collect();
        assert_eq!(
            told,
            [
                "p.json:2: an Effect that is neither Allow nor Deny; write Allow or Deny, with this case",
                "p.json:4: unknown condition operator \"StringEqualz\"; did you mean StringEquals?",
                "p.json:5: \"yes\" is not true or false; write true or false",
            ]
        );
        assert!(document.statements[0].unclear.is_some());
    }

    #[test]
    fn broken_documents() {
        for (text, what) in [
            ("", "no JSON object"),
            ("{\n,", "no JSON"),
            ("[]", "no JSON object"),
            ("{}", "no Statement"),
            ("{\"Statement\":[1]}", "statement is no JSON"),
            ("{\"Statement\":[],}", "no JSON"),
            ("// x\n{\"Statement\":[]}", "no JSON"),
            ("{\"Statement\":{\"Sid\":\"a\tb\"}}", "no JSON"),
        ] {
            let notice = Document::parse("p.json", text).expect_err(text);
            assert!(notice.what.contains(what), "{text}: {notice}");
        }
        assert!(Document::parse("p", &"[".repeat(100_000)).is_err());
        assert!(Document::parse("p", &" ".repeat(2 << 20)).is_err());
    }

    #[test]
    fn every_oddity_makes_its_statement_unclear() {
        for element in [
            "\"Resource\":\"*\",\"NotResource\":\"*\"",
            "\"Resource\":\"*\",\"Resource\":\"*\"",
            "\"Resource\":{}",
            "\"Resource\":[1,{}]",
            "\"Resource\":\"${\"",
            "\"Resource\":\"*\",\"Principal\":\"*\"",
            "\"Resource\":\"*\",\"Conditions\":{}",
            "\"Resource\":\"*\",\"Condition\":[]",
            "\"Resource\":\"*\",\"Condition\":{\"StringEquals\":\"x\"}",
            "\"Resource\":\"*\",\"Condition\":{\"StringEquals\":{\"a:b\":{}}}",
            "\"Resource\":\"*\",\"Condition\":{\"StringEquals\":{\"a:b\":\"1\",\"A:B\":\"2\"}}",
            "\"Resource\":\"*\",\"Condition\":{\"Bool\":{},\"Bool\":{}}",
            "\"Resource\":\"*\",\"Effect\":\"Deny\"",
            "\"Resource\":\"*\",\"Action\":\"s3:*\"",
            "\"Resource\":[]",
            "\"Sid\":\"no resource\"",
        ] {
            let document = read(&format!(
                "{{\"Version\":\"2012-10-17\",\"Statement\":[{{\"Effect\":\"Allow\",\"Action\":\"bedrock:*\",{element}}}]}}"
            ));
            assert!(document.statements[0].unclear.is_some() && document.notices.len() == 1, "{element} {:?}", document.notices);
        }
    }

    #[test]
    fn what_the_aws_cli_prints_is_taken_off() {
        let inner = "{\"Version\":\"2012-10-17\",\"Statement\":{\"Sid\":\"A\",\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"*\"}}";
        for text in
            [format!("{{\"RoleName\":\"r\",\"PolicyDocument\":{inner}}}"), format!("{{\"PolicyVersion\":{{\"Document\":{inner}}}}}")]
        {
            assert_eq!(&*read(&text).statements[0].id, "p.json#A");
        }
    }
}
