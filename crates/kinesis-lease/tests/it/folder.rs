//! The folder store: what it keeps, what it refuses.

use kinesis_lease::{Checkpoint, FolderStore, Lease, LeaseStore, Manifest, ShardKey, StoreError};

fn manifest() -> Manifest {
    let mut manifest = Manifest { attachment: Some("snapshot-7 \"quoted\"".into()), ..Manifest::default() };
    let number = "49680474031664202225895270112978977231184561965658800130";
    let partial = Checkpoint::After { sequence_number: number.into(), sub_sequence: Some(4) };
    let positions = [
        Checkpoint::TrimHorizon,
        Checkpoint::Latest,
        Checkpoint::AtTimestamp(-1),
        Checkpoint::AtTimestamp(1_700_000_000_123),
        Checkpoint::after(number),
        partial,
        Checkpoint::ShardEnd,
    ];
    for (at, checkpoint) in positions.into_iter().enumerate() {
        let mut lease = Lease::new(checkpoint, vec!["parent".into(), "adjacent".into()]);
        lease.children = vec!["child".into()];
        lease.listed = at % 2 == 0;
        manifest.checkpoints.insert(ShardKey::new("stream", format!("shardId-{at:012}")), lease);
    }
    manifest
}

#[tokio::test]
async fn a_folder_keeps_the_last_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/on/demand");
    let store = FolderStore::open(&path).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Manifest::default());
    store.commit(&Manifest::default()).await.unwrap();
    store.commit(&manifest()).await.unwrap();
    drop(store);
    let store = FolderStore::open(&path).await.unwrap();
    assert_eq!(store.load().await.unwrap(), manifest());
}

#[tokio::test]
async fn a_second_reader_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = FolderStore::open(folder.path()).await.unwrap();
    let error = FolderStore::open(folder.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(folder.path().to_str().unwrap()));
    drop(first);
    FolderStore::open(folder.path()).await.unwrap();
}

/// An interrupted commit leaves a half-written new file; the old one counts.
#[tokio::test]
async fn a_half_written_commit_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::open(folder.path()).await.unwrap();
    store.commit(&manifest()).await.unwrap();
    std::fs::write(folder.path().join("manifest.json.new"), "{\"vers").unwrap();
    assert_eq!(store.load().await.unwrap(), manifest());
    store.commit(&manifest()).await.unwrap();
    assert!(!folder.path().join("manifest.json.new").exists());
}

#[tokio::test]
async fn no_damage_goes_unnoticed() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::open(folder.path()).await.unwrap();
    store.commit(&manifest()).await.unwrap();
    let file = folder.path().join("manifest.json");
    let whole = std::fs::read(&file).unwrap();
    for at in 0..whole.len() - 1 {
        for bit in [0, 4] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            std::fs::write(&file, &damaged).unwrap();
            let error = store.load().await.expect_err("a changed byte");
            assert!(matches!(error, StoreError::Damaged { .. } | StoreError::TooNew { .. }), "{error}");
        }
    }
    for length in 0..whole.len() - 1 {
        std::fs::write(&file, &whole[..length]).unwrap();
        let error = store.load().await.expect_err("a cut file");
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }
    let error = store.load().await.unwrap_err().to_string();
    assert!(error.contains("manifest.json") && error.contains("move it away"), "{error}");
}

#[tokio::test]
async fn a_newer_version_is_not_called_damage() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::open(folder.path()).await.unwrap();
    std::fs::write(folder.path().join("manifest.json"), r#"{"version":2,"unheard":"of"}"#).unwrap();
    let error = store.load().await.unwrap_err();
    assert!(matches!(error, StoreError::TooNew { found: 2, known: 1, .. }), "{error}");
}

#[tokio::test]
async fn commits_at_once_leave_one_whole_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::open(folder.path()).await.unwrap();
    let commits: Vec<_> = (0..20)
        .map(|at| {
            let store = store.clone();
            tokio::spawn(async move {
                let manifest = Manifest { attachment: Some(format!("snapshot-{at}")), ..manifest() };
                store.commit(&manifest).await
            })
        })
        .collect();
    for commit in commits {
        commit.await.unwrap().unwrap();
    }
    assert_eq!(store.load().await.unwrap().checkpoints, manifest().checkpoints);
}
