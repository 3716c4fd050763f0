//! The ways in by an identity provider: Cognito, OIDC, SAML, Identity Center.

use super::issue::{Assertion, Issue, Token, cognito_id, cognito_token, user_pool_provider};
use super::tape::Loss;
use super::truth::Door;
use super::visit::{Desk, Slot, Tagging};
use crate::estate::Role;
use crate::grant::COGNITO_SESSION;
use crate::record::COGNITO_IDENTITY;
use crate::session::{AssumedRole, Session, Traits};

/// The app client of the user pool.
const USER_POOL_CLIENT: &str = "3k8qv0d7m2l9t5x1c6n4b7j0ap";

/// What somebody asks for at a door.
pub(super) struct Plan<'p> {
    pub(super) door: Door,
    pub(super) role: &'p Role,
    pub(super) session_name: &'p str,
    pub(super) tags: &'p Tagging<'p>,
    pub(super) transitive: &'p [&'p str],
    /// Set by the identity provider.
    pub(super) source_identity: Option<&'p str>,
    pub(super) time: i64,
    pub(super) lifetime: i64,
    pub(super) loss: Loss,
}

/// What somebody gets there.
pub(super) struct Entrance {
    pub(super) session: Session,
    /// The text by which the records in the stream name the person to whoever sees this session call.
    pub(super) subject: Option<String>,
}

impl Desk<'_> {
    /// Walks through a door and leaves the records of it.
    pub(super) fn enter(&mut self, plan: &Plan<'_>) -> Entrance {
        let (estate, worker, loss) = (&self.staff.estate, self.worker, plan.loss);
        let access_key = self.random().unique_id("ASIA");
        let of_identity_pool = matches!(plan.door, Door::EnhancedFlow | Door::BasicFlow);
        // CloudTrail shows the identity id on some of these sessions' calls.
        let shows_identity = of_identity_pool && self.random().chance(0.5);
        let provider = user_pool_provider(estate);
        let traits = Traits {
            cognito: shows_identity.then_some((&*worker.cognito_identity_id, &*worker.user_pool_sub)),
            oidc_provider: (plan.door == Door::UserPoolOidc).then_some(&*provider),
            source_identity: plan.source_identity,
            mfa: plan.door == Door::IdentityCenter,
            ..Traits::default()
        };
        let (role, session_name) = (plan.role, plan.session_name);
        let assumed = AssumedRole { role, session_name, access_key: &access_key, created: plan.time, traits };
        let issue = Issue {
            grant: self.grant(&assumed, plan.lifetime, &plan.tags.pairs),
            transitive: plan.transitive,
            incoming: &[],
            source_identity: plan.source_identity,
            asks_for_source_identity: true,
        };
        let subject = match plan.door {
            Door::EnhancedFlow | Door::BasicFlow => &worker.cognito_identity_id,
            Door::UserPoolOidc => &worker.user_pool_sub,
            Door::Saml | Door::IdentityCenter => &worker.email,
        };
        match plan.door {
            Door::EnhancedFlow => self.enhanced_flow(&issue, loss),
            Door::BasicFlow => self.basic_flow(&issue, loss),
            Door::UserPoolOidc => {
                let token = Token { provider: &provider, audience: USER_POOL_CLIENT, subject, by_cognito: false };
                issue.web_identity(&mut self.tape.journal, &token);
                self.tape.deliver(None, !loss.lost);
            }
            Door::Saml | Door::IdentityCenter => {
                let by_sso = plan.door == Door::IdentityCenter;
                let provider = if by_sso { "AWSSSO_DO_NOT_DELETE" } else { "company-idp" };
                issue.saml(&mut self.tape.journal, &Assertion { provider, subject, by_sso });
                self.tape.deliver(None, !loss.lost);
            }
        }
        let known = match plan.door {
            Door::EnhancedFlow => shows_identity || !loss.takes_cognito_too(),
            Door::BasicFlow => shows_identity || !loss.lost,
            Door::UserPoolOidc | Door::Saml => !loss.lost,
            // AWS names the session, so the name is proof by itself.
            Door::IdentityCenter => true,
        };
        Entrance { session: self.session(&assumed, plan.lifetime), subject: known.then(|| subject.clone()) }
    }

    /// What the door, or the person at it, calls the session.
    pub(super) fn door_name(&mut self, door: Door, slot: &Slot<'_>, traps: &mut Vec<&'static str>) -> String {
        match door {
            Door::EnhancedFlow => COGNITO_SESSION.to_owned(),
            Door::BasicFlow | Door::UserPoolOidc => self.chosen_name(slot.start, traps),
            Door::Saml | Door::IdentityCenter => self.worker.email.clone(),
        }
    }

    /// Cognito calls STS for the client. STS has the tags; both records have the key.
    fn enhanced_flow(&mut self, issue: &Issue<'_>, loss: Loss) {
        let identity_id = &self.worker.cognito_identity_id;
        let journal = &mut self.tape.journal;
        cognito_id(&issue.grant, journal, identity_id);
        self.tape.deliver(None, true);
        let audience = &self.staff.estate.identity_pool;
        let token = Token { provider: COGNITO_IDENTITY, audience, subject: identity_id, by_cognito: true };
        issue.web_identity(&mut self.tape.journal, &token);
        self.tape.deliver(None, !loss.lost);
        issue.grant.get_credentials(&mut self.tape.journal, identity_id);
        self.tape.deliver(None, !loss.takes_cognito_too());
    }

    /// The client takes Cognito's token to STS itself.
    fn basic_flow(&mut self, issue: &Issue<'_>, loss: Loss) {
        let identity_id = &self.worker.cognito_identity_id;
        let journal = &mut self.tape.journal;
        cognito_id(&issue.grant, journal, identity_id);
        cognito_token(&issue.grant, journal, identity_id);
        self.tape.deliver(None, true);
        let audience = &self.staff.estate.identity_pool;
        let token = Token { provider: COGNITO_IDENTITY, audience, subject: identity_id, by_cognito: false };
        issue.web_identity(&mut self.tape.journal, &token);
        self.tape.deliver(None, !loss.lost);
    }
}
