//! Rulings, remembered. A company's calls repeat: the same session calls the same model in the same region thousands of
//! times, and the documents say the same each time.
//!
//! A principal is what the documents can tell apart: two sessions with equal tags (as far as any document reads them),
//! role and standing are one. A ruling is remembered by principal and by what the call asks for. Verdicts that read the
//! time, the source address or the user agent are not remembered. Another book is another memory.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3Builder;

use super::evaluate::Policies;
use super::judge::{PolicyBook, Ruling};
use crate::bedrock::Model;
use crate::identity::{Attribution, Caller};
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
struct Facts(Vec<Option<Arc<str>>>);

/// A principal and what its call asks for. Texts are compared by their address: the observer shares equal ones, and the
/// key holds them, so that an address never comes to mean another text. Equal texts at two addresses cost one more
/// evaluation, and nothing else.
#[derive(Clone, Debug)]
struct Key {
    principal: u64,
    name: Arc<str>,
    model: Option<Arc<Model>>,
    resource: Option<Arc<str>>,
    region: Arc<str>,
    account: Arc<str>,
    endpoint: Option<Arc<str>>,
    /// Plane and standing, which the name alone does not tell.
    variant: u64,
}

impl Key {
    fn of(principal: u64, call: &Call, reads_endpoint: bool) -> Self {
        let invocation = &call.invocation;
        Self {
            principal,
            name: Arc::clone(&invocation.name),
            model: invocation.model.clone(),
            resource: invocation.resource.clone(),
            region: Arc::clone(&invocation.region),
            account: Arc::clone(&invocation.account),
            endpoint: invocation.vpc_endpoint.clone().filter(|_| reads_endpoint),
            variant: (invocation.operation.plane as u64) << 1 | u64::from(invocation.with_bearer_token),
        }
    }

    fn addresses(&self) -> [usize; 6] {
        let text = |text: &Arc<str>| Arc::as_ptr(text).cast::<u8>() as usize;
        let some = |shared: &Option<Arc<str>>| shared.as_ref().map_or(0, text);
        let model = self.model.as_ref().map_or(0, |model| Arc::as_ptr(model) as usize);
        [text(&self.name), model, some(&self.resource), text(&self.region), text(&self.account), some(&self.endpoint)]
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.principal == other.principal && self.variant == other.variant && self.addresses() == other.addresses()
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let addresses = self.addresses();
        let mixed = addresses.iter().fold(self.principal ^ self.variant.rotate_left(48), |mixed, address| {
            (mixed.rotate_left(23) ^ *address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        state.write_u64(mixed);
    }
}

/// A book with the memory of its rulings.
#[derive(Debug)]
pub struct Rulings {
    book: Arc<PolicyBook>,
    /// Context keys that any document reads.
    keys: BTreeSet<String>,
    reads_endpoint: bool,
    principals: HashMap<Facts, Arc<Principal>, Xxh3Builder>,
    next_principal: u64,
    rulings: HashMap<Key, Arc<Ruling>, Xxh3Builder>,
    nothing: Arc<Ruling>,
}

impl Rulings {
    /// No rulings yet.
    pub fn new(book: Arc<PolicyBook>) -> Self {
        let keys = book.attached().keys();
        Self {
            reads_endpoint: keys.contains("aws:sourcevpce") || keys.contains("aws:sourceip") || keys.contains("aws:sourcevpc"),
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
        let session = &who.session;
        let reads = |key: &str| self.keys.contains(key);
        let standing =
            format!("{:?} {} {} {:?} {:?}", caller.kind, session.is_known, session.has_policy, caller.with_mfa, who.department.unknown());
        let mut facts = vec![
            Some(Arc::clone(&caller.issuer)),
            Some(Arc::clone(&caller.account)),
            Some(standing.into()),
            who.department.name().cloned(),
        ];
        facts.push(caller.source_identity.clone().filter(|_| reads("aws:sourceidentity")));
        facts.push(session.issued.filter(|_| reads("aws:tokenissuetime")).map(|issued| issued.to_string().into()));
        facts.push(caller.invoked_by.clone().filter(|_| reads("aws:viaawsservice") || reads("aws:calledvia")));
        for (key, value) in &session.tags {
            if reads(&format!("aws:principaltag/{}", key.to_lowercase())) {
                facts.extend([Some(key.to_lowercase().into()), Some(Arc::clone(value))]);
            }
        }
        Facts(facts)
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
        let key = Key::of(principal.id, call, self.reads_endpoint);
        if let Some(known) = self.rulings.get(&key) {
            return Arc::clone(known);
        }
        let ruling = Arc::new(self.book.rule(call, who, policies));
        if self.rulings.len() >= RULINGS_MAX {
            self.rulings.clear();
        }
        self.rulings.insert(key, Arc::clone(&ruling));
        ruling
    }
}
