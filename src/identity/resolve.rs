//! From a caller and a grant to a person and a department.
//!
//! Actor, best first: person (Cognito or STS subject, `sourceIdentity`, Identity Center user) > named session > machine
//! role > IAM user > root. A generic session name that many people share never becomes an actor: without a grant such a
//! call counts by its access key.
//!
//! Department, best first: session tag > Cognito identity in the directory > person in the directory > role map >
//! account map > [`Unknown`].

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::actor::{ActorKey, ActorKind};
use super::caller::{Caller, CallerKind, SessionName};
use super::directory::{Directory, Member};
use super::grant::{Grant, are_tags_known, session_tags};
use super::links::Links;
use super::removal::{self, id_hash};
use crate::glob;
use crate::time::EventTime;

/// How identities are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentitySettings {
    /// The session tag whose value is the department. Compared without case.
    pub department_tag: String,
    /// Role-name patterns to departments, in order.
    pub roles: Vec<(String, String)>,
    /// Account ids to departments.
    pub accounts: Vec<(String, String)>,
    /// Session tags, vouched for by an identity provider, whose values are looked up in the directory to find the person.
    pub person_tags: Vec<String>,
}

impl Default for IdentitySettings {
    fn default() -> Self {
        // What an identity pool maps by default: `username` holds the subject. `email` is not among them, since users of a
        // pool may be able to write it.
        let person_tags = ["username", "sub"].map(str::to_owned).to_vec();
        Self { department_tag: "dept".to_owned(), roles: Vec::new(), accounts: Vec::new(), person_tags }
    }
}

/// Where a department comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DepartmentSource {
    /// A session tag of the grant.
    SessionTag,
    /// The Cognito identity on the record, found in the directory.
    CognitoSubject,
    /// The person, found in the directory.
    Directory,
    /// The role's name or the account, as configured.
    RoleMap,
}

impl DepartmentSource {
    /// Every source, for metrics that start at zero.
    pub const ALL: [Self; 4] = [Self::SessionTag, Self::CognitoSubject, Self::Directory, Self::RoleMap];

    /// The source as alerts write it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::SessionTag => "session-tag",
            Self::CognitoSubject => "cognito-subject",
            Self::Directory => "directory",
            Self::RoleMap => "role-map",
        }
    }
}

/// Why a department is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Unknown {
    /// The record that issued the access key has not been seen yet; it may still come.
    Pending,
    /// The record that issued the access key was never seen.
    NoGrant,
    /// The grant has no department tag, and no map names the person or the role.
    NoTag,
    /// An IAM user's long-lived key: there is no session that could carry a tag.
    LongLivedKey,
    /// The root user.
    Root,
    /// A Bedrock API key.
    BearerKey,
    /// An AWS service acting for itself.
    Service,
    /// The record names nobody.
    NoIdentity,
}

impl Unknown {
    /// Every reason, for metrics that start at zero.
    pub const ALL: [Self; 8] =
        [Self::Pending, Self::NoGrant, Self::NoTag, Self::LongLivedKey, Self::Root, Self::BearerKey, Self::Service, Self::NoIdentity];

    /// The reason as alerts and metrics write it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::NoGrant => "no-sts-record",
            Self::NoTag => "no-department-tag",
            Self::LongLivedKey => "long-lived-key",
            Self::Root => "root",
            Self::BearerKey => "bearer-key",
            Self::Service => "aws-service",
            Self::NoIdentity => "no-identity",
        }
    }
}

/// A department, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Department {
    /// Known, and where from.
    Known {
        /// Its name as the tag or the map writes it.
        name: Arc<str>,
        /// Where it was found.
        source: DepartmentSource,
    },
    /// Not known.
    Unknown(Unknown),
}

impl Department {
    /// The name, where it is known.
    pub fn name(&self) -> Option<&Arc<str>> {
        match self {
            Self::Known { name, .. } => Some(name),
            Self::Unknown(_) => None,
        }
    }

    /// Why it is not known.
    pub const fn unknown(&self) -> Option<Unknown> {
        match self {
            Self::Known { .. } => None,
            Self::Unknown(why) => Some(*why),
        }
    }
}

/// What the records say about the session behind a call, besides who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its tags, those that came along a chain of roles included.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// Whether STS's record was seen: otherwise nothing is known about tags.
    pub is_known: bool,
    /// Whether a session policy narrows what it may do.
    pub has_policy: bool,
    /// When it began.
    pub issued: Option<EventTime>,
}

impl Session {
    /// The value of a tag. Keys are compared without case, as IAM does.
    pub fn tag(&self, key: &str) -> Option<&Arc<str>> {
        self.tags.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
    }
}

/// Who made a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribution {
    /// Whose rate the call counts towards.
    pub actor: ActorKey,
    /// The human's name, where one is known.
    pub person: Option<Arc<str>>,
    /// The department.
    pub department: Department,
    /// The session.
    pub session: Session,
    /// The person in the directory.
    pub member: Option<Arc<Member>>,
}

/// Applies settings and directory. Pure: the grant is handed in.
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    settings: IdentitySettings,
    directory: Arc<Directory>,
    links: Links,
}

impl Resolver {
    /// A resolver with these settings and this directory.
    pub fn new(settings: IdentitySettings, directory: Arc<Directory>) -> Self {
        Self { settings, directory, links: Links::default() }
    }

    /// The directory.
    pub const fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Puts another directory in the place of the present one.
    pub fn set_directory(&mut self, directory: Arc<Directory>) {
        self.directory = directory;
    }

    /// What is known of Cognito identities besides the directory.
    pub const fn links(&self) -> &Links {
        &self.links
    }

    /// Takes over what a snapshot kept.
    pub fn restore_links(&mut self, links: Links) {
        self.links = links;
    }

    /// Learns from a record that shows a Cognito identity beside another id of the same human; whether that is news.
    ///
    /// `tags` are those that an identity provider vouches for.
    pub fn learn_link(&mut self, identity: Option<&Arc<str>>, sub: Option<&Arc<str>>, tags: &[(Arc<str>, Arc<str>)]) -> bool {
        let Some(identity) = identity.filter(|identity| self.directory.find(identity).is_none()) else { return false };
        let by_tag = tags.iter().filter(|(key, _)| self.is_person_tag(key)).map(|(_, value)| value);
        let other = sub.or_else(|| by_tag.into_iter().find(|value| self.directory.find(value).is_some()));
        other.is_some_and(|other| self.links.learn(identity, other))
    }

    fn is_person_tag(&self, key: &str) -> bool {
        self.settings.person_tags.iter().any(|name| name.eq_ignore_ascii_case(key))
    }

    /// Whether a call by `caller` waits for the record that issued its key: only temporary credentials have one, and a
    /// machine's is never tagged by a person.
    pub fn needs_grant(&self, caller: &Caller) -> bool {
        caller.has_temporary_key()
            && !caller.is_machine
            && matches!(caller.kind, CallerKind::AssumedRole | CallerKind::FederatedUser | CallerKind::IamUser)
    }

    /// Whether the person is known without looking further back along a chain of roles.
    pub fn names_person(&self, caller: &Caller, chain: &[Arc<Grant>]) -> bool {
        self.person(caller, chain, self.member(caller, chain)).is_some()
    }

    /// Whether the session's department tag may still come to light further back along its chain.
    pub fn may_inherit_department(&self, chain: &[Arc<Grant>]) -> bool {
        !are_tags_known(chain) && !session_tags(chain).iter().any(|(key, _)| key.eq_ignore_ascii_case(&self.settings.department_tag))
    }

    /// Who `caller` is, given the grant of its access key and the grants that led to it, nearest first.
    ///
    /// `missing` is the reason to give where a grant was needed and is not there.
    pub fn resolve(&self, caller: &Caller, with_bearer_token: bool, chain: &[Arc<Grant>], missing: Unknown) -> Attribution {
        let session = Session {
            tags: session_tags(chain),
            is_known: are_tags_known(chain),
            has_policy: chain.first().is_some_and(|grant| grant.has_session_policy),
            issued: caller.issued.or_else(|| chain.first().map(|grant| grant.issued)),
        };
        let member = self.member(caller, chain);
        let person = self.person(caller, chain, member);
        let department = self.department(caller, with_bearer_token, chain, &session, member, missing);
        let actor =
            person.as_ref().map_or_else(|| actor_without_person(caller, chain), |name| ActorKey::new(ActorKind::Person, Arc::clone(name)));
        Attribution { actor, person, department, session, member: member.cloned() }
    }

    fn member(&self, caller: &Caller, chain: &[Arc<Grant>]) -> Option<&Arc<Member>> {
        if self.directory.people() == 0 {
            return None;
        }
        self.ids(caller, chain).find_map(|id| self.directory.find(id))
    }

    /// Every id of the human behind a call that somebody vouches for, best first. Names that the caller chooses (session
    /// names, tags of AssumeRole) are not among them.
    fn ids<'a>(&'a self, caller: &'a Caller, chain: &'a [Arc<Grant>]) -> impl Iterator<Item = &'a Arc<str>> {
        let of_grants = chain.iter().flat_map(|grant| {
            let vouched = [&grant.cognito_identity, &grant.user_pool_sub, &grant.subject, &grant.asserted_name, &grant.source_identity];
            vouched.into_iter().flatten()
        });
        let vouched_tags = chain.iter().filter(|grant| grant.vouches_for_tags).flat_map(|grant| &grant.tags);
        let of_tags = vouched_tags.filter(|(key, _)| self.is_person_tag(key)).map(|(_, value)| value);
        let identities = [&caller.cognito_identity].into_iter().chain(chain.iter().map(|grant| &grant.cognito_identity)).flatten();
        let linked = identities.filter_map(|identity| self.links.other_id(identity));
        let ids = [&caller.cognito_identity, &caller.user_pool_sub].into_iter().flatten().chain(of_grants).chain(linked);
        let ids = ids.chain(of_tags).chain(&caller.source_identity).chain(&caller.identity_center_user);
        let ids = ids.chain(caller.identity_center_session()).chain((caller.kind == CallerKind::IamUser).then_some(&caller.arn));
        // Who asked for the first session of a chain, where an IAM user did.
        ids.chain(chain.last().and_then(|grant| grant.parent_user.as_ref())).filter(|id| !id.is_empty())
    }

    fn person(&self, caller: &Caller, chain: &[Arc<Grant>], member: Option<&Arc<Member>>) -> Option<Arc<str>> {
        if let Some(member) = member {
            return Some(Arc::clone(&member.person));
        }
        let from_grants = chain.iter().find_map(|grant| {
            let vouched = grant.subject.as_ref().or(grant.source_identity.as_ref()).or(grant.cognito_identity.as_ref());
            vouched.or(grant.asserted_name.as_ref())
        });
        caller
            .source_identity
            .as_ref()
            .or(caller.cognito_identity.as_ref())
            .or(from_grants)
            .or_else(|| caller.identity_center_session())
            .or(caller.identity_center_user.as_ref())
            .map(Arc::clone)
    }

    fn department(
        &self,
        caller: &Caller,
        with_bearer_token: bool,
        chain: &[Arc<Grant>],
        session: &Session,
        member: Option<&Arc<Member>>,
        missing: Unknown,
    ) -> Department {
        let known = |name: &Arc<str>, source| Department::Known { name: Arc::clone(name), source };
        if let Some(tag) = session.tag(&self.settings.department_tag).filter(|value| !value.is_empty()) {
            return known(tag, DepartmentSource::SessionTag);
        }
        let by_identity =
            caller.cognito_identity.as_deref().and_then(|id| self.directory.find(id)).and_then(|member| member.department.as_ref());
        if let Some(name) = by_identity {
            return known(name, DepartmentSource::CognitoSubject);
        }
        if let Some(name) = member.and_then(|member| member.department.as_ref()) {
            return known(name, DepartmentSource::Directory);
        }
        if let Some(name) = self.mapped(caller) {
            return Department::Known { name: name.into(), source: DepartmentSource::RoleMap };
        }
        Department::Unknown(why_unknown(self, caller, with_bearer_token, chain, missing))
    }

    /// Hashes of every id under which a removal may name who called: names and ids of the person, of the user, of the key.
    pub fn removal_ids(&self, caller: &Caller, chain: &[Arc<Grant>], who: &Attribution) -> Vec<u64> {
        let mut hashes = Vec::with_capacity(8);
        let mut add = |id: &str| {
            let hash = id_hash(id);
            if !hashes.contains(&hash) {
                hashes.push(hash);
            }
        };
        who.person.iter().chain(self.ids(caller, chain)).for_each(|id| add(id));
        who.member.iter().flat_map(|member| &member.ids).for_each(|id| add(id));
        let users =
            [(caller.kind == CallerKind::IamUser).then_some(&caller.arn), chain.last().and_then(|grant| grant.parent_user.as_ref())];
        users.into_iter().flatten().filter_map(|arn| removal::iam_user_of(arn)).for_each(|id| add(&id));
        // A key that is gone: what it was used to begin goes on.
        chain.last().and_then(|grant| grant.parent_key.as_ref()).into_iter().for_each(|key| add(key));
        hashes
    }

    /// Whether a person with this name is in no directory though there is one: who cannot be linked.
    pub fn is_unlinked(&self, who: &Attribution) -> bool {
        self.directory.people() > 0 && who.person.is_some() && who.member.is_none()
    }

    fn mapped(&self, caller: &Caller) -> Option<&str> {
        let role = caller.role_name();
        let by_role = self.settings.roles.iter().find(|(pattern, _)| !role.is_empty() && glob::matches(pattern, role));
        by_role
            .or_else(|| self.settings.accounts.iter().find(|(account, _)| **account == *caller.account))
            .map(|(_, department)| department.as_str())
    }
}

fn why_unknown(resolver: &Resolver, caller: &Caller, with_bearer_token: bool, chain: &[Arc<Grant>], missing: Unknown) -> Unknown {
    match caller.kind {
        CallerKind::Root => Unknown::Root,
        _ if with_bearer_token => Unknown::BearerKey,
        _ if caller.has_long_lived_key() => Unknown::LongLivedKey,
        CallerKind::AwsService => Unknown::Service,
        _ if resolver.needs_grant(caller) && !chain.first().is_some_and(|grant| grant.from_sts) => missing,
        CallerKind::AssumedRole | CallerKind::FederatedUser | CallerKind::IamUser | CallerKind::IdentityCenterUser => Unknown::NoTag,
        CallerKind::AwsAccount | CallerKind::Other => Unknown::NoIdentity,
    }
}

/// A machine by AWS's word, or by its session's name where no STS record says otherwise.
fn is_machine(caller: &Caller, chain: &[Arc<Grant>]) -> bool {
    match chain.first() {
        Some(grant) => caller.is_machine || grant.for_service,
        None => caller.is_machine || caller.session == SessionName::Machine,
    }
}

fn actor_without_person(caller: &Caller, chain: &[Arc<Grant>]) -> ActorKey {
    let role = || if caller.issuer.is_empty() { &caller.arn } else { &caller.issuer };
    match caller.kind {
        CallerKind::Root => ActorKey::new(ActorKind::Root, Arc::clone(&caller.account)),
        CallerKind::AwsService => ActorKey::new(ActorKind::Service, caller.invoked_by.clone().unwrap_or_else(|| Arc::clone(&caller.arn))),
        CallerKind::AssumedRole if is_machine(caller, chain) => ActorKey::new(ActorKind::Role, Arc::clone(role())),
        CallerKind::AssumedRole if caller.session == SessionName::Named => ActorKey::new(ActorKind::Session, Arc::clone(&caller.arn)),
        CallerKind::AssumedRole | CallerKind::FederatedUser => ActorKey::new(ActorKind::Session, Arc::clone(caller.credential())),
        CallerKind::IamUser => {
            ActorKey::new(ActorKind::User, Arc::clone(if caller.arn.is_empty() { caller.credential() } else { &caller.arn }))
        }
        CallerKind::IdentityCenterUser | CallerKind::AwsAccount | CallerKind::Other => {
            ActorKey::new(ActorKind::Unknown, Arc::clone(caller.credential()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::EventTime;

    fn caller(json: &str) -> Caller {
        Caller::of(&serde_json::from_str(json).expect("json"))
    }

    const COGNITO: &str = r#"{"type":"AssumedRole","accessKeyId":"ASIA1","accountId":"1","arn":"arn:aws:sts::1:assumed-role/LegalUsers/CognitoIdentityCredentials",
        "sessionContext":{"sessionIssuer":{"arn":"arn:aws:iam::1:role/LegalUsers"}}}"#;

    fn resolver() -> Resolver {
        let directory = Directory::parse("person,cognito_identity_id,department\nalice,us-east-1:id-7,compliance\n").expect("a directory");
        let settings = IdentitySettings { roles: vec![("Marketing*".into(), "marketing".into())], ..IdentitySettings::default() };
        Resolver::new(settings, Arc::new(directory))
    }

    fn tagged(pairs: &[(&str, &str)], subject: Option<&str>) -> Arc<Grant> {
        Arc::new(Grant {
            tags: pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            subject: subject.map(Into::into),
            issued: EventTime::from_unix(0),
            from_sts: true,
            ..Grant::default()
        })
    }

    #[test]
    fn without_a_grant_a_shared_name_is_only_its_key() {
        let who = resolver().resolve(&caller(COGNITO), false, &[], Unknown::NoGrant);
        assert_eq!(who.actor, ActorKey::new(ActorKind::Session, "ASIA1"));
        assert_eq!((who.person, who.department), (None, Department::Unknown(Unknown::NoGrant)));
    }

    #[test]
    fn a_tag_beats_the_directory_and_the_directory_names_the_person() {
        let who = resolver().resolve(&caller(COGNITO), false, &[tagged(&[("DEPT", "legal")], Some("us-east-1:id-7"))], Unknown::NoGrant);
        assert_eq!(who.person.as_deref(), Some("alice"));
        assert_eq!(who.department, Department::Known { name: "legal".into(), source: DepartmentSource::SessionTag });
        let untagged = resolver().resolve(&caller(COGNITO), false, &[tagged(&[], Some("us-east-1:id-7"))], Unknown::NoGrant);
        assert_eq!(untagged.department, Department::Known { name: "compliance".into(), source: DepartmentSource::Directory });
    }

    #[test]
    fn role_map_then_a_reason() {
        let mapped = resolver().resolve(&caller(&COGNITO.replace("LegalUsers", "MarketingUsers")), false, &[], Unknown::NoGrant);
        assert_eq!(mapped.department, Department::Known { name: "marketing".into(), source: DepartmentSource::RoleMap });
        for (json, bearer, why) in [
            (r#"{"type":"Root","accountId":"1","arn":"arn:aws:iam::1:root"}"#, false, Unknown::Root),
            (r#"{"type":"IAMUser","accessKeyId":"AKIA1","arn":"arn:aws:iam::1:user/u"}"#, false, Unknown::LongLivedKey),
            (r#"{"type":"IAMUser","accessKeyId":"AKIA1","arn":"arn:aws:iam::1:user/u"}"#, true, Unknown::BearerKey),
            (r#"{"type":"AWSService","invokedBy":"lambda.amazonaws.com"}"#, false, Unknown::Service),
            (r"{}", false, Unknown::NoIdentity),
            (
                r#"{"type":"AssumedRole","accessKeyId":"ASIA1","arn":"arn:aws:sts::1:assumed-role/R/i-0123456789abcdef0"}"#,
                false,
                Unknown::NoGrant,
            ),
            (
                r#"{"type":"AssumedRole","accessKeyId":"ASIA1","arn":"arn:aws:sts::1:assumed-role/R/x","sessionContext":{"ec2RoleDelivery":"2.0"}}"#,
                false,
                Unknown::NoTag,
            ),
        ] {
            assert_eq!(resolver().resolve(&caller(json), bearer, &[], Unknown::NoGrant).department, Department::Unknown(why), "{json}");
        }
    }

    #[test]
    fn machines_fold_into_their_role_and_sso_names_its_user() {
        let resolver = resolver();
        let machine = caller(
            r#"{"type":"AssumedRole","accessKeyId":"ASIA1","arn":"arn:aws:sts::1:assumed-role/Batch/i-0123456789abcdef0","inScopeOf":{},
            "sessionContext":{"sessionIssuer":{"arn":"arn:aws:iam::1:role/x/Batch"}}}"#,
        );
        assert_eq!(
            resolver.resolve(&machine, false, &[], Unknown::NoGrant).actor,
            ActorKey::new(ActorKind::Role, "arn:aws:iam::1:role/x/Batch")
        );
        let sso = caller(
            r#"{"type":"AssumedRole","accessKeyId":"ASIA1","arn":"arn:aws:sts::1:assumed-role/AWSReservedSSO_Admin_0a1b/bob@example.com"}"#,
        );
        assert_eq!(resolver.resolve(&sso, false, &[], Unknown::NoGrant).actor, ActorKey::new(ActorKind::Person, "bob@example.com"));
    }

    #[test]
    fn a_chain_leads_to_the_person() {
        let chain = [tagged(&[("dept", "legal")], None), tagged(&[], Some("carol"))];
        assert_eq!(resolver().resolve(&caller(COGNITO), false, &chain, Unknown::NoGrant).person.as_deref(), Some("carol"));
    }
}
