//! Callers that are nobody: instances, functions, and the broker that hands out people's sessions.

use super::issue::federated_arn;
use super::tape::Tape;
use super::truth::{Truth, WAYS};
use super::visit::call;
use crate::clock::{HOUR, iso};
use crate::estate::{Estate, Role};
use crate::grant::Grant;
use crate::json::object_text;
use crate::model::{Form, MODELS, Model};
use crate::random::{Purpose, Random};
use crate::session::{AssumedRole, Session, Traits, iam_user_json, user_arn};

/// Machines get new credentials this often.
const ROTATION: i64 = 6 * HOUR;

const SDK: &str = "Boto3/1.38.12 md/Botocore#1.38.12 ua/2.1 os/linux#6.1.134 lang/python#3.12.9 Botocore/1.38.12";

/// An EC2 instance or a Lambda function that calls models.
pub(super) struct Machine {
    role: Role,
    session_name: String,
    /// ARN of the function; none for an instance.
    function: Option<String>,
    model: &'static Model,
    source_ip: String,
}

impl Machine {
    /// As many as a company of that size has: one for every 25 people, and at least one of a kind.
    pub(super) fn all(people: usize, estate: &Estate) -> Vec<Self> {
        (0..people / 25 + 2)
            .map(|index| {
                let mut random = Random::stream(estate.seed, Purpose::CensusPerson, &[super::MACHINES, index as u64]);
                let is_function = index % 2 == 1;
                let name = format!("{}-{index}", if is_function { "triage" } else { "indexer" });
                let arn = format!("arn:aws:lambda:{}:{}:function:{name}", estate.region, estate.account);
                Self {
                    role: estate.role("service/", &format!("{name}-role")),
                    session_name: if is_function { name } else { format!("i-0{}", random.hex(16)) },
                    function: is_function.then_some(arn),
                    model: random.pick(MODELS),
                    source_ip: format!("10.40.{}.{}", index / 240 % 250, 10 + index % 240),
                }
            })
            .collect()
    }

    /// Four sessions with a few calls each.
    pub(super) fn day(&self, tape: &mut Tape<'_>, midnight: i64) {
        let estate = tape.journal.estate;
        for started in (0..4).map(|turn| midnight + turn * ROTATION) {
            let loss = tape.session();
            let key = tape.journal.random.unique_id("ASIA");
            let traits = match &self.function {
                Some(arn) => Traits { function: Some(arn), ..Traits::default() },
                None => Traits { ec2_role_delivery: Some("2.0"), ..Traits::default() },
            };
            let assumed = AssumedRole { role: &self.role, session_name: &self.session_name, access_key: &key, created: started, traits };
            let session = machine_session(&assumed, estate, &self.source_ip);
            let service = if self.function.is_some() { "lambda.amazonaws.com" } else { "ec2.amazonaws.com" };
            service_grant(&assumed, service).service(&mut tape.journal, service);
            tape.deliver(None, !loss.lost);
            let way = WAYS[if self.function.is_some() { 10 } else { 9 }];
            let truth = Truth { person: None, department: None, has_sts_record: !loss.lost, way, traps: Vec::new() };
            for _ in 0..tape.journal.random.between(3, 8) {
                let time = started + tape.journal.random.between(5, ROTATION - 60);
                call(&mut tape.journal, &session, self.model, Form::Bare, 0.0, time);
                tape.deliver(Some(&truth), true);
            }
        }
    }
}

/// Who asks STS for other people's sessions: an IAM user with a long-lived key, and a function.
pub(super) struct Broker {
    pub(super) user: Session,
    user_id: String,
    role: Role,
}

const BROKER: &str = "access-broker";

impl Broker {
    pub(super) fn new(estate: &Estate) -> Self {
        let mut random = Random::stream(estate.seed, Purpose::CensusPerson, &[super::BROKER]);
        let user_id = random.unique_id("AIDA");
        Self {
            user: iam_user(estate, BROKER, &user_id, &random.unique_id("AKIA"), "203.0.113.4"),
            user_id,
            role: estate.role("service/", "access-broker-role"),
        }
    }

    /// The function's session at `time`.
    pub(super) fn function(&self, estate: &Estate, midnight: i64, time: i64) -> Session {
        let started = midnight + (time - midnight).div_euclid(ROTATION).clamp(0, 3) * ROTATION;
        machine_session(&self.assumed(&function_key(estate, started), started, &function_arn(estate)), estate, "10.40.255.4")
    }

    /// Where its keys come from. Nobody's truth depends on these records, and none is lost.
    pub(super) fn day(&self, tape: &mut Tape<'_>, midnight: i64) {
        let estate = tape.journal.estate;
        let arn = function_arn(estate);
        for started in (0..4).map(|turn| midnight + turn * ROTATION) {
            let service = "lambda.amazonaws.com";
            let key = function_key(estate, started);
            service_grant(&self.assumed(&key, started, &arn), service).service(&mut tape.journal, service);
            tape.deliver(None, true);
        }
    }

    /// The user's session under the name of a federated user.
    pub(super) fn federated(&self, estate: &Estate, name: &str, key: &str, created: i64) -> Session {
        let account = &estate.account;
        let arn = federated_arn(account, name);
        let identity = object_text(|identity| {
            identity.text("type", "FederatedUser");
            identity.text("principalId", &format!("{account}:{name}"));
            identity.text("arn", &arn);
            identity.text("accountId", account);
            identity.text("accessKeyId", key);
            identity.object("sessionContext", |context| {
                context.object("sessionIssuer", |issuer| {
                    issuer.text("type", "IAMUser");
                    issuer.text("principalId", &self.user_id);
                    issuer.text("arn", &self.user.arn);
                    issuer.text("accountId", account);
                    issuer.text("userName", BROKER);
                });
                context.object("attributes", |attributes| {
                    attributes.text("creationDate", &iso(created));
                    attributes.text("mfaAuthenticated", "false");
                });
            });
        });
        Session { access_key: key.to_owned(), user_identity_json: identity, arn, ..self.user.clone() }
    }

    fn assumed<'a>(&'a self, access_key: &'a str, created: i64, function: &'a str) -> AssumedRole<'a> {
        let traits = Traits { function: Some(function), ..Traits::default() };
        AssumedRole { role: &self.role, session_name: BROKER, access_key, created, traits }
    }
}

/// The key that the broker's function has from `started` on.
fn function_key(estate: &Estate, started: i64) -> String {
    Random::stream(estate.seed, Purpose::CensusPerson, &[super::BROKER, started as u64]).unique_id("ASIA")
}

fn function_arn(estate: &Estate) -> String {
    format!("arn:aws:lambda:{}:{}:function:{BROKER}", estate.region, estate.account)
}

/// An IAM user with its long-lived key.
pub(super) fn iam_user(estate: &Estate, name: &str, id: &str, key: &str, source_ip: &str) -> Session {
    let arn = user_arn(estate, name);
    Session {
        user_identity_json: iam_user_json(estate, name, id, key),
        access_key: key.to_owned(),
        partition_key: arn.clone(),
        arn,
        source_ip: source_ip.to_owned(),
        user_agent: SDK.to_owned(),
        inside: false,
        from_console: false,
        started: i64::MIN,
        expires: i64::MAX,
    }
}

fn machine_session(assumed: &AssumedRole<'_>, estate: &Estate, source_ip: &str) -> Session {
    Session {
        access_key: assumed.access_key.to_owned(),
        user_identity_json: assumed.user_identity_json(estate),
        arn: assumed.arn(estate),
        partition_key: assumed.role.arn.clone(),
        source_ip: source_ip.to_owned(),
        user_agent: SDK.to_owned(),
        inside: true,
        from_console: false,
        started: assumed.created,
        expires: assumed.created + ROTATION,
    }
}

fn service_grant<'a>(assumed: &AssumedRole<'a>, service: &'a str) -> Grant<'a> {
    Grant {
        role: assumed.role,
        session_name: assumed.session_name,
        access_key: assumed.access_key,
        time: assumed.created,
        lifetime: ROTATION,
        tags: &[],
        source_ip: service,
        user_agent: service,
    }
}
