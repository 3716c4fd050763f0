//! A person's working day: when calls happen and under which credentials.

use crate::clock::{DAY, HOUR, MINUTE, weekday};
use crate::department::{Department, Login};
use crate::estate::Estate;
use crate::grant::{COGNITO_SESSION, Grant, TRANSITIVE};
use crate::journal::Journal;
use crate::person::{Habits, Person};
use crate::random::{Purpose, Random};
use crate::session::{AssumedRole, Session, Traits, iam_user_json, user_arn};

/// One set of a person's credentials and the moments at which they are used.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) session: Session,
    /// In a role chain, the session that the tags come from.
    pub(crate) base: Option<Session>,
    /// No earlier visit of the day had this base.
    pub(crate) base_is_new: bool,
    pub(crate) calls: Vec<i64>,
}

/// A person together with what surrounds them.
#[derive(Clone, Copy)]
pub(crate) struct Worker<'a> {
    pub(crate) person: &'a Person,
    pub(crate) department: &'a Department,
    pub(crate) estate: &'a Estate,
}

impl Worker<'_> {
    /// The day's credentials with their calls. A pure function of seed, person and
    /// day, which lets an attack steal exactly the session that the day shows.
    pub(crate) fn visits(&self, midnight: i64) -> Vec<Visit> {
        let name = [self.person.index as u64, midnight as u64];
        let mut random = Random::stream(self.estate.seed, Purpose::Workday, &name);
        let times = self.call_times(midnight, &mut random);
        let desk = random.chance(0.8);
        // Some sign in afresh after lunch although the credentials would still do.
        let lunch = random.chance(0.25).then_some(midnight + 13 * HOUR);
        let mut visits: Vec<Visit> = Vec::new();
        let mut base: Option<Session> = None;
        for time in times {
            match visits.last_mut() {
                Some(visit)
                    if time < visit.session.expires - MINUTE && !lunch.is_some_and(|at| visit.session.started < at && at <= time) =>
                {
                    visit.calls.push(time);
                }
                _ => {
                    let started = time - random.between(4, 40);
                    let base_is_new = self.person.chains && base.as_ref().is_none_or(|held| held.expires <= started);
                    if base_is_new {
                        base = Some(self.base_session(started - random.between(3, 20), desk));
                    }
                    let session = self.session(started, desk);
                    visits.push(Visit { session, base: base.clone(), base_is_new, calls: vec![time] });
                }
            }
        }
        visits
    }

    /// Credentials fetched at `started`, outside any plan.
    pub(crate) fn visit_at(&self, started: i64) -> Visit {
        let base = self.person.chains.then(|| self.base_session(started - 9, true));
        Visit { session: self.session(started, true), base, base_is_new: true, calls: Vec::new() }
    }

    /// Writes the records that hand out the visit's credentials, from a stream of
    /// their own, so that they are the same whoever asks for them.
    pub(crate) fn sign_in(&self, journal: &mut Journal<'_>, visit: &Visit, with_base: bool) {
        let session = &visit.session;
        let own = self.stream(Purpose::SignIn, session.started);
        journal.with(own, |journal| {
            let tags = self.tags();
            let grant = Grant {
                role: &self.department.role,
                session_name: self.session_name(),
                access_key: &session.access_key,
                time: session.started,
                lifetime: session.expires - session.started,
                tags: &tags,
                source_ip: self.egress(session),
                user_agent: &session.user_agent,
            };
            match (self.department.login, &visit.base) {
                (Login::Cognito, _) => grant.cognito(journal, &self.person.cognito_identity_id),
                (Login::Saml, _) => grant.saml(journal, "company-idp", &["dept"]),
                (Login::IdentityCenter, _) => grant.saml(journal, "AWSSSO_DO_NOT_DELETE", &[]),
                (Login::TaggedRole, None) => {
                    grant.assume_role(journal, &broker(self.estate), false);
                }
                (Login::TaggedRole, Some(base)) => {
                    if with_base {
                        self.sign_in_base(journal, base, &tags);
                    }
                    grant.assume_role(journal, base, true);
                }
            }
        });
    }

    fn sign_in_base(&self, journal: &mut Journal<'_>, base: &Session, tags: &[(&str, &str)]) {
        let role = base_role(self.estate);
        let grant = Grant {
            role: &role,
            session_name: &self.person.email,
            access_key: &base.access_key,
            time: base.started,
            lifetime: base.expires - base.started,
            tags,
            source_ip: self.egress(base),
            user_agent: &base.user_agent,
        };
        let own = self.stream(Purpose::BaseSignIn, base.started);
        journal.with(own, |journal| grant.saml(journal, "company-idp", &TRANSITIVE));
    }

    fn tags(&self) -> [(&str, &str); 3] {
        let person = self.person;
        [("dept", &*person.department), ("clearance", &*person.clearance), ("region", &*self.estate.region)]
    }

    fn session_name(&self) -> &str {
        match self.department.login {
            Login::Cognito => COGNITO_SESSION,
            Login::Saml | Login::TaggedRole | Login::IdentityCenter => &self.person.email,
        }
    }

    fn stream(&self, purpose: Purpose, time: i64) -> Random {
        Random::stream(self.estate.seed, purpose, &[self.person.index as u64, time as u64])
    }

    /// The public address of somebody who is seen inside with the session's address.
    fn egress(&self, session: &Session) -> &str {
        let habits = &self.person.habits;
        if session.source_ip == habits.vpn_ip { &habits.home_egress } else { &habits.desk_egress }
    }

    fn session(&self, started: i64, desk: bool) -> Session {
        let (person, login) = (self.person, self.department.login);
        let hours = match login {
            // Cognito's credentials and chained roles both end after an hour.
            Login::Cognito => 1,
            Login::TaggedRole if person.chains => 1,
            Login::TaggedRole => 4,
            Login::Saml | Login::IdentityCenter => 8,
        };
        let traits = match login {
            Login::Cognito => Traits { cognito: Some((&person.cognito_identity_id, &person.user_pool_sub)), ..Traits::default() },
            Login::Saml => Traits::default(),
            Login::TaggedRole => Traits { source_identity: Some(&person.email), ..Traits::default() },
            Login::IdentityCenter => Traits { on_behalf_of: Some(&person.identity_center_id), mfa: true, ..Traits::default() },
        };
        let mut keys = self.stream(Purpose::Session, started);
        let assumed = AssumedRole {
            role: &self.department.role,
            session_name: self.session_name(),
            access_key: &keys.unique_id("ASIA"),
            created: started,
            traits,
        };
        self.place(&assumed, started + hours * HOUR, desk)
    }

    fn base_session(&self, started: i64, desk: bool) -> Session {
        let mut keys = self.stream(Purpose::BaseSession, started);
        let assumed = AssumedRole {
            role: &base_role(self.estate),
            session_name: &self.person.email,
            access_key: &keys.unique_id("ASIA"),
            created: started,
            traits: Traits::default(),
        };
        self.place(&assumed, started + 12 * HOUR, desk)
    }

    fn place(&self, assumed: &AssumedRole<'_>, expires: i64, desk: bool) -> Session {
        let habits = &self.person.habits;
        let console = self.person.administers();
        let inside = if desk { &habits.desk_ip } else { &habits.vpn_ip };
        let source_ip = if console { &habits.desk_egress } else { inside };
        Session {
            access_key: assumed.access_key.to_owned(),
            user_identity_json: assumed.user_identity_json(self.estate),
            arn: assumed.arn(self.estate),
            partition_key: assumed.role.arn.clone(),
            source_ip: source_ip.clone(),
            user_agent: habits.user_agent.clone(),
            inside: !console,
            from_console: console,
            started: assumed.created,
            expires,
        }
    }

    fn call_times(&self, midnight: i64, random: &mut Random) -> Vec<i64> {
        let habits = &self.person.habits;
        let mut times = Vec::new();
        if self.is_away(midnight, random) {
            return times;
        }
        if weekday(midnight) >= 5 {
            if random.chance(0.03) {
                let start = midnight + random.between(10 * HOUR, 20 * HOUR);
                conversation(&mut times, start, 4, random);
            }
            return times;
        }
        if self.person.administers() {
            let visits = random.between(0, 4);
            times.extend((0..visits).map(|_| midnight + moment(habits, random)));
            times.sort_unstable();
            return times;
        }
        let calls = random.lognormal(habits.calls, 0.35, 2.0).round() as usize;
        while times.len() < calls {
            let start = midnight + moment(habits, random);
            let left = calls - times.len();
            conversation(&mut times, start, left.min(8), random);
        }
        if random.chance(0.04) {
            let start = midnight + random.between(20 * HOUR, 23 * HOUR);
            conversation(&mut times, start, 4, random);
        }
        if habits.loop_calls > 0 && random.chance(0.4) {
            notebook_loop(&mut times, midnight + moment(habits, random), habits, random);
        }
        times.sort_unstable();
        times
    }

    fn is_away(&self, midnight: i64, random: &mut Random) -> bool {
        let week = (midnight.div_euclid(DAY) + 3).div_euclid(7);
        let name = [self.person.index as u64, week as u64];
        let vacation = Random::stream(self.estate.seed, Purpose::Vacation, &name).chance(0.06);
        vacation || random.chance(0.02)
    }
}

impl Person {
    /// Works with Bedrock's console and not with its models.
    pub(crate) fn administers(&self) -> bool {
        self.department == "platform"
    }
}

/// A second of the working day, seldom at lunch.
fn moment(habits: &Habits, random: &mut Random) -> i64 {
    loop {
        let second = random.between(habits.start, habits.end);
        let lunch = (12 * HOUR..13 * HOUR + 15 * MINUTE).contains(&second);
        if !lunch || random.chance(0.3) {
            return second;
        }
    }
}

/// A few questions in a row, with time to read the answers.
fn conversation(times: &mut Vec<i64>, start: i64, most: usize, random: &mut Random) {
    let mut time = start;
    for _ in 0..=random.below(most) {
        times.push(time);
        time += random.lognormal(50.0, 0.6, 4.0) as i64;
    }
}

/// An honest loop over a data frame: even, and of about the same length every time.
fn notebook_loop(times: &mut Vec<i64>, start: i64, habits: &Habits, random: &mut Random) {
    let calls = random.between(habits.loop_calls as i64 * 7 / 10, habits.loop_calls as i64 * 13 / 10);
    let mut time = start;
    for _ in 0..calls {
        times.push(time);
        time += random.between(5, 8);
    }
}

fn base_role(estate: &Estate) -> crate::estate::Role {
    estate.role("departments/", "engineering-base")
}

/// The service that gives engineers their tagged sessions.
fn broker(estate: &Estate) -> Session {
    let name = "access-broker";
    let mut random = Random::stream(estate.seed, Purpose::KeyUser, &[1]);
    let (id, key) = (random.unique_id("AIDA"), random.unique_id("AKIA"));
    let arn = user_arn(estate, name);
    Session {
        user_identity_json: iam_user_json(estate, name, &id, &key),
        access_key: key,
        partition_key: arn.clone(),
        arn,
        source_ip: "203.0.113.4".to_owned(),
        user_agent: "aws-sdk-go-v2/1.36.3 os/linux lang/go#1.24.3 md/GOARCH#amd64 api/sts#1.33.19".to_owned(),
        inside: false,
        from_console: false,
        started: i64::MIN,
        expires: i64::MAX,
    }
}
