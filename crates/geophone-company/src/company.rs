//! The company itself: its settings, its staff, its days.

use std::collections::BTreeSet;

use crate::attack::Attack;
use crate::attack::script;
use crate::call::{Control, Invocation, Operation, Refusal};
use crate::clock::DAY;
use crate::department::Department;
use crate::estate::Estate;
use crate::journal::{Event, Journal};
use crate::json::object_text;
use crate::machine::{KeyUser, Machine};
use crate::model::{MODELS, Model};
use crate::person::Person;
use crate::random::{Purpose, Random};
use crate::visit::{Visit, Worker};

/// What a company is made from. The same settings give the same company, byte for byte.
#[derive(Clone, Debug, PartialEq)]
pub struct CompanySettings {
    /// Everything random follows from it.
    pub seed: u64,
    /// Size of the staff.
    pub people: usize,
    /// Epoch seconds of the UTC midnight at which day 0 begins; best a Monday.
    pub first_day: i64,
    /// The AWS account.
    pub account: String,
    /// The region in which everybody works.
    pub region: String,
    /// How often a person tries, on a working day, one call that IAM refuses. 0 keeps
    /// benign days free of errors.
    pub honest_mistakes: f64,
}

impl Default for CompanySettings {
    /// Sixty people from Monday, 1 June 2026, who make no mistakes.
    fn default() -> Self {
        Self {
            seed: 1,
            people: 60,
            first_day: 1_780_272_000,
            account: "111122223333".to_owned(),
            region: "us-east-1".to_owned(),
            honest_mistakes: 0.0,
        }
    }
}

/// A company with people, machines and, on request, attackers.
#[derive(Clone, Debug)]
pub struct Company {
    pub(crate) settings: CompanySettings,
    pub(crate) estate: Estate,
    pub(crate) departments: Vec<Department>,
    pub(crate) people: Vec<Person>,
    pub(crate) machines: Vec<Machine>,
    pub(crate) key_user: KeyUser,
    /// Days whose sign-ins the caller has seen; an attack on another day brings its own.
    pub(crate) played: BTreeSet<i64>,
    attacks: u32,
}

impl Company {
    /// Founds the company.
    pub fn new(settings: CompanySettings) -> Self {
        let estate = Estate::new(settings.seed, &settings.account, &settings.region);
        let departments = Department::all(settings.people, &estate);
        let people = Person::all(&departments, &estate);
        let machines = Machine::all(&estate);
        let key_user = KeyUser::new(&estate);
        let played = BTreeSet::new();
        Self { settings, estate, departments, people, machines, key_user, played, attacks: 0 }
    }

    /// The settings that the company was made from.
    pub const fn settings(&self) -> &CompanySettings {
        &self.settings
    }

    /// The departments with their model tables.
    pub fn departments(&self) -> &[Department] {
        &self.departments
    }

    /// Everybody, department by department, heads first.
    pub fn people(&self) -> &[Person] {
        &self.people
    }

    /// The batch roles.
    pub fn machines(&self) -> &[Machine] {
        &self.machines
    }

    /// The IAM user with the long-lived key.
    pub const fn key_user(&self) -> &KeyUser {
        &self.key_user
    }

    /// The interface endpoint through which honest calls reach the models.
    pub fn vpc_endpoint(&self) -> &str {
        &self.estate.vpc_endpoint
    }

    /// The staff as CSV with a header line.
    pub fn directory_csv(&self) -> String {
        let mut csv = String::from("person,user_pool_sub,cognito_identity_id,department,clearance,group,manager\n");
        for person in &self.people {
            let row = [
                &person.email,
                &person.user_pool_sub,
                &person.cognito_identity_id,
                &person.department,
                &person.clearance,
                &person.group,
                &person.manager,
            ];
            // No field can hold a comma or a quote.
            csv.push_str(&row.map(String::as_str).join(","));
            csv.push('\n');
        }
        csv
    }

    /// The benign traffic of a day, by event time. Asking again gives the same
    /// events, as a replayed delivery would.
    pub fn day(&mut self, day: u32) -> Vec<Event> {
        let midnight = self.settings.first_day + i64::from(day) * DAY;
        self.played.insert(midnight);
        let mut events = Vec::new();
        for person in &self.people {
            let random = self.stream(Purpose::Calls, person.index, midnight);
            let mut journal = Journal::new(&self.estate, random);
            self.person_day(&mut journal, person, midnight);
            events.append(&mut journal.events);
        }
        for machine in &self.machines {
            let random = self.stream(Purpose::MachineDay, machine.index, midnight);
            let mut journal = Journal::new(&self.estate, random);
            machine.day(&mut journal, midnight);
            events.append(&mut journal.events);
        }
        let random = self.stream(Purpose::KeyUser, 0, midnight);
        let mut journal = Journal::new(&self.estate, random);
        self.key_user.day(&mut journal, midnight);
        events.append(&mut journal.events);
        events.sort_by_key(|event| event.time);
        events
    }

    /// Plays an attack that begins at `at` (epoch seconds). It abuses the sessions of
    /// the day it falls on; the honest sign-in records of a day that was not asked for
    /// before come along without a label, so that a lone attack can be joined too.
    pub fn attack(&mut self, attack: Attack, at: i64) -> Vec<Event> {
        let number = self.attacks;
        self.attacks += 1;
        let mut events = script::play(self, attack, at, number);
        events.sort_by_key(|event| event.time);
        events
    }

    pub(crate) fn worker<'a>(&'a self, person: &'a Person) -> Worker<'a> {
        let department = &self.departments[person.department_index];
        Worker { person, department, estate: &self.estate }
    }

    /// The midnight that a moment's day began with.
    pub(crate) fn midnight(&self, at: i64) -> i64 {
        at - (at - self.settings.first_day).rem_euclid(DAY)
    }

    fn stream(&self, purpose: Purpose, index: usize, midnight: i64) -> Random {
        Random::stream(self.settings.seed, purpose, &[index as u64, midnight as u64])
    }

    fn person_day(&self, journal: &mut Journal<'_>, person: &Person, midnight: i64) {
        let worker = self.worker(person);
        let visits = worker.visits(midnight);
        for visit in &visits {
            worker.sign_in(journal, visit, visit.base_is_new);
            for &time in &visit.calls {
                if person.administers() {
                    browse(journal, visit, time);
                } else {
                    ask(journal, person, visit, time);
                }
            }
        }
        let mistaken = self.settings.honest_mistakes > 0.0 && journal.random.chance(self.settings.honest_mistakes);
        if let Some(visit) = visits.first().filter(|_| mistaken && !person.administers()) {
            self.mistake(journal, person, visit);
        }
    }

    /// One call of a model that another department has.
    fn mistake(&self, journal: &mut Journal<'_>, person: &Person, visit: &Visit) {
        let department = &self.departments[person.department_index];
        let others: Vec<&Model> = MODELS.iter().filter(|model| !department.may_call(model.id)).collect();
        let Some(&time) = visit.calls.last() else { return };
        let model = *journal.random.pick(&others);
        let as_written = model.written(person.habits.form, journal.estate);
        Invocation {
            session: &visit.session,
            time: time + 1,
            region: &self.estate.region,
            operation: Operation::choose(model, 0.0, &mut journal.random),
            model,
            as_written: &as_written,
            refusal: Some(Refusal::MissingPermission),
            bearer: false,
        }
        .record(journal);
    }
}

/// An honest call, of the person's favourite model more often than not.
fn ask(journal: &mut Journal<'_>, person: &Person, visit: &Visit, time: i64) {
    let habits = &person.habits;
    let model = match journal.random.unit() {
        share if share < 0.7 => habits.models.first(),
        share if share < 0.9 => habits.models.get(1).or(habits.models.first()),
        _ => Some(journal.random.pick(&habits.models)),
    };
    let Some(&model) = model else { return };
    let as_written = model.written(habits.form, journal.estate);
    Invocation {
        session: &visit.session,
        time,
        region: &journal.estate.region,
        operation: Operation::choose(model, habits.streaming, &mut journal.random),
        model,
        as_written: &as_written,
        refusal: None,
        bearer: false,
    }
    .record(journal);
}

/// An administrator looks around in the console.
fn browse(journal: &mut Journal<'_>, visit: &Visit, time: i64) {
    let estate = journal.estate;
    let guardrail = object_text(|request| request.text("guardrailIdentifier", &estate.guardrail));
    let pages =
        [("ListFoundationModels", "null"), ("ListGuardrails", "null"), ("GetGuardrail", &*guardrail), ("ListInferenceProfiles", "null")];
    let (name, request_json) = *journal.random.pick(&pages);
    let call = Control::bedrock(&visit.session, &estate.region, time, name);
    Control { request_json, ..call }.record(journal);
}
