//! `[archive]`: where the enriched log is written.

use super::reader::Section;

/// Where settled calls are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveSettings {
    /// The bucket or the folder.
    pub place: ArchivePlace,
    /// The bucket's region, where it is not the environment's.
    pub region: Option<String>,
    /// An endpoint in AWS's place.
    pub endpoint: Option<String>,
}

/// A bucket or a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchivePlace {
    /// `s3://bucket/prefix`; the prefix may be empty.
    Bucket {
        /// The bucket.
        bucket: String,
        /// Without slashes at its ends.
        prefix: String,
    },
    /// A folder, relative to the configuration.
    Folder(String),
}

/// Reads the section.
pub(super) fn read(section: &mut Section<'_, '_>) -> Option<ArchiveSettings> {
    let place = read_place(section, "url");
    let region = section.text("region");
    let endpoint = super::read_endpoint(section);
    Some(ArchiveSettings { place: place?, region, endpoint })
}

/// Reads where objects lie.
pub(super) fn read_place(section: &mut Section<'_, '_>, key: &str) -> Option<ArchivePlace> {
    let Some(url) = section.text(key) else {
        section.missing(key, "give \"s3://BUCKET/PREFIX\" or a folder");
        return None;
    };
    let place = match url.split_once("://") {
        None if url.trim().is_empty() => {
            section.mistake(key, "is empty", "give \"s3://BUCKET/PREFIX\" or a folder");
            return None;
        }
        None => ArchivePlace::Folder(url),
        Some(("s3", rest)) => {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
            if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(is_name) {
                section.mistake(key, format!("\"{bucket}\" is no bucket's name"), "write it as \"s3://BUCKET/PREFIX\"");
                return None;
            }
            ArchivePlace::Bucket { bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() }
        }
        Some((scheme, _)) => {
            section.mistake(key, format!("\"{scheme}\" is not written to"), "give \"s3://BUCKET/PREFIX\" or a folder");
            return None;
        }
    };
    Some(place)
}
