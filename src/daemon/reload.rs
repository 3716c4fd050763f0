//! Reads directory, policy and rule files again when they change, and at once on SIGHUP. A broken file is told and not
//! used: what was read before it stays.
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

    /// Reads the files again where they have changed, and says why where what they say is not used.
    fn look(
        &mut self,
        file: &'static str,
        now: Stamp,
        pipeline: &mut Pipeline,
        read: impl FnOnce(&mut Pipeline) -> Result<(), Vec<String>>,
    ) {
        if self.has_settled(now) {
            self.refused = read(pipeline).err();
            if let Some(errors) = &self.refused {
                pipeline.refuse_reload(file, errors);
            }
        }
        if self.refused.is_some() {
            pipeline.keep_refused(file);
        }
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
        let Self { sources, directory, policy, rules } = self;
        directory.look("directory", sources.directory_stamp(), pipeline, |pipeline| match sources.directory()? {
            Some(directory) => pipeline.use_directory(directory),
            None => Ok(()),
        });
        policy.look("policy", sources.policy_stamp(), pipeline, |pipeline| {
            sources.policies().map(|policies| pipeline.use_policies(policies))
        });
        rules.look("rules", sources.rule_stamp(), pipeline, |pipeline| sources.rules().map(|rules| pipeline.use_rules(rules)));
    }
}
