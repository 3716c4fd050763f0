//! Who calls: grants, the chains that they make, links, removals, and the policies that apply. Everything that the engine
//! asks before a call goes on to its actor.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use crate::hashed::Seeded;
use serde::{Deserialize, Serialize};

use crate::identity::{Attribution, Caller, Directory, Grant, Links, Removal, RemovalNotice, Resolver, Unknown};
use crate::observation::Call;
use crate::policy::{PolicyBook, Principal, Ruling, Rulings};
use crate::state::removals::MassLeave;
use crate::state::{GrantKeeper, GrantsImage, Removals, Shared};
use crate::time::EventTime;

/// Most callers that are remembered between calls of one session.
const CALLERS_MAX: usize = 200_000;

/// A caller with everything that is known about it.
#[derive(Debug)]
pub struct Known {
    caller: Arc<Caller>,
    /// Who it is.
    pub who: Arc<Attribution>,
    principal: Arc<Principal>,
    /// Hashes of the ids under which somebody may have been removed; worked out when the first removal makes it worth it.
    ids: OnceLock<Vec<u64>>,
}

/// While a caller is held, its address means no other caller.
fn address(caller: &Arc<Caller>) -> usize {
    Arc::as_ptr(caller) as usize
}

/// Grants and what follows from them.
#[derive(Debug)]
pub struct Joining {
    resolver: Resolver,
    shared: Arc<Shared>,
    grants: GrantKeeper,
    /// Callers by access key whose grant is settled.
    known: HashMap<Arc<str>, Arc<Known>, Seeded>,
    /// The same by the address of the caller, which the observer shares between its calls: most calls need no look at a
    /// text. Holds nothing that `known` does not hold.
    by_address: HashMap<usize, Arc<Known>, Seeded>,
    /// Keys whose calls waited for their grant in vain.
    given_up: BTreeSet<Arc<str>>,
    /// Keys of parent grants that were missing when a chain was followed.
    missing_parents: HashSet<Arc<str>, Seeded>,
    /// Cognito identities behind what is remembered: news of another changes nothing that is.
    identities: HashSet<Arc<str>, Seeded>,
    removals: Removals,
    rulings: Rulings,
}

/// What a snapshot keeps of a [`Joining`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct JoiningImage {
    grants: GrantsImage,
    given_up: Vec<Arc<str>>,
    links: Links,
    removals: Removals,
}

impl Joining {
    /// Nothing is known yet.
    pub fn new(resolver: Resolver, shared: Arc<Shared>, grants: GrantKeeper, book: Arc<PolicyBook>) -> Self {
        let mut removals = Removals::default();
        removals.adopt(resolver.directory());
        Self {
            resolver,
            shared,
            grants,
            known: HashMap::default(),
            by_address: HashMap::default(),
            given_up: BTreeSet::new(),
            missing_parents: HashSet::default(),
            identities: HashSet::default(),
            removals,
            rulings: Rulings::new(book),
        }
    }

    /// Puts another directory in the place of the present one. Who is missing in it has left at `now`.
    ///
    /// # Errors
    /// More people are missing than leave at once: the file is more likely cut off. Nothing is changed then.
    pub fn set_directory(&mut self, directory: Arc<Directory>, now: EventTime) -> Result<(), MassLeave> {
        self.removals.see_directory(&directory, now)?;
        self.resolver.set_directory(directory);
        self.forget_known();
        Ok(())
    }

    /// Puts other policies in the place of the present ones. Nothing that the old ones said is remembered.
    pub fn set_book(&mut self, book: Arc<PolicyBook>) {
        self.rulings = Rulings::new(book);
        self.forget_known();
    }

    fn forget_known(&mut self) {
        self.known.clear();
        self.by_address.clear();
        self.identities.clear();
    }

    /// There is news of a Cognito identity: sessions that it is behind know more now.
    fn forget_linked(&mut self, identity: Option<&Arc<str>>) {
        if identity.is_some_and(|identity| self.identities.contains(identity)) {
            self.forget_known();
        }
    }

    /// The policies.
    pub fn book(&self) -> &Arc<PolicyBook> {
        self.rulings.book()
    }

    /// What is remembered about a caller whose grant is settled.
    pub fn known(&self, caller: &Arc<Caller>) -> Option<&Arc<Known>> {
        let by_address = self.by_address.get(&address(caller));
        by_address.or_else(|| self.known.get(&caller.access_key_id).filter(|known| known.caller == *caller))
    }

    /// The access key whose grant a call of `caller` still waits for: its own, or one further back in a chain of roles
    /// while nobody nearer names the person.
    pub fn missing_grant(&self, caller: &Arc<Caller>) -> Option<Arc<str>> {
        if !self.resolver.needs_grant(caller) || self.known(caller).is_some() {
            return None;
        }
        if self.shared.is_first(&caller.access_key_id) {
            return None;
        }
        if !self.shared.has_grant(&caller.access_key_id) {
            return Some(Arc::clone(&caller.access_key_id));
        }
        let chain = self.shared.chain(&caller.access_key_id);
        let parent = chain.last()?.parent_key.as_ref().filter(|key| key.starts_with("ASIA"))?;
        let is_wanted = !self.resolver.names_person(caller, &chain) || self.resolver.may_inherit_department(&chain);
        let is_open = !self.shared.has_grant(parent) && is_wanted;
        is_open.then(|| Arc::clone(parent))
    }

    /// The same, unless calls of this key have waited in vain before.
    pub fn worth_waiting_for(&self, caller: &Arc<Caller>) -> Option<Arc<str>> {
        self.missing_grant(caller).filter(|_| !self.given_up.contains(&caller.access_key_id))
    }

    /// Who made `call`; `missing` is the reason to give where a grant is needed and not there.
    pub fn attribute(&mut self, call: &Call, missing: Unknown) -> Arc<Known> {
        let caller = &call.caller;
        let with_bearer_token = call.invocation.with_bearer_token;
        if let Some(known) = self.known(caller).filter(|_| !with_bearer_token) {
            return Arc::clone(known);
        }
        let chain = self.shared.chain(&caller.access_key_id);
        if self.resolver.learn_link(caller.cognito_identity.as_ref(), caller.user_pool_sub.as_ref(), &[]) {
            self.forget_linked(caller.cognito_identity.as_ref());
        }
        let who = Arc::new(self.resolver.resolve(caller, with_bearer_token, &chain, missing));
        let known =
            Arc::new(Known { caller: Arc::clone(caller), principal: self.rulings.principal(caller, &who), who, ids: OnceLock::new() });
        // What is known only because something is missing is not remembered: it may still come.
        if self.missing_grant(caller).is_none() && !with_bearer_token && !caller.access_key_id.is_empty() {
            self.remember(&known, &chain);
        }
        known
    }

    fn remember(&mut self, known: &Arc<Known>, chain: &[Arc<Grant>]) {
        if let Some(parent) = chain.last().and_then(|grant| grant.parent_key.as_ref()).filter(|key| key.starts_with("ASIA")) {
            if self.missing_parents.len() >= CALLERS_MAX {
                self.missing_parents.clear();
                self.forget_known();
            }
            self.missing_parents.insert(Arc::clone(parent));
        }
        if self.known.len() >= CALLERS_MAX {
            self.forget_known();
        }
        let identities = chain.iter().map(|grant| &grant.cognito_identity).chain([&known.caller.cognito_identity]);
        self.identities.extend(identities.flatten().cloned());
        if let Some(before) = self.known.insert(Arc::clone(&known.caller.access_key_id), Arc::clone(known)) {
            self.by_address.remove(&address(&before.caller));
        }
        self.by_address.insert(address(&known.caller), Arc::clone(known));
    }

    /// What policy says about `call`.
    pub fn rule(&mut self, known: &Known, call: &Call) -> Arc<Ruling> {
        self.rulings.rule(&known.principal, call, &known.who)
    }

    /// The removal that the session behind `call` has outlived.
    pub fn outlived(&self, known: &Known, time: EventTime) -> Option<&Removal> {
        if self.removals.is_empty() {
            return None;
        }
        let ids = known.ids.get_or_init(|| {
            let chain = self.shared.chain(&known.caller.access_key_id);
            self.resolver.removal_ids(&known.caller, &chain, &known.who)
        });
        self.removals.outlived(ids, known.who.session.issued, time)
    }

    /// Takes a grant in.
    pub fn learn_grant(&mut self, access_key_id: &Arc<str>, grant: Grant) {
        let vouched: &[_] = if grant.vouches_for_tags { &grant.tags } else { &[] };
        let is_news = self.resolver.learn_link(grant.cognito_identity.as_ref(), grant.user_pool_sub.as_ref(), vouched);
        if is_news {
            self.forget_linked(grant.cognito_identity.as_ref());
        }
        if self.missing_parents.remove(access_key_id) {
            // Other sessions know more now; which ones is not worth remembering.
            self.forget_known();
        } else if let Some(before) = self.known.remove(access_key_id) {
            self.by_address.remove(&address(&before.caller));
        }
        self.grants.insert(Arc::clone(access_key_id), grant);
        self.given_up.remove(access_key_id);
    }

    /// Takes a removal or return in.
    pub fn learn_notice(&mut self, notice: &RemovalNotice) {
        self.removals.learn(notice);
    }

    /// A call of this key waited for its grant in vain.
    pub fn give_up(&mut self, access_key_id: &Arc<str>) {
        if self.given_up.len() >= CALLERS_MAX {
            self.given_up.clear();
        }
        self.given_up.insert(Arc::clone(access_key_id));
    }

    /// Forgets what has expired.
    pub fn expire(&mut self, watermark: EventTime) {
        self.grants.expire(watermark);
    }

    /// Grants that were forgotten for want of room.
    pub fn grants_evicted(&self) -> u64 {
        self.grants.evicted()
    }

    /// Whether the person could not be linked with the directory.
    pub fn is_unlinked(&self, who: &Attribution) -> bool {
        self.resolver.is_unlinked(who)
    }

    /// What a snapshot keeps.
    pub fn image(&self) -> JoiningImage {
        JoiningImage {
            grants: self.grants.image(),
            given_up: self.given_up.iter().cloned().collect(),
            links: self.resolver.links().clone(),
            removals: self.removals.clone(),
        }
    }

    /// Knows what another knew, too.
    pub fn absorb(&mut self, image: JoiningImage) {
        self.grants.restore(image.grants);
        self.given_up.extend(image.given_up);
        let mut links = self.resolver.links().clone();
        links.absorb(image.links);
        self.resolver.restore_links(links);
        self.removals.absorb(image.removals);
        self.forget_known();
    }

    /// Takes over what a snapshot kept. Who was in the directory then and is not now has left, at `watermark`.
    pub fn restore(&mut self, image: JoiningImage, watermark: EventTime) {
        self.grants.restore(image.grants);
        self.given_up = image.given_up.into_iter().collect();
        self.resolver.restore_links(image.links);
        self.removals = image.removals;
        let directory = Arc::clone(self.resolver.directory());
        if self.removals.see_directory(&directory, watermark).is_err() {
            // Whoever starts with quite another file means it, and means nobody to be taken for a leaver.
            self.removals.adopt(&directory);
        }
    }
}
