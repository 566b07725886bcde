//! Opens what the configuration wants to listen on; what cannot be had is one sentence each.

use std::os::fd::OwnedFd;
use std::path::Path;

use crate::broker::config::{Address, Listener};
use crate::broker::{OpenListener, place_of};
use crate::config::Config;
use crate::config::paths::Surroundings;
use crate::contract::Error;
use crate::linux;
use crate::topic::Root;

/// What was opened, and what was not.
pub(super) struct Listening {
    pub(super) open: Vec<OpenListener>,
    pub(super) trouble: Option<Error>,
    pub(super) greeting: Greeting,
}

/// What a person who starts the daemon wants to know.
#[derive(Default)]
pub(super) struct Greeting {
    sockets: Vec<String>,
    subscribe: Option<String>,
}

/// Opens the listeners of a configuration; those that whoever started us has open already are taken
/// over.
pub(super) fn open(
    config: &Config,
    around: &Surroundings,
    mut inherited: Vec<OwnedFd>,
) -> Listening {
    let mut open = Vec::new();
    let mut troubles = Vec::new();
    let mut greeting = Greeting::default();
    for listener in &config.broker.listeners {
        let adopted = OpenListener::adopt(listener, &mut inherited);
        if adopted.is_none()
            && let Address::Unix(path) = &listener.on
            && let Err(trouble) = claim(path, config, around)
        {
            troubles.push(trouble);
            continue;
        }
        match adopted.unwrap_or_else(|| OpenListener::bind(listener)) {
            Ok(bound) => {
                greeting.note(listener, &bound);
                open.push(bound);
            }
            Err(error) => {
                let mut sentence = error.to_string();
                if let Address::Tcp(address) = &listener.on
                    && let Some(holder) = linux::holder::of_tcp_port(address.port())
                {
                    sentence = format!("{sentence}: {holder}");
                }
                troubles.push(Error::new("broker.listener", sentence));
            }
        }
    }
    for socket in &inherited {
        let place = place_of(socket).map_or_else(|| "nowhere".to_string(), |on| on.to_string());
        tracing::warn!(
            place,
            "an inherited socket (LISTEN_FDS) is closed: no entry of broker.listeners is for its place"
        );
    }
    for trouble in &troubles {
        eprintln!("maestro: {}", trouble.message);
    }
    let mut troubles = troubles.into_iter();
    let trouble = troubles.next().map(|first| troubles.fold(first, Error::because));
    Listening { open, trouble, greeting }
}

/// The runtime directory is made and checked; any other directory must be there.
fn claim(path: &Path, config: &Config, around: &Surroundings) -> Result<(), Error> {
    match path.parent() {
        Some(dir) if dir == config.runtime_dir => around.claim_runtime_dir(dir).map_err(|error| {
            Error::new("broker.listener", format!("cannot use {}: {error}", dir.display()))
        }),
        Some(_) | None => Ok(()),
    }
}

impl Greeting {
    fn note(&mut self, listener: &Listener, bound: &OpenListener) {
        match (&listener.on, bound.local_address()) {
            // Whoever comes there needs a certificate or a password: no line to copy.
            (Address::Tcp(_), Some(address)) if listener.kind() != "tcp" => {
                self.sockets.push(format!("{address} ({})", listener.kind()));
            }
            (Address::Tcp(_), Some(address)) => {
                self.sockets.push(address.to_string());
                let (ip, port) = (address.ip(), address.port());
                let host = if ip.is_loopback() { String::new() } else { format!(" -h {ip}") };
                let port = if port == 1883 { String::new() } else { format!(" -p {port}") };
                self.subscribe.get_or_insert(format!("mosquitto_sub -v{host}{port}"));
            }
            (Address::Unix(path), _) => {
                self.sockets.push(path.display().to_string());
                self.subscribe = Some(format!("mosquitto_sub -v --unix {}", path.display()));
            }
            (Address::Tcp(_), None) => {}
        }
    }

    /// One line for each socket, one to copy.
    pub(super) fn print(&self, root: &Root) {
        for socket in &self.sockets {
            println!("maestro listens on {socket}");
        }
        if let Some(subscribe) = &self.subscribe {
            println!("see everything:  {subscribe} -t '{root}/#'");
        }
    }
}

/// A name for a box that nothing names: a hash of the machine id, else random.
pub(super) fn gateway_id() -> String {
    let hash = |bytes: &[u8]| {
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        digest.as_ref()[..6].iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    match linux::boot::machine_id() {
        // Hashed with our name: the machine id itself is confidential (machine-id(5)).
        Some(id) => format!("gw-{}", hash(format!("maestro:{id}").as_bytes())),
        None => {
            let mut random = [0; 16];
            let _ = getrandom::fill(&mut random); // all zero is still a name, and stored
            format!("gw-{}", hash(&random))
        }
    }
}
