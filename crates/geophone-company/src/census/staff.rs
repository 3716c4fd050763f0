//! Who is there: departments, people, machines, and what the directory says about them.

use super::machine::{Broker, Machine};
use super::truth::Way;
use crate::estate::{Estate, Role};
use crate::model::{Form, Model};
use crate::person::name_and_email;
use crate::random::{Purpose, Random};

/// Share of the staff that the directory lists.
const LISTED: f64 = 0.97;

/// Share of those whose department is another one there than in their tags.
const DIFFERS: f64 = 0.01;

/// Share of the staff that changes department during the day.
const MOVES: f64 = 0.02;

/// Share of the staff that signs in by two ways.
const TWO_WAYS: f64 = 0.2;

/// Name, name in roles and groups, model globs. The first two have one role between them.
type Row = (&'static str, &'static str, &'static [&'static str]);

const TABLE: [Row; 9] = [
    ("legal", "legal", &["anthropic.claude-opus-*", "anthropic.claude-sonnet-*"]),
    ("compliance", "legal", &["anthropic.claude-sonnet-*", "anthropic.claude-haiku-*"]),
    ("marketing", "marketing", &["amazon.nova-*", "stability.*"]),
    ("finance", "finance", &["amazon.nova-pro-*", "amazon.nova-lite-*", "anthropic.claude-haiku-*"]),
    ("engineering", "engineering", &["anthropic.claude-*", "amazon.titan-embed-*", "mistral.*"]),
    ("research", "research", &["meta.llama*", "deepseek.*", "openai.gpt-oss-*", "cohere.*"]),
    ("ventes Île-de-France", "ventes", &["amazon.nova-*", "mistral.*"]),
    ("Straßenbau-Förderung", "strassenbau", &["anthropic.claude-haiku-*", "amazon.nova-lite-*"]),
    ("研究開発", "rnd-tokyo", &["anthropic.claude-sonnet-*", "amazon.nova-pro-*"]),
];

/// A department.
pub(super) struct Unit {
    /// Value of the department tag.
    pub(super) name: &'static str,
    pub(super) slug: &'static str,
    pub(super) models: Vec<&'static Model>,
    /// Assumed with a web identity.
    pub(super) app_role: Role,
    /// Assumed with an assertion, by a broker, or at the end of a chain.
    pub(super) desk_role: Role,
}

impl Unit {
    /// The role is another department's too, and bears that one's name.
    pub(super) fn shares_role(&self) -> bool {
        self.name.is_ascii() && self.name != self.slug
    }
}

/// Somebody who works here.
pub(super) struct Worker {
    pub(super) index: usize,
    pub(super) email: String,
    /// Name of the person's IAM user, which the directory does not know.
    pub(super) user_name: String,
    pub(super) user_pool_sub: String,
    pub(super) cognito_identity_id: String,
    /// The directory knows the person.
    pub(super) listed: bool,
    /// Position of the department in `Staff::units`, at the start of the day and after its first session.
    pub(super) unit: usize,
    pub(super) later_unit: usize,
    /// The department that the directory has.
    pub(super) listed_unit: usize,
    pub(super) clearance: &'static str,
    pub(super) way: Way,
    pub(super) second_way: Way,
    pub(super) form: Form,
    pub(super) streaming: f64,
    pub(super) inside_ip: String,
    pub(super) egress_ip: String,
}

impl Worker {
    fn new(index: usize, units: usize, estate: &Estate) -> Self {
        let mut random = Random::stream(estate.seed, Purpose::CensusPerson, &[index as u64]);
        let email = name_and_email(index).1;
        let unit = random.below(units);
        let other = |random: &mut Random| (unit + 1 + random.below(units - 1)) % units;
        let later_unit = if random.chance(MOVES) { other(&mut random) } else { unit };
        let listed_unit = match (random.chance(DIFFERS), random.chance(0.5)) {
            (true, _) => other(&mut random),
            (false, true) => unit,
            (false, false) => later_unit,
        };
        let way = Way::draw(&mut random);
        let second_way = if random.chance(TWO_WAYS) { Way::draw(&mut random) } else { way };
        Self {
            index,
            user_name: email.split('@').next().unwrap_or_default().to_owned(),
            user_pool_sub: random.uuid().to_string(),
            cognito_identity_id: format!("{}:{}", estate.region, random.uuid()),
            listed: random.chance(LISTED),
            unit,
            later_unit,
            listed_unit,
            clearance: *random.pick::<&'static str>(&["internal", "internal", "confidential", "restricted"]),
            way,
            second_way,
            form: Form::habit(&mut random),
            streaming: if random.chance(0.5) { 0.7 } else { 0.2 },
            inside_ip: format!("10.20.{}.{}", index / 240 % 250, 10 + index % 240),
            egress_ip: format!("203.0.113.{}", 8 + unit),
            email,
        }
    }

    /// The directory has another department than the tags ever have.
    pub(super) fn differs(&self) -> bool {
        self.listed && self.listed_unit != self.unit && self.listed_unit != self.later_unit
    }
}

/// Everybody and everything.
pub(super) struct Staff {
    pub(super) estate: Estate,
    pub(super) units: Vec<Unit>,
    pub(super) people: Vec<Worker>,
    pub(super) machines: Vec<Machine>,
    pub(super) broker: Broker,
    /// Where everybody's chains begin, and what they pass.
    pub(super) base_role: Role,
    pub(super) hub_role: Role,
    /// Identity Center's role for everybody.
    pub(super) permission_set: Role,
}

impl Staff {
    pub(super) fn new(seed: u64, people: usize) -> Self {
        let estate = Estate::new(seed, "111122223333", "us-east-1");
        let units: Vec<Unit> = TABLE
            .iter()
            .map(|&(name, slug, globs)| {
                let globs: Vec<String> = globs.iter().map(|&glob| glob.to_owned()).collect();
                Unit {
                    name,
                    slug,
                    models: Model::matching(&globs),
                    app_role: estate.role("app/", &format!("assistant-{slug}")),
                    desk_role: estate.role("departments/", &format!("bedrock-{slug}")),
                }
            })
            .collect();
        Self {
            people: (0..people).map(|index| Worker::new(index, units.len(), &estate)).collect(),
            machines: Machine::all(people, &estate),
            broker: Broker::new(&estate),
            base_role: estate.role("departments/", "corporate-base"),
            hub_role: estate.role("shared/", "workload-hub"),
            permission_set: estate.permission_set("BedrockUser"),
            units,
            estate,
        }
    }

    /// Somebody else, if there is anybody.
    pub(super) fn colleague(&self, of: &Worker, random: &mut Random) -> Option<&Worker> {
        let others = self.people.len() - 1;
        let step = 1 + random.below(others);
        (others > 0).then(|| &self.people[(of.index + step) % self.people.len()])
    }

    pub(super) fn directory_csv(&self) -> String {
        let mut csv = String::from("person,user_pool_sub,cognito_identity_id,department,clearance,group,manager\n");
        for worker in self.people.iter().filter(|worker| worker.listed) {
            let unit = &self.units[worker.listed_unit];
            // The first of every twenty-five leads the others.
            let manager = match worker.index % 25 {
                0 => "",
                place => &self.people[worker.index - place].email,
            };
            let group = format!("{}-assistant", unit.slug);
            let row = [&worker.email, &worker.user_pool_sub, &worker.cognito_identity_id, unit.name, worker.clearance, &group, manager];
            // No field can hold a comma or a quote.
            csv.push_str(&row.join(","));
            csv.push('\n');
        }
        csv
    }
}
