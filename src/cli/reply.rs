//! What comes back for a command, read leniently: the daemon may be newer than this command line.

use serde_json::Value;

use super::exit::{Exit, Stop};
use crate::contract;

/// A reply, or the record of the command.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reply {
    /// The whole document.
    pub(super) document: Value,
}

/// How far the command is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Progress {
    /// Under way; a remark for a person.
    Open(String),
    /// It ended well, with a result.
    Succeeded(Value),
    /// It ended otherwise.
    Ended(Stop),
}

impl Reply {
    /// The reply in a payload, if it is one for this command.
    pub(super) fn of(payload: &[u8], id: &str) -> Option<Reply> {
        let document: Value = serde_json::from_slice(payload).ok()?;
        (document.get("id")?.as_str()? == id).then_some(Reply { document })
    }

    /// Whether this is a stored answer: the id had been used before.
    pub(super) fn is_stored(&self) -> bool {
        self.document.get("duplicate").and_then(Value::as_bool) == Some(true)
    }

    /// Whether it was refused before anything was done.
    pub(super) fn is_rejected(&self) -> bool {
        let state = self.document.get("state").and_then(Value::as_str);
        state.is_some_and(|state| ["rejected", "expired"].contains(&state))
    }

    /// What it says about `command`.
    pub(super) fn progress(&self, command: &str) -> Progress {
        let text = |key: &str| self.document.get(key).and_then(Value::as_str);
        let exit = match text("state").unwrap_or("") {
            "succeeded" => {
                let result = self.document.get("result").cloned().unwrap_or(Value::Null);
                return Progress::Succeeded(result);
            }
            "rejected" | "refused" => Exit::Refused,
            "timed_out" | "expired" => Exit::Late,
            "failed" | "cancelled" | "interrupted" | "rolled_back" => Exit::Failed,
            _ => {
                let percent = self.document.get("progress_pct").and_then(Value::as_u64);
                let percent = percent.map_or_else(String::new, |percent| format!(", {percent} %"));
                let step = text("step").or(text("state")).unwrap_or("under way");
                return Progress::Open(format!("{step}{percent}"));
            }
        };
        let state = text("state").unwrap_or("failed").replace('_', " ");
        let told = format!("{command} {state}{}", self.why());
        Progress::Ended(Stop::new(exit, told))
    }

    fn why(&self) -> String {
        let error = self.document.get("error").or_else(|| self.document.get("cause"));
        let error = error.cloned().and_then(|e| serde_json::from_value::<contract::Error>(e).ok());
        error.map_or_else(String::new, |error| format!(": {}", sentence(&error)))
    }
}

/// An error as one sentence: what, where, which code, and what to do.
fn sentence(error: &contract::Error) -> String {
    let mut told = error.message.clone();
    if let Some(field) = &error.field {
        told += &format!(" at {field}");
    }
    told += &format!(" ({})", error.code);
    if let Some(hint) = &error.hint {
        told += &format!(": {hint}");
    }
    for cause in &error.cause {
        told += &format!("; because {}", sentence(cause));
    }
    told
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn progress(document: Value) -> Progress {
        Reply { document }.progress("jobs/restart")
    }

    #[test]
    fn only_the_reply_with_our_id_is_ours() {
        assert!(Reply::of(br#"{"state":"succeeded","id":"a"}"#, "a").is_some());
        assert!(Reply::of(br#"{"state":"succeeded","id":"b"}"#, "a").is_none());
        assert!(Reply::of(br#"{"state":"succeeded"}"#, "a").is_none());
        assert!(Reply::of(b"pong", "a").is_none());
    }

    #[test]
    fn each_end_of_a_command_has_its_exit_code() {
        for (state, exit) in [
            ("rejected", Exit::Refused),
            ("failed", Exit::Failed),
            ("cancelled", Exit::Failed),
            ("interrupted", Exit::Failed),
            ("rolled_back", Exit::Failed),
            ("timed_out", Exit::Late),
            ("expired", Exit::Late),
        ] {
            let Progress::Ended(stop) = progress(json!({"state": state})) else {
                panic!("{state}")
            };
            assert_eq!(stop.exit, exit, "{state}");
        }
        assert_eq!(
            progress(json!({"state":"succeeded","result":{"pong":true}})),
            Progress::Succeeded(json!({"pong":true}))
        );
    }

    #[test]
    fn what_is_under_way_says_how_far() {
        assert_eq!(
            progress(json!({"state":"running","step":"pulling","progress_pct":40})),
            Progress::Open("pulling, 40 %".into())
        );
        assert_eq!(progress(json!({"state":"accepted"})), Progress::Open("accepted".into()));
    }

    #[test]
    fn a_failure_is_one_sentence_with_its_causes() {
        let document = json!({"state":"timed_out","error":{
            "code":"network.dhcp.timeout","message":"no DHCPOFFER on eth0 in 30 s",
            "field":"/interfaces/0","hint":"check the cable","retryable":true,
            "cause":[{"code":"network.link.down","message":"eth0 has no carrier"}]}});
        let Progress::Ended(stop) = progress(document) else { panic!() };
        assert_eq!(
            stop.told.unwrap(),
            "jobs/restart timed out: no DHCPOFFER on eth0 in 30 s at /interfaces/0 \
             (network.dhcp.timeout): check the cable; because eth0 has no carrier (network.link.down)"
        );
    }
}
