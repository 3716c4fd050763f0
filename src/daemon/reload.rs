//! Reads directory and policy files again when they change. A broken file is told once and not used: what was read before
//! it stays.

use crate::sources::{Sources, Stamp};

use super::pipeline::Pipeline;

/// Files that are watched.
#[derive(Debug)]
pub(super) struct Reload {
    sources: Sources,
    directory: Stamp,
    policy: Stamp,
}

impl Reload {
    /// Watches the files of `sources` from now on.
    pub(super) fn new(sources: Sources) -> Self {
        Self { directory: sources.directory_stamp(), policy: sources.policy_stamp(), sources }
    }

    /// Looks whether anything changed, and gives it to the pipeline.
    pub(super) fn look(&mut self, pipeline: &mut Pipeline) {
        let directory = self.sources.directory_stamp();
        if directory != self.directory {
            self.directory = directory;
            match self.sources.directory() {
                Ok(Some(directory)) => pipeline.use_directory(directory),
                Ok(None) => {}
                Err(errors) => pipeline.refuse_reload("directory", &errors),
            }
        }
        let policy = self.sources.policy_stamp();
        if policy != self.policy {
            self.policy = policy;
            match self.sources.policies() {
                Ok(policies) => pipeline.use_policies(policies),
                Err(errors) => pipeline.refuse_reload("policy", &errors),
            }
        }
    }
}
