//! Reads directory, policy and rule files again when they change, and at once on SIGHUP. A broken file is told and not used: what was read before it
//! stays.
//!
//! A change counts when two looks have seen the same files: whoever copies a folder file by file, or writes a large file
//! slowly, is not read in the middle of it.

use crate::sources::{Sources, Stamp};

use super::pipeline::Pipeline;

/// One kind of files.
#[derive(Debug)]
struct Watched {
    /// As they were last read.
    read: Stamp,
    /// As they were at the last look.
    seen: Stamp,
    /// Why what they say now is not used.
    refused: Option<Vec<String>>,
}

impl Watched {
    fn new(stamp: Stamp) -> Self {
        Self { read: stamp.clone(), seen: stamp, refused: None }
    }

    /// Whether the files have changed and are quiet again.
    fn has_settled(&mut self, now: Stamp) -> bool {
        let is_quiet = now == self.seen;
        self.seen = now;
        let is_news = is_quiet && self.seen != self.read;
        if is_news {
            self.read = self.seen.clone();
        }
        is_news
    }
}

/// Files that are watched.
#[derive(Debug)]
pub(super) struct Reload {
    sources: Sources,
    directory: Watched,
    policy: Watched,
    rules: Watched,
}

impl Reload {
    /// Watches the files of `sources` from when they were first read.
    pub(super) fn new(sources: Sources) -> Self {
        let (directory, policy, rules) = sources.first_stamps();
        Self { sources, directory: Watched::new(directory), policy: Watched::new(policy), rules: Watched::new(rules) }
    }

    /// Somebody says that the files are whole now: what has changed is read at the next look, without a second one.
    pub(super) fn hurry(&mut self) {
        self.directory.seen = self.sources.directory_stamp();
        self.policy.seen = self.sources.policy_stamp();
        self.rules.seen = self.sources.rule_stamp();
    }

    /// Looks whether anything changed, and gives it to the pipeline.
    pub(super) fn look(&mut self, pipeline: &mut Pipeline) {
        if self.directory.has_settled(self.sources.directory_stamp()) {
            self.directory.refused = match self.sources.directory() {
                Ok(Some(directory)) => pipeline.use_directory(directory).err(),
                Ok(None) => None,
                Err(errors) => Some(errors),
            };
            tell(pipeline, "directory", self.directory.refused.as_deref());
        }
        if self.policy.has_settled(self.sources.policy_stamp()) {
            self.policy.refused = match self.sources.policies() {
                Ok(policies) => {
                    pipeline.use_policies(policies);
                    None
                }
                Err(errors) => Some(errors),
            };
            tell(pipeline, "policy", self.policy.refused.as_deref());
        }
        if self.rules.has_settled(self.sources.rule_stamp()) {
            self.rules.refused = match self.sources.rules() {
                Ok(rules) => {
                    pipeline.use_rules(rules);
                    None
                }
                Err(errors) => Some(errors),
            };
            tell(pipeline, "rules", self.rules.refused.as_deref());
        }
        for (file, watched) in [("directory", &self.directory), ("policy", &self.policy), ("rules", &self.rules)] {
            if watched.refused.is_some() {
                pipeline.keep_refused(file);
            }
        }
    }
}

fn tell(pipeline: &mut Pipeline, file: &'static str, refused: Option<&[String]>) {
    if let Some(errors) = refused {
        pipeline.refuse_reload(file, errors);
    }
}
