//! What people ask for through page and API.

use super::pipeline::Pipeline;
use crate::alerting::Silence;
use crate::cli::Failure;
use crate::web::Command;

impl Pipeline {
    /// Does what was asked, and answers.
    ///
    /// # Errors
    /// The state folder cannot be written any more.
    pub(super) fn command(&mut self, command: Command) -> Result<(), Failure> {
        let (now, mut pages) = (self.now(), Vec::new());
        // Who asked may have gone: then nobody hears the answer.
        match command {
            Command::Silence { asked, reply } => {
                let silence = Silence::new(asked.scope, &asked.author, &asked.reason, now, now.plus(asked.seconds));
                let done = silence.and_then(|silence| self.paging.silence(silence.clone(), now).map(|()| silence));
                if let Ok(silence) = &done {
                    tracing::info!(silence = %silence.id, author = silence.author, reason = silence.reason, until = %silence.until, "silenced");
                }
                let _ = reply.send(done);
            }
            Command::Lift { id, reply } => {
                let was_there = self.paging.lift(id, now, &mut pages);
                if was_there {
                    tracing::info!(silence = %id, "a silence was lifted");
                }
                let _ = reply.send(was_there);
            }
        }
        self.page_out(pages)
    }
}
