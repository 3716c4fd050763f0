//! CloudTrail files and folders as one stream of observations, in order of event time.
//!
//! CloudTrail writes one file per account, region and five minutes, out of order within and across files. A replay must
//! not depend on how paths are named or given, so files are merged by (event time, event id). Each file is looked at once
//! for its earliest event and loaded when the merge comes to it; small inputs are kept from the first look.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::cloudtrail::{DecodeError, Decoder, Limits};
use crate::observation::{Observation, Observer};
use crate::time::EventTime;

/// Endings of files that are taken from a folder. A file that is named itself is read whatever its ending.
const ENDINGS: [&str; 7] = [".json", ".json.gz", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz", ".gz"];
/// Observations of inputs up to this many bytes are kept from the first look.
const KEEP_BYTES_MAX: u64 = 64 << 20;
/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// Errors that are kept as text; all are counted.
const ERRORS_KEPT: usize = 20;

/// Names of passed-over files that are kept.
const NAMES_KEPT: usize = 5;

/// What files there are to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Files, sorted by path. `-` is standard input.
    pub files: Vec<PathBuf>,
    /// Files of folders that are no CloudTrail log: other endings, digests.
    pub passed_over: u64,
    /// The first of them.
    pub passed_over_names: Vec<PathBuf>,
}

impl Listing {
    fn pass_over(&mut self, path: PathBuf) {
        self.passed_over += 1;
        if self.passed_over_names.len() < NAMES_KEPT {
            self.passed_over_names.push(path);
        }
    }
}

/// What reading files met.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Files read.
    pub files: u64,
    /// Events read.
    pub events: u64,
    /// Events older than the one before them in their file.
    pub out_of_order: u64,
    /// Parts that could not be read.
    pub undecodable: u64,
    /// The first of them, with their files.
    pub errors: Vec<(PathBuf, String)>,
}

/// A path that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct Unreadable {
    /// The path.
    pub path: String,
    source: io::Error,
}

/// Lists the files under `paths`.
///
/// # Errors
/// The first path that does not exist or cannot be listed.
pub fn list(paths: &[PathBuf]) -> Result<Listing, Unreadable> {
    let mut listing = Listing::default();
    for path in paths {
        if path.as_os_str() == "-" {
            listing.files.push(path.clone());
            continue;
        }
        let meta = fs::metadata(path).map_err(|source| Unreadable { path: path.display().to_string(), source })?;
        if meta.is_dir() {
            list_folder(path, &mut listing)?;
        } else {
            listing.files.push(path.clone());
        }
    }
    listing.files.sort();
    listing.files.dedup();
    Ok(listing)
}

fn list_folder(folder: &Path, listing: &mut Listing) -> Result<(), Unreadable> {
    let unreadable = |source| Unreadable { path: folder.display().to_string(), source };
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(unreadable)?);
        let name = entry.file_name().to_string_lossy().to_ascii_lowercase();
        if kind.is_dir() {
            // Digests beside the logs tell about files, not about events.
            if name == "cloudtrail-digest" { listing.pass_over(path) } else { list_folder(&path, listing)? }
        } else if ENDINGS.iter().any(|ending| name.ends_with(ending)) && !name.contains("cloudtrail-digest") {
            listing.files.push(path);
        } else {
            listing.pass_over(path);
        }
    }
    Ok(())
}

/// A merged reader of files.
pub struct Merge {
    reader: FileReader,
    /// Files that are not loaded yet, latest first.
    waiting: Vec<Waiting>,
    loaded: Vec<std::vec::IntoIter<Observation>>,
    heads: BinaryHeap<Head>,
    /// What was met so far. Counts are complete after the first look.
    pub tally: Tally,
}

struct Waiting {
    path: PathBuf,
    earliest: EventTime,
    kept: Option<Vec<Observation>>,
}

/// The next observation of a loaded file; ordered so that the heap gives the earliest first.
struct Head {
    key: Reverse<(EventTime, u64, usize)>,
    observation: Observation,
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}
impl Eq for Head {}
impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

impl Merge {
    /// Looks at every file once. `progress` hears the bytes of each file as it is done.
    ///
    /// # Errors
    /// The first file that cannot be read; what is in a file never is an error.
    pub fn new(listing: &Listing, observer: Observer, mut progress: impl FnMut(u64)) -> Result<Self, Unreadable> {
        let mut merge = Self {
            reader: FileReader { decoder: Decoder::new(Limits { keep_text: observer.wants_text(), ..Limits::for_files() }), observer },
            waiting: Vec::new(),
            loaded: Vec::new(),
            heads: BinaryHeap::new(),
            tally: Tally::default(),
        };
        let mut kept_bytes = 0;
        for path in &listing.files {
            let (observations, bytes) = merge.reader.read(path, Some(&mut merge.tally))?;
            progress(bytes);
            let Some(first) = observations.first() else { continue };
            let earliest = first.time;
            // Standard input cannot be read twice.
            let keep = kept_bytes + bytes <= KEEP_BYTES_MAX || path.as_os_str() == "-";
            kept_bytes += if keep { bytes } else { 0 };
            merge.waiting.push(Waiting { path: path.clone(), earliest, kept: keep.then_some(observations) });
        }
        merge.waiting.sort_by_key(|waiting| Reverse(waiting.earliest));
        Ok(merge)
    }

    /// The next observation in order of event time.
    ///
    /// # Errors
    /// A file that could be read at the first look and cannot any more.
    pub fn pull(&mut self) -> Result<Option<Observation>, Unreadable> {
        while let Some(next) = self.waiting.last() {
            if self.heads.peek().is_some_and(|head| head.observation.time < next.earliest) {
                break;
            }
            let Some(Waiting { path, kept, .. }) = self.waiting.pop() else { break };
            let observations = match kept {
                Some(observations) => observations,
                None => self.reader.read(&path, None)?.0,
            };
            self.loaded.push(observations.into_iter());
            self.refill(self.loaded.len() - 1);
        }
        let Some(head) = self.heads.pop() else { return Ok(None) };
        self.refill(head.key.0.2);
        Ok(Some(head.observation))
    }

    fn refill(&mut self, file: usize) {
        match self.loaded[file].next() {
            Some(observation) => self.heads.push(Head { key: Reverse((observation.time, observation.fingerprint, file)), observation }),
            // Its memory goes now, not at the end of the merge.
            None => self.loaded[file] = Vec::new().into_iter(),
        }
    }
}

struct FileReader {
    decoder: Decoder,
    observer: Observer,
}

impl FileReader {
    /// The observations of a file, sorted by time, and its size.
    fn read(&mut self, path: &Path, tally: Option<&mut Tally>) -> Result<(Vec<Observation>, u64), Unreadable> {
        let bytes = read_capped(path).map_err(|source| Unreadable { path: path.display().to_string(), source })?;
        let mut observations = Vec::new();
        let mut met = Tally { files: 1, ..Tally::default() };
        let mut previous = EventTime::MIN;
        // An event without any time stands where the file's last one stood.
        self.decoder.decode(&bytes, &mut |item| match item {
            Ok(decoded) => {
                let observation = self.observer.observe(decoded, previous.max(EventTime::from_unix(0)));
                met.events += 1;
                met.out_of_order += u64::from(observation.time < previous);
                previous = observation.time;
                observations.push(observation);
            }
            Err(error) => met.note(path, &error),
        });
        observations.sort_by_key(|observation| (observation.time, observation.fingerprint));
        if let Some(tally) = tally {
            tally.add(met);
        }
        Ok((observations, bytes.len() as u64))
    }
}

impl Tally {
    /// Counts a part that could not be read.
    pub fn note(&mut self, path: &Path, error: &DecodeError) {
        self.undecodable += 1;
        if self.errors.len() < ERRORS_KEPT {
            self.errors.push((path.to_owned(), error.to_string()));
        }
    }

    /// Adds what was met elsewhere.
    pub fn add(&mut self, other: Self) {
        self.files += other.files;
        self.events += other.events;
        self.out_of_order += other.out_of_order;
        self.undecodable += other.undecodable;
        self.errors.extend(other.errors);
        self.errors.truncate(ERRORS_KEPT);
    }
}

/// The bytes of a file, or of standard input for `-`.
///
/// # Errors
/// It cannot be read, or is larger than 1 GiB.
pub fn read_capped(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut source: Box<dyn Read> = if path.as_os_str() == "-" { Box::new(io::stdin().lock()) } else { Box::new(fs::File::open(path)?) };
    source.by_ref().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("larger than 1 GiB; split it by lines first"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn files_merge_by_time_whatever_their_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let event = |n: i64| format!(r#"{{"eventName":"x","eventID":"e{n}","eventTime":"{}"}}"#, EventTime::from_unix(n));
        let write = |name: &str, times: &[i64]| {
            let lines: Vec<String> = times.iter().map(|n| event(*n)).collect();
            fs::write(folder.path().join(name), lines.join("\n")).expect("written");
        };
        write("b.jsonl", &[5, 1, 9]);
        write("a.json", &[2, 6]);
        write("notes.txt", &[7]);
        fs::create_dir(folder.path().join("CloudTrail-Digest")).expect("made");
        let listing = list(&[folder.path().to_owned()]).expect("listed");
        assert_eq!((listing.files.len(), listing.passed_over), (2, 2));
        let mut merge = Merge::new(&listing, Observer::new(Arc::default()), |_| {}).expect("read");
        let mut times = Vec::new();
        while let Some(observation) = merge.pull().expect("read") {
            times.push(observation.time.unix());
        }
        assert_eq!(times, [1, 2, 5, 6, 9]);
        assert_eq!((merge.tally.events, merge.tally.out_of_order, merge.tally.undecodable), (5, 1, 0));
    }

    #[test]
    fn a_missing_path_is_named() {
        assert!(list(&["no/such/file".into()]).is_err_and(|error| error.to_string().contains("no/such/file")));
    }
}
