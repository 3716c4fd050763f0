//! What a rule comes to by the fields alone that are taken out of every record: yes, no, or that it must be asked.
//!
//! A rule's condition is kept a second time as a tree over tests of such fields. Its leaves are answered with certainty or
//! not at all, so that what the tree says is what the rule would say; most rules are ruled out so, without a look at the
//! JSON.

use std::collections::HashMap;

use rsigma_parser::{
    ConditionExpr, Detection, DetectionItem, Modifier, Quantifier, SelectorPattern, SigmaRule, SigmaValue, detection_name_matches,
};

use super::event::{OWN, Typed};
use crate::cloudtrail::CloudTrailEvent;

/// An answer of three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It matches.
    Yes,
    /// It does not.
    No,
    /// Only the rule itself knows.
    Ask,
}

/// How a text is compared, always without case.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Is(Box<str>),
    Begins(Box<str>),
    Ends(Box<str>),
    Holds(Box<str>),
}

impl Pattern {
    /// `text` is ASCII.
    fn fits(&self, text: &str) -> bool {
        let text = text.as_bytes();
        match self {
            Self::Is(wanted) => text.len() == wanted.len() && is_same(text, wanted),
            Self::Begins(wanted) => text.get(..wanted.len()).is_some_and(|start| is_same(start, wanted)),
            Self::Ends(wanted) => text.len().checked_sub(wanted.len()).is_some_and(|from| is_same(&text[from..], wanted)),
            Self::Holds(wanted) => {
                let first = wanted.as_bytes().first().copied().unwrap_or_default();
                memchr::memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), text)
                    .any(|at| text.get(at..at + wanted.len()).is_some_and(|part| is_same(part, wanted)))
            }
        }
    }
}

/// Whether two texts of one length are the same but for case. Most differ at once, or are the same to the letter.
fn is_same(text: &[u8], wanted: &str) -> bool {
    let wanted = wanted.as_bytes();
    let differs_at_once = text.first().zip(wanted.first()).is_some_and(|(a, b)| (a ^ b) & !0x20 != 0);
    !differs_at_once && (text == wanted || text.eq_ignore_ascii_case(wanted))
}

/// A test of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    /// Whether it is there.
    Exists(bool),
    /// Whether it is one of these.
    OneOf(Vec<Pattern>),
    /// Whether it is the same as another.
    Same(Typed),
    /// Anything else that only a field can pass that is there.
    Other,
}

/// A field and its test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Atom {
    field: Typed,
    test: Test,
}

impl Atom {
    fn of(item: &DetectionItem) -> Option<Self> {
        let name = item.field.name.as_deref()?;
        // There is no refusal without an error code.
        let field = Typed::of(if name == "geophone.denial.kind" { "errorCode" } else { name })?;
        let is_own = name.starts_with(OWN);
        let test = match (item.field.modifiers.as_slice(), item.values.as_slice()) {
            ([Modifier::Exists], [SigmaValue::Bool(wanted)]) if !is_own => Test::Exists(*wanted),
            ([Modifier::FieldRef], [SigmaValue::String(other)]) => other.as_plain().and_then(|path| Typed::of(&path)).map(Test::Same)?,
            (modifiers, values) if !is_own => patterns(modifiers, values).map_or(Test::Other, Test::OneOf),
            _ => Test::Other,
        };
        // Whether nothing is something else than null is for the rule to say.
        let asks_nothing =
            test == Test::Other && (item.values.contains(&SigmaValue::Null) || item.field.modifiers.contains(&Modifier::Exists));
        (!asks_nothing).then_some(Self { field, test })
    }

    /// The answer where the field is not surely absent.
    fn answer(&self, event: &CloudTrailEvent<'_>) -> Answer {
        let Some(text) = self.field.value(event) else { return Answer::Ask };
        match &self.test {
            Test::Exists(wanted) => Answer::from(*wanted),
            Test::OneOf(patterns) if text.is_ascii() => Answer::from(patterns.iter().any(|pattern| pattern.fits(text))),
            Test::Same(other) => match other.value(event) {
                Some(other) if text.is_ascii() && other.is_ascii() => Answer::from(text.eq_ignore_ascii_case(other)),
                _ => Answer::Ask,
            },
            Test::OneOf(_) | Test::Other => Answer::Ask,
        }
    }

    /// The answer where the field is known to be `text`.
    fn answer_for(&self, text: &str) -> Answer {
        match &self.test {
            Test::Exists(wanted) => Answer::from(*wanted),
            Test::OneOf(patterns) => Answer::from(patterns.iter().any(|pattern| pattern.fits(text))),
            Test::Same(_) | Test::Other => Answer::Ask,
        }
    }
}

/// The texts that one of these values is; `None` where they are compared in another way.
fn patterns(modifiers: &[Modifier], values: &[SigmaValue]) -> Option<Vec<Pattern>> {
    let make: fn(Box<str>) -> Pattern = match modifiers {
        [] => Pattern::Is,
        [Modifier::StartsWith] => Pattern::Begins,
        [Modifier::EndsWith] => Pattern::Ends,
        [Modifier::Contains] => Pattern::Holds,
        _ => return None,
    };
    let pattern = |value: &SigmaValue| {
        let SigmaValue::String(text) = value else { return None };
        text.as_plain().filter(|text| !text.is_empty() && text.is_ascii()).map(|text| make(text.into()))
    };
    let patterns: Option<Vec<Pattern>> = values.iter().map(pattern).collect();
    patterns.filter(|patterns| !patterns.is_empty())
}

impl From<bool> for Answer {
    fn from(truth: bool) -> Self {
        if truth { Self::Yes } else { Self::No }
    }
}

impl Answer {
    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Ask => Self::Ask,
        }
    }
}

/// A condition over atoms.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree<A> {
    /// An answer that needs no event.
    Known(Answer),
    /// A test.
    Atom(A),
    /// All of them.
    All(Vec<Tree<A>>),
    /// One of them.
    Any(Vec<Tree<A>>),
    /// Not this.
    Not(Box<Tree<A>>),
}

impl<A> Tree<A> {
    fn answer(&self, of: &mut impl FnMut(&A) -> Answer) -> Answer {
        match self {
            Self::Known(answer) => *answer,
            Self::Atom(atom) => of(atom),
            Self::All(parts) => until(parts, Answer::No, of),
            Self::Any(parts) => until(parts, Answer::Yes, of),
            Self::Not(part) => part.answer(of).not(),
        }
    }

    /// The same tree with other atoms, and without what is known already.
    fn map<B>(&self, of: &mut impl FnMut(&A) -> Tree<B>) -> Tree<B> {
        match self {
            Self::Known(answer) => Tree::Known(*answer),
            Self::Atom(atom) => of(atom),
            Self::All(parts) => Tree::join(parts.iter().map(|part| part.map(of)).collect(), Answer::No, Tree::All),
            Self::Any(parts) => Tree::join(parts.iter().map(|part| part.map(of)).collect(), Answer::Yes, Tree::Any),
            Self::Not(part) => {
                let part = part.map(of);
                if let Tree::Known(answer) = part { Tree::Known(answer.not()) } else { Tree::Not(Box::new(part)) }
            }
        }
    }

    /// Parts of which one `deciding` answer decides all.
    fn join(mut parts: Vec<Self>, deciding: Answer, make: fn(Vec<Self>) -> Self) -> Self {
        let is = |answer: Answer| move |part: &Self| matches!(part, Self::Known(known) if *known == answer);
        if parts.iter().any(is(deciding)) {
            return Self::Known(deciding);
        }
        parts.retain(|part| !is(deciding.not())(part));
        if parts.iter().all(is(Answer::Ask)) {
            return Self::Known(if parts.is_empty() { deciding.not() } else { Answer::Ask });
        }
        // All within all, and one within one, are no levels of their own.
        let flat = parts.into_iter().flat_map(|part| match part {
            Self::All(inner) if deciding == Answer::No => inner,
            Self::Any(inner) if deciding == Answer::Yes => inner,
            part @ (Self::Known(_) | Self::Atom(_) | Self::All(_) | Self::Any(_) | Self::Not(_)) => vec![part],
        });
        let mut parts: Vec<Self> = flat.collect();
        if parts.len() == 1 { parts.remove(0) } else { make(parts) }
    }
}

/// The first answer that decides; else whether all are known.
fn until<A>(parts: &[Tree<A>], deciding: Answer, of: &mut impl FnMut(&A) -> Answer) -> Answer {
    let mut all = deciding.not();
    for part in parts {
        match part.answer(of) {
            answer if answer == deciding => return deciding,
            Answer::Ask => all = Answer::Ask,
            Answer::Yes | Answer::No => {}
        }
    }
    all
}

/// What a rule comes to.
pub fn tree_of(rule: &SigmaRule) -> Tree<Atom> {
    let detection = &rule.detection;
    // Several conditions are alternatives.
    Tree::Any(detection.conditions.iter().map(|condition| of_condition(condition, &detection.named)).collect())
}

fn of_condition(condition: &ConditionExpr, named: &HashMap<String, Detection>) -> Tree<Atom> {
    match condition {
        ConditionExpr::Identifier(name) => named.get(name).map_or(Tree::Known(Answer::Ask), of_detection),
        ConditionExpr::And(parts) => Tree::All(parts.iter().map(|part| of_condition(part, named)).collect()),
        ConditionExpr::Or(parts) => Tree::Any(parts.iter().map(|part| of_condition(part, named)).collect()),
        ConditionExpr::Not(part) => Tree::Not(Box::new(of_condition(part, named))),
        ConditionExpr::Selector { quantifier, pattern } => {
            let chosen: Vec<Tree<Atom>> =
                named.iter().filter(|(name, _)| selects(pattern, name)).map(|(_, detection)| of_detection(detection)).collect();
            match quantifier {
                // Of nothing the rule itself knows what to say.
                _ if chosen.is_empty() => Tree::Known(Answer::Ask),
                Quantifier::All => Tree::All(chosen),
                Quantifier::Any => Tree::Any(chosen),
                Quantifier::Count(_) => Tree::Known(Answer::Ask),
            }
        }
    }
}

fn of_detection(detection: &Detection) -> Tree<Atom> {
    match detection {
        Detection::AllOf(items) => {
            Tree::All(items.iter().map(|item| Atom::of(item).map_or(Tree::Known(Answer::Ask), Tree::Atom)).collect())
        }
        Detection::And(parts) => Tree::All(parts.iter().map(of_detection).collect()),
        Detection::AnyOf(parts) => Tree::Any(parts.iter().map(of_detection).collect()),
        Detection::Keywords(_) | Detection::ArrayMatch { .. } | Detection::Conditional { .. } => Tree::Known(Answer::Ask),
    }
}

/// Whether a selector means the detection of this name.
pub fn selects(pattern: &SelectorPattern, name: &str) -> bool {
    match pattern {
        // Names with an underscore in front are left out of `them`.
        SelectorPattern::Them => !name.starts_with('_'),
        SelectorPattern::Pattern(pattern) => detection_name_matches(pattern, name),
    }
}

/// Most different tests of a sieve; what is beyond them is asked.
const ATOMS_MAX: usize = 64;

/// A rule as a conjunction: tests that must hold, tests that must not, and the rest.
#[derive(Debug)]
struct Row {
    number: u32,
    /// A bit a test.
    holding: u64,
    failing: u64,
    rest: Tree<u8>,
}

impl Tree<u8> {
    /// A single test, and whether it must hold.
    fn test(&self) -> Option<(u8, bool)> {
        match self {
            Self::Atom(place) => Some((*place, true)),
            Self::Not(inner) => inner.test().map(|(place, wanted)| (place, !wanted)),
            Self::Known(_) | Self::All(_) | Self::Any(_) => None,
        }
    }
}

/// Rules with what they come to, their tests shared: each is made once an event, and only if a rule wants it.
#[derive(Debug, Default)]
pub struct Sieve {
    atoms: Vec<Atom>,
    /// By field the tests, a bit each, that fail where it is absent.
    wanting: Vec<(Typed, u64)>,
    rows: Vec<Row>,
}

/// What is known of one event's tests: a bit each.
#[derive(Default)]
struct Made {
    made: u64,
    holds: u64,
    open: u64,
}

impl Sieve {
    /// Adds a rule. `known` are fields whose text every event has that comes here.
    pub fn add(&mut self, number: u32, tree: &Tree<Atom>, known: &[(Typed, &str)]) {
        let tree = tree.map(&mut |atom| match known.iter().find(|(field, _)| *field == atom.field) {
            Some((_, text)) => Tree::Known(atom.answer_for(text)),
            None => self.intern(atom),
        });
        if tree == Tree::Known(Answer::No) {
            return;
        }
        let (mut holding, mut failing, mut rest) = (0, 0, Vec::new());
        for part in if let Tree::All(parts) = tree { parts } else { vec![tree] } {
            match part.test() {
                Some((place, true)) => holding |= 1 << place,
                Some((place, false)) => failing |= 1 << place,
                None => rest.push(part),
            }
        }
        self.rows.push(Row { number, holding, failing, rest: Tree::join(rest, Answer::No, Tree::All) });
    }

    fn intern(&mut self, atom: &Atom) -> Tree<u8> {
        let place = self.atoms.iter().position(|known| known == atom).unwrap_or(self.atoms.len());
        if place >= ATOMS_MAX {
            return Tree::Known(Answer::Ask);
        }
        if place == self.atoms.len() {
            self.atoms.push(atom.clone());
            if atom.test != Test::Exists(false) {
                match self.wanting.iter_mut().find(|(field, _)| *field == atom.field) {
                    Some((_, tests)) => *tests |= 1 << place,
                    None => self.wanting.push((atom.field, 1 << place)),
                }
            }
        }
        Tree::Atom(place as u8)
    }

    fn make(&self, place: u8, event: &CloudTrailEvent<'_>, made: &mut Made) -> Answer {
        let bit = 1u64 << place;
        if made.made & bit == 0 {
            let atom = &self.atoms[usize::from(place)];
            made.made |= bit;
            if atom.field.is_surely_absent(event) {
                // What is absent fails all that is asked of it, but not to be there.
                made.made |= self.wanting(atom.field);
                made.holds |= if atom.test == Test::Exists(false) { bit } else { 0 };
            } else {
                match atom.answer(event) {
                    Answer::Yes => made.holds |= bit,
                    Answer::Ask => made.open |= bit,
                    Answer::No => {}
                }
            }
        }
        if made.open & bit != 0 { Answer::Ask } else { Answer::from(made.holds & bit != 0) }
    }

    /// Tests of a field that fail where it is absent.
    fn wanting(&self, field: Typed) -> u64 {
        self.wanting.iter().find(|(known, _)| *known == field).map_or(0, |(_, tests)| *tests)
    }

    /// Calls `each` with every rule that matches the event or must be asked about it.
    pub fn pass(&self, event: &CloudTrailEvent<'_>, mut each: impl FnMut(u32, Answer)) {
        let mut made = Made::default();
        for row in &self.rows {
            let answer = self.row(row, event, &mut made);
            if answer != Answer::No {
                each(row.number, answer);
            }
        }
    }

    fn row(&self, row: &Row, event: &CloudTrailEvent<'_>, made: &mut Made) -> Answer {
        let is_out = |made: &Made| (row.holding & made.made & !made.holds & !made.open) | (row.failing & made.holds) != 0;
        let wanted = row.holding | row.failing;
        loop {
            if is_out(made) {
                return Answer::No;
            }
            let missing = wanted & !made.made;
            if missing == 0 {
                break;
            }
            self.make(missing.trailing_zeros() as u8, event, made);
        }
        let rest = row.rest.answer(&mut |place: &u8| self.make(*place, event, made));
        if rest == Answer::Yes && wanted & made.open != 0 { Answer::Ask } else { rest }
    }
}
