//! What a run consists of: scenarios, each with its promises, and controls, each of which has to break one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::fleet::{self, Fleet, FleetAct};
use crate::load::Mix;
use crate::proxy::Fault;
use crate::scenario::{Act, POINTS, Scenario};
use crate::table;

/// Where Debian puts libfaketime.
const FAKETIME: [&str; 2] = ["/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"];

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Two minutes: a part of `make test`.
    Short,
    /// Hundreds of kills.
    Full,
}

/// The two builds of the program.
#[derive(Clone, Debug)]
pub struct Programs {
    /// As it is shipped.
    pub plain: PathBuf,
    /// With failpoints.
    pub failpoints: PathBuf,
}

/// A scenario, how often it is played in each form, and how it is made from a seed.
struct Entry {
    name: &'static str,
    short: usize,
    full: usize,
    change: fn(&mut Scenario, &Programs),
}

/// All that can be thought to go wrong on the way, but for what has a form of its own.
const STREAM_FAULTS: [Fault; 7] =
    [Fault::Delay, Fault::Reset, Fault::LostReply, Fault::Internal, Fault::Throttled, Fault::Truncated, Fault::ExpiredIterator];
const PAGER_FAULTS: [Fault; 6] = [Fault::Delay, Fault::Reset, Fault::LostReply, Fault::Internal, Fault::Throttled, Fault::Truncated];

const TABLE_FAULTS: [Fault; 7] =
    [Fault::Delay, Fault::Reset, Fault::LostReply, Fault::Internal, Fault::Throttled, Fault::Truncated, Fault::Late];

const ENTRIES: [Entry; 19] = [
    Entry { name: "nothing goes wrong", short: 1, full: 4, change: |s, _| s.steps = if s.steps > 5 { 60 } else { 5 } },
    Entry { name: "kill -9", short: 1, full: 24, change: |s, _| s.acts = vec![Act::Kill] },
    Entry {
        name: "kill at each point of a commit",
        short: 1,
        full: 12,
        change: |s, programs| {
            (s.acts, s.steps) = (vec![Act::Point], POINTS.len());
            s.program.clone_from(&programs.failpoints);
        },
    },
    Entry { name: "reshard under kill -9", short: 1, full: 12, change: |s, _| s.acts = vec![Act::Kill, Act::Reshard, Act::SplitDown] },
    Entry {
        name: "faults between it and Kinesis",
        short: 0,
        full: 6,
        change: |s, _| (s.acts, s.stream_faults) = (vec![Act::Rest, Act::Kill], STREAM_FAULTS.to_vec()),
    },
    Entry {
        name: "faults between it and SNS",
        short: 0,
        full: 6,
        change: |s, _| {
            (s.acts, s.pager_faults) = (vec![Act::Rest, Act::Kill], PAGER_FAULTS.to_vec());
            s.refused_entries = 200;
        },
    },
    Entry {
        name: "replies of SNS lost",
        short: 0,
        full: 4,
        change: |s, _| (s.acts, s.pager_faults) = (vec![Act::Kill], vec![Fault::LostReply]),
    },
    Entry {
        name: "throttle storm",
        short: 0,
        full: 4,
        change: |s, _| {
            (s.stream_faults, s.pager_faults) = (vec![Fault::Throttled], vec![Fault::Throttled]);
        },
    },
    Entry {
        name: "sockets that never answer",
        short: 0,
        full: 3,
        change: |s, _| {
            (s.stream_faults, s.pager_faults) = (vec![Fault::BlackHole], vec![Fault::BlackHole]);
            s.patience = Duration::from_secs(180);
        },
    },
    Entry {
        name: "credentials that expire",
        short: 0,
        full: 4,
        change: |s, _| {
            (s.stream_faults, s.pager_faults) = (vec![Fault::ExpiredToken], vec![Fault::ExpiredToken]);
        },
    },
    Entry {
        name: "SNS is away, and comes back",
        short: 0,
        full: 4,
        change: |s, _| {
            (s.acts, s.pager_away) = (vec![Act::Rest, Act::Kill, Act::Term], true);
        },
    },
    Entry {
        name: "iterators that grow old",
        short: 0,
        full: 4,
        change: |s, _| {
            (s.acts, s.setting.iterator_seconds) = (vec![Act::Pause, Act::Rest], 1);
        },
    },
    Entry { name: "stopped and continued", short: 0, full: 4, change: |s, _| s.acts = vec![Act::Pause, Act::Kill] },
    Entry { name: "asked to stop", short: 0, full: 4, change: |s, _| s.acts = vec![Act::Term] },
    Entry {
        name: "bad records, everything up to three times",
        short: 1,
        full: 6,
        change: |s, _| {
            s.acts = vec![Act::Kill, Act::Rest];
            (s.mix.poison, s.mix.repeats) = (9, true);
        },
    },
    Entry { name: "state damaged between starts", short: 1, full: 12, change: |s, _| s.acts = vec![Act::Damage] },
    Entry { name: "a disk without room", short: 0, full: 6, change: |s, _| s.acts = vec![Act::FullDisk, Act::Rest] },
    Entry {
        name: "the clock is set",
        short: 0,
        full: 4,
        change: |s, _| {
            (s.acts, s.setting.faketime) = (vec![Act::Clock, Act::Kill], faketime());
            // With the clock ahead nobody's sign-in is waited for: see what is not promised.
            s.mix.crossing = 0;
        },
    },
    Entry {
        name: "everything at once",
        short: 1,
        full: 12,
        change: |s, programs| {
            s.acts = vec![Act::Kill, Act::Point, Act::Pause, Act::Reshard, Act::SplitDown, Act::Term];
            s.program.clone_from(&programs.failpoints);
            (s.mix.poison, s.mix.repeats, s.setting.iterator_seconds) = (2, true, 2);
            s.stream_faults = STREAM_FAULTS.to_vec();
            s.pager_faults = PAGER_FAULTS.to_vec();
            s.refused_entries = 100;
        },
    },
];

/// A scenario of a fleet: as [`Entry`].
struct FleetEntry {
    name: &'static str,
    short: usize,
    full: usize,
    change: fn(&mut Scenario, &mut Fleet, &Programs),
}

const FLEETS: [FleetEntry; 8] = [
    FleetEntry {
        name: "a fleet: kill -9",
        short: 0,
        full: 6,
        change: |_, fleet, _| {
            fleet.acts = vec![FleetAct::Kill, FleetAct::Kill, FleetAct::Replace];
            fleet.workers = 3;
        },
    },
    FleetEntry {
        name: "a fleet: kill -9 with the lease time that it comes with",
        short: 0,
        full: 4,
        change: |s, fleet, _| (s.steps, fleet.acts, fleet.failover) = (4, vec![FleetAct::Kill], 10),
    },
    FleetEntry {
        name: "a fleet: kill at each point of a commit",
        short: 0,
        full: 4,
        change: |s, fleet, programs| {
            (s.steps, fleet.acts) = (fleet::POINTS.len(), vec![FleetAct::Point]);
            s.program.clone_from(&programs.failpoints);
        },
    },
    FleetEntry {
        name: "a fleet: paused past its lease",
        short: 0,
        full: 5,
        change: |s, fleet, programs| {
            (s.steps, fleet.acts) = (fleet::POINTS.len() + 2, vec![FleetAct::PauseAtPoint, FleetAct::PauseAtPoint, FleetAct::Pause]);
            fleet.in_turn = true;
            s.program.clone_from(&programs.failpoints);
        },
    },
    FleetEntry {
        name: "a fleet: 2, 3, 1 workers",
        short: 1,
        full: 6,
        change: |s, fleet, _| {
            (s.steps, fleet.in_turn) = (s.steps.min(6), true);
            fleet.acts = vec![FleetAct::Join, FleetAct::Reshard, FleetAct::Leave, FleetAct::Kill, FleetAct::Leave, FleetAct::Term];
            s.pause_ms = 3_000;
        },
    },
    FleetEntry {
        name: "a fleet: faults between it and DynamoDB",
        short: 0,
        full: 6,
        change: |_, fleet, _| {
            (fleet.acts, fleet.table_faults) = (vec![FleetAct::Rest, FleetAct::Replace, FleetAct::Term], TABLE_FAULTS.to_vec());
        },
    },
    FleetEntry { name: "a fleet: writes that come late", short: 0, full: 4, change: |s, fleet, _| late_writes(s, fleet) },
    FleetEntry {
        name: "a fleet: everything at once",
        short: 0,
        full: 8,
        change: |s, fleet, programs| {
            fleet.acts = vec![
                FleetAct::Replace,
                FleetAct::Point,
                FleetAct::Pause,
                FleetAct::PauseAtPoint,
                FleetAct::Reshard,
                FleetAct::Reshard,
                FleetAct::Term,
                FleetAct::Join,
                FleetAct::Leave,
            ];
            s.program.clone_from(&programs.failpoints);
            (s.mix.poison, s.mix.repeats, s.setting.iterator_seconds) = (2, true, 2);
            s.stream_faults = STREAM_FAULTS.to_vec();
            s.pager_faults = PAGER_FAULTS.to_vec();
            fleet.table_faults = TABLE_FAULTS.to_vec();
        },
    },
];

fn late_writes(scenario: &mut Scenario, fleet: &mut Fleet) {
    (scenario.steps, scenario.setting.snapshot_every, fleet.acts) = (3, 2, vec![FleetAct::Late]);
}

/// A fleet in which nothing goes wrong.
fn calm_fleet(modules: PathBuf) -> Fleet {
    let (acts, table_faults) = (vec![FleetAct::Rest], Vec::new());
    Fleet { modules, workers: 2, acts, in_turn: false, failover: 3, table_faults, is_unfenced: false }
}

/// The scenarios of fleets of a run; none where there is no table server.
fn fleets(form: Form, seed: u64, programs: &Programs) -> Vec<Scenario> {
    let Some(modules) = table::installed() else {
        println!("skipped: scenarios and controls of a fleet: dynalite is not installed (make tools)");
        return Vec::new();
    };
    let mut all = Vec::new();
    for (kind, entry) in (2_000u64..).zip(&FLEETS) {
        let times = if form == Form::Short { entry.short } else { entry.full };
        for time in 0..times as u64 {
            let mut scenario = Scenario::calm(entry.name, mix(seed, kind, time), &programs.plain);
            let mut fleet = calm_fleet(modules.clone());
            (scenario.steps, scenario.setting.shards) = (if form == Form::Short { 5 } else { 10 }, 4);
            (entry.change)(&mut scenario, &mut fleet, programs);
            scenario.fleet = Some(fleet);
            all.push(scenario);
        }
    }
    all
}

/// The library that sets a process's clock, where it is installed.
pub fn faketime() -> Option<PathBuf> {
    FAKETIME.iter().map(PathBuf::from).find(|path| path.is_file())
}

/// The scenarios of a run.
pub fn scenarios(form: Form, seed: u64, programs: &Programs) -> Vec<Scenario> {
    let mut all = Vec::new();
    for (kind, entry) in (0u64..).zip(&ENTRIES) {
        let times = if form == Form::Short { entry.short } else { entry.full };
        for time in 0..times as u64 {
            let mut scenario = Scenario::calm(entry.name, mix(seed, kind, time), &programs.plain);
            scenario.steps = if form == Form::Short { 5 } else { 14 };
            (entry.change)(&mut scenario, programs);
            if scenario.acts.contains(&Act::Clock) && scenario.setting.faketime.is_none() {
                println!("skipped: {}: libfaketime is not installed (apt-get install libfaketime)", entry.name);
                continue;
            }
            all.push(scenario);
        }
    }
    all.extend(fleets(form, seed, programs));
    all
}

/// A guard, and what breaks without it.
pub struct Control {
    pub name: &'static str,
    /// What is taken away, in words.
    pub without: &'static str,
    pub scenario: Scenario,
}

/// The controls of a run: the same harness, a guard removed.
pub fn controls(seed: u64, programs: &Programs) -> Vec<Control> {
    let make = |kind: u64, name: &'static str, without: &'static str, change: &dyn Fn(&mut Scenario)| {
        let mut scenario = Scenario::calm(name, mix(seed, 1_000 + kind, 0), &programs.failpoints);
        (scenario.patience, scenario.must_hold) = (Duration::from_secs(12), false);
        scenario.mix = Mix { refused: 12, calls: 4, ..scenario.mix };
        change(&mut scenario);
        Control { name, without, scenario }
    };
    let mut controls = vec![
        make(0, "no journal", "alerts are published without being noted on disk before", &|s| {
            (s.guard, s.acts, s.steps) = (Some("no-journal"), vec![Act::Kill], 4);
            (s.setting.snapshot_every, s.pause_ms) = (60, 4_000);
        }),
        make(1, "positions before publishing", "positions are committed without what waits for SNS", &|s| {
            (s.guard, s.acts, s.steps) = (Some("no-outbox"), vec![Act::Kill], 3);
            (s.pager_away, s.pause_ms) = (true, 5_000);
        }),
        make(2, "positions before state", "positions are committed with the snapshot before", &|s| {
            (s.guard, s.acts, s.steps) = (Some("old-snapshot"), vec![Act::Kill], 4);
            s.pause_ms = 5_000;
        }),
        make(3, "children at LATEST", "children of a reshard are read from their newest record", &|s| {
            (s.children_at_latest, s.acts, s.steps) = (true, vec![Act::SplitDown], 3);
        }),
        make(4, "no deduplication", "what comes twice counts twice", &|s| {
            (s.guard, s.steps, s.mix.repeats) = (Some("no-dedup"), 3, true);
        }),
        make(5, "archive without a note", "what is being archived is not noted before", &|s| {
            (s.guard, s.acts, s.steps) = (Some("no-intent"), vec![Act::Point], 2);
            (s.points, s.slow_start) = (vec!["after-archive"], true);
        }),
    ];
    if let Some(modules) = table::installed() {
        let late = "the table takes a checkpoint from whoever sends it, whenever it comes";
        controls.push(make(6, "a fleet: no fence", late, &|s| {
            let mut fleet = Fleet { is_unfenced: true, ..calm_fleet(modules.clone()) };
            late_writes(s, &mut fleet);
            s.fleet = Some(fleet);
        }));
        controls.push(make(7, "a fleet: archive without a note", "what is being archived is not noted before", &|s| {
            (s.guard, s.steps, s.points) = (Some("no-intent"), 2, vec!["after-archive"]);
            s.fleet = Some(Fleet { acts: vec![FleetAct::Point], ..calm_fleet(modules.clone()) });
        }));
    }
    controls
}

/// The seed of the `time`th scenario of a kind.
fn mix(seed: u64, kind: u64, time: u64) -> u64 {
    let mut random = fastrand::Rng::with_seed(seed ^ (kind << 32) ^ time);
    random.u64(..)
}

/// Whether both programs are there.
pub fn missing(programs: &Programs) -> Option<&Path> {
    [programs.plain.as_path(), programs.failpoints.as_path()].into_iter().find(|path| !path.is_file())
}
