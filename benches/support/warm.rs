//! A stream that goes on and on, in chunks of records. Making it costs more than what is measured, so that it is kept in
//! `target/bench` for the next run.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::PathBuf;

use super::Records;
use geophone_company::load::Load;

/// Events of one chunk.
pub const CHUNK: usize = 20_000;
/// Chunks that come before anything is measured.
pub const WARMING: usize = 20;
/// Chunks that are measured.
pub const ROUNDS: usize = 11;

/// The chunks of one fleet's events in their order: the first ones in subscription records, the others as `wrap` has them.
pub fn chunks(name: &str, identities: usize, wrap: fn(&[String]) -> Records) -> impl Iterator<Item = Records> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("target/bench/{name}-{identities}.bin"));
    if !path.exists() {
        write(&path, identities, wrap);
    }
    let mut file = BufReader::new(File::open(path).unwrap());
    std::iter::from_fn(move || read(&mut file))
}

fn write(path: &PathBuf, identities: usize, wrap: fn(&[String]) -> Records) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let unfinished = path.with_extension("tmp");
    let mut file = BufWriter::new(File::create(&unfinished).unwrap());
    let mut load = Load::new(3, identities);
    for number in 0..WARMING + ROUNDS {
        let texts: Vec<String> = load.by_ref().take(CHUNK).map(|event| event.json).collect();
        let records = if number < WARMING { super::batched(&texts) } else { wrap(&texts) };
        file.write_all(&(records.records.len() as u32).to_le_bytes()).unwrap();
        for record in &records.records {
            file.write_all(&(record.len() as u32).to_le_bytes()).unwrap();
            file.write_all(record).unwrap();
        }
    }
    file.flush().unwrap();
    fs::rename(unfinished, path).unwrap();
}

fn read(file: &mut impl Read) -> Option<Records> {
    let mut size = [0; 4];
    file.read_exact(&mut size).ok()?;
    let count = u32::from_le_bytes(size);
    let record = |_| {
        file.read_exact(&mut size).unwrap();
        let mut record = vec![0; u32::from_le_bytes(size) as usize];
        file.read_exact(&mut record).unwrap();
        record
    };
    Some(Records { records: (0..count).map(record).collect(), events: CHUNK as u64 })
}
