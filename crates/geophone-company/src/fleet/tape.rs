//! What one identity has called, bucket by bucket.

/// Buckets in a day.
pub(super) const BUCKETS_PER_DAY: u32 = 288;
/// Minutes in a bucket.
pub(super) const MINUTES_PER_BUCKET: i64 = 5;
/// Buckets in an hour.
pub(super) const BUCKETS_PER_HOUR: u32 = 12;

/// From where, in which region and for which model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub source: u32,
    pub region: u8,
    pub model: u8,
}

/// The calls of one identity, bucket and place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    /// Counted from the first day's midnight.
    pub bucket: u32,
    pub place: Place,
    pub count: u32,
}

/// The cells of one identity, in order of time once it is closed.
#[derive(Clone, Debug)]
pub(super) struct Tape {
    end: u32,
    cells: Vec<Cell>,
}

impl Tape {
    /// An empty tape up to that bucket.
    pub(super) fn new(end: u32) -> Self {
        Self { end, cells: Vec::new() }
    }

    /// Notes calls; none, and any outside the fleet's time, are left out.
    pub(super) fn push(&mut self, bucket: i64, place: Place, count: u32) {
        if count > 0 && (0..i64::from(self.end)).contains(&bucket) {
            self.cells.push(Cell { bucket: bucket as u32, place, count });
        }
    }

    /// Sorts, and makes one cell of those of the same bucket and place.
    pub(super) fn close(&mut self) {
        self.cells.sort_unstable_by_key(|cell| (cell.bucket, cell.place));
        self.cells.dedup_by(|later, first| {
            let same = (later.bucket, later.place) == (first.bucket, first.place);
            if same {
                first.count += later.count;
            }
            same
        });
    }

    /// The cells.
    pub(super) fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Takes another tape's cells over.
    pub(super) fn append(&mut self, other: Tape) {
        self.cells.extend(other.cells);
        self.close();
    }

    /// Forgets everything before that bucket.
    pub(super) fn forget_before(&mut self, bucket: u32) {
        self.cells.retain(|cell| cell.bucket >= bucket);
    }
}

/// What an attacker, or the one who chooses a victim, has to know of an identity's honest calls.
#[derive(Clone, Debug)]
pub(super) struct Past {
    /// Median calls in a bucket with any; 1 where there is none.
    pub median: f64,
    /// Days with calls.
    pub days: Vec<u32>,
    /// Buckets with calls in each hour of the day, UTC.
    pub hours: [u32; 24],
}

impl Past {
    /// Reads a closed tape.
    pub(super) fn new(tape: &Tape) -> Self {
        let mut counts: Vec<u32> = tape.cells.iter().map(|cell| cell.count).collect();
        let middle = counts.len() / 2;
        let median = if counts.is_empty() { 1.0 } else { f64::from(*counts.select_nth_unstable(middle).1) };
        let mut days: Vec<u32> = tape.cells.iter().map(|cell| cell.bucket / BUCKETS_PER_DAY).collect();
        days.dedup();
        let mut hours = [0; 24];
        for cell in &tape.cells {
            hours[(cell.bucket % BUCKETS_PER_DAY / BUCKETS_PER_HOUR) as usize] += 1;
        }
        Self { median, days, hours }
    }
}
