//! Reads along everything the daemon publishes and holds it against the contract.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use maestro::topic::Root;

use super::{
    client::{Client, connect},
    contract_check,
};

/// Everything a watcher asks for; `#` does not match topics that begin with `$`.
const FILTERS: [&str; 3] = ["#", "$maestro/api/#", "$maestro/batch/#"];

/// The watcher: a thread with a client that lives as long as the connection.
pub(crate) struct Watch {
    complaints: Arc<Mutex<Vec<String>>>,
}

impl Watch {
    /// Subscribes before the test goes on, so that nothing is missed.
    pub(crate) fn start(socket: &Path) -> Watch {
        let (mut client, _) = Client::unix(socket, connect("")).expect("the watcher connects");
        for filter in FILTERS {
            client.subscribe_as_published(filter, 1);
        }
        let complaints = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&complaints);
        std::thread::spawn(move || {
            while let Some(message) = client.next(Duration::from_secs(3600)) {
                let (topic, payload) = (&*message.topic, &*message.payload);
                let (retain, qos) = (Some(message.retain), Some(message.qos));
                let seen = contract_check::Seen { topic, payload, retain, qos };
                if let Err(complaint) = contract_check::check_seen(&Root::default(), &seen) {
                    let line = format!("{} {}: {complaint}", message.topic, message.text());
                    sink.lock().expect("nobody panics with the lock").push(line);
                }
            }
        });
        Watch { complaints }
    }
    /// What broke the contract so far.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.complaints.lock().expect("nobody panics with the lock").clone()
    }
}
