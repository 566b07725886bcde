//! The way back from a call: a subsystem says how far it is and how it ended.

use serde::Serialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::contract;

/// How a command ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Done; the result, a JSON object.
    Succeeded(Value),
    /// Not done.
    Failed(contract::Error),
    /// The subsystem dropped the answer: it was rebuilt, or the daemon ends.
    Interrupted,
}

/// What a subsystem says about one call, with the desk's number for it.
#[derive(Debug)]
pub(super) enum Word {
    /// It works on it.
    Running { step: String, progress_pct: Option<u8> },
    /// The end of the box is the end of the command; told when that is on disk.
    UntilReboot(oneshot::Sender<Result<(), contract::Error>>),
    /// It ended.
    Ended(Outcome),
}

/// The way back from a [`super::Call`]. Dropping it ends the command as `interrupted`.
#[derive(Debug)]
pub struct Answer {
    ticket: u64,
    words: Option<mpsc::UnboundedSender<(u64, Word)>>,
}

impl Answer {
    pub(super) fn new(ticket: u64, words: mpsc::UnboundedSender<(u64, Word)>) -> Answer {
        Answer { ticket, words: Some(words) }
    }
    /// An answer and where it arrives, for tests of a subsystem.
    #[cfg(test)]
    pub(crate) fn watched() -> (Answer, impl FnMut() -> Option<Outcome>) {
        let (tx, mut rx) = mpsc::unbounded_channel();
        let ended = move || loop {
            match rx.try_recv() {
                Ok((_, Word::Ended(outcome))) => return Some(outcome),
                Ok((_, Word::Running { .. })) => {}
                Ok((_, Word::UntilReboot(told))) => drop(told.send(Ok(()))),
                Err(_) => return None,
            }
        };
        (Answer::new(0, tx), ended)
    }
    /// Done. The result must serialize to a JSON object (or `()` for none).
    pub fn succeed(self, result: impl Serialize) {
        let outcome = match serde_json::to_value(result) {
            Ok(result) => Outcome::Succeeded(result),
            Err(e) => Outcome::Failed(contract::Error::new("command.failed", e.to_string())),
        };
        self.end(outcome);
    }
    /// Not done, and why.
    pub fn fail(self, error: contract::Error) {
        self.end(Outcome::Failed(error));
    }
    /// `Ok` succeeds, an error fails.
    pub fn finish(self, result: Result<impl Serialize, contract::Error>) {
        match result {
            Ok(result) => self.succeed(result),
            Err(error) => self.fail(error),
        }
    }
    /// Under way: what is being done, and how far it is (0 to 100).
    pub fn running(&self, step: &str, progress_pct: Option<u8>) {
        self.say(Word::Running { step: step.to_owned(), progress_pct });
    }
    /// The next boot answers: recorded, and on disk when this returns, so that reboot(2) may follow.
    ///
    /// # Errors
    /// When the disk did not take the record; the box must not go down then.
    pub async fn until_reboot(&self) -> Result<(), contract::Error> {
        let (told, on_disk) = oneshot::channel();
        self.say(Word::UntilReboot(told));
        on_disk.await.unwrap_or_else(|_| {
            Err(contract::Error::new("command.interrupted", "the daemon is going down"))
        })
    }
    fn end(mut self, outcome: Outcome) {
        self.say(Word::Ended(outcome));
        self.words = None;
    }
    fn say(&self, word: Word) {
        if let Some(words) = &self.words {
            let _ = words.send((self.ticket, word)); // the desk is gone only when the daemon is
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.say(Word::Ended(Outcome::Interrupted));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_answer_is_an_interrupted_command_and_a_given_one_is_given_once() {
        let (answer, mut ended) = Answer::watched();
        drop(answer);
        assert_eq!(ended(), Some(Outcome::Interrupted));
        let (answer, mut ended) = Answer::watched();
        answer.running("half", Some(50));
        answer.finish(Ok(serde_json::json!({"pong": true})));
        assert_eq!(ended(), Some(Outcome::Succeeded(serde_json::json!({"pong": true}))));
        assert_eq!(ended(), None);
    }
}
