//! `maestro cmd`: sends a command and waits for its end.
//!
//! Every command goes out as an object with an `id` (a new ULID unless `--id` gives one): so it is
//! carried out once however often it is delivered, and the answer is found by that id on
//! `<root>/reply/<subsystem>/<verb>`, which everybody may read of his own commands, and which comes
//! through a cloud just as well, whatever brokers are in between. A bare word is put under the verb's
//! subject, which the contract compiled into this command line knows.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::args::Cmd;
use super::arguments::Arguments;
use super::client::{Refusal, Trouble};
use super::exit::{Exit, Stop};
use super::reply::{Progress, Reply};
use super::session::Session;
use super::stream::now;
use super::terminal::Terminal;
use crate::bus::{Message, Qos};
use crate::command;
use crate::contract::{self, Class};
use crate::service::rfc3339;

/// Where the box tells what it refused, its bridge's requests among it.
const REFUSALS: &str = "event/broker/+/refused";
/// How long a reply may come after a refusal that may have been another's.
const AFTERTHOUGHT: Duration = Duration::from_secs(1);

/// A command ready to be sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    /// `<subsystem>/<verb>`
    pub(super) command: String,
    pub(super) id: String,
    payload: Map<String, Value>,
    timeout: Duration,
}

/// When a command of class danger stops being meant, and where it goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Road {
    /// Straight to the daemon.
    Local,
    /// Perhaps over a cloud, where it might wait.
    Remote { expires: SystemTime },
}

impl Request {
    /// From what was typed; `id` is used when none was.
    fn new(cmd: &Cmd, id: String, road: Road) -> Result<Request, Stop> {
        let (subsystem, verb) = cmd
            .verb
            .split_once('/')
            .filter(|(subsystem, verb)| is_level(subsystem) && is_level(verb))
            .ok_or_else(|| Stop::usage(format!("'{}' is not <subsystem>/<verb>", cmd.verb)))?;
        let known = contract::verb(subsystem, verb);
        let Arguments { subject, keyed: mut payload } =
            Arguments::parse(&cmd.args).map_err(Stop::usage)?;
        if let Some(value) = subject {
            let key = known.and_then(|verb| verb.subject).ok_or_else(|| {
                Stop::usage(format!(
                    "{} has no subject known here: write key=value in place of {value}",
                    cmd.verb
                ))
            })?;
            if payload.insert(key.to_owned(), value).is_some() {
                return Err(Stop::usage(format!("'{key}' is given twice: it is the bare word")));
            }
        }
        let id = match (&cmd.id, payload.get("id").and_then(Value::as_str)) {
            (Some(id), _) => id.clone(),
            (None, Some(id)) => id.to_owned(),
            (None, None) => id,
        };
        payload.insert("id".into(), id.clone().into());
        if cmd.dry_run {
            payload.insert("dry_run".into(), true.into());
        }
        if let Road::Remote { expires } = road
            && known.is_none_or(|verb| verb.class == Class::Danger)
            && !payload.contains_key("expires")
        {
            payload.insert("expires".into(), rfc3339(expires).into());
        }
        Ok(Request { command: cmd.verb.clone(), id, payload, timeout: cmd.timeout })
    }

    /// For this session, with a new id.
    pub(super) fn typed(cmd: &Cmd, session: &Session) -> Result<Request, Stop> {
        let road = match session.is_local() {
            true => Road::Local,
            false => Road::Remote { expires: SystemTime::now() + cmd.timeout },
        };
        Request::new(cmd, new_id()?, road)
    }

    /// A verb that reads and needs no arguments.
    pub(super) fn plain(command: &str, timeout: Duration) -> Result<Request, Stop> {
        let id = new_id()?;
        let payload = Map::from_iter([("id".to_owned(), id.clone().into())]);
        Ok(Request { command: command.to_owned(), id, payload, timeout })
    }

    fn message(&self, session: &Session) -> Message {
        let payload = Value::Object(self.payload.clone()).to_string();
        let mut message =
            Message::new(session.root.join(&format!("cmd/{}", self.command)), payload)
                .at_least_once();
        // Nobody waits for it any longer then.
        message.expiry_s = u32::try_from(self.timeout.as_secs().max(1)).ok();
        message
    }

    /// Sends it and waits for its end: the whole reply, and what it says.
    pub(super) fn send(
        &self,
        session: &mut Session,
        terminal: Terminal,
    ) -> Result<(Reply, Progress), Stop> {
        let reply_topic = session.root.join(&format!("reply/{}", self.command));
        let task_topic = session.root.join(&format!("task/{}", self.id));
        session.client.subscribe(&[&reply_topic], Qos::AtLeastOnce)?;
        // Only for the steps on the way; not everybody may, and not every broker has it.
        let _ = session.client.subscribe(&[&task_topic], Qos::AtMostOnce);
        let mut until = now() + self.timeout;
        if !session.is_local() {
            // What the box refuses at its bridge has no reply: nobody was let in to ask.
            let refusals = session.root.join(REFUSALS);
            let _ = session.client.subscribe(&[&refusals], Qos::AtLeastOnce);
        }
        match session.client.publish(&self.message(session)) {
            Ok(()) => {}
            Err(Trouble::Refused(no)) => return self.refused(session, &no),
            Err(other) => return Err(other.into()),
        }
        let (mut last, mut over) = (String::new(), self.late());
        loop {
            let left = until.saturating_duration_since(now());
            let Some(message) = session.client.next(left).map_err(|e| self.left_open(e))? else {
                return Err(over);
            };
            if let Some(no) = self.refusal(&message.payload) {
                over = no;
                until = until.min(now() + AFTERTHOUGHT);
                continue;
            }
            let Some(reply) = Reply::of(&message.payload, &self.id) else { continue };
            match reply.progress(&self.command) {
                Progress::Open(step) if step != last => {
                    terminal.remark(&step);
                    last = step;
                }
                Progress::Open(_) => {}
                end if message.topic == reply_topic => return Ok((reply, end)),
                Progress::Succeeded(_) | Progress::Ended(_) => {} // the record; the reply follows
            }
        }
    }

    /// What the box says of a command it refused, if it can be this one. The event names no id: should a
    /// reply follow, it was another's.
    fn refusal(&self, payload: &[u8]) -> Option<Stop> {
        let event: Value = serde_json::from_slice(payload).ok()?;
        let text = |key: &str| event.get(key)?.as_str();
        let tail = text("topic")?.strip_suffix(&self.command)?;
        let (code, message) = (text("code")?, text("message")?);
        let told = format!("{} refused: {message} ({code})", self.command);
        tail.ends_with("/cmd/").then(|| Stop::new(Exit::Refused, told))
    }

    /// The reply that tells more than the PUBACK, if there is one.
    fn refused(&self, session: &mut Session, no: &Refusal) -> Result<(Reply, Progress), Stop> {
        let said = session.client.settled().unwrap_or_default();
        let replies = said.iter().filter_map(|message| Reply::of(&message.payload, &self.id));
        for reply in replies {
            // Not the record of an earlier command with this id.
            if reply.is_rejected() {
                let ended = reply.progress(&self.command);
                return Ok((reply, ended));
            }
        }
        Err(Stop::new(Exit::Refused, format!("{} refused: {no}", self.command)))
    }

    fn late(&self) -> Stop {
        let (command, id, wait) = (&self.command, &self.id, self.timeout.as_secs_f64());
        Stop::new(
            Exit::Late,
            format!("no end of {command} within {wait} s: ask again with --id {id}, it runs once"),
        )
    }

    fn left_open(&self, trouble: Trouble) -> Stop {
        let mut stop = Stop::from(trouble);
        if stop.exit == Exit::Interrupted {
            stop.told = Some(format!("{} goes on as {}", self.command, self.id));
        }
        stop
    }
}

/// `maestro cmd`.
pub(super) fn run(cmd: &Cmd, session: &mut Session, terminal: Terminal) -> Result<Exit, Stop> {
    let request = Request::typed(cmd, session)?;
    let (reply, end) = request.send(session, terminal)?;
    finish(&reply, end, terminal)
}

/// `maestro whoami`.
pub(super) fn whoami(session: &mut Session, terminal: Terminal) -> Result<Exit, Stop> {
    let request = Request::plain("system/whoami", Duration::from_secs(10))?;
    let (reply, end) = request.send(session, terminal)?;
    finish(&reply, end, terminal)
}

fn finish(reply: &Reply, end: Progress, terminal: Terminal) -> Result<Exit, Stop> {
    use super::terminal::Reader;
    if terminal.reader == Reader::Program {
        terminal.show(&reply.document)?;
        return Ok(match end {
            Progress::Ended(stop) => stop.exit,
            Progress::Open(_) | Progress::Succeeded(_) => Exit::Succeeded,
        });
    }
    if reply.is_stored() {
        terminal.remark("this id was used before: here is the stored answer");
    }
    match end {
        Progress::Ended(stop) => Err(stop),
        Progress::Open(_) => Ok(Exit::Succeeded),
        Progress::Succeeded(result) => {
            let empty = result.as_object().is_none_or(Map::is_empty);
            if empty {
                terminal.print("succeeded\n")?
            } else {
                terminal.show(&result)?
            }
            Ok(Exit::Succeeded)
        }
    }
}

fn is_level(word: &str) -> bool {
    !word.is_empty() && !word.contains(['/', '+', '#', '\0'])
}

/// A new ULID.
fn new_id() -> Result<String, Stop> {
    let mut chance = [0; 16];
    getrandom::fill(&mut chance)
        .map_err(|e| Stop::new(Exit::Failed, format!("no random numbers: {e}")))?;
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let time_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    Ok(command::ulid(time_ms, u128::from_ne_bytes(chance)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cmd(verb: &str, args: &[&str]) -> Cmd {
        Cmd {
            verb: verb.into(),
            args: args.iter().map(|&word| word.into()).collect(),
            id: None,
            timeout: Duration::from_secs(60),
            dry_run: false,
        }
    }
    fn payload(cmd: &Cmd, road: Road) -> Value {
        Value::Object(Request::new(cmd, "NEW".into(), road).unwrap().payload)
    }
    fn refused(cmd: &Cmd) -> String {
        let stop = Request::new(cmd, "NEW".into(), Road::Local).unwrap_err();
        assert_eq!(stop.exit, Exit::Usage);
        stop.told.unwrap()
    }

    #[test]
    fn every_command_carries_an_id() {
        assert_eq!(payload(&cmd("system/ping", &[]), Road::Local), json!({"id":"NEW"}));
        let own = Cmd { id: Some("mine".into()), dry_run: true, ..cmd("a/b", &["n=1"]) };
        assert_eq!(payload(&own, Road::Local), json!({"n":1,"id":"mine","dry_run":true}));
        let request =
            Request::new(&cmd("a/b", &[r#"{"id":"in"}"#]), "NEW".into(), Road::Local).unwrap();
        assert_eq!(request.id, "in");
    }

    #[test]
    fn a_bare_word_becomes_the_verbs_subject() {
        assert_eq!(
            payload(&cmd("stats/sample", &["memory"]), Road::Local),
            json!({"family":"memory","id":"NEW"})
        );
        assert_eq!(
            refused(&cmd("stats/sample", &["memory", "family=cpu"])),
            "'family' is given twice: it is the bare word"
        );
        assert_eq!(
            refused(&cmd("new/verb", &["word"])),
            "new/verb has no subject known here: write key=value in place of \"word\""
        );
    }

    #[test]
    fn a_command_is_a_subsystem_and_a_verb() {
        for wrong in ["ping", "a/b/c", "/b", "a/", "a/+", "#/x"] {
            assert_eq!(refused(&cmd(wrong, &[])), format!("'{wrong}' is not <subsystem>/<verb>"));
        }
    }

    #[test]
    fn a_refusal_of_this_command_is_told_by_its_topic() {
        let ping = Request::new(&cmd("system/ping", &[]), "NEW".into(), Road::Local).unwrap();
        let told = |topic: &str| {
            let event = json!({"code":"command.unsigned","message":"no","topic":topic});
            ping.refusal(event.to_string().as_bytes()).map(|stop| stop.told.unwrap())
        };
        assert_eq!(
            told("maestro/cmd/system/ping").as_deref(),
            Some("system/ping refused: no (command.unsigned)")
        );
        assert_eq!(told("maestro/cmd/a/system/ping"), None);
        assert_eq!(told("maestro/cmd/system/pong"), None);
    }

    #[test]
    fn a_danger_that_might_wait_in_a_cloud_says_when_it_expires() {
        let road = Road::Remote { expires: SystemTime::UNIX_EPOCH };
        assert_eq!(
            payload(&cmd("system/reboot", &["reason=x"]), road),
            json!({"reason":"x","id":"NEW","expires":"1970-01-01T00:00:00.000Z"})
        );
        assert_eq!(
            payload(&cmd("system/reboot", &["expires=90s"]), road),
            json!({"expires":"90s","id":"NEW"})
        );
        assert_eq!(payload(&cmd("system/ping", &[]), road), json!({"id":"NEW"}));
    }
}
