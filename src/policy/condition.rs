//! One line of a `Condition` block: an operator, a key and the values that are listed for it.
//!
//! Source: "IAM JSON policy elements: Condition" and "Set operators for multivalued context keys" in the IAM User
//! Guide. Listed values are an OR; with a negated operator they are a NOR.

use super::context::{Context, Fact};
use super::operator::{Kind, Operator, Quantifier, boolean};
use super::template::{Resolved, Template, text_of};
use super::truth::Truth;

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// How values are compared.
    pub operator: Operator,
    /// The context key, in lower case.
    pub key: String,
    /// The values that are listed.
    pub values: Vec<Template>,
}

impl Condition {
    /// Whether it holds for a request.
    ///
    /// | | key absent |
    /// |---|---|
    /// | `Null: true` | holds |
    /// | `…IfExists`, `ForAllValues:` | holds |
    /// | negated, without `ForAnyValue:` | holds |
    /// | the rest | does not hold |
    pub fn holds(&self, context: &Context) -> Truth {
        let Operator { kind, is_negated, if_exists, quantifier } = self.operator;
        if kind == Kind::Null {
            return self.null(context);
        }
        let values = match context.get(&self.key) {
            Fact::Unknown(why) => return Truth::Unknown(std::sync::Arc::clone(why)),
            Fact::Absent => {
                let by_default = quantifier == Some(Quantifier::All) || (is_negated && quantifier != Some(Quantifier::Any));
                return (if_exists || by_default).into();
            }
            Fact::Values(values) => values,
        };
        if quantifier.is_some() && values.iter().all(String::is_empty) {
            // "… or if the key values resolve to a null data set, such as an empty string."
            return (quantifier == Some(Quantifier::All)).into();
        }
        match (quantifier, values) {
            (Some(Quantifier::All), values) => Truth::all(values.iter().map(|value| self.takes(value, context))),
            (Some(Quantifier::Any), values) => Truth::any(values.iter().map(|value| self.takes(value, context))),
            (None, [value]) => self.takes(value, context),
            (None, _) => Truth::unknown(format!("{} has several values and the operator is for one", self.key)),
        }
    }

    /// Whether one value of the request satisfies the condition.
    fn takes(&self, value: &str, context: &Context) -> Truth {
        let listed = self.values.iter().map(|template| match template.resolve(context) {
            Resolved::Tokens(wanted) => self.operator.kind.compare(&wanted, value),
            Resolved::Missing => Truth::No,
            Resolved::Unknown(why) => Truth::Unknown(why),
        });
        Truth::any(listed).negated_if(self.operator.is_negated)
    }

    fn null(&self, context: &Context) -> Truth {
        let is_absent = match context.get(&self.key) {
            Fact::Absent => true,
            Fact::Values(_) => false,
            Fact::Unknown(why) => return Truth::Unknown(std::sync::Arc::clone(why)),
        };
        Truth::any(self.values.iter().map(|template| match template.resolve(context) {
            Resolved::Tokens(wanted) => match boolean(&text_of(&wanted)) {
                Some(wanted) => (wanted == is_absent).into(),
                None => Truth::unknown("Null takes true or false"),
            },
            Resolved::Missing => Truth::No,
            Resolved::Unknown(why) => Truth::Unknown(why),
        }))
    }

    /// Context keys that the condition reads, in lower case.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.key.as_str()).chain(self.values.iter().flat_map(Template::keys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(operator: &str, listed: &[&str], values: Option<&[&str]>) -> Truth {
        let condition = Condition {
            operator: operator.parse().expect("an operator"),
            key: "aws:tagkeys".to_owned(),
            values: listed.iter().map(|text| Template::parse(text, true).expect("a template")).collect(),
        };
        let mut context = Context::complete();
        if let Some(values) = values {
            context.set_all("aws:TagKeys", values.iter().map(|v| (*v).to_owned()).collect());
        }
        condition.holds(&context)
    }

    #[test]
    fn absent_keys() {
        for (operator, expected) in [
            ("StringEquals", false),
            ("StringEqualsIfExists", true),
            ("StringNotEquals", true),
            ("StringNotEqualsIfExists", true),
            ("ForAllValues:StringEquals", true),
            ("ForAllValues:StringNotEquals", true),
            ("ForAnyValue:StringEquals", false),
            ("ForAnyValue:StringNotEquals", false),
            ("ForAnyValue:StringEqualsIfExists", true),
        ] {
            assert_eq!(holds(operator, &["x"], None), Truth::from(expected), "{operator}");
        }
        assert_eq!((holds("Null", &["true"], None), holds("Null", &["false"], None)), (Truth::Yes, Truth::No));
        assert_eq!((holds("Null", &["true"], Some(&["a"])), holds("Null", &["false"], Some(&["a"]))), (Truth::No, Truth::Yes));
    }

    #[test]
    fn several_values() {
        let both: Option<&[&str]> = Some(&["a", "b"]);
        for (operator, listed, expected) in [
            ("ForAllValues:StringEquals", &["a", "b", "c"][..], true),
            ("ForAllValues:StringEquals", &["a"], false),
            ("ForAnyValue:StringEquals", &["a"], true),
            ("ForAnyValue:StringEquals", &["z"], false),
            ("ForAnyValue:StringNotEquals", &["a"], true),
            ("ForAnyValue:StringNotEquals", &["a", "b"], false),
            ("ForAllValues:StringNotEquals", &["c"], true),
            ("ForAllValues:StringNotEquals", &["a", "c"], false),
        ] {
            assert_eq!(holds(operator, listed, both), Truth::from(expected), "{operator} {listed:?}");
        }
        assert!(matches!(holds("StringEquals", &["a"], both), Truth::Unknown(_)));
        assert_eq!(holds("StringNotEquals", &["a", "b"], Some(&["b"])), Truth::No);
        assert_eq!(holds("StringNotEquals", &["a", "c"], Some(&["b"])), Truth::Yes);
    }
}
