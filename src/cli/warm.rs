//! `geophone warm`: history into baselines, without alerting, and a snapshot for the daemon.

use std::path::{Path, PathBuf};

use super::replay::{feed, open, tell};
use super::run::runtime;
use super::summary::Summary;
use super::{Exit, Failure, load_settings};
use crate::clock::moment;
use crate::engine::Engine;
use crate::snapshot::Snapshot;
use crate::storage::StateFolder;

/// Runs the command.
pub fn warm(config: &Path, paths: &[PathBuf]) -> Result<Exit, Failure> {
    let settings = load_settings(config)?;
    let started = moment();
    let cannot_write = |error| Failure::new(Exit::CannotWrite, error);
    let runtime = runtime()?;
    let (mut state, recovered) = runtime.block_on(StateFolder::open(Path::new(&settings.state_folder))).map_err(cannot_write)?;
    if recovered.snapshot.is_some() {
        let message = format!("{} holds state already; warm a new folder, or move this one away", settings.state_folder);
        return Err(Failure::new(Exit::CannotWrite, message));
    }
    let (listing, mut merge) = open(paths, &settings)?;
    let mut engine = Engine::new(settings.engine.clone());
    let counts = feed(&mut merge, &mut engine, |_| {})?;
    if counts.events == 0 {
        tell(&listing, &merge.tally);
        return Err(Failure::new(
            Exit::NothingDecodable,
            "nothing in the input is a CloudTrail event; give CloudTrail logs (.json, .json.gz, .jsonl)",
        ));
    }
    // History pages nobody: what it opened is forgotten, so that the first live finding opens its own alert.
    engine.forget_alerts();
    let snapshot = Snapshot { engine: engine.image(), paging: Default::default(), outbox: Vec::new(), positions: Vec::new() };
    runtime.block_on(state.commit(snapshot, recovered.manifest)).map_err(cannot_write)?;
    let summary = Summary::new(&counts, merge.tally.files, merge.tally.undecodable, started.elapsed().as_secs_f64());
    tell(&listing, &merge.tally);
    eprintln!("{}\nbaselines of {} actors are in {}", summary.spoken(), engine.gauges().tables.actors, settings.state_folder);
    Ok(Exit::Ok)
}
