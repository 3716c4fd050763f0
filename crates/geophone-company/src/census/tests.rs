use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::truth::{BORROWED_NAME, DIRECTORY_DIFFERS, MOVED, SHARED_ROLE, TAG_NOT_TRANSITIVE};
use super::{Census, CensusEvent, CensusSettings, TRAPS, Truth, WAYS};

fn census(people: usize, lost_sts: f64) -> Census {
    Census::new(&CensusSettings { seed: 3, people, lost_sts, ..CensusSettings::default() })
}

fn read(event: &CensusEvent) -> Value {
    serde_json::from_str(&event.json).expect("a record is JSON")
}

/// A text that is there and not empty.
fn some(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// What a careful reader keeps of a record that issued a key.
struct Issued {
    by_sts: bool,
    tag: Option<String>,
    subject: Option<String>,
    caller: Value,
}

impl Issued {
    fn of(record: &Value) -> Option<(String, Self)> {
        let (asked, answered) = (&record["requestParameters"], &record["responseElements"]);
        let key = some(&answered["credentials"]["accessKeyId"])?.to_owned();
        let by_sts = record["eventSource"] == "sts.amazonaws.com";
        let is_department = |key: &str| key.eq_ignore_ascii_case("dept");
        let maps = ["principalTags", "incomingTransitiveTags"].into_iter().filter_map(|field| asked[field].as_object()).flatten();
        let list = asked["tags"].as_array().into_iter().flatten();
        let tag = maps
            .filter(|(key, _)| is_department(key))
            .map(|(_, value)| value)
            .chain(list.filter(|tag| tag["key"].as_str().is_some_and(is_department)).map(|tag| &tag["value"]))
            .find_map(some);
        let names = [&answered["subjectFromWebIdentityToken"], &answered["subject"], &answered["identityId"], &asked["sourceIdentity"]];
        Some((
            key,
            Self {
                by_sts,
                tag: tag.map(str::to_owned),
                subject: names.into_iter().find_map(some).map(str::to_owned),
                caller: record["userIdentity"].clone(),
            },
        ))
    }
}

/// The simplest consumer that is right: it has no time limits and reads everything before it answers.
struct Reader {
    issued: HashMap<String, Vec<Issued>>,
    directory: HashMap<String, (String, String)>,
}

impl Reader {
    fn new(census: &Census) -> Self {
        let mut issued: HashMap<String, Vec<Issued>> = HashMap::new();
        for (key, grant) in census.events.iter().filter_map(|event| Issued::of(&read(event))) {
            issued.entry(key).or_default().push(grant);
        }
        let mut directory = HashMap::new();
        for row in census.directory_csv.lines().skip(1) {
            let fields: Vec<&str> = row.split(',').collect();
            assert_eq!(fields.len(), 7, "{row}");
            for id in &fields[..3] {
                let before = directory.insert((*id).to_owned(), (fields[0].to_owned(), fields[3].to_owned()));
                assert!(before.is_none(), "{id} twice");
            }
        }
        Self { issued, directory }
    }

    fn grants(&self, caller: &Value) -> &[Issued] {
        some(&caller["accessKeyId"]).and_then(|key| self.issued.get(key)).map_or(&[], Vec::as_slice)
    }

    /// The text by which a caller, or whoever it got its key from, is named.
    fn subject(&self, caller: &Value) -> Option<String> {
        let context = &caller["sessionContext"];
        let identity_id = &context["webIdFederationData"]["attributes"]["cognito-identity.amazonaws.com:sub"];
        let session = caller["arn"].as_str().and_then(|arn| arn.split_once(":assumed-role/AWSReservedSSO_")?.1.split_once('/'));
        let grants = self.grants(caller);
        some(&context["sourceIdentity"])
            .or_else(|| some(identity_id))
            .or_else(|| session.map(|(_, name)| name))
            .map(str::to_owned)
            .or_else(|| grants.iter().find_map(|grant| grant.subject.clone()))
            .or_else(|| grants.iter().find_map(|grant| self.subject(&grant.caller)))
    }

    /// STS's records lead from the key back to somebody who is no session.
    fn complete(&self, caller: &Value) -> bool {
        let temporary = some(&caller["accessKeyId"]).is_some_and(|key| key.starts_with("ASIA"));
        !temporary || self.grants(caller).iter().any(|grant| grant.by_sts && self.complete(&grant.caller))
    }

    fn answer(&self, caller: &Value) -> (Option<String>, Option<String>, bool) {
        let subject = self.subject(caller);
        let member = subject.as_ref().and_then(|subject| self.directory.get(subject));
        let tag = self.grants(caller).iter().find_map(|grant| grant.tag.clone());
        let department = tag.or_else(|| member.map(|(_, department)| department.clone()));
        let person = member.map(|(person, _)| person.clone()).or(subject);
        (person, department, self.complete(caller))
    }
}

#[test]
fn a_careful_reader_of_the_stream_comes_to_the_truth_and_no_further() {
    // Half of all sessions have lost something, so that every kind of loss occurs in every way.
    for lost_sts in [0.5, 0.0] {
        let census = census(1_500, lost_sts);
        let reader = Reader::new(&census);
        for event in &census.events {
            let Some(truth) = &event.truth else { continue };
            let answer = reader.answer(&read(event)["userIdentity"]);
            let expected = (truth.person.clone(), truth.department.clone(), truth.has_sts_record);
            assert_eq!(answer, expected, "{truth:?}\n{}", event.json);
            assert!(lost_sts > 0.0 || truth.has_sts_record);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let of = |seed| Census::new(&CensusSettings { seed, people: 60, ..CensusSettings::default() });
    assert_eq!(of(5), of(5));
    assert_ne!(of(5).events, of(6).events);
    for people in [0, 1, 2] {
        assert!(!Census::new(&CensusSettings { people, ..CensusSettings::default() }).events.is_empty());
    }
}

#[test]
fn losses_and_delivery_leave_the_traffic_as_it_was() {
    let (all, some) = (census(200, 0.0), census(200, 0.2));
    let by_id = |census: &Census| -> BTreeMap<String, (i64, String)> {
        census.events.iter().map(|event| (event.event_id.clone(), (event.time, event.json.clone()))).collect()
    };
    let (all, some) = (by_id(&all), by_id(&some));
    assert!(some.len() < all.len());
    assert!(some.iter().all(|(id, event)| all.get(id) == Some(event)));
}

#[test]
fn records_are_json_and_exactly_the_calls_have_a_truth() {
    let census = census(400, 0.01);
    for event in &census.events {
        let record = read(event);
        assert_eq!(record["eventID"], event.event_id.as_str());
        assert_eq!(record["eventTime"].as_str().and_then(crate::clock::parse_iso), Some(event.time));
        assert_eq!(record["eventSource"] == "bedrock.amazonaws.com", event.truth.is_some(), "{}", event.json);
        let settings = CensusSettings::default();
        assert!((settings.first_day..settings.first_day + crate::clock::DAY).contains(&event.time));
    }
}

#[test]
fn deliveries_come_in_order_within_the_bound_and_some_twice() {
    let census = census(400, 0.01);
    assert!(census.events.is_sorted_by_key(|event| event.arrival));
    assert!(census.events.iter().all(|event| (0..=900).contains(&(event.arrival - event.time))));
    let records: HashSet<&str> = census.events.iter().map(|event| event.event_id.as_str()).collect();
    let twice = (census.events.len() - records.len()) as f64 / records.len() as f64;
    assert!((0.015..0.025).contains(&twice), "{twice}");
    let overtaken = census.events.windows(2).filter(|pair| pair[1].time < pair[0].time).count();
    assert!(overtaken * 3 > census.events.len(), "{overtaken}");
}

#[test]
fn every_way_and_every_trap_occurs_in_its_share() {
    let census = census(2_000, 0.01);
    let (ways, traps) = (census.calls_by_way(), census.calls_by_trap());
    assert_eq!(ways.keys().copied().collect::<HashSet<_>>(), WAYS.into_iter().collect());
    assert_eq!(traps.keys().copied().collect::<HashSet<_>>(), TRAPS.into_iter().collect());
    let calls: usize = ways.values().sum();
    let share = |count: usize| 100.0 * count as f64 / calls as f64;
    for (way, percent) in [("enhanced-flow", 30.0), ("basic-flow", 9.0), ("saml", 12.0), ("chained", 12.0), ("session-token", 3.0)] {
        assert!((share(ways[way]) - percent).abs() < 0.25 * percent, "{way} {ways:?}");
    }
    assert!((0.4..2.0).contains(&share(traps[DIRECTORY_DIFFERS])), "{traps:?}");
    let lost = census.sessions_with_loss as f64 / census.sessions as f64;
    assert!((0.006..0.014).contains(&lost), "{lost}");
    assert!((8 * 2_000..11 * 2_000).contains(&calls), "{calls}");
}

#[test]
fn a_key_is_issued_once_and_is_one_callers() {
    let census = census(600, 0.0);
    let (mut issued, mut callers) = (HashMap::new(), HashMap::<String, (Value, Truth)>::new());
    let mut keys_of_person: BTreeMap<String, HashSet<String>> = BTreeMap::new();
    for event in &census.events {
        let record = read(event);
        let Some(truth) = &event.truth else {
            if let Some((key, _)) = Issued::of(&record).filter(|(_, grant)| grant.by_sts) {
                assert_eq!(issued.entry(key).or_insert(event.event_id.clone()), &event.event_id);
            }
            continue;
        };
        let caller = &record["userIdentity"];
        let key = some(&caller["accessKeyId"]).expect("a key").to_owned();
        let known = callers.entry(key.clone()).or_insert_with(|| (caller.clone(), truth.clone()));
        assert_eq!((&known.0, &known.1), (caller, truth));
        if let Some(person) = &truth.person {
            keys_of_person.entry(person.clone()).or_default().insert(key);
        }
    }
    let several = keys_of_person.values().filter(|keys| keys.len() > 1).count();
    assert!(several * 10 > keys_of_person.len() * 9, "keys rotate");
}

#[test]
fn traps_are_what_they_say() {
    let census = census(2_000, 0.0);
    let reader = Reader::new(&census);
    let mut departments_of_moved: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
    for event in &census.events {
        let Some(truth) = &event.truth else { continue };
        let is_in = |trap| truth.traps.contains(&trap);
        let record = read(event);
        let arn = record["userIdentity"]["arn"].as_str().expect("an ARN");
        let listed = truth.person.as_deref().and_then(|person| reader.directory.get(person)).map(|(_, department)| department.as_str());
        if is_in(BORROWED_NAME) {
            let (_, name) = arn.rsplit_once('/').expect("a session name");
            assert!(name.ends_with("@example.com") && truth.person.as_deref() != Some(name), "{arn} {truth:?}");
        }
        if is_in(TAG_NOT_TRANSITIVE) {
            assert_eq!(truth.department.as_deref(), listed);
        }
        if is_in(SHARED_ROLE) {
            assert!(arn.contains("-legal/"), "{arn}");
        }
        if let (true, Some(person), Some(department)) = (is_in(MOVED), &truth.person, &truth.department) {
            departments_of_moved.entry(person).or_default().insert(department);
        }
    }
    assert!(departments_of_moved.values().filter(|departments| departments.len() > 1).count() > 10);
}
