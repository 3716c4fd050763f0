//! What people ask for through page and API.

use super::pipeline::Pipeline;
use crate::alerting::Silence;
use crate::alerting::acknowledged::Acknowledgement;
use crate::cli::Failure;
use crate::web::Command;

impl Pipeline {
    /// Does what was asked, and answers. `true` where something was changed: that should outlive a crash.
    ///
    /// # Errors
    /// A bug.
    pub(super) fn command(&mut self, command: Command) -> Result<bool, Failure> {
        let is_change = !matches!(command, Command::Portrait { .. } | Command::Event { .. });
        self.commands += u64::from(is_change);
        let (now, mut pages) = (self.now(), Vec::new());
        // Who asked may have gone: then nobody hears the answer.
        match command {
            Command::Acknowledge { taken, reply } => {
                let said = Acknowledgement::new(taken.incident, &taken.author, &taken.remark, now, taken.is_usual);
                let done = said.and_then(|said| self.engine.acknowledge(said.clone()).map(|()| said));
                if let Ok(said) = &done {
                    tracing::info!(incident = %said.incident, author = said.author, remark = said.remark, usual = said.is_usual, "acknowledged");
                }
                let _ = reply.send(done);
            }
            Command::Portrait { key, reply } => {
                let _ = reply.send(self.engine.portrait(&key).map(Box::new));
            }
            Command::Event { id, reply } => {
                let _ = reply.send(self.evidence.show(&id));
            }
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
        self.page_out(pages)?;
        Ok(is_change)
    }
}
