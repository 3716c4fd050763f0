//! Inflating with a limit. A 1 MiB record can inflate to a gigabyte, so every path stops at the cap.

use std::io::Read;

use libdeflater::Decompressor;
use memchr::memmem;

/// Why bytes could not be inflated whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GzipError {
    /// More than the limit comes out.
    TooLarge,
    /// The data ends early or is damaged. What came out before that is kept.
    Damaged,
}

/// The first bytes of every gzip member that uses the only compression method there is (RFC 1952).
pub const MAGIC: [u8; 3] = [0x1f, 0x8b, 0x08];

/// Inflates `bytes` into `out`, whose length on return is what came out. On [`GzipError::Damaged`] `out` holds what
/// could be saved; on [`GzipError::TooLarge`] it is empty.
pub fn inflate(inflater: &mut Decompressor, bytes: &[u8], bytes_max: usize, out: &mut Vec<u8>) -> Result<(), GzipError> {
    if inflate_one_member(inflater, bytes, bytes_max, out) {
        return Ok(());
    }
    out.clear();
    inflate_stream(bytes, bytes_max, out)
}

/// The common case in one shot: a single member whose trailer tells its size. `false` where it is anything else.
///
/// libdeflate stops silently behind the first member, so data that may hold a second one (its magic occurs again) is
/// left to the streaming path: files appended to one another would lose all but the first.
fn inflate_one_member(inflater: &mut Decompressor, bytes: &[u8], bytes_max: usize, out: &mut Vec<u8>) -> bool {
    const SMALLEST_MEMBER: usize = 18;
    if bytes.len() < SMALLEST_MEMBER || memmem::find(&bytes[MAGIC.len()..], &MAGIC).is_some() {
        return false;
    }
    let trailer = &bytes[bytes.len() - 4..];
    let claimed = u32::from_le_bytes([trailer[0], trailer[1], trailer[2], trailer[3]]) as usize;
    if claimed > bytes_max {
        return false;
    }
    // The buffer keeps its length between calls, so that it is zeroed once and not for every record.
    if out.len() < claimed {
        out.resize(claimed, 0);
    }
    match inflater.gzip_decompress(bytes, &mut out[..claimed]) {
        Ok(written) => {
            out.truncate(written);
            true
        }
        Err(_) => false,
    }
}

fn inflate_stream(bytes: &[u8], bytes_max: usize, out: &mut Vec<u8>) -> Result<(), GzipError> {
    // What is read together with the damage is lost. So it is little, and (other than with `read_to_end`) as much whatever
    // room a buffer happens to have: the same record gives the same events.
    let mut piece = [0; 512];
    let mut reader = flate2::bufread::MultiGzDecoder::new(bytes);
    loop {
        let count = match reader.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(_) => return Err(GzipError::Damaged),
        };
        if out.len() + count > bytes_max {
            out.clear();
            out.shrink_to(bytes_max);
            return Err(GzipError::TooLarge);
        }
        out.extend_from_slice(&piece[..count]);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).expect("memory");
        encoder.finish().expect("memory")
    }

    fn inflated(bytes: &[u8], max: usize) -> (Result<(), GzipError>, Vec<u8>) {
        let mut out = Vec::new();
        let result = inflate(&mut Decompressor::new(), bytes, max, &mut out);
        (result, out)
    }

    #[test]
    fn one_member_and_several() {
        assert_eq!(inflated(&gzip(b"hello"), 100), (Ok(()), b"hello".to_vec()));
        let appended = [gzip(b"hello "), gzip(b"again "), gzip(b"hello ")].concat();
        assert_eq!(inflated(&appended, 100), (Ok(()), b"hello again hello ".to_vec()));
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = gzip(&vec![b' '; 50_000_000]);
        assert!(bomb.len() < 100_000);
        assert_eq!(inflated(&bomb, 1_000_000), (Err(GzipError::TooLarge), Vec::new()));
        // A trailer that lies about the size changes nothing.
        let mut lying = bomb;
        let end = lying.len();
        lying[end - 4..].copy_from_slice(&10u32.to_le_bytes());
        assert_eq!(inflated(&lying, 1_000_000).0, Err(GzipError::TooLarge));
    }

    #[test]
    fn truncated_data_keeps_what_came_out() {
        let text: Vec<u8> = (0..20_000u32).flat_map(|n| n.to_string().into_bytes()).collect();
        let whole = gzip(&text);
        let (result, out) = inflated(&whole[..whole.len() / 2], 1_000_000);
        assert_eq!(result, Err(GzipError::Damaged));
        assert!(out.len() > 10_000 && text.starts_with(&out));
    }

    #[test]
    fn what_is_saved_of_damaged_data_does_not_depend_on_the_buffer() {
        let text: Vec<u8> = (0..2_000u32).flat_map(|n| n.to_string().into_bytes()).collect();
        let whole = gzip(&text);
        for place in (20..whole.len()).step_by(97) {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x55;
            let saved = |room: usize| {
                let mut out = Vec::with_capacity(room);
                let result = inflate(&mut Decompressor::new(), &damaged, 1_000_000, &mut out);
                (result, out)
            };
            assert_eq!(saved(0), saved(100_000), "damaged at {place}");
        }
    }

    #[test]
    fn noise_behind_the_magic_is_damage() {
        assert_eq!(inflated(&[0x1f, 0x8b, 0x08, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9], 100).0, Err(GzipError::Damaged));
    }
}
