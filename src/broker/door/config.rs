//! `broker.listeners` and `broker.certificates`: where the broker listens, what a listener shows of
//! itself, and what it wants to see.
//!
//! ```yaml
//! listeners:
//!   - tls: 0.0.0.0:8883
//!     cert: /etc/maestro/server.pem       # read again when it changes
//!     key: /etc/maestro/server.key
//!     client_ca: /etc/maestro/ca.pem      # certificates of clients are verified
//!     require_client_cert: true           # else a password will do
//!     crl: /etc/maestro/revoked.pem
//!   - {ws: '0.0.0.0:9001', path: /mqtt, origins: ['https://panel.example']}
//! certificates:
//!   - {subject: operator-laptop, role: operator}
//!   - {san: 'spiffe://plant/gateway', role: app, app: gateway}
//!   - {fingerprint: 4f2c.., role: admin}
//! ```
//! That a file can be read is not asked here: a certificate may come later than the daemon.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::{Decode, Fields, Reader};
use crate::contract::Role;

/// One place to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub on: Address,
    /// No session on this listener has a higher role, whoever it is.
    pub max_role: Role,
    /// Encrypted by TLS.
    pub tls: Option<Tls>,
    /// MQTT inside a WebSocket.
    pub web: Option<Web>,
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix stream socket.
    Unix(PathBuf),
    /// TCP.
    Tcp(SocketAddr),
}

/// What a listener with TLS shows and wants to see; all files are PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The server's certificate, with its intermediates.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Who signs the certificates of clients; none are asked for without.
    pub client_ca: Option<PathBuf>,
    /// Nobody comes in without a certificate.
    pub require_client_cert: bool,
    /// Certificates of clients that no longer hold.
    pub crl: Option<PathBuf>,
}

/// What a listener for WebSockets asks of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Web {
    /// The path, without a query.
    pub path: String,
    /// The pages that may connect, `https://panel.example`; `*` is any. `None`: those of the same host.
    pub origins: Option<Vec<String>>,
}

/// What the bearer of a certificate may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRule {
    /// Which certificate.
    pub shown: Shown,
    /// The bearer's role, where the listener allows it.
    pub role: Role,
    /// Its `app/<name>`; its own name when not given.
    pub app: Option<String>,
}

/// What of a certificate a rule looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The common name of the subject.
    Subject(String),
    /// A URI or DNS name of the subject's alternative names.
    San(String),
    /// SHA-256 of the whole certificate (DER).
    Fingerprint([u8; 32]),
}

impl Listener {
    /// A Unix socket where everyone is who the kernel says.
    pub fn unix(path: impl Into<PathBuf>) -> Listener {
        let on = Address::Unix(path.into());
        Listener { on, max_role: Role::Admin, tls: None, web: None }
    }

    /// TCP, where nobody is more than operator unless the file says so.
    pub fn tcp(address: SocketAddr) -> Listener {
        Listener { on: Address::Tcp(address), max_role: Role::Operator, tls: None, web: None }
    }

    /// `unix`, `tcp`, `tls`, `ws` or `wss`.
    pub fn kind(&self) -> &'static str {
        match (&self.on, &self.tls, &self.web) {
            (Address::Unix(_), _, _) => "unix",
            (Address::Tcp(_), None, None) => "tcp",
            (Address::Tcp(_), Some(_), None) => "tls",
            (Address::Tcp(_), None, Some(_)) => "ws",
            (Address::Tcp(_), Some(_), Some(_)) => "wss",
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "{}", path.display()),
            Address::Tcp(address) => write!(f, "{address}"),
        }
    }
}

/// Every listener that can be opened; two cannot have one place.
pub(in crate::broker) fn all_listeners(list: &Reader<'_>) -> Option<Vec<Listener>> {
    let mut listeners: Vec<Listener> = Vec::new();
    for item in list.items()? {
        let Some(listener) = listener(&item) else { continue };
        if listeners.iter().any(|known| known.on == listener.on) {
            item.error("there is a listener at this place already");
        } else {
            listeners.push(listener);
        }
    }
    Some(listeners)
}

const KINDS: [&str; 5] = ["unix", "tcp", "tls", "ws", "wss"];

fn listener(from: &Reader<'_>) -> Option<Listener> {
    let mut fields = from.fields()?;
    let places = KINDS.map(|kind| fields.take(kind).map(|place| (kind, place)));
    let max_role = fields.optional("max_role");
    let mut places = places.into_iter().flatten();
    let (first, more) = (places.next(), places.count());
    let Some((kind, place)) = first.filter(|_| more == 0) else {
        let kinds = if more == 0 { 0 } else { more + 1 };
        from.error_with_hint(
            format!("a listener is exactly one of unix, tcp, tls, ws, wss; this one is {kinds}"),
            "- tcp: 127.0.0.1:1883",
        );
        return None;
    };
    let tls = tls(from, &mut fields, matches!(kind, "tls" | "wss"));
    let web = web(&mut fields, matches!(kind, "ws" | "wss"));
    fields.end();
    let listener = match kind {
        "unix" => Listener::unix(socket_path(&place)?),
        _ => Listener::tcp(SocketAddr::decode(&place)?),
    };
    let max_role = max_role.unwrap_or(listener.max_role);
    Some(Listener { max_role, tls: tls?, web: web?, ..listener })
}

/// The longest path of a socket (unix(7): `sun_path` with its end).
const LONGEST_SOCKET: usize = 107;

fn socket_path(from: &Reader<'_>) -> Option<PathBuf> {
    let path = PathBuf::decode(from)?;
    if !path.is_absolute() {
        from.error("a whole path is expected here, beginning with /");
        return None;
    }
    if path.as_os_str().len() > LONGEST_SOCKET {
        from.error(format!("too long for a socket: at most {LONGEST_SOCKET} bytes"));
        return None;
    }
    Some(path)
}

/// The settings of TLS. The outer `None`: told, and this is no listener.
fn tls(from: &Reader<'_>, fields: &mut Fields<'_>, wanted: bool) -> Option<Option<Tls>> {
    let keys = ["cert", "key", "client_ca", "crl", "require_client_cert"].map(|k| fields.take(k));
    if !wanted {
        for reader in keys.iter().flatten() {
            reader.error("belongs to a listener of kind tls or wss");
        }
        return keys.iter().all(Option::is_none).then_some(None);
    }
    let [cert, key, client_ca, crl, require] = &keys;
    for (key, name, what) in [
        (cert, "cert", "the server's certificate"),
        (key, "key", "the key of the server's certificate"),
    ] {
        if key.is_none() {
            let told = format!("`{name}` is missing: {what}, a PEM file");
            from.error_with_hint(told, format!("{name}: /etc/maestro/server.{name}"));
        }
    }
    for reader in [crl, require].into_iter().flatten().filter(|_| client_ca.is_none()) {
        reader.error_with_hint(
            "needs `client_ca`: without it no client shows a certificate",
            "client_ca: /etc/maestro/ca.pem",
        );
    }
    let path = |key: &Option<Reader<'_>>| key.as_ref().and_then(PathBuf::decode);
    let (cert, key) = (path(cert), path(key));
    Some(Some(Tls {
        cert: cert?,
        key: key?,
        client_ca: path(client_ca),
        require_client_cert: require.as_ref().and_then(bool::decode).unwrap_or(false),
        crl: path(crl),
    }))
}

/// The settings of a WebSocket. The outer `None`: told, and this is no listener.
fn web(fields: &mut Fields<'_>, wanted: bool) -> Option<Option<Web>> {
    let (path, origins) = (fields.take("path"), fields.take("origins"));
    if !wanted {
        for reader in [&path, &origins].into_iter().flatten() {
            reader.error("belongs to a listener of kind ws or wss");
        }
        return (path.is_none() && origins.is_none()).then_some(None);
    }
    let path = path.map_or(Some("/mqtt".to_owned()), |path| web_path(&path));
    let origins = match &origins {
        Some(list) => Some(list.items()?.iter().filter_map(origin).collect()),
        None => None,
    };
    Some(Some(Web { path: path?, origins }))
}

fn web_path(from: &Reader<'_>) -> Option<String> {
    let path = from.text()?;
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#');
    if !path.starts_with('/') || path.len() > 1024 || !path.bytes().all(plain) {
        from.error_with_hint("a path of a URL is expected here, beginning with /", "/mqtt");
        return None;
    }
    Some(path.to_owned())
}

/// RFC 6454 §6.2: scheme, host and perhaps a port; no path.
fn origin(from: &Reader<'_>) -> Option<String> {
    let text = from.text()?;
    let rest = text.split_once("://").map(|(_, rest)| rest);
    let host = |rest: &str| !rest.is_empty() && !rest.contains(['/', '?', '#', ' ', '*']);
    if text != "*" && !rest.is_some_and(host) {
        from.error_with_hint(
            format!("`{text}` is not an origin: scheme, host and perhaps a port"),
            "https://panel.example",
        );
        return None;
    }
    Some(text.trim().to_ascii_lowercase())
}

impl Decode for CertificateRule {
    fn decode(from: &Reader<'_>) -> Option<CertificateRule> {
        let mut fields = from.fields()?;
        let subject = fields.optional("subject").map(Shown::Subject);
        let san = fields.optional("san").map(Shown::San);
        let fingerprint = fields.take("fingerprint");
        let named = [&subject, &san].into_iter().flatten().count();
        let named = named + usize::from(fingerprint.is_some());
        let role = fields.required("role");
        let app: Option<String> = fields.optional("app");
        fields.end();
        if named != 1 {
            let told = format!("a rule names one of subject, san, fingerprint; this one {named}");
            from.error_with_hint(told, "{subject: operator-laptop, role: operator}");
            return None;
        }
        let fingerprint = fingerprint.and_then(|reader| fingerprint_of(&reader));
        Some(CertificateRule { shown: subject.or(san).or(fingerprint)?, role: role?, app })
    }
}

/// 64 hexadecimal digits, with or without the colons that openssl prints.
fn fingerprint_of(from: &Reader<'_>) -> Option<Shown> {
    let digits: Vec<u8> = from.text()?.bytes().filter(|&byte| byte != b':').collect();
    let mut fingerprint = [0; 32];
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let all_hex = digits.len() == 64 && digits.iter().all(u8::is_ascii_hexdigit);
    if !all_hex {
        from.error_with_hint(
            "a SHA-256 fingerprint has 64 hexadecimal digits",
            "openssl x509 -in client.pem -noout -fingerprint -sha256",
        );
        return None;
    }
    for (place, pair) in fingerprint.iter_mut().zip(digits.chunks(2)) {
        *place = byte(pair)?;
    }
    Some(Shown::Fingerprint(fingerprint))
}

#[cfg(test)]
mod tests {
    use crate::config::problems_of;

    /// What is wrong with a `broker:` section, without its places.
    fn told(yaml: &str) -> Vec<String> {
        let problems = problems_of(&format!("broker:\n  {yaml}\n"));
        problems.iter().map(|p| format!("{:?} {} {}", p.severity, p.path, p.message)).collect()
    }

    #[test]
    fn a_listener_is_one_place_of_a_known_kind() {
        for (listener, says) in [
            ("{unix: /run/a.sock, max_role: app}", None),
            ("{tcp: '[::]:1883'}", None),
            ("{tls: '0.0.0.0:8883', cert: /x, key: /y}", None),
            ("{ws: '0.0.0.0:9001'}", None),
            ("{wss: '0.0.0.0:9002', cert: /x, key: /y, path: /, origins: ['*']}", None),
            ("{unix: a.sock}", Some("/unix a whole path")),
            ("{tcp: 1883}", Some("/tcp `1883` is not an address")),
            ("{tcp: '127.0.0.1:1', cert: /x}", Some("/cert belongs to a listener of kind tls")),
            ("{tls: '127.0.0.1:1', cert: /x, key: /y, path: /}", Some("/path belongs to")),
            ("{tcp: '127.0.0.1:1', max_role: boss}", Some("/max_role `boss`")),
            ("{tls: '0.0.0.0:8883', cert: /x}", Some(" `key` is missing: the key")),
            ("{wss: '0.0.0.0:8883', key: /x}", Some(" `cert` is missing: the server")),
            ("{tls: '[::]:1', cert: /x, key: /y, crl: /z}", Some("/crl needs `client_ca`")),
            ("{ws: '[::]:1', path: mqtt}", Some("/path a path of a URL")),
            ("{ws: '[::]:1', origins: [a.example]}", Some("/origins/0 `a.example` is not an or")),
            ("{ws: '[::]:1', origins: ['http://a/b']}", Some("/origins/0 `http://a/b` is not")),
            ("{tcp: '[::]:1', ws: '[::]:2'}", Some(" a listener is exactly one")),
            ("{max_role: app}", Some(" a listener is exactly one")),
            ("5", Some(" a group of settings")),
        ] {
            let found = told(&format!("listeners: [{listener}]"));
            match says {
                None => assert_eq!(found, [""; 0], "{listener}"),
                Some(says) => {
                    let says = format!("Error /broker/listeners/0{says}");
                    assert!(found.len() == 1 && found[0].starts_with(&says), "{found:?}");
                }
            }
        }
        let long = format!("listeners: [{{unix: /{}}}]", "x".repeat(107));
        assert!(told(&long)[0].contains("too long for a socket"));
    }

    #[test]
    fn two_listeners_cannot_have_one_place() {
        let found = told("listeners: [{tcp: '127.0.0.1:1'}, {ws: '127.0.0.1:1', max_role: app}]");
        assert_eq!(found, ["Error /broker/listeners/1 there is a listener at this place already"]);
    }

    #[test]
    fn a_rule_names_one_thing_of_a_certificate_and_a_role() {
        let colons = vec!["aB"; 32].join(":");
        for right in ["subject: a", "san: 'urn:x'", &format!("fingerprint: '{colons}'")] {
            assert_eq!(told(&format!("certificates: [{{{right}, role: app}}]")), [""; 0]);
        }
        for wrong in [
            "role: app",
            "subject: a",
            "subject: a, san: b, role: app",
            "fingerprint: ab, role: app",
        ] {
            assert_eq!(told(&format!("certificates: [{{{wrong}}}]")).len(), 1, "{wrong}");
        }
    }
}
