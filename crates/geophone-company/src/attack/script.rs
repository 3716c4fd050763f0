//! What all scripts share: the stage, and how an attacker comes by a session.

use crate::attack::{Attack, bedrock_admin, keys, sessions};
use crate::call::{Invocation, Operation, Refusal};
use crate::company::Company;
use crate::journal::{Event, Journal, Label};
use crate::model::{MODELS, Model};
use crate::person::Person;
use crate::random::{Purpose, Random};
use crate::session::Session;
use crate::visit::Visit;

/// A playing script.
pub(crate) struct Stage<'a> {
    pub(crate) company: &'a Company,
    pub(crate) journal: Journal<'a>,
    pub(crate) attack: Attack,
    pub(crate) number: u32,
    /// When the attack began, and the script's clock from then on.
    pub(crate) now: i64,
}

/// Plays the script of `attack`.
pub(crate) fn play(company: &Company, attack: Attack, at: i64, number: u32) -> Vec<Event> {
    let name = [attack as u64, at as u64, u64::from(number)];
    let random = Random::stream(company.settings.seed, Purpose::Attack, &name);
    let journal = Journal::new(&company.estate, random);
    let mut stage = Stage { company, journal, attack, number, now: at };
    match attack {
        Attack::DeniedProbe => sessions::denied_probe(&mut stage),
        Attack::CrossDepartment => sessions::cross_department(&mut stage),
        Attack::InvocationBurst => sessions::invocation_burst(&mut stage),
        Attack::ModelNotEnabled => sessions::model_not_enabled(&mut stage),
        Attack::Offboarded => sessions::offboarded(&mut stage),
        Attack::OddHours => sessions::odd_hours(&mut stage),
        Attack::Campaign => sessions::campaign(&mut stage),
        Attack::LlmJacking => keys::llm_jacking(&mut stage),
        Attack::BearerKey => keys::bearer_key(&mut stage),
        Attack::SessionTheft => keys::session_theft(&mut stage),
        Attack::GuardrailTampering => bedrock_admin::guardrail_tampering(&mut stage),
        Attack::RagPoisoning => bedrock_admin::rag_poisoning(&mut stage),
    }
    stage.journal.events
}

impl<'a> Stage<'a> {
    /// From here on events are the doing of `actor`.
    pub(crate) fn blame(&mut self, actor: &str) {
        let (attack, number) = (self.attack, self.number);
        self.journal.label = Some(Label { attack, actor: actor.to_owned(), number });
    }

    /// Lets between `low` and `high` seconds pass.
    pub(crate) fn wait(&mut self, low: i64, high: i64) {
        self.now += self.journal.random.between(low, high);
    }

    /// Somebody of the department who has credentials now and for another
    /// `duration`; anybody of it, signing in afresh, if nobody has.
    pub(crate) fn insider(&mut self, department: &str, duration: i64) -> (&'a Person, Visit) {
        let staff = self.staff(department);
        let first = self.journal.random.below(staff.len());
        for person in staff.iter().cycle().skip(first).take(staff.len()) {
            if let Some(visit) = self.current_visit(person, duration) {
                return (person, visit);
            }
        }
        let person = staff[first];
        (person, self.fresh_visit(person))
    }

    /// The people of a department, or everybody if it is empty.
    pub(crate) fn staff(&self, department: &str) -> Vec<&'a Person> {
        let of = |person: &&Person| person.department == department;
        let staff: Vec<&Person> = self.company.people.iter().filter(of).collect();
        if staff.is_empty() { self.company.people.iter().collect() } else { staff }
    }

    /// The person's credentials of the moment, if they last for another `duration`.
    pub(crate) fn current_visit(&mut self, person: &Person, duration: i64) -> Option<Visit> {
        let midnight = self.company.midnight(self.now);
        let worker = self.company.worker(person);
        let holds = |visit: &Visit| visit.session.started <= self.now && self.now + duration < visit.session.expires;
        let visit = worker.visits(midnight).into_iter().rfind(holds)?;
        if !self.company.played.contains(&midnight) {
            self.unlabelled(|journal| worker.sign_in(journal, &visit, true));
        }
        Some(visit)
    }

    /// New credentials of the person, fetched just now.
    pub(crate) fn fresh_visit(&mut self, person: &Person) -> Visit {
        let worker = self.company.worker(person);
        let visit = worker.visit_at(self.now - 15);
        self.unlabelled(|journal| worker.sign_in(journal, &visit, true));
        visit
    }

    /// Writes events that belong to the ordinary world.
    pub(crate) fn unlabelled(&mut self, write: impl FnOnce(&mut Journal<'a>)) {
        let label = self.journal.label.take();
        write(&mut self.journal);
        self.journal.label = label;
    }

    /// An inference call now, in the company's region.
    pub(crate) fn call(&mut self, session: &Session, model: &Model, refusal: Option<Refusal>) {
        let operation = Operation::choose(model, 0.2, &mut self.journal.random);
        let region = &self.company.estate.region;
        self.call_in(session, region, operation, model, refusal);
    }

    /// An inference call now, by bare model id.
    pub(crate) fn call_in(&mut self, session: &Session, region: &str, operation: Operation, model: &Model, refusal: Option<Refusal>) {
        Invocation {
            session,
            time: self.now,
            region,
            operation,
            model,
            as_written: model.id,
            refusal,
            bearer: session.access_key.is_empty(),
        }
        .record(&mut self.journal);
    }
}

/// The catalogue's model whose id begins so; the first one if there is none.
pub(crate) fn model(prefix: &str) -> &'static Model {
    MODELS.iter().find(|model| model.id.starts_with(prefix)).unwrap_or(&MODELS[0])
}
