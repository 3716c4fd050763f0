//! People, their identifiers and their habits.

use crate::department::{Department, Login};
use crate::estate::{DOMAIN, Estate};
use crate::model::{Form, Model};
use crate::random::{Purpose, Random};

/// Somebody who works here; the public fields are a row of the directory.
#[derive(Clone, Debug)]
pub struct Person {
    /// E-mail address, which also is the person's name everywhere else.
    pub email: String,
    /// Given and family name.
    pub name: String,
    /// Subject in the Cognito user pool.
    pub user_pool_sub: String,
    /// Identity id in the Cognito identity pool (`region:uuid`).
    pub cognito_identity_id: String,
    /// User id in the Identity Center store.
    pub identity_center_id: String,
    /// Name of the department.
    pub department: String,
    /// Value of the `clearance` session tag.
    pub clearance: String,
    /// Cognito or directory group.
    pub group: String,
    /// E-mail address of the manager; empty at the top.
    pub manager: String,
    /// The role whose sessions the person calls models with.
    pub role_arn: String,
    /// Position in `Company::people`; names the person's streams of chance.
    pub(crate) index: usize,
    /// Position of the department in `Company::departments`.
    pub(crate) department_index: usize,
    /// Chains from a base role instead of going through the broker.
    pub(crate) chains: bool,
    pub(crate) habits: Habits,
}

/// What stays the same about a person from day to day.
#[derive(Clone, Debug)]
pub(crate) struct Habits {
    /// Median calls on a working day.
    pub(crate) calls: f64,
    /// Seconds after midnight at which work usually starts and ends.
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// Calls of an honest notebook loop; 0 for people who never loop.
    pub(crate) loop_calls: usize,
    /// Share of streaming among conversations.
    pub(crate) streaming: f64,
    pub(crate) form: Form,
    /// Favourite first.
    pub(crate) models: Vec<&'static Model>,
    pub(crate) user_agent: String,
    /// Addresses inside: desk and VPN, each in its own /24.
    pub(crate) desk_ip: String,
    pub(crate) vpn_ip: String,
    /// Addresses outside, as the public endpoints of STS and Cognito see them.
    pub(crate) desk_egress: String,
    pub(crate) home_egress: String,
}

const GIVEN: [&str; 32] = [
    "Ada", "Amara", "Anton", "Beatriz", "Björn", "Carmen", "Chidi", "Dana", "Elif", "Emil", "Farah", "Greta", "Hiro", "Ines", "Ivan",
    "Jonas", "Kamala", "Katja", "Lars", "Lucia", "Mei", "Milan", "Nadia", "Noor", "Oskar", "Priya", "Quentin", "Rosa", "Samir", "Tove",
    "Uma", "Yusuf",
];
const FAMILY: [&str; 31] = [
    "Abara",
    "Almeida",
    "Bauer",
    "Castillo",
    "Dahl",
    "Demir",
    "Eriksen",
    "Fischer",
    "Gupta",
    "Haddad",
    "Ito",
    "Jansen",
    "Kovacs",
    "Larsen",
    "Lopez",
    "Marchetti",
    "Moreau",
    "Nakamura",
    "Novak",
    "Okafor",
    "Olsen",
    "Park",
    "Quispe",
    "Rossi",
    "Sato",
    "Schmidt",
    "Silva",
    "Tan",
    "Weber",
    "Yilmaz",
    "Zhou",
];

impl Person {
    /// Everybody, department by department.
    pub(crate) fn all(departments: &[Department], estate: &Estate) -> Vec<Self> {
        let mut people: Vec<Self> = Vec::new();
        for (department_index, department) in departments.iter().enumerate() {
            let head = people.len();
            for _ in 0..department.people {
                let mut person = Self::new(people.len(), department_index, department, estate);
                person.chains &= (people.len() - head) % 2 == 1;
                if let Some(manager) = people.get(head).or_else(|| people.first()) {
                    person.manager.clone_from(&manager.email);
                }
                people.push(person);
            }
        }
        people
    }

    fn new(index: usize, department_index: usize, department: &Department, estate: &Estate) -> Self {
        let mut random = Random::stream(estate.seed, Purpose::Person, &[index as u64]);
        let (name, email) = name_and_email(index);
        let clearance = match department.name.as_str() {
            "legal" | "compliance" => *random.pick(&["confidential", "restricted"]),
            _ => *random.pick(&["internal", "internal", "confidential"]),
        };
        Self {
            user_pool_sub: random.uuid().to_string(),
            cognito_identity_id: format!("{}:{}", estate.region, random.uuid()),
            identity_center_id: format!("{}-{}", random.hex(10), random.uuid()),
            department: department.name.clone(),
            clearance: clearance.to_owned(),
            group: format!("{}-assistant", department.name),
            manager: String::new(),
            role_arn: department.role.arn.clone(),
            index,
            department_index,
            chains: department.login == Login::TaggedRole,
            habits: Habits::new(index, department_index, department, &mut random),
            name,
            email,
        }
    }
}

impl Habits {
    fn new(index: usize, department_index: usize, department: &Department, random: &mut Random) -> Self {
        let mut models = Model::matching(&department.models);
        // The favourite differs within a department; the order is the habit.
        for last in (1..models.len()).rev() {
            models.swap(last, random.below(last + 1));
        }
        let codes = matches!(department.login, Login::TaggedRole | Login::IdentityCenter);
        let notebook = codes && random.chance(0.15);
        // The third octet is the department's network, so its people share a /24.
        let host = 10 + index % 240;
        Self {
            calls: random.lognormal(30.0, 0.6, 5.0),
            start: random.between(7 * 60 + 45, 9 * 60 + 45) * 60,
            end: random.between(16 * 60 + 30, 18 * 60 + 30) * 60,
            loop_calls: if notebook { random.between(40, 80) as usize } else { 0 },
            streaming: if codes { 0.25 } else { 0.7 },
            form: Form::habit(random),
            models,
            user_agent: user_agent(department, random),
            desk_ip: format!("10.20.{}.{host}", 10 + department_index),
            vpn_ip: format!("10.60.{}.{host}", 10 + department_index),
            desk_egress: format!("203.0.113.{}", 8 + department_index),
            home_egress: format!("198.51.100.{host}"),
        }
    }
}

/// Name and address of the person of that number; no two are alike.
pub(crate) fn name_and_email(index: usize) -> (String, String) {
    // 31 and 32 are coprime, so the first 992 pairs differ; then numbers do.
    let (given, family) = (GIVEN[index % GIVEN.len()], FAMILY[index % FAMILY.len()]);
    let local = format!("{given}.{family}").to_lowercase().replace('ö', "o");
    match index / (GIVEN.len() * FAMILY.len()) {
        0 => (format!("{given} {family}"), format!("{local}@{DOMAIN}")),
        again => (format!("{given} {family} {again}"), format!("{local}{again}@{DOMAIN}")),
    }
}

fn user_agent(department: &Department, random: &mut Random) -> String {
    let patch = random.between(0, 40);
    if department.name == "platform" {
        return "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
                Chrome/137.0.0.0 Safari/537.36"
            .to_owned();
    }
    match (department.login, random.below(3)) {
        (Login::Cognito, _) => format!(
            "aws-sdk-js/3.{}.0 ua/2.1 os/linux lang/js md/nodejs#22.14.0 \
             api/bedrock-runtime#3.{}.0 m/E,N,e",
            800 + patch,
            800 + patch
        ),
        (_, 0) => format!(
            "aws-cli/2.27.{patch} md/awscrt#0.26.1 ua/2.1 os/macos#24.4.0 md/arch#arm64 \
             lang/python#3.13.3 md/pyimpl#CPython m/N,E cfg/retry-mode#standard md/installer#exe"
        ),
        (_, 1) => format!(
            "Boto3/1.38.{patch} md/Botocore#1.38.{patch} ua/2.1 os/linux#6.8.0-1029-aws \
             md/arch#x86_64 lang/python#3.12.9 md/pyimpl#CPython m/b,Z,D cfg/retry-mode#legacy \
             Botocore/1.38.{patch} x-client-framework:langchain-aws"
        ),
        _ => format!(
            "Boto3/1.37.{patch} md/Botocore#1.37.{patch} ua/2.1 os/macos#24.5.0 md/arch#arm64 \
             lang/python#3.11.12 md/pyimpl#CPython m/Z,b cfg/retry-mode#adaptive \
             Botocore/1.37.{patch}"
        ),
    }
}
