//! An endless stream for benchmarks: fast to make, and skewed like a real fleet.

use crate::call::{Invocation, Operation, Refusal};
use crate::clock::HOUR;
use crate::estate::{DOMAIN, Estate, Role};
use crate::grant::{COGNITO_SESSION, Grant};
use crate::journal::{Event, Journal};
use crate::model::{Form, Model};
use crate::random::{Purpose, Random, mix};
use crate::session::{AssumedRole, Session, Traits};

/// Skew of the callers: the few busiest make most of the calls.
const ZIPF_EXPONENT: f64 = 1.05;

/// Share of calls that IAM refuses.
const DENIED: f64 = 0.02;

/// How many roles share the identities.
const ROLES: usize = 24;

/// Events in one second of event time, unless told otherwise.
const EVENTS_PER_SECOND: u32 = 2_000;

/// The departments that session tags name.
const DEPARTMENTS: [&str; 6] = ["legal", "compliance", "marketing", "finance", "engineering", "research"];

/// An infinite iterator of events in the order of their event time.
///
/// Inference calls and the STS records of their sessions, each before the session's
/// first call. Streaming calls come without companions and no identity is kept in
/// memory: everything about one follows from its number.
///
/// ```
/// let mut load = geophone_company::load::Load::new(7, 1_000);
/// let first = load.next().map(|event| event.json);
/// assert!(first.is_some_and(|json| json.contains("sts.amazonaws.com")));
/// ```
#[derive(Clone, Debug)]
pub struct Load {
    estate: Estate,
    random: Random,
    roles: Vec<Role>,
    models: Vec<&'static Model>,
    /// Cumulative weight up to each rank.
    weights: Vec<f64>,
    introduced: Vec<bool>,
    started: i64,
    time: i64,
    events_per_second: u32,
    in_second: u32,
    /// Made and not handed out yet, last one first.
    ready: Vec<Event>,
}

impl Load {
    /// A stream of that many identities; at least one.
    pub fn new(seed: u64, identities: usize) -> Self {
        let estate = Estate::new(seed, "111122223333", "us-east-1");
        let identities = identities.max(1);
        let mut total = 0.0;
        let weights = (1..=identities).map(|rank| {
            total += (rank as f64).powf(-ZIPF_EXPONENT);
            total
        });
        let started = 1_780_272_000 + 9 * HOUR;
        Self {
            weights: weights.collect(),
            random: Random::stream(seed, Purpose::Load, &[]),
            roles: (0..ROLES).map(|n| estate.role("app/", &format!("assistant-{n:02}"))).collect(),
            models: Model::matching(&["anthropic.*".to_owned(), "amazon.nova-*-v1:0".to_owned()])
                .into_iter()
                .filter(|model| model.converses())
                .collect(),
            estate,
            introduced: vec![false; identities],
            started,
            time: started,
            events_per_second: EVENTS_PER_SECOND,
            in_second: 0,
            ready: Vec::with_capacity(3),
        }
    }

    /// With so many events in each second of event time; at least one.
    #[must_use]
    pub fn events_per_second(mut self, events: u32) -> Self {
        self.events_per_second = events.max(1);
        self
    }

    fn make(&mut self) {
        let rank = self.rank();
        let identity = Identity::new(rank, self.estate.seed, &self.roles);
        let session = identity.session(&self.estate, self.started);
        // The journal borrows the estate, so the stream of chance is lent to it.
        let mut journal = Journal::new(&self.estate, self.random.clone());
        if !std::mem::replace(&mut self.introduced[rank], true) {
            identity.introduce(&mut journal, self.time);
        }
        let random = &mut journal.random;
        let model = *random.pick(&self.models);
        let operation = Operation::choose(model, 0.4, random);
        let refusal = random.chance(DENIED).then_some(Refusal::MissingPermission);
        Invocation {
            session: &session,
            time: self.time,
            region: &self.estate.region,
            operation,
            model,
            as_written: &model.written(identity.form, &self.estate),
            refusal,
            bearer: false,
        }
        .record_alone(&mut journal);
        self.ready.append(&mut journal.events);
        self.random = journal.random;
        self.ready.reverse();
    }

    /// Who calls next, 0 being the busiest.
    fn rank(&mut self) -> usize {
        let total = self.weights.last().copied().unwrap_or_default();
        let at = self.random.unit() * total;
        self.weights.partition_point(|sum| *sum <= at).min(self.weights.len() - 1)
    }
}

impl Iterator for Load {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if self.ready.is_empty() {
            if self.in_second >= self.events_per_second {
                (self.time, self.in_second) = (self.time + 1, 0);
            }
            self.make();
            self.in_second += self.ready.len() as u32;
        }
        self.ready.pop()
    }
}

/// One caller, made anew from its number every time it is needed.
struct Identity<'a> {
    kind: Kind,
    role: &'a Role,
    department: &'static str,
    access_key: String,
    session_name: String,
    cognito_identity_id: String,
    subject: String,
    source_ip: String,
    user_agent: &'static str,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Cognito,
    Saml,
    Instance,
}

impl<'a> Identity<'a> {
    fn new(rank: usize, seed: u64, roles: &'a [Role]) -> Self {
        let mut random = Random::stream(seed, Purpose::LoadIdentity, &[rank as u64]);
        // Ranks are scattered over the kinds, so that the busiest are not all alike.
        let kind = match mix(rank as u64) % 10 {
            0..=5 => Kind::Cognito,
            6..=8 => Kind::Saml,
            _ => Kind::Instance,
        };
        let session_name = match kind {
            Kind::Cognito => COGNITO_SESSION.to_owned(),
            Kind::Saml => format!("person{rank}@{DOMAIN}"),
            Kind::Instance => format!("i-0{}", random.hex(16)),
        };
        Self {
            kind,
            role: random.pick(roles),
            department: *random.pick::<&'static str>(&DEPARTMENTS),
            access_key: random.unique_id("ASIA"),
            session_name,
            cognito_identity_id: format!("us-east-1:{}", random.uuid()),
            subject: random.uuid().to_string(),
            source_ip: format!("10.20.{}.{}", random.below(250), random.between(4, 250)),
            user_agent: match kind {
                Kind::Cognito => {
                    "aws-sdk-js/3.821.0 ua/2.1 os/linux lang/js md/nodejs#22.14.0 \
                     api/bedrock-runtime#3.821.0 m/E,N,e"
                }
                Kind::Saml | Kind::Instance => {
                    "Boto3/1.38.12 md/Botocore#1.38.12 ua/2.1 os/linux#6.8.0-1029-aws \
                     md/arch#x86_64 lang/python#3.12.9 md/pyimpl#CPython m/b,Z,D Botocore/1.38.12"
                }
            },
            form: Form::habit(&mut random),
        }
    }

    fn session(&self, estate: &Estate, started: i64) -> Session {
        let traits = match self.kind {
            Kind::Cognito => Traits { cognito: Some((&self.cognito_identity_id, &self.subject)), ..Traits::default() },
            Kind::Saml => Traits::default(),
            Kind::Instance => Traits { ec2_role_delivery: Some("2.0"), ..Traits::default() },
        };
        let assumed =
            AssumedRole { role: self.role, session_name: &self.session_name, access_key: &self.access_key, created: started, traits };
        Session {
            access_key: self.access_key.clone(),
            user_identity_json: assumed.user_identity_json(estate),
            arn: assumed.arn(estate),
            partition_key: self.role.arn.clone(),
            source_ip: self.source_ip.clone(),
            user_agent: self.user_agent.to_owned(),
            inside: true,
            from_console: false,
            started,
            expires: i64::MAX,
        }
    }

    fn introduce(&self, journal: &mut Journal<'_>, time: i64) {
        let tags = [("dept", self.department), ("clearance", "internal"), ("region", "us-east-1")];
        let grant = Grant {
            role: self.role,
            session_name: &self.session_name,
            access_key: &self.access_key,
            time,
            lifetime: 12 * HOUR,
            tags: &tags,
            source_ip: "203.0.113.20",
            user_agent: self.user_agent,
        };
        match self.kind {
            Kind::Cognito => grant.web_identity(journal, &self.cognito_identity_id),
            Kind::Saml => grant.saml(journal, "company-idp", &["dept"]),
            Kind::Instance => grant.service(journal, "ec2.amazonaws.com"),
        }
    }
}
