//! Rulings, remembered. A company's calls repeat: the same session calls the same model in the same region thousands of
//! times, and the documents say the same each time.
//!
//! A principal is what the documents can tell apart: two sessions with equal tags (as far as any document reads them),
//! role and standing are one. A ruling is remembered by principal and by what the call asks for. Verdicts that read the
//! time, the source address or the user agent are not remembered. Another book is another memory.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::hashed::Seeded;

use super::evaluate::Policies;
use super::judge::{PolicyBook, Ruling, public_address};
use crate::bedrock::{Invocation, Model};
use crate::hashed::ByHash;
use crate::identity::{Attribution, Caller, CallerKind, Unknown};
use crate::observation::Call;

/// Most principals and rulings that are remembered; beyond it the memory starts afresh.
const PRINCIPALS_MAX: usize = 200_000;
const RULINGS_MAX: usize = 500_000;

/// Who calls, as far as the documents can tell.
#[derive(Debug)]
pub struct Principal {
    id: u64,
    policies: Option<Arc<Policies>>,
    is_volatile: bool,
}

/// What tells two principals apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Facts {
    department: Option<Arc<str>>,
    is_pending: bool,
    /// What only documents look at; nothing where there are none.
    documents: Option<DocumentFacts>,
}

/// What documents can tell apart besides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct DocumentFacts {
    kind: CallerKind,
    issuer: Arc<str>,
    account: Arc<str>,
    /// Tags known, session policy, machine, second factor.
    standing: [bool; 4],
    /// Values of keys that some document reads.
    others: Vec<Option<Arc<str>>>,
}

/// A remembered ruling with what it is about. Texts are compared by their address: the observer shares equal ones, and
/// this holds them, so that an address never comes to mean another text. Equal texts at two addresses cost one more
/// evaluation, and nothing else.
#[derive(Clone, Debug)]
struct Remembered {
    ruling: Arc<Ruling>,
    asked: Asked,
    /// What keeps the addresses from being used again.
    _texts: [Option<Arc<str>>; 5],
    _model: Option<Arc<Model>>,
}

/// What a call asks for, by address: principal, standing, name, model, resource, region, account, endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked([u64; 8]);

impl Asked {
    fn of(principal: u64, call: &Call, reads_endpoint: bool) -> Self {
        let invocation = &call.invocation;
        let endpoint = invocation.vpc_endpoint.as_ref().filter(|_| reads_endpoint);
        Self([
            principal,
            standing(invocation, reads_endpoint),
            address(&invocation.name),
            invocation.model.as_ref().map_or(0, |model| Arc::as_ptr(model) as u64),
            invocation.resource.as_ref().map_or(0, address),
            address(&invocation.region),
            address(&invocation.account),
            endpoint.map_or(0, address),
        ])
    }

    fn hash(&self) -> u64 {
        let mixed = self.0.iter().fold(0, |mixed: u64, part| (mixed.rotate_left(23) ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed ^ (mixed >> 32)
    }
}

/// Plane, kind of credential, outcome and kind of source, in one number.
fn standing(invocation: &Invocation, reads_endpoint: bool) -> u64 {
    let source = if reads_endpoint { 1 + u64::from(public_address(&invocation.source_ip).is_none()) } else { 0 };
    let flags = [invocation.with_bearer_token, invocation.outcome.is_answered(), invocation.is_model_asked];
    flags.into_iter().fold((invocation.operation.plane as u64) << 2 | source, |bits, flag| bits << 1 | u64::from(flag))
}

fn address(text: &Arc<str>) -> u64 {
    Arc::as_ptr(text).cast::<u8>() as u64
}

/// A book with the memory of its rulings.
#[derive(Debug)]
pub struct Rulings {
    book: Arc<PolicyBook>,
    /// Context keys that any document reads.
    keys: BTreeSet<String>,
    /// Keys of tags that any document reads.
    tag_keys: Vec<String>,
    reads_endpoint: bool,
    principals: HashMap<Facts, Arc<Principal>, Seeded>,
    next_principal: u64,
    /// By the hash of what is asked; another question of the same hash takes its place.
    rulings: ByHash<u64, Remembered>,
    nothing: Arc<Ruling>,
}

impl Rulings {
    /// No rulings yet.
    pub fn new(book: Arc<PolicyBook>) -> Self {
        let keys = book.attached().keys();
        Self {
            reads_endpoint: keys.contains("aws:sourcevpce") || keys.contains("aws:sourceip") || keys.contains("aws:sourcevpc"),
            tag_keys: keys.iter().filter_map(|key| key.strip_prefix("aws:principaltag/")).map(str::to_owned).collect(),
            book,
            keys,
            principals: HashMap::default(),
            next_principal: 0,
            rulings: HashMap::default(),
            nothing: Arc::default(),
        }
    }

    /// The book.
    pub const fn book(&self) -> &Arc<PolicyBook> {
        &self.book
    }

    /// The principal of a caller. Callers keep it as long as they are known.
    pub fn principal(&mut self, caller: &Caller, who: &Attribution) -> Arc<Principal> {
        let facts = self.facts(caller, who);
        if let Some(known) = self.principals.get(&facts) {
            return Arc::clone(known);
        }
        if self.principals.len() >= PRINCIPALS_MAX {
            self.principals.clear();
        }
        let policies = self.book.attached().of_role(&caller.issuer).map(Arc::new);
        let is_volatile = policies.as_deref().is_some_and(PolicyBook::is_volatile);
        self.next_principal += 1;
        let principal = Arc::new(Principal { id: self.next_principal, policies, is_volatile });
        self.principals.insert(facts, Arc::clone(&principal));
        principal
    }

    fn facts(&self, caller: &Caller, who: &Attribution) -> Facts {
        let documents = (!self.book.attached().is_empty()).then(|| self.document_facts(caller, who));
        let is_pending = who.department.unknown() == Some(Unknown::Pending);
        Facts { department: who.department.name().cloned(), is_pending, documents }
    }

    fn document_facts(&self, caller: &Caller, who: &Attribution) -> DocumentFacts {
        let (session, reads) = (&who.session, |key: &str| self.keys.contains(key));
        let mut others = vec![
            caller.source_identity.clone().filter(|_| reads("aws:sourceidentity")),
            session.issued.filter(|_| reads("aws:tokenissuetime")).map(|issued| issued.to_string().into()),
            caller.invoked_by.clone().filter(|_| reads("aws:viaawsservice") || reads("aws:calledvia")),
        ];
        for key in &self.tag_keys {
            others.push(session.tag(key).cloned());
        }
        DocumentFacts {
            kind: caller.kind,
            issuer: Arc::clone(&caller.issuer),
            account: Arc::clone(&caller.account),
            standing: [session.is_known, session.has_policy, caller.is_machine, caller.with_mfa == Some(true)],
            others,
        }
    }

    /// What the book says about `call` of `principal`.
    pub fn rule(&mut self, principal: &Principal, call: &Call, who: &Attribution) -> Arc<Ruling> {
        if self.book.is_empty() {
            return Arc::clone(&self.nothing);
        }
        let policies = principal.policies.as_deref();
        if principal.is_volatile {
            return Arc::new(self.book.rule(call, who, policies));
        }
        let asked = Asked::of(principal.id, call, self.reads_endpoint);
        let hash = asked.hash();
        if let Some(known) = self.rulings.get(&hash).filter(|known| known.asked == asked) {
            return Arc::clone(&known.ruling);
        }
        let ruling = Arc::new(self.book.rule(call, who, policies));
        if self.rulings.len() >= RULINGS_MAX {
            self.rulings.clear();
        }
        let invocation = &call.invocation;
        let texts = [
            Some(&invocation.name),
            invocation.resource.as_ref(),
            Some(&invocation.region),
            Some(&invocation.account),
            invocation.vpc_endpoint.as_ref(),
        ];
        let remembered = Remembered {
            ruling: Arc::clone(&ruling),
            asked,
            _texts: texts.map(Option::<&Arc<str>>::cloned),
            _model: invocation.model.clone(),
        };
        self.rulings.insert(hash, remembered);
        ruling
    }
}
