//! The section `bridges:` of the configuration: a list, one entry per cloud.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Decode, Reader, Secret, Size, Span};
use crate::contract::{self, Role};
use crate::topic;

/// One entry of `bridges:`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Names it on topics and in its principal `bridge:<name>`; unique.
    pub name: String,
    /// `mqtts://host[:8883]`, or `mqtt://host[:1883]` without TLS.
    pub url: Url,
    /// PEM file with the authorities the cloud's certificate is checked against; the system's
    /// when absent.
    pub ca: Option<PathBuf>,
    /// PEM file with the client certificate and its chain; together with `key`.
    pub cert: Option<PathBuf>,
    /// PEM file with the client certificate's private key.
    pub key: Option<PathBuf>,
    /// User name for the cloud, where a certificate is not enough.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// First level(s) of the cloud's topics: `<prefix>/<gateway id>/<tail>`.
    pub prefix: String,
    /// What the cloud may do here; verbs of class danger need more, see `unsigned`.
    pub role: Role,
    /// Verbs of class danger the cloud may use without a signature: `system/reboot`, `network/*`.
    pub unsigned: Vec<String>,
    /// What waits for the cloud.
    pub queue: Queue,
    /// Longest silence before the cloud is asked for a sign of life; 5 s to 18 h.
    pub keepalive: Duration,
    /// Client id at the cloud; the gateway id when absent.
    pub client_id: Option<String>,
    /// Pauses between attempts to connect.
    pub backoff: Backoff,
    /// Whether the default rules stand (`defaults: off` drops them).
    pub defaults: bool,
    /// More rules.
    pub rules: Vec<Rule>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            name: "cloud".into(),
            url: Url::default(),
            ca: None,
            cert: None,
            key: None,
            username: None,
            password: None,
            prefix: "gw".into(),
            role: Role::Operator,
            unsigned: Vec::new(),
            queue: Queue::default(),
            keepalive: Duration::from_secs(60),
            client_id: None,
            backoff: Backoff::default(),
            defaults: true,
            rules: Vec::new(),
        }
    }
}

/// Bounds of what waits for the cloud.
#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    /// Bytes of topics and payloads.
    pub max_size: u64,
    /// Messages.
    pub max_count: u64,
    /// What waits longer is dropped, and counted.
    pub max_age: Duration,
    /// What gives way when it is full.
    pub policy: Policy,
}

impl Default for Queue {
    fn default() -> Self {
        Queue {
            max_size: 4 << 20, // memory only so far: what a small box can spare
            max_count: 10_000,
            max_age: Duration::from_secs(7 * 86_400),
            policy: Policy::Oldest,
        }
    }
}

/// What is dropped when a queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// What waits longest.
    #[default]
    Oldest,
    /// What has just come.
    Newest,
}

/// Exponential, with full jitter: the pause is drawn from 0 to the current bound.
#[derive(Clone, Debug, PartialEq)]
pub struct Backoff {
    /// The first bound.
    pub min: Duration,
    /// The last bound.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { min: Duration::from_secs(1), max: Duration::from_secs(120) }
    }
}

/// What is relayed, and where to.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Which way.
    pub direction: Direction,
    /// A filter on the box, the whole topic: `maestro/state/#`, `sensors/#`.
    pub local: String,
    /// Takes the place of what stands before the first wildcard of `local`; the same without the
    /// root when absent. Below `<prefix>/<gateway id>/` unless `absolute`.
    pub remote: Option<String>,
    /// `remote` is the whole cloud topic.
    pub absolute: bool,
    /// What waits while the cloud is away.
    pub keep: Keep,
    /// 1 also queues what was published with QoS 0; 0 sends everything at most once.
    pub qos: Option<u8>,
}

/// Which way a rule relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the box to the cloud.
    Out,
    /// From the cloud to the box.
    In,
    /// Both ways; never with a filter that another rule overlaps.
    Both,
}

/// What waits of a topic while the cloud is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// The latest message of each topic; retained at the other side.
    Latest,
    /// Every message, in order.
    #[default]
    Queue,
}

/// Where the cloud's broker is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Url {
    /// `mqtts://`: over TLS; `mqtt://`: not.
    pub tls: bool,
    /// Name or address, without brackets.
    pub host: String,
    /// 8883 or 1883 when not written.
    pub port: u16,
}

impl std::str::FromStr for Url {
    type Err = String;
    fn from_str(text: &str) -> Result<Url, String> {
        let wrong = |what: &str| format!("{what}; write it as mqtts://host:8883");
        let (scheme, rest) = text.split_once("://").ok_or(wrong("not a URL"))?;
        let (tls, port) = match scheme {
            "mqtts" | "ssl" => (true, 8883),
            "mqtt" | "tcp" => (false, 1883),
            _ => return Err(wrong("only mqtts:// and mqtt:// are spoken")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            return Err(
                "credentials do not belong into the URL; use username: and password:".into()
            );
        }
        let (host, after) = match rest.strip_prefix('[') {
            Some(v6) => v6.split_once(']').ok_or(wrong("`]` is missing"))?,
            None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
        };
        if host.is_empty() || host.contains(['/', '?', '#', ' ']) {
            return Err(wrong("the host is missing or not a name"));
        }
        let port = match after.strip_prefix(':') {
            Some(port) => port.parse().map_err(|_| wrong("the port is not one"))?,
            None if after.is_empty() => port,
            None => return Err(wrong("not a URL")),
        };
        if port == 0 {
            return Err(wrong("the port is not one"));
        }
        Ok(Url { tls, host: host.to_owned(), port })
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

impl Decode for Config {
    fn decode(from: &Reader<'_>) -> Option<Config> {
        let mut f = from.fields()?;
        let name: Option<String> = f.required("name");
        let url: Option<Url> = f.required("url");
        let d = Config::default();
        let seconds = |low, high| Span(Duration::from_secs(low))..=Span(Duration::from_secs(high));
        let config = Config {
            ca: f.optional("ca"),
            cert: f.optional("cert"),
            key: f.optional("key"),
            username: f.optional("username"),
            password: f.optional("password"),
            prefix: f.or("prefix", d.prefix),
            role: f.or("role", d.role),
            unsigned: f.or("unsigned", d.unsigned),
            queue: f.or("queue", d.queue),
            // 18 h is what 16 bits of seconds can say (MQTT 5 §3.1.2.10)
            keepalive: f.within("keepalive", seconds(5, 64_800), Span(d.keepalive)).0,
            client_id: f.optional("client_id"),
            backoff: f.or("backoff", d.backoff),
            defaults: f.or("defaults", d.defaults),
            rules: f.or("rules", d.rules),
            name: name.clone().unwrap_or_default(),
            url: url.clone().unwrap_or_default(),
        };
        for later in ["credential", "budget", "spread", "groups", "proxy"] {
            f.not_built(later);
        }
        f.end();
        config.check(from, name.is_some() && url.is_some())
    }
}

impl Config {
    /// What only several settings together can get wrong.
    fn check(self, from: &Reader<'_>, named: bool) -> Option<Config> {
        if self.cert.is_some() != self.key.is_some() {
            from.error("`cert` and `key` go together");
        }
        if named && !self.url.tls && (self.ca.is_some() || self.cert.is_some()) {
            from.error("certificates need TLS: write the URL as mqtts://");
        }
        if named && (self.name.is_empty() || self.name.contains(['/', '+', '#', '\0'])) {
            from.error("`name` must be one level of a topic, without / + #");
        }
        if self.prefix.contains(['+', '#', '\0']) || self.prefix.starts_with('/') {
            from.error("`prefix` must be the beginning of a topic, without + #");
        }
        for verb in &self.unsigned {
            check_verb(verb, from);
        }
        named.then_some(self)
    }
}

/// A verb that is misspelled lifts nothing; one of a subsystem that is still to be built may stand.
fn check_verb(verb: &str, from: &Reader<'_>) {
    let Some((subsystem, name)) = verb.split_once('/') else {
        return from
            .error(format!("`unsigned` names `{verb}`; write subsystem/verb or subsystem/*"));
    };
    let here = contract::subsystems().contains(&subsystem);
    if here && (name == "*" || contract::verb(subsystem, name).is_some()) {
        return;
    }
    match contract::nearest_verb(subsystem, name) {
        Some(near) => from.warning(format!("`unsigned` names `{verb}`, no verb; `{near}`?")),
        None if here => from.warning(format!("`unsigned` names `{verb}`, no verb")),
        None => {}
    }
}

impl Decode for Url {
    fn decode(from: &Reader<'_>) -> Option<Url> {
        from.parsed()
    }
}

impl Decode for Rule {
    fn decode(from: &Reader<'_>) -> Option<Rule> {
        let mut f = from.fields()?;
        let rule = Rule {
            direction: f.or("direction", Direction::Out),
            local: f.required("local").unwrap_or_default(),
            remote: f.optional("remote"),
            absolute: f.or("absolute", false),
            keep: f.or("keep", Keep::Queue),
            qos: f.take("qos").and_then(|qos| qos.word(&[("0", 0), ("1", 1)])),
        };
        f.end();
        if rule.absolute && rule.remote.is_none() {
            from.error("`absolute` needs `remote`, the whole topic at the cloud");
        }
        if !rule.local.is_empty()
            && (!topic::is_filter(&rule.local) || rule.local.starts_with("$share/"))
        {
            let message = format!("`{}` is no topic filter", rule.local);
            from.error_with_hint(message, "`+` is a whole level, `#` the whole last one");
        }
        if rule.remote.as_deref().is_some_and(|remote| remote.contains(['+', '#', '\0'])) {
            from.error("`remote` takes the place of what stands before the first wildcard of `local`; it has none itself");
        }
        (!rule.local.is_empty()).then_some(rule)
    }
}

impl Decode for Direction {
    fn decode(from: &Reader<'_>) -> Option<Direction> {
        from.word(&[("out", Direction::Out), ("in", Direction::In), ("both", Direction::Both)])
    }
}

impl Decode for Keep {
    fn decode(from: &Reader<'_>) -> Option<Keep> {
        from.word(&[("latest", Keep::Latest), ("queue", Keep::Queue)])
    }
}

impl Decode for Policy {
    fn decode(from: &Reader<'_>) -> Option<Policy> {
        from.word(&[("oldest", Policy::Oldest), ("newest", Policy::Newest)])
    }
}

impl Decode for Queue {
    fn decode(from: &Reader<'_>) -> Option<Queue> {
        let mut f = from.fields()?;
        let d = Queue::default();
        let size = Size(64 << 10)..=Size(1 << 40);
        let age = Span(Duration::from_secs(1))..=Span(Duration::from_secs(3650 * 86_400));
        let queue = Queue {
            max_size: f.within("max_size", size, Size(d.max_size)).0,
            max_count: f.within("max_count", 1..=100_000_000, d.max_count),
            max_age: f.within("max_age", age, Span(d.max_age)).0,
            policy: f.or("policy", d.policy),
        };
        f.end();
        Some(queue)
    }
}

impl Decode for Backoff {
    fn decode(from: &Reader<'_>) -> Option<Backoff> {
        let mut f = from.fields()?;
        let d = Backoff::default();
        let range = Span(Duration::from_millis(10))..=Span(Duration::from_secs(86_400));
        let min = f.within("min", range.clone(), Span(d.min)).0;
        let max = f.within("max", range, Span(d.max.max(min))).0;
        f.end();
        if min > max {
            from.error("`min` is longer than `max`");
        }
        Some(Backoff { min: min.min(max), max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::problems_of;

    #[test]
    fn an_address_reads_back_as_it_is_shown() {
        for (text, shown) in [
            ("mqtts://cloud.example", "mqtts://cloud.example:8883"),
            ("mqtts://cloud.example:443/", "mqtts://cloud.example:443"),
            ("mqtt://10.0.0.1", "mqtt://10.0.0.1:1883"),
            ("ssl://[2001:db8::1]:8884", "mqtts://[2001:db8::1]:8884"),
        ] {
            let url: Url = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(shown.parse::<Url>().unwrap(), url);
        }
    }

    #[test]
    fn what_is_no_address_says_what_one_looks_like() {
        for text in [
            "cloud.example",
            "https://cloud.example",
            "mqtts://",
            "mqtts://cloud:x",
            "mqtts://cloud:0",
            "mqtts://[::1",
            "mqtts://user:secret@cloud",
            "mqtts://cloud/path",
        ] {
            assert!(text.parse::<Url>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_only_several_settings_together_get_wrong_is_told() {
        for (settings, says) in [
            ("name: a, url: 'mqtts://c', cert: /x", "`cert` and `key` go together"),
            ("name: a, url: 'mqtt://c', ca: /x", "certificates need TLS"),
            ("name: a/b, url: 'mqtts://c'", "`name` must be one level"),
            ("name: a, url: 'mqtts://c', prefix: 'x/#'", "`prefix` must be"),
            ("name: a, url: 'mqtts://c', backoff: {min: 5m, max: 1m}", "`min` is longer"),
            ("name: a, url: 'mqtts://c', rules: [{remote: x}]", "`local` is missing"),
            ("name: a, url: 'mqtts://c', rules: [{local: x, qos: 2}]", "`2` is none of 0, 1"),
            ("url: 'mqtts://c'", "`name` is missing"),
            ("name: a", "`url` is missing"),
        ] {
            let problems = problems_of(&format!("bridges: [{{{settings}}}]"));
            assert_eq!(problems.len(), 1, "{settings}: {problems:?}");
            assert!(problems[0].message.starts_with(says), "{settings}: {problems:?}");
        }
        let twice = "bridges: [{name: a, url: 'mqtt://c'}, {name: a, url: 'mqtt://d'}]";
        assert_eq!(problems_of(twice)[0].message, "there is a bridge `a` already");
    }

    #[test]
    fn the_designs_example_is_valid_but_for_what_is_not_built() {
        let text = "bridges:\n  - name: cloud\n    url: mqtts://cloud.example:8883\n    \
                    ca: /etc/maestro/cloud-ca.pem\n    credential: device\n    prefix: gw\n    \
                    role: operator\n    unsigned: [system/reboot]\n    \
                    queue: {max_size: 64MiB, max_age: 7d}\n";
        let paths: Vec<String> = problems_of(text).into_iter().map(|p| p.path).collect();
        assert_eq!(paths, ["/bridges/0/credential"]);
    }
}
