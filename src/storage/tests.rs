use kinesis_lease::{Checkpoint, ShardKey};

use super::*;
use crate::engine::{Engine, EngineSettings};

fn snapshot() -> Snapshot {
    Snapshot {
        engine: Engine::new(EngineSettings { dedup_capacity: 64, ..EngineSettings::default() }).image(),
        paging: Default::default(),
        outbox: Vec::new(),
        positions: Vec::new(),
    }
}

#[tokio::test]
async fn a_commit_is_found_again_and_only_three_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut state, recovered) = StateFolder::open(folder.path()).await.expect("opens");
    assert!(recovered.snapshot.is_none());
    for _ in 0..5 {
        state.commit(snapshot(), Manifest::default()).await.expect("commits");
    }
    drop(state);
    let (_state, recovered) = StateFolder::open(folder.path()).await.expect("opens");
    assert!(recovered.snapshot.is_some());
    let snapshots =
        fs::read_dir(folder.path()).expect("listed").flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("snapshot"));
    assert_eq!(snapshots.count(), 3);
}

/// The position after `n` records.
fn manifest(n: u64) -> Manifest {
    let mut manifest = Manifest::default();
    let lease = kinesis_lease::Lease::new(Checkpoint::after(n.to_string()), Vec::new());
    manifest.checkpoints.insert(ShardKey::new("calls", "shardId-000000000000"), lease);
    manifest
}

/// Where reading goes on.
fn resumed(recovered: &Recovered) -> String {
    recovered.manifest.checkpoints.values().map(|lease| lease.checkpoint.to_string()).collect()
}

/// A folder with snapshots 1 to 3 of positions 1 to 3.
async fn three() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut state, _) = StateFolder::open(folder.path()).await.expect("opens");
    for n in 1..=3 {
        state.commit(snapshot(), manifest(n)).await.expect("commits");
    }
    folder
}

fn damage(file: &Path) {
    let mut bytes = fs::read(file).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).expect("written");
}

/// Every set of the files that a folder holds, damaged or gone: it opens, goes on from the newest whole state, and says so.
#[tokio::test]
async fn whatever_is_damaged_or_gone_the_newest_whole_state_is_used() {
    let files = ["manifest.json", "snapshot-3.bin", "snapshot-2.bin", "snapshot-1.bin"];
    for harm in 0..3_u32.pow(4) {
        let folder = three().await;
        let harms: Vec<u32> = (0..4).map(|file| harm / 3_u32.pow(file) % 3).collect();
        for (file, harm) in files.iter().zip(&harms) {
            match harm {
                0 => {}
                1 => damage(&folder.path().join(file)),
                _ => fs::remove_file(folder.path().join(file)).expect("removed"),
            }
        }
        let whole = (1..=3).find(|place| harms[*place] == 0).map(|place| 4 - place as u64);
        for round in 0..2 {
            let (mut state, recovered) = StateFolder::open(folder.path()).await.expect("opens");
            let told = recovered.losses.join("; ");
            match whole {
                Some(number) => {
                    assert_eq!(resumed(&recovered), number.to_string(), "{harms:?}: {told}");
                    assert!(recovered.snapshot.is_some() && !recovered.is_blind);
                }
                None if harms == [2, 2, 2, 2] => assert!(recovered.snapshot.is_none() && !recovered.is_blind, "a new folder"),
                // A second start after nothing was written finds less, and is as blind where there was anything to see.
                None => assert!(recovered.snapshot.is_none() && ["", "TRIM_HORIZON"].contains(&&*resumed(&recovered)), "{harms:?}"),
            }
            let is_harmed = harms[0] > 0 || harms[1] > 0;
            assert!(round > 0 || harms == [2, 2, 2, 2] || harms == [2, 2, 2, 0] || told.is_empty() != is_harmed, "{harms:?}: {told}");
            if round > 0 {
                // It can be written again, and is whole then.
                state.commit(snapshot(), manifest(9)).await.expect("commits");
                drop(state);
                let (_state, recovered) = StateFolder::open(folder.path()).await.expect("opens");
                assert_eq!((resumed(&recovered), recovered.losses.len()), ("9".to_owned(), 0), "{harms:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_snapshot_of_a_newer_version_is_an_error_that_names_it() {
    let folder = three().await;
    let path = folder.path().join("snapshot-3.bin");
    let mut bytes = fs::read(&path).expect("read");
    bytes[8] += 1;
    fs::write(&path, bytes).expect("written");
    let error = StateFolder::open(folder.path()).await.expect_err("too new").to_string();
    assert!(error.contains("snapshot-3.bin") && error.contains("start the version that wrote it"), "{error}");
    assert!(path.is_file() && folder.path().join("snapshot-2.bin").is_file(), "nothing is moved or removed");
}

/// Notes a published alert.
fn publish(state: &mut StateFolder, name: &[u8]) {
    let line = JournalLine {
        fingerprint: Fingerprint(Digest128::of(&[name])),
        alert_id: Digest128::of(&[b"b"]),
        incident_id: Digest128::of(&[b"c"]),
        onset: EventTime::from_unix(7),
    };
    let mut bytes = serde_json::to_vec(&line).expect("JSON");
    bytes.push(b'\n');
    state.journal.as_mut().expect("open").write_all(&bytes).expect("written");
}

/// A crash between the beginning of a snapshot and its end: what was published meanwhile is known.
#[tokio::test]
async fn journals_of_a_snapshot_that_never_came_are_read() {
    let folder = three().await;
    let (mut state, _) = StateFolder::open(folder.path()).await.expect("opens");
    publish(&mut state, b"a");
    let never_written = state.begin().expect("begins");
    publish(&mut state, b"a");
    drop((state, never_written));
    let (_state, recovered) = StateFolder::open(folder.path()).await.expect("opens");
    assert_eq!((recovered.published.len(), resumed(&recovered)), (2, "3".to_owned()));
}

#[tokio::test]
async fn what_the_state_folder_holds_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let (mut state, _) = StateFolder::open(folder.path()).await.expect("opens");
    state.begin().and_then(|writing| writing.intend(&["an object".to_owned()])).expect("written");
    state.commit(snapshot(), Manifest::default()).await.expect("commits");
    state.archive_name(7).expect("written");
    let mut seen = 0;
    for entry in fs::read_dir(folder.path()).expect("listed").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let mode = entry.metadata().expect("a file").permissions().mode() & 0o777;
        // Positions, and a file without content: nothing to hide.
        let is_open = name == "manifest.json" || name == "lock";
        assert!(is_open || mode == 0o600, "{name} has {mode:o}");
        seen += 1;
    }
    assert!(seen >= 6, "{seen} files");
}

#[tokio::test]
async fn a_full_file_of_dead_letters_takes_no_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(DEAD_LETTERS);
    let letter = DeadLetter { time: String::new(), kind: "record", place: "p", id: "1", reason: "r", data: String::new(), page: None };
    let (mut state, _) = StateFolder::open(folder.path()).await.expect("opens");
    assert!(state.dead_letter(&letter).expect("written"));
    drop(state);
    // Holes cost no disk.
    OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(DEAD_LETTER_BYTES_MAX)).expect("grown");
    let (mut state, _) = StateFolder::open(folder.path()).await.expect("opens");
    let before = fs::metadata(&path).expect("there").len();
    assert!(!state.dead_letter(&letter).expect("only counted"));
    assert_eq!(fs::metadata(&path).expect("there").len(), before);
}

/// Where no snapshot is left the stream is read from its beginning: what was published before the newest one comes again,
/// under the ids that it had, as far as a journal knows them.
#[tokio::test]
async fn without_any_snapshot_all_journals_that_are_left_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut state, _) = StateFolder::open(folder.path()).await.expect("opens");
    publish(&mut state, b"before the first");
    state.commit(snapshot(), manifest(1)).await.expect("commits");
    publish(&mut state, b"after the first");
    drop(state);
    fs::remove_file(folder.path().join("snapshot-1.bin")).expect("removed");
    for _ in 0..2 {
        let (_state, recovered) = StateFolder::open(folder.path()).await.expect("opens");
        assert_eq!((recovered.is_blind, recovered.published.len()), (true, 2));
    }
}
