//! The top level: which sections there are, what is checked across them.

use std::path::PathBuf;

use super::decode::{Decode, Reader};
use super::node::Node;
use super::problem::{Mark, Report, Severity};
use super::{Config, LogLevel};
use crate::broker::config::Listener;
use crate::{bridge, broker, stats, topic};

/// The names of our own sections. `stats` is not among them: 2.7 had one of that name.
pub(super) const OWN: [&str; 7] =
    ["gateway_id", "root", "state_dir", "runtime_dir", "log_level", "broker", "bridges"];

/// Reads the whole tree over its defaults. `stray` says how bad an unknown top-level key is, by its
/// place.
pub(super) fn decode(
    tree: &Node,
    report: &Report,
    default: Config,
    stray: &dyn Fn(Mark) -> Severity,
) -> Config {
    let Some(mut f) = Reader::new(tree, report).fields() else { return default };
    let runtime_dir = f.optional::<AbsolutePath>("runtime_dir").map(|path| path.0);
    let default = match runtime_dir {
        Some(dir) => moved(default, dir),
        None => default,
    };
    let broker = match f.take("broker") {
        Some(reader) => broker::config::Config::decode(&reader, default.broker.clone()),
        None => None,
    };
    let stats = match f.take("stats") {
        Some(reader) => stats::config::Config::decode(&reader, default.stats.clone()),
        None => None,
    };
    let bridges = f.take("bridges");
    let config = Config {
        gateway_id: f.optional::<GatewayId>("gateway_id").map_or(default.gateway_id, |id| id.0),
        root: f.or("root", default.root),
        state_dir: f.optional::<AbsolutePath>("state_dir").map_or(default.state_dir, |path| path.0),
        runtime_dir: default.runtime_dir,
        log_level: f.or("log_level", default.log_level),
        broker: broker.unwrap_or(default.broker),
        bridges: bridges.and_then(|reader| all_bridges(&reader)).unwrap_or(default.bridges),
        stats: stats.unwrap_or(default.stats),
    };
    f.end_with(stray);
    config
}

/// The default socket lies in the runtime directory, wherever that is.
fn moved(default: Config, runtime_dir: PathBuf) -> Config {
    let mut config = default;
    for listener in &mut config.broker.listeners {
        if *listener == Listener::unix(config.runtime_dir.join("mqtt.sock")) {
            *listener = Listener::unix(runtime_dir.join("mqtt.sock"));
        }
    }
    config.runtime_dir = runtime_dir;
    config
}

/// Every bridge; two of one name would be one principal.
fn all_bridges(list: &Reader<'_>) -> Option<Vec<bridge::Config>> {
    let mut bridges: Vec<bridge::Config> = Vec::new();
    for item in list.items()? {
        let Some(bridge) = bridge::Config::decode(&item) else { continue };
        if bridges.iter().any(|known| known.name == bridge.name) {
            item.error(format!("there is a bridge `{}` already", bridge.name));
        } else {
            bridges.push(bridge);
        }
    }
    Some(bridges)
}

/// One level of a topic, here and at the cloud.
struct GatewayId(String);

impl Decode for GatewayId {
    fn decode(from: &Reader<'_>) -> Option<GatewayId> {
        let text = from.text()?;
        if from.has_macro() {
            from.warning("macros are not built yet; the box is named as if this were not set");
            return None;
        }
        let level = topic::is_name(text) && !text.contains('/') && text.chars().count() <= 128;
        if !level || text.starts_with(['_', '$']) {
            let told = "a gateway id is one level of a topic: 1 to 128 characters without / + #, \
                        not beginning with _ or $";
            from.error(told);
            return None;
        }
        Some(GatewayId(text.to_owned()))
    }
}

/// A directory that means the same wherever the daemon is started.
struct AbsolutePath(PathBuf);

impl Decode for AbsolutePath {
    fn decode(from: &Reader<'_>) -> Option<AbsolutePath> {
        let path = PathBuf::decode(from)?;
        if from.has_macro() {
            from.warning("macros are not built yet; the default is used");
            return None;
        }
        if !path.is_absolute() {
            from.error("a whole path is expected here, beginning with /");
            return None;
        }
        Some(AbsolutePath(path))
    }
}

impl Decode for topic::Root {
    fn decode(from: &Reader<'_>) -> Option<topic::Root> {
        let text = from.text()?;
        if !topic::Root::is_root(text) {
            from.error("the root is one or more levels of a topic without + #, as in `maestro`");
            return None;
        }
        Some(topic::Root::new(text))
    }
}

impl Decode for LogLevel {
    fn decode(from: &Reader<'_>) -> Option<LogLevel> {
        from.word(&[
            ("error", LogLevel::Error),
            ("warn", LogLevel::Warn),
            ("info", LogLevel::Info),
            ("debug", LogLevel::Debug),
            ("trace", LogLevel::Trace),
        ])
    }
}
