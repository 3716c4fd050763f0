//! The files that a configuration names: the directory of people, policy documents, inference profiles, prices. Read at
//! start, and all but prices again when they change.
//!
//! **Invariant:** a file is taken as a whole or not at all. A broken one at start ends the start; later the one before it
//! stays in use.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::bedrock::PriceTable;
use crate::config::Settings;
use crate::glob;
use crate::identity::Directory;
use crate::policy::{Attached, Document, Notice, PolicyBook, ProfileTable, Roles};
use crate::sigma::{self, RuleSet};

/// Most files that one pattern may name.
const FILES_MAX: usize = 2_000;

/// Where the files of a configuration are.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The folder of the configuration; relative names begin there.
    base: PathBuf,
    settings: Settings,
    /// State of the files before they were first read: what changes meanwhile is seen.
    first: (Stamp, Stamp, Stamp),
}

/// State of the files at one moment: two that are equal mean that nothing changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp(Vec<(PathBuf, Option<SystemTime>, u64)>);

/// The policies, and what was not understood in them.
#[derive(Clone, Debug)]
pub struct Policies {
    /// The policies.
    pub book: Arc<PolicyBook>,
    /// What was not understood: it makes verdicts Unknown.
    pub notices: Vec<Notice>,
}

/// Deepest folder of rules.
const RULE_DEPTH_MAX: usize = 8;

/// What a path of rules is called that means the shipped ones.
pub const BUILTIN: &str = "builtin";
/// The shipped rules: names and texts.
static SHIPPED: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/rules.rs"));

/// Files of rules in `paths` (files, folders at any depth, and [`BUILTIN`]), read, with the places of those that have one.
/// Relative paths begin at `base`.
///
/// # Errors
/// Every path that names nothing, and every file that cannot be read.
pub fn rule_files(paths: &[PathBuf], base: &Path) -> Result<(Vec<sigma::Source>, Vec<PathBuf>), Vec<String>> {
    let (mut files, mut errors, mut sources) = (Vec::new(), Vec::new(), Vec::new());
    for path in paths {
        if path.as_os_str() == BUILTIN {
            sources.extend(SHIPPED.iter().map(|(file, text)| sigma::Source { file: (*file).to_owned(), text: (*text).to_owned() }));
            continue;
        }
        let place = base.join(path);
        if !place.exists() {
            errors.push(format!("{}: no such file or folder; name files of rules, or \"{BUILTIN}\" for the shipped ones", place.display()));
        }
        collect_rules(&place, RULE_DEPTH_MAX, &mut files);
    }
    files.sort();
    files.dedup();
    for path in &files {
        match std::fs::read_to_string(path) {
            Ok(text) => sources.push(sigma::Source { file: path.strip_prefix(base).unwrap_or(path).display().to_string(), text }),
            Err(error) => errors.push(format!("{}: {error}; make it readable UTF-8", path.display())),
        }
    }
    if errors.is_empty() { Ok((sources, files)) } else { Err(errors) }
}

fn collect_rules(path: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    if path.is_file() {
        return files.push(path.to_owned());
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    for entry in entries.filter(|_| depth > 0) {
        let is_rule = entry.extension().is_some_and(|ending| ending == "yml" || ending == "yaml");
        if entry.is_dir() || is_rule {
            collect_rules(&entry, depth - 1, files);
        }
    }
}

impl Sources {
    /// The files of `settings`, which were read from the file `config`.
    pub fn new(config: &Path, settings: &Settings) -> Self {
        let base = config.parent().unwrap_or(Path::new("")).to_owned();
        let mut sources = Self { base, settings: settings.clone(), first: Default::default() };
        sources.first = (sources.directory_stamp(), sources.policy_stamp(), sources.rule_stamp());
        sources
    }

    /// State of directory, policy and rule files before they were first read.
    pub fn first_stamps(&self) -> (Stamp, Stamp, Stamp) {
        self.first.clone()
    }

    /// Where a file is that the configuration names.
    pub fn place(&self, file: &str) -> PathBuf {
        self.base.join(file)
    }

    /// The folder of CloudTrail files whose grants are read at start.
    pub fn warm_from(&self) -> Option<PathBuf> {
        self.settings.warm_from.as_ref().map(|folder| self.base.join(folder))
    }

    /// Reads the directory; `None` where the configuration names none.
    ///
    /// # Errors
    /// Every mistake in it, with the file.
    pub fn directory(&self) -> Result<Option<Directory>, Vec<String>> {
        let Some(file) = &self.settings.directory_file else { return Ok(None) };
        let path = self.base.join(file);
        let text =
            std::fs::read_to_string(&path).map_err(|error| vec![format!("{}: {error}; correct [identity] directory", path.display())])?;
        let told = |errors: Vec<crate::identity::DirectoryError>| {
            errors.iter().map(|error| format!("{}: {error}; correct the file", path.display())).collect()
        };
        Directory::parse(&text).map(Some).map_err(told)
    }

    /// Reads the table of prices; `None` where the configuration names none.
    ///
    /// # Errors
    /// The first mistake in it, with the file.
    pub fn prices(&self) -> Result<Option<PriceTable>, Vec<String>> {
        let Some(file) = &self.settings.prices_file else { return Ok(None) };
        let path = self.base.join(file);
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{error}; correct [detect.token-spend] prices"));
        let table = text.and_then(|text| PriceTable::parse(&text).map_err(|error| error.to_string()));
        table.map(Some).map_err(|error| vec![format!("{}: {error}", path.display())])
    }

    /// Reads all rules; none where the configuration names none.
    ///
    /// # Errors
    /// Every mistake in them, and every path that names no file.
    pub fn rules(&self) -> Result<RuleSet, Vec<String>> {
        let (sources, _) = rule_files(&self.settings.rule_paths.iter().map(PathBuf::from).collect::<Vec<_>>(), &self.base)?;
        let set = sigma::load(&sources, self.settings.unknown_fields)
            .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let settings = &self.settings.engine.detectors;
        let is_known = |name: &&String| set.alerting().any(|rule| *rule.id == ***name || *rule.name == ***name);
        let unknown = settings.rule_modes.keys().chain(settings.rule_suppressions.keys()).filter(|name| !is_known(name));
        let errors: Vec<String> =
            unknown.map(|name| format!("[rules]: there is no rule \"{name}\" that alerts; write its id or name")).collect();
        if errors.is_empty() { Ok(set) } else { Err(errors) }
    }

    /// Reads all policy documents.
    ///
    /// # Errors
    /// Every file that cannot be read as a policy, and every pattern that names no file.
    pub fn policies(&self) -> Result<Policies, Vec<String>> {
        let (files, mut errors) = (&self.settings.policy, Vec::new());
        let mut of = |patterns: &[String], key: &str| self.documents(patterns, key, &mut errors);
        let mut attached = Attached::default();
        attached.identity.extend(of(&files.documents, "documents").into_iter().map(|document| (Roles::Every, document)));
        attached.boundaries.extend(of(&files.boundaries, "boundaries").into_iter().map(|document| (Roles::Every, document)));
        for (pattern, names) in &files.roles {
            attached.identity.extend(of(names, "roles").into_iter().map(|document| (Roles::Like(pattern.clone()), document)));
        }
        for (pattern, names) in &files.role_boundaries {
            attached.boundaries.extend(of(names, "role_boundaries").into_iter().map(|document| (Roles::Like(pattern.clone()), document)));
        }
        attached.control = files.control.iter().map(|(_, names)| of(names, "scps")).collect();
        let profiles = self.profiles(&mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut notices: Vec<Notice> = attached.documents().flat_map(|document| document.notices.iter().cloned()).collect();
        notices.sort();
        notices.dedup();
        Ok(Policies { book: Arc::new(PolicyBook::new(self.settings.book(attached, profiles))), notices })
    }

    fn profiles(&self, errors: &mut Vec<String>) -> ProfileTable {
        let Some(file) = &self.settings.policy.profiles else { return ProfileTable::shipped() };
        let path = self.base.join(file);
        let table = std::fs::read_to_string(&path).map_err(|error| format!("{error}; correct [policy] profiles"));
        let table = table.and_then(|text| ProfileTable::parse(&text).map_err(|error| error.to_string()));
        table.unwrap_or_else(|error| {
            errors.push(format!("{}: {error}", path.display()));
            ProfileTable::default()
        })
    }

    fn documents(&self, patterns: &[String], key: &str, errors: &mut Vec<String>) -> Vec<Arc<Document>> {
        let mut documents = Vec::new();
        for pattern in patterns {
            let paths = expand(&self.base.join(pattern));
            if paths.is_empty() {
                errors.push(format!("{}: no such file; correct [policy] {key}", self.base.join(pattern).display()));
            }
            if paths.len() > FILES_MAX {
                errors
                    .push(format!("{}: names more than {FILES_MAX} files; give a folder of their own", self.base.join(pattern).display()));
                continue;
            }
            for path in paths {
                // Alerts show the statement as file#Sid, with the file as the configuration names it.
                let name = path.strip_prefix(&self.base).unwrap_or(&path).display().to_string();
                let text = std::fs::read_to_string(&path).map_err(|error| error.to_string());
                let document = text.and_then(|text| {
                    Document::parse(&name, &text).map_err(|notice| format!("line {}: {}; {}", notice.line, notice.what, notice.cure))
                });
                match document {
                    Ok(document) => documents.push(Arc::new(document)),
                    Err(error) => errors.push(format!("{}: {error}", path.display())),
                }
            }
        }
        documents
    }

    /// State of the directory file now.
    pub fn directory_stamp(&self) -> Stamp {
        Stamp(self.settings.directory_file.iter().map(|file| stamp(self.base.join(file))).collect())
    }

    /// State of the rule files now.
    pub fn rule_stamp(&self) -> Stamp {
        let mut files = Vec::new();
        self.settings.rule_paths.iter().for_each(|path| collect_rules(&self.base.join(path), RULE_DEPTH_MAX, &mut files));
        files.sort();
        Stamp(files.into_iter().map(stamp).collect())
    }

    /// State of all policy files now.
    pub fn policy_stamp(&self) -> Stamp {
        let files = &self.settings.policy;
        let lists = [&files.roles, &files.role_boundaries, &files.control].into_iter().flatten().flat_map(|(_, names)| names);
        let patterns = files.documents.iter().chain(&files.boundaries).chain(lists).chain(&files.profiles);
        Stamp(patterns.flat_map(|pattern| expand(&self.base.join(pattern))).map(stamp).collect())
    }
}

fn stamp(path: PathBuf) -> (PathBuf, Option<SystemTime>, u64) {
    let meta = std::fs::metadata(&path).ok();
    (path, meta.as_ref().and_then(|meta| meta.modified().ok()), meta.map_or(0, |meta| meta.len()))
}

/// Files that a pattern with wildcards in its last part names, in order; the path itself where there are none.
fn expand(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    if !name.contains(['*', '?']) {
        return if pattern.is_file() { vec![pattern.to_owned()] } else { Vec::new() };
    }
    let folder = pattern.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let is_match = |path: &PathBuf| path.is_file() && path.file_name().is_some_and(|file| glob::matches(&name, &file.to_string_lossy()));
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_match).collect();
    paths.sort();
    paths
}
