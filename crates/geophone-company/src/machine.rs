//! Callers that are not people: batch roles around the clock, and one forgotten key.

use crate::call::{Invocation, Operation};
use crate::clock::{DAY, HOUR, MINUTE, weekday};
use crate::estate::{Estate, Role};
use crate::grant::Grant;
use crate::journal::Journal;
use crate::model::Model;
use crate::random::{Purpose, Random};
use crate::session::{AssumedRole, Session, Traits, iam_user_json, user_arn};

/// A role that software uses.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What it is called, also as an actor in labels.
    pub name: String,
    /// ARN of its role.
    pub role_arn: String,
    /// The department it works for and whose model table it keeps to.
    pub department: String,
    /// Session name: an instance id or the function's name.
    pub session_name: String,
    pub(crate) index: usize,
    role: Role,
    kind: Kind,
    model: &'static Model,
    source_ip: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// An EC2 instance that makes `calls` every `period` seconds.
    Instance { period: i64, calls: usize },
    /// A Lambda function that runs as events come, `hourly` by day and a third of it by night.
    Function { hourly: usize },
}

type Row = (&'static str, &'static str, &'static str, Kind);

const TABLE: [Row; 4] = [
    ("search-embedder", "engineering", "amazon.titan-embed-text-v2:0", Kind::Instance { period: 5 * MINUTE, calls: 2 }),
    ("contract-indexer", "legal", "anthropic.claude-sonnet-4-5-20250929-v1:0", Kind::Instance { period: 15 * MINUTE, calls: 1 }),
    ("corpus-embedder", "research", "cohere.embed-multilingual-v3", Kind::Instance { period: 10 * MINUTE, calls: 3 }),
    ("ticket-triage", "engineering", "anthropic.claude-3-haiku-20240307-v1:0", Kind::Function { hourly: 12 }),
];

/// Instance credentials are renewed about this often.
const ROTATION: i64 = 6 * HOUR;

impl Machine {
    pub(crate) fn all(estate: &Estate) -> Vec<Self> {
        TABLE
            .iter()
            .enumerate()
            .filter_map(|(index, &(name, department, model, kind))| {
                let mut random = Random::stream(estate.seed, Purpose::Machine, &[index as u64]);
                let session_name = match kind {
                    Kind::Instance { .. } => format!("i-0{}", random.hex(16)),
                    Kind::Function { .. } => name.to_owned(),
                };
                let role = estate.role("service/", &format!("{name}-role"));
                Some(Self {
                    name: name.to_owned(),
                    role_arn: role.arn.clone(),
                    department: department.to_owned(),
                    session_name,
                    index,
                    role,
                    kind,
                    model: crate::model::MODELS.iter().find(|known| known.id == model)?,
                    source_ip: format!("10.40.{index}.{}", random.between(4, 250)),
                })
            })
            .collect()
    }

    /// The credentials that the machine holds at `time`.
    pub(crate) fn session(&self, estate: &Estate, time: i64) -> Session {
        let started = time - time.rem_euclid(ROTATION);
        let name = [self.index as u64, started as u64];
        let key = Random::stream(estate.seed, Purpose::Session, &[u64::MAX, name[0], name[1]]).unique_id("ASIA");
        let function = format!("arn:aws:lambda:{}:{}:function:{}", estate.region, estate.account, self.name);
        let traits = match self.kind {
            Kind::Instance { .. } => Traits { ec2_role_delivery: Some("2.0"), ..Traits::default() },
            Kind::Function { .. } => Traits { function: Some(&function), ..Traits::default() },
        };
        self.session_with(estate, &key, started, traits)
    }

    /// The same credentials with other traits, as a thief's calls show them.
    pub(crate) fn session_with(&self, estate: &Estate, key: &str, started: i64, traits: Traits<'_>) -> Session {
        let assumed = AssumedRole { role: &self.role, session_name: &self.session_name, access_key: key, created: started, traits };
        Session {
            access_key: key.to_owned(),
            user_identity_json: assumed.user_identity_json(estate),
            arn: assumed.arn(estate),
            partition_key: self.role.arn.clone(),
            source_ip: self.source_ip.clone(),
            user_agent: self.user_agent().to_owned(),
            inside: true,
            from_console: false,
            started,
            expires: started + ROTATION,
        }
    }

    const fn user_agent(&self) -> &'static str {
        match self.kind {
            Kind::Instance { .. } => {
                "Boto3/1.38.12 md/Botocore#1.38.12 ua/2.1 os/linux#6.1.134-150.224.amzn2023 \
                 md/arch#x86_64 lang/python#3.12.9 md/pyimpl#CPython exec-env/EC2 m/D,e,b,Z \
                 cfg/retry-mode#legacy Botocore/1.38.12"
            }
            Kind::Function { .. } => {
                "Boto3/1.37.30 md/Botocore#1.37.30 ua/2.1 os/linux#5.10.235-248.942.amzn2 \
                 md/arch#x86_64 lang/python#3.13.2 md/pyimpl#CPython exec-env/AWS_Lambda_python3.13 \
                 m/Z,D,b cfg/retry-mode#legacy Botocore/1.37.30"
            }
        }
    }

    /// The record of the service that hands these credentials out. Written from a
    /// stream of their own, so that it is the same whoever asks for it.
    pub(crate) fn introduce(&self, journal: &mut Journal<'_>, session: &Session) {
        let name = [self.index as u64, session.started as u64];
        let own = Random::stream(journal.estate.seed, Purpose::SignIn, &[u64::MAX, name[0], name[1]]);
        let service = match self.kind {
            Kind::Instance { .. } => "ec2.amazonaws.com",
            Kind::Function { .. } => "lambda.amazonaws.com",
        };
        let grant = Grant {
            role: &self.role,
            session_name: &self.session_name,
            access_key: &session.access_key,
            time: session.started,
            lifetime: ROTATION,
            tags: &[],
            source_ip: service,
            user_agent: service,
        };
        journal.with(own, |journal| grant.service(journal, service));
    }

    /// A day of steady work, from midnight to midnight.
    pub(crate) fn day(&self, journal: &mut Journal<'_>, midnight: i64) {
        let estate = journal.estate;
        let mut times = self.times(&mut journal.random, midnight);
        times.sort_unstable();
        let mut session: Option<Session> = None;
        for time in times {
            let current = match session.take() {
                Some(current) if time < current.expires => current,
                _ => {
                    let fresh = self.session(estate, time);
                    self.introduce(journal, &fresh);
                    fresh
                }
            };
            let as_written = self.model.written(crate::model::Form::Geographic, estate);
            Invocation {
                session: &current,
                time,
                region: &estate.region,
                operation: Operation::choose(self.model, 0.0, &mut journal.random),
                model: self.model,
                as_written: &as_written,
                refusal: None,
                bearer: false,
            }
            .record(journal);
            session = Some(current);
        }
    }

    fn times(&self, random: &mut Random, midnight: i64) -> Vec<i64> {
        let mut times = Vec::new();
        match self.kind {
            Kind::Instance { period, calls } => {
                for tick in (0..DAY).step_by(period as usize) {
                    // Cron fires on the minute; the work takes a few seconds.
                    times.extend((0..calls).map(|_| midnight + tick + random.between(1, 20)));
                }
            }
            Kind::Function { hourly } => {
                for hour in 0..24 {
                    let busy = (7..19).contains(&hour) && weekday(midnight) < 5;
                    let mean = if busy { hourly } else { hourly / 3 };
                    // Events trickle in: between half and one and a half of the mean.
                    let calls = mean / 2 + random.below(mean + 1);
                    let second = |random: &mut Random| random.between(0, HOUR - 1);
                    times.extend((0..calls).map(|_| midnight + hour * HOUR + second(random)));
                }
            }
        }
        times
    }
}

/// An IAM user with a long-lived key that an old product still uses.
#[derive(Clone, Debug)]
pub struct KeyUser {
    /// User name, also as an actor in labels.
    pub name: String,
    /// ARN of the user.
    pub arn: String,
    /// Its long-lived key.
    pub access_key: String,
    /// The department it works for and whose model table it keeps to.
    pub department: String,
    unique_id: String,
}

impl KeyUser {
    pub(crate) fn new(estate: &Estate) -> Self {
        let mut random = Random::stream(estate.seed, Purpose::KeyUser, &[]);
        let name = "translate-legacy";
        Self {
            name: name.to_owned(),
            arn: user_arn(estate, name),
            access_key: random.unique_id("AKIA"),
            department: "marketing".to_owned(),
            unique_id: random.unique_id("AIDA"),
        }
    }

    /// The key in use: at home in the data centre, or wherever a thief is.
    pub(crate) fn session(&self, estate: &Estate, source_ip: &str, user_agent: &str) -> Session {
        let inside = source_ip.starts_with("10.");
        Session {
            access_key: self.access_key.clone(),
            user_identity_json: iam_user_json(estate, &self.name, &self.unique_id, &self.access_key),
            arn: self.arn.clone(),
            partition_key: self.arn.clone(),
            source_ip: source_ip.to_owned(),
            user_agent: user_agent.to_owned(),
            inside,
            from_console: false,
            started: i64::MIN,
            expires: i64::MAX,
        }
    }

    /// Translates the night's product texts before the office opens.
    pub(crate) fn day(&self, journal: &mut Journal<'_>, midnight: i64) {
        const MODEL: &str = "amazon.nova-lite-v1:0";
        let Some(model) = crate::model::MODELS.iter().find(|known| known.id == MODEL) else {
            return;
        };
        if weekday(midnight) >= 5 {
            return;
        }
        let estate = journal.estate;
        let session = self.session(
            estate,
            "10.80.0.17",
            "aws-sdk-java/1.12.780 Linux/4.18.0 \
             OpenJDK_64-Bit_Server_VM/17.0.12 java/17.0.12 vendor/Red_Hat,_Inc. cfg/retry-mode/legacy",
        );
        let mut time = midnight + 6 * HOUR;
        for _ in 0..journal.random.between(24, 36) {
            time += journal.random.between(20, 60);
            Invocation {
                session: &session,
                time,
                region: &estate.region,
                operation: Operation::InvokeModel,
                model,
                as_written: MODEL,
                refusal: None,
                bearer: false,
            }
            .record(journal);
        }
    }
}
