//! A connection to the box that is meant, and what to do when there is none.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::args::Target;
use super::client::{Address, Client, Interrupt, Options, Refusal, Tls, Trouble};
use super::exit::{Exit, Stop};
use super::password;
use crate::broker::wire::Reason;
use crate::bus::{Message, Qos};
use crate::config::paths::Surroundings;
use crate::topic::Root;

/// A connected client and where it is.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) address: Address,
    pub(super) root: Root,
}

impl Session {
    /// Connects to what `--url` says, else to the daemon of this machine.
    pub(super) fn open(target: &Target) -> Result<Session, Stop> {
        if !Root::is_root(&target.root) {
            return Err(Stop::usage(format!("'{}' cannot be a root of topics", target.root)));
        }
        let (address, looked) = address(target, &Surroundings::of_process())?;
        let mut options = Options::to(address);
        options.tls =
            Tls { ca: target.ca.clone(), identity: target.cert.clone().zip(target.key.clone()) };
        if let Some(name) = &target.username {
            options.login = Some((name.clone(), password::of_login(name)?));
        }
        match Client::connect(&options) {
            Ok(mut client) => {
                client.heed(Interrupt::catch()?);
                Ok(Session { client, address: options.address, root: Root::new(&target.root) })
            }
            Err(Trouble::Unreachable { address, source }) => {
                Err(Stop::new(Exit::Unreachable, unreachable(&address, &looked, &source)))
            }
            Err(Trouble::Refused(no)) => Err(Stop::new(Exit::Refused, not_let_in(&options, &no))),
            Err(other) => Err(other.into()),
        }
    }

    /// The retained message of a topic, if there is one.
    pub(super) fn retained(&mut self, topic: &str) -> Result<Option<Message>, Stop> {
        self.client.subscribe(&[topic], Qos::AtMostOnce)?;
        let found = self.client.settled()?.into_iter().find(|message| message.topic == topic);
        match found {
            Some(message) => Ok(Some(message)),
            // A cluster of brokers may answer the ping before it has found what it keeps.
            None if self.is_local() => Ok(None),
            None => Ok(self.client.next(Duration::from_secs(1))?),
        }
    }

    /// Whether the broker is the daemon itself, as far as one can tell.
    pub(super) fn is_local(&self) -> bool {
        matches!(self.address, Address::Unix(_))
    }
}

/// Where to connect, and every place that was looked at for it.
fn address(target: &Target, around: &Surroundings) -> Result<(Address, Vec<String>), Stop> {
    if let Some(url) = &target.url {
        let address: Address = url.parse().map_err(Stop::usage)?;
        return Ok((address, vec![place(url)]));
    }
    let looked = around.sockets();
    let socket = around.find_socket().unwrap_or_else(|| looked[0].clone());
    let looked = looked.iter().map(|path| path.display().to_string()).collect();
    Ok((Address::Unix(socket), looked))
}

fn place(url: &str) -> String {
    url.strip_prefix("unix://").unwrap_or(url).to_owned()
}

fn unreachable(address: &Address, looked: &[String], source: &io::Error) -> String {
    match (address, source.kind()) {
        (Address::Unix(_), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            format!("no daemon at {}: start it with 'maestro run'", looked.join(" or "))
        }
        (Address::Unix(path), io::ErrorKind::PermissionDenied) => {
            format!("no permission to open {}: try as its owner or as root", shown(path))
        }
        (_, io::ErrorKind::ConnectionRefused) => {
            format!("nobody listens at {address}: is it running, and is that its port?")
        }
        (Address::Tls(..), io::ErrorKind::InvalidData)
            if source.to_string().contains("UnknownIssuer") =>
        {
            format!("{address}: its certificate is of an unknown authority: name it with --ca")
        }
        (_, io::ErrorKind::TimedOut) => format!("{address}: no answer"),
        _ => format!("{address}: {source}"),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn not_let_in(options: &Options, no: &Refusal) -> String {
    let unknown = [Reason::BadUserNameOrPassword, Reason::NotAuthorized].contains(&no.reason);
    let hint = if unknown && options.login.is_none() { ": log in with --username" } else { "" };
    format!("not let in at {}: {no}{hint}", options.address)
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Stop {
        let exit = match &trouble {
            Trouble::Interrupted => return Stop::silent(Exit::Interrupted),
            Trouble::Refused(no) => return Stop::new(Exit::Refused, format!("refused: {no}")),
            Trouble::Unreachable { .. } | Trouble::Lost(_) => Exit::Unreachable,
            Trouble::Late => Exit::Late,
        };
        Stop::new(exit, trouble.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nobody_is_the_sentence_says_what_to_do() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let absent = io::Error::from(io::ErrorKind::NotFound);
        let unix = Address::Unix("/run/maestro/mqtt.sock".into());
        assert_eq!(
            unreachable(&unix, &["/run/maestro/mqtt.sock".into()], &absent),
            "no daemon at /run/maestro/mqtt.sock: start it with 'maestro run'"
        );
        assert_eq!(
            unreachable(&unix, &["/a".into(), "/b".into()], &refused),
            "no daemon at /a or /b: start it with 'maestro run'"
        );
        assert_eq!(
            unreachable(&Address::Tcp("box".into(), 1883), &[], &refused),
            "nobody listens at mqtt://box:1883: is it running, and is that its port?"
        );
    }

    #[test]
    fn without_a_url_the_first_place_of_the_daemon_is_tried() {
        let around = Surroundings {
            uid: 4_000_000_000,
            xdg_runtime: Some("/nonexistent".into()),
            ..Surroundings::default()
        };
        let (address, looked) = address(&Target::default(), &around).unwrap();
        assert_eq!(looked[0], "/nonexistent/maestro/mqtt.sock");
        if !Path::new("/run/maestro/mqtt.sock").exists() {
            assert_eq!(address, Address::Unix("/nonexistent/maestro/mqtt.sock".into()));
        }
    }
}
