use super::*;
use crate::leasing::table::Scan;

fn name(text: &str) -> Arc<str> {
    Arc::from(text)
}

fn scan(rows: Vec<LeaseRow>) -> Scan {
    Scan { rows, bad: vec![] }
}

fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

fn lease(key: &str, owner: Option<&str>) -> LeaseRow {
    LeaseRow { owner: owner.map(name), ..LeaseRow::new(key, Checkpoint::TrimHorizon) }
}

/// `owners` of leases `s0`, `s1` and so on, first seen at 0 and seen again, unmoved, `age` later.
fn view(owners: &[Option<&str>], age: u64) -> View {
    let rows = || owners.iter().enumerate().map(|(at, owner)| lease(&format!("s{at}"), *owner)).collect();
    let mut view = View::default();
    view.observe(scan(rows()), at(0), at(0));
    view.observe(scan(rows()), at(age), at(age));
    view
}

fn held(view: &View, me: &str) -> BTreeSet<Arc<str>> {
    view.leases().filter(|seen| seen.row.owner.as_deref() == Some(me)).map(|seen| seen.row.key.clone()).collect()
}

fn round(view: &View, me: &str) -> Assignment {
    assign(view, &name(me), &held(view, me), &PlanSettings::default())
}

fn keys(writes: &[Write]) -> BTreeSet<&str> {
    writes.iter().map(|write| &*write.key).collect()
}

#[test]
fn free_leases_are_taken_up_to_the_share() {
    let fresh = view(&[None; 6], 0);
    assert_eq!(round(&fresh, "a").take.len(), 6, "alone");
    let shared = view(&[Some("b"), Some("b"), None, None, None, None], 5);
    let plan = round(&shared, "a");
    assert_eq!((plan.take.len(), plan.steal), (3, None));
    assert_eq!(plan.counts.num_workers, 2);
    assert_eq!(round(&shared, "b").take.len(), 4, "who has nothing is not seen");
}

#[test]
fn a_lease_is_free_when_its_counter_stood_still_for_the_failover_time() {
    let owners = [Some("a"), Some("b")];
    assert!(round(&view(&owners, 10), "a").take.is_empty(), "not yet");
    let plan = round(&view(&owners, 11), "a");
    assert_eq!(keys(&plan.take), BTreeSet::from(["s1"]));
    assert_eq!(plan.counts.expired_leases, 1);
    assert_eq!(plan.counts.num_workers, 1, "the dead do not count");
}

#[test]
fn one_lease_is_asked_for_where_the_imbalance_is_two() {
    let even = view(&[Some("a"), Some("b"), Some("b")], 5);
    assert_eq!(round(&even, "a").steal, None, "it would only change sides");
    let plan = round(&view(&[Some("b"), Some("b"), Some("c")], 5), "a");
    let steal = plan.steal.expect("two more than none");
    assert_eq!((steal.fence.owner.as_deref(), steal.change), (Some("b"), Change::Claim));
    let by_force = PlanSettings { handover_timeout: Duration::ZERO, ..PlanSettings::default() };
    let plan = assign(&view(&[Some("b"); 2], 5), &name("a"), &BTreeSet::new(), &by_force);
    assert_eq!(plan.steal.map(|write| write.change), Some(Change::Take));
}

#[test]
fn a_lease_that_was_just_lost_is_not_taken_back_before_that_is_noticed() {
    let seen = view(&[Some("b"), Some("b"), Some("b")], 5);
    let still_in_hand = BTreeSet::from([name("s0"), name("s1"), name("s2")]);
    assert_eq!(assign(&seen, &name("a"), &still_in_hand, &PlanSettings::default()).steal, None);
}

#[test]
fn a_lease_that_changes_hands_is_let_alone_and_counts_for_who_gets_it() {
    let mut seen = view(&[Some("b"), Some("b")], 5);
    let claimed = LeaseRow { checkpoint_owner: Some(name("b")), owner: Some(name("a")), counter: 1, ..lease("s0", None) };
    seen.observe_one(claimed, at(5));
    assert_eq!(round(&seen, "c").steal, None);
    let held_by_b = BTreeSet::from([name("s0"), name("s1")]);
    let plan = assign(&seen, &name("b"), &held_by_b, &PlanSettings::default());
    assert_eq!((plan.take.len(), plan.steal, plan.counts.num_workers), (0, None, 2));
    let plan = assign(&seen, &name("a"), &BTreeSet::new(), &PlanSettings::default());
    assert_eq!((plan.take.len(), plan.steal), (0, None), "it is on its way");
}

#[test]
fn nobody_takes_more_than_it_may_and_says_so() {
    let capped = PlanSettings { leases_max: 2, ..PlanSettings::default() };
    for age in [0, 31] {
        let plan = assign(&view(&[None; 5], age), &name("a"), &BTreeSet::new(), &capped);
        assert_eq!((plan.take.len(), plan.counts.lease_spillover), (2, 3));
    }
}

/// Of nine leases `b` may have two and has them; the seven others wait for somebody.
#[test]
fn a_neglected_lease_is_taken_share_or_not() {
    let mut owners = vec![Some("b"), Some("b"), Some("a"), Some("a"), Some("a"), Some("a"), Some("a")];
    owners.extend([None, None]);
    let alive = |seen: &mut View, moment| {
        let rows: Vec<_> = seen.leases().map(|seen| seen.row.clone()).collect();
        for row in rows.into_iter().filter(|row| row.owner.is_some()) {
            seen.observe_one(LeaseRow { counter: row.counter + 1, ..row }, moment);
        }
    };
    let mut waiting = view(&owners, 20);
    alive(&mut waiting, at(20));
    assert!(round(&waiting, "a").take.is_empty(), "a has its share");
    let mut neglected = view(&owners, 31);
    alive(&mut neglected, at(31));
    assert_eq!(keys(&round(&neglected, "a").take), BTreeSet::from(["s7", "s8"]));
}

#[test]
fn finished_and_waiting_leases_are_no_work() {
    let mut seen = View::default();
    let ended = LeaseRow { checkpoint: Checkpoint::ShardEnd, ..lease("ended", Some("b")) };
    let child = LeaseRow { parents: vec![name("ended")], ..lease("child", None) };
    let grandchild = LeaseRow { parents: vec![name("child")], ..lease("grandchild", None) };
    seen.observe(scan(vec![ended, child, grandchild]), at(0), at(0));
    let plan = round(&seen, "a");
    assert_eq!(keys(&plan.take), BTreeSet::from(["child"]));
    assert_eq!((plan.counts.total_leases, plan.counts.num_workers), (1, 1));
}

#[test]
fn what_a_former_process_of_the_same_name_left_is_taken_at_once() {
    let seen = view(&[Some("a")], 0);
    assert_eq!(assign(&seen, &name("a"), &BTreeSet::new(), &PlanSettings::default()).take.len(), 1);
    assert!(round(&seen, "a").take.is_empty(), "it is in my hands");
}

#[test]
fn a_claim_waits_for_a_worker_that_lives_and_not_for_ever() {
    let settings = PlanSettings::default();
    let me = name("a");
    let claimed = LeaseRow { owner: Some(name("a")), checkpoint_owner: Some(name("b")), ..lease("s", None) };
    let seen = |row: &LeaseRow, moved: u64| Seen { row: row.clone(), moved_at: at(moved), owner_since: at(0) };
    assert_eq!(claim(&seen(&claimed, 5), &me, at(9), &settings), Claim::Wait);
    let take = Claim::Take(Write::new(&claimed, &me, Change::Take));
    assert_eq!(claim(&seen(&claimed, 5), &me, at(16), &settings), take, "no sign of life");
    assert_eq!(claim(&seen(&claimed, 25), &me, at(29), &settings), Claim::Wait);
    assert_eq!(claim(&seen(&claimed, 25), &me, at(31), &settings), take, "too long");
    let free = LeaseRow { checkpoint_owner: None, ..claimed };
    assert!(matches!(claim(&seen(&free, 5), &me, at(6), &settings), Claim::Take(_)), "let go");
    assert_eq!(claim(&seen(&lease("s", Some("c")), 5), &me, at(99), &settings), Claim::None);
}

#[test]
fn a_child_never_begins_at_latest_while_its_parent_is_leased() {
    let mut seen = View::default();
    let child = LeaseRow { checkpoint: Checkpoint::Latest, parents: vec![name("p")], ..lease("c", None) };
    assert_eq!(opening(&child, &seen), Checkpoint::Latest, "the first shards of a LATEST start");
    seen.observe_one(lease("p", Some("b")), at(0));
    assert_eq!(opening(&child, &seen), Checkpoint::TrimHorizon);
}

#[test]
fn workers_try_leases_in_different_orders() {
    let order = |worker: &str| {
        let mut keys: Vec<String> = (0..20).map(|at| format!("shardId-{at:012}")).collect();
        keys.sort_by_key(|key| rank(worker, key));
        keys
    };
    assert_ne!(order("worker-1"), order("worker-2"));
    let firsts: BTreeSet<String> = (0..40).map(|worker| order(&format!("worker-{worker}")).remove(0)).collect();
    assert!(firsts.len() > 10, "{firsts:?}");
}
