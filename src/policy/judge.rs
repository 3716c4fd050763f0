//! The verdict on a call: what the documents say about what it asked for, in the context that the record shows.
//!
//! CloudTrail shows only part of a request's context. Every key that it does not show is unknown here, never absent
//! ([`super::context`]); a company may give keys that are the same for all its calls (`aws:PrincipalOrgID`).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::asked::{Asked, Profile, asked};
use super::attached::{Attached, Roles};
use super::context::Context;
use super::departments::DepartmentTable;
use super::evaluate::Policies;
use super::operator::Kind;
use super::profiles::ProfileTable;
use super::statement::Request;
use super::verdict::{Decision, Verdict};
use crate::bedrock::{Invocation, Model};
use crate::identity::{Attribution, Caller, CallerKind, Session, Unknown};
use crate::observation::Call;

/// Context keys whose values differ from call to call: verdicts that read them are not remembered.
const VOLATILE: [&str; 5] = ["aws:currenttime", "aws:epochtime", "aws:sourceip", "aws:vpcsourceip", "aws:useragent"];
const NOT_LOGGED: &str = "CloudTrail does not log this condition key";

/// Everything that a verdict depends on besides the call.
#[derive(Clone, Debug, Default)]
pub struct PolicyBook {
    attached: Attached,
    table: DepartmentTable,
    profiles: ProfileTable,
    department_tag: String,
    /// Whether roles have tags of their own, which no record shows.
    roles_are_tagged: bool,
    known: Vec<(String, String)>,
    stand_ins: Vec<StandIn>,
    departments: BTreeSet<Arc<str>>,
}

/// A role that stands for a department, or for any: what its members may do.
#[derive(Clone, Debug)]
struct StandIn {
    department: Option<Arc<str>>,
    /// The role's ARN, where the pattern is one; other patterns mean many.
    arn: Option<String>,
    policies: Policies,
}

/// What a [`PolicyBook`] is made from.
#[derive(Clone, Debug)]
pub struct BookSettings {
    /// The documents.
    pub attached: Attached,
    /// The plain table.
    pub table: DepartmentTable,
    /// Inference profiles.
    pub profiles: ProfileTable,
    /// The session tag whose value is the department.
    pub department_tag: String,
    /// Whether roles may have tags of their own. Then a tag that the session lacks is unknown, else it is absent.
    pub roles_are_tagged: bool,
    /// Context keys with the value that they have in every call.
    pub known: Vec<(String, String)>,
    /// Role-name patterns to departments, as `[identity.roles]` has them.
    pub roles: Vec<(String, String)>,
}

impl Default for BookSettings {
    fn default() -> Self {
        Self {
            attached: Attached::default(),
            table: DepartmentTable::default(),
            profiles: ProfileTable::default(),
            department_tag: "dept".to_owned(),
            roles_are_tagged: true,
            known: Vec::new(),
            roles: Vec::new(),
        }
    }
}

/// What policy says about a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruling {
    /// The verdict; none where there is nothing to judge by or it is not settled whose call it is.
    pub verdict: Option<Verdict>,
    /// Whether anything was to judge by for this caller: documents of its role, or the table. What a record of a role
    /// without documents leaves unknown is no fault of the documents.
    pub is_in_scope: bool,
    /// Other departments that may call the model, where this one may not for certain.
    pub owners: Vec<Arc<str>>,
}

impl Ruling {
    /// Nothing was asked.
    pub const NONE: &Self = &Self { verdict: None, is_in_scope: false, owners: Vec::new() };
}

impl PolicyBook {
    /// A book of these settings.
    pub fn new(settings: BookSettings) -> Self {
        let BookSettings { attached, table, profiles, department_tag, roles_are_tagged, known, roles } = settings;
        let tag_key = format!("aws:principaltag/{}", department_tag.to_lowercase());
        let mut patterns: BTreeSet<(Option<Arc<str>>, &str)> =
            roles.iter().map(|(pattern, department)| (Some(department.as_str().into()), pattern.as_str())).collect();
        for (at, document) in &attached.identity {
            // A document that does not look at the tag says nothing about other departments than its role's.
            if document.keys().any(|key| key == tag_key) {
                patterns.insert((
                    None,
                    match at {
                        Roles::Every => "any",
                        Roles::Like(pattern) => pattern,
                    },
                ));
            }
        }
        let stand_in = |(department, pattern): (Option<Arc<str>>, &str)| {
            let arn = (pattern.starts_with("arn:") && !pattern.contains(['*', '?'])).then(|| pattern.to_owned());
            Some(StandIn { department, arn, policies: attached.of_role(&example_of(pattern))? })
        };
        let stand_ins = patterns.into_iter().filter_map(stand_in).collect();
        let mut departments: BTreeSet<Arc<str>> = table.departments().cloned().collect();
        departments.extend(roles.iter().map(|(_, department)| Arc::from(department.as_str())));
        let conditions = attached.documents().flat_map(|document| &document.statements).flat_map(|statement| &statement.conditions);
        let is_text = |kind| matches!(kind, Kind::Exact | Kind::IgnoreCase | Kind::Like);
        for condition in
            conditions.filter(|condition| condition.key == tag_key && !condition.operator.is_negated && is_text(condition.operator.kind))
        {
            departments.extend(condition.values.iter().filter_map(|value| value.as_text()).map(Arc::from));
        }
        Self { attached, table, profiles, department_tag, roles_are_tagged, known, stand_ins, departments }
    }

    /// A book of a plain table, without documents.
    pub fn of_table(table: DepartmentTable) -> Self {
        Self::new(BookSettings { table, profiles: ProfileTable::shipped(), ..BookSettings::default() })
    }

    /// Whether there is nothing to judge by.
    pub fn is_empty(&self) -> bool {
        self.attached.is_empty() && self.table.is_empty()
    }

    /// The documents.
    pub const fn attached(&self) -> &Attached {
        &self.attached
    }

    /// Departments that documents, table or role map name.
    pub const fn departments(&self) -> &BTreeSet<Arc<str>> {
        &self.departments
    }

    /// Whether a verdict that reads `key` cannot be remembered.
    pub(super) fn is_volatile(policies: &Policies) -> bool {
        policies.documents().flat_map(|document| document.keys()).any(|key| VOLATILE.contains(&key))
    }

    /// What policy says about `call`, by the documents of the caller's role.
    pub fn rule(&self, call: &Call, who: &Attribution, policies: Option<&Policies>) -> Ruling {
        if self.is_empty() || who.department.unknown() == Some(Unknown::Pending) {
            return Ruling::default();
        }
        let asked = asked(&call.invocation, &call.caller.account, &self.profiles);
        let by_documents = (!self.attached.is_empty()).then(|| self.by_documents(call, who, policies, &asked));
        let verdict = Verdict::first_known(by_documents, || self.by_table(call, who));
        let may = verdict.as_ref().is_some_and(|verdict| verdict.decision == Decision::Allow);
        let owners = if may || !call.invocation.outcome.is_answered() {
            Vec::new()
        } else {
            self.owners(call, who, asked.as_deref().unwrap_or_default())
        };
        let is_role = call.caller.kind == CallerKind::AssumedRole && !call.caller.issuer.is_empty();
        let is_in_scope = (policies.is_some() && is_role) || verdict.as_ref().is_some_and(|verdict| verdict.decision != Decision::Unknown);
        Ruling { verdict, is_in_scope, owners }
    }

    fn by_table(&self, call: &Call, who: &Attribution) -> Option<Verdict> {
        let (model, department) = (call.invocation.model.as_ref()?, who.department.name()?);
        // The table says who may call a model, not who may look at it.
        (!self.table.is_empty() && call.invocation.operation.is_invocation).then(|| self.table.verdict(department, model))
    }

    fn by_documents(&self, call: &Call, who: &Attribution, policies: Option<&Policies>, asked: &Result<Vec<Asked>, String>) -> Verdict {
        let caller = &*call.caller;
        if caller.kind != CallerKind::AssumedRole || caller.issuer.is_empty() {
            return Verdict::unknown("the documents are those of roles, and this caller is none");
        }
        let Some(policies) = policies else {
            return Verdict::unknown(format!("no document of [policy] is attached to role {}", caller.role_name()));
        };
        let all = match asked {
            Ok(all) => all,
            Err(why) => return Verdict::unknown(why.as_str()),
        };
        let mut context = self.principal_context(caller, &who.session);
        request_context(&mut context, &call.invocation);
        match all_allowed(all, policies, &context) {
            Verdict { decision: Decision::Allow, statement, .. } if who.session.has_policy => {
                Verdict { decision: Decision::Unknown, statement, why: Some("a session policy narrows what this session may do".into()) }
            }
            // What AWS itself issues to a machine has none.
            Verdict { decision: Decision::Allow, statement, .. } if !who.session.is_known && !caller.is_machine => {
                let why = "the record that issued the key was not seen, so that a session policy cannot be ruled out";
                Verdict { decision: Decision::Unknown, statement, why: Some(why.into()) }
            }
            verdict => verdict,
        }
    }

    /// What is known about the principal.
    fn principal_context(&self, caller: &Caller, session: &Session) -> Context {
        let mut context = self.tags_context(&session.tags, session.is_known);
        context.set("aws:PrincipalArn", &*caller.issuer);
        context.set("aws:PrincipalAccount", &*caller.account);
        context.set("aws:PrincipalType", "AssumedRole");
        context.set_absent("aws:username");
        context.set("aws:PrincipalIsAWSService", "false");
        match &caller.source_identity {
            Some(name) => context.set("aws:SourceIdentity", &**name),
            None => context.set_absent("aws:SourceIdentity"),
        }
        if let Some(issued) = session.issued {
            context.set("aws:TokenIssueTime", issued.to_string());
        }
        // "false" is also written where the request has no such key.
        if caller.with_mfa == Some(true) {
            context.set("aws:MultiFactorAuthPresent", "true");
        }
        context.set("aws:ViaAWSService", caller.invoked_by.is_some().to_string());
        if caller.invoked_by.is_none() {
            context.set_absent("aws:CalledVia");
        }
        context
    }

    /// The tags of a session, and what is the same in every call.
    fn tags_context(&self, tags: &[(Arc<str>, Arc<str>)], are_known: bool) -> Context {
        let mut context = Context::partial(NOT_LOGGED);
        for (key, value) in &self.known {
            context.set(key, value);
        }
        match (are_known, self.roles_are_tagged) {
            (true, false) => context.set_absent_under("aws:principaltag/"),
            (true, true) => {
                context.set_unknown_under("aws:principaltag/", "the session has no such tag, and the role's own tags are not logged");
            }
            (false, _) => context.set_unknown_under("aws:principaltag/", "the record that shows the session's tags was not seen"),
        }
        for (key, value) in tags {
            context.set(&format!("aws:PrincipalTag/{key}"), &**value);
        }
        context
    }

    /// Departments that may make this call, where the caller's own is not among them: then it is shared.
    fn owners(&self, call: &Call, who: &Attribution, all: &[Asked]) -> Vec<Arc<str>> {
        let Some(model) = call.invocation.model.as_ref() else { return Vec::new() };
        let by_documents = if self.may_be_somebodys(all) { all } else { &[] };
        let owners: Vec<Arc<str>> =
            self.departments.iter().filter(|department| self.owns(department, model, by_documents)).cloned().collect();
        let is_shared = who.department.name().is_some_and(|own| owners.contains(own));
        if is_shared { Vec::new() } else { owners }
    }

    /// Whether any department could be allowed this, whatever its tag: a caller may invent model ids all day, and most of
    /// them are nobody's for certain.
    fn may_be_somebodys(&self, all: &[Asked]) -> bool {
        let anybody = Context::partial("whoever it is");
        self.stand_ins.iter().any(|stand_in| !all_allowed(all, &stand_in.policies, &anybody).decision.is_deny())
    }

    fn owns(&self, department: &Arc<str>, model: &Model, all: &[Asked]) -> bool {
        self.table.owners(model).any(|owner| owner == department)
            || self.department_verdict(department, all).is_some_and(|verdict| verdict.decision == Decision::Allow)
    }

    /// What the documents say about a member of `department`, in whichever of its roles it may do most.
    pub(super) fn department_verdict(&self, department: &Arc<str>, all: &[Asked]) -> Option<Verdict> {
        if all.is_empty() {
            return None;
        }
        let has_roles = self.stand_ins.iter().any(|stand_in| stand_in.department.as_ref() == Some(department));
        let stands_for = |stand_in: &&StandIn| match &stand_in.department {
            Some(of) => of == department,
            None => !has_roles,
        };
        let tag = (Arc::<str>::from(self.department_tag.as_str()), Arc::clone(department));
        let mut member = self.tags_context(&[tag], true);
        member.set("aws:SecureTransport", "true");
        member.set("aws:PrincipalType", "AssumedRole");
        member.set("aws:PrincipalIsAWSService", "false");
        member.set("aws:ViaAWSService", "false");
        let verdict = |stand_in: &StandIn| match &stand_in.arn {
            Some(arn) => {
                let mut context = member.clone();
                context.set("aws:PrincipalArn", arn.clone());
                all_allowed(all, &stand_in.policies, &context)
            }
            None => all_allowed(all, &stand_in.policies, &member),
        };
        let rank = |verdict: &Verdict| match verdict.decision {
            Decision::Allow => 3,
            Decision::Unknown => 2,
            Decision::ImplicitDeny => 1,
            Decision::ExplicitDeny => 0,
        };
        self.stand_ins.iter().filter(stands_for).map(verdict).max_by_key(rank)
    }

    /// Inference profiles.
    pub const fn profiles(&self) -> &ProfileTable {
        &self.profiles
    }

    /// The plain table.
    pub const fn table(&self) -> &DepartmentTable {
        &self.table
    }
}

/// An ARN of a role that a pattern means: the pattern without its wildcards.
fn example_of(pattern: &str) -> String {
    let plain = pattern.replace('*', "").replace('?', "x");
    if plain.starts_with("arn:") { plain } else { format!("arn:aws:iam::000000000000:role/{plain}") }
}

/// What it takes to be allowed everything that a call asks for, in the context that is the same for all of it.
fn all_allowed(all: &[Asked], policies: &Policies, call: &Context) -> Verdict {
    let one = |asked: &Asked| {
        let mut context = call.clone();
        asked_context(&mut context, asked);
        let of = |action: &str| policies.evaluate(&Request { action, resource: asked.resource.as_deref(), context: &context });
        let verdict = of(&asked.action);
        let is_told_twice = asked.or_action.is_none_or(|other| of(other).decision == verdict.decision);
        if !is_told_twice {
            return Verdict::unknown(format!("AWS's pages differ on which action {} needs", asked.action));
        }
        if !asked.is_certain && verdict.decision.is_deny() {
            let region = &asked.region;
            return Verdict::unknown(format!(
                "denied in {region}, and the table does not know for certain whether the profile leads there"
            ));
        }
        verdict
    };
    Verdict::all(all.iter().map(one)).unwrap_or_else(|| Verdict::unknown("the call asks for nothing"))
}

/// A public address: a private one without an endpoint on the record came some other way through a VPC.
pub(super) fn public_address(source_ip: &str) -> Option<IpAddr> {
    let address = source_ip.parse::<IpAddr>().ok()?.to_canonical();
    let is_private = match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local(),
    };
    (!is_private).then_some(address)
}

fn request_context(context: &mut Context, invocation: &Invocation) {
    context.set("aws:SecureTransport", "true");
    context.set("aws:UserAgent", &*invocation.user_agent.text);
    context.set("aws:CurrentTime", invocation.time.to_string());
    context.set("aws:EpochTime", invocation.time.unix().to_string());
    match (&invocation.vpc_endpoint, public_address(&invocation.source_ip)) {
        (Some(endpoint), _) => {
            context.set("aws:SourceVpce", &**endpoint);
            context.set_absent("aws:SourceIp");
            if let Ok(address) = invocation.source_ip.parse::<IpAddr>() {
                context.set("aws:VpcSourceIp", address.to_string());
            }
        }
        (None, Some(address)) => {
            context.set("aws:SourceIp", address.to_string());
            for key in ["aws:SourceVpce", "aws:SourceVpc", "aws:VpcSourceIp"] {
                context.set_absent(key);
            }
        }
        (None, None) => {}
    }
    // StartAsyncInvoke may tag what it starts.
    if invocation.operation.is_invocation && &*invocation.name != "StartAsyncInvoke" {
        context.set_absent("aws:TagKeys");
        context.set_absent_under("aws:requesttag/");
    }
    if !invocation.with_bearer_token {
        context.set_absent("bedrock:BearerTokenType");
    }
}

fn asked_context(context: &mut Context, asked: &Asked) {
    context.set("aws:RequestedRegion", &*asked.region);
    match &asked.profile {
        Profile::Arn(profile) => context.set("bedrock:InferenceProfileArn", profile.clone()),
        Profile::None => context.set_absent("bedrock:InferenceProfileArn"),
        Profile::Unknown => context.set_unknown("bedrock:InferenceProfileArn", "the record does not show how the model was asked for"),
    }
    if asked.resource.as_deref().is_some_and(|arn| arn.contains("::foundation-model/")) {
        context.set_absent_under("aws:resourcetag/");
    }
}
