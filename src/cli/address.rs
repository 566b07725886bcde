//! Where a broker listens: `unix:///path`, `mqtt://host[:port]`, `mqtts://host[:port]`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A broker's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `unix:///run/maestro/mqtt.sock`
    Unix(PathBuf),
    /// `mqtt://host:1883`
    Tcp(String, u16),
    /// `mqtts://host:8883`
    Tls(String, u16),
}

impl FromStr for Address {
    type Err = String;
    fn from_str(url: &str) -> Result<Address, String> {
        let forms = "unix:///path, mqtt://host[:port] or mqtts://host[:port]";
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| format!("'{url}' is not an address: write {forms}"))?;
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Address::Unix(rest.into())),
            "unix" => Err(format!("the path in '{url}' is not absolute: write unix:///path")),
            "mqtt" | "mqtts" if rest.contains('@') => {
                Err(format!("no user in '{url}', please: use --username and MAESTRO_PASSWORD"))
            }
            "mqtt" => host_and_port(rest, 1883).map(|(host, port)| Address::Tcp(host, port)),
            "mqtts" => host_and_port(rest, 8883).map(|(host, port)| Address::Tls(host, port)),
            other => Err(format!("'{other}://' is not known here: write {forms}")),
        }
    }
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`, with or without a slash at the end.
fn host_and_port(rest: &str, default: u16) -> Result<(String, u16), String> {
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or(port))),
        None => match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        },
    };
    if host.is_empty() || host.contains('/') {
        return Err(format!("'{rest}' is not a host"));
    }
    let port = match port {
        None => default,
        Some(port) => match port.parse() {
            Ok(port) if port != 0 => port,
            Ok(_) | Err(_) => return Err(format!("'{port}' is not a port")),
        },
    };
    Ok((host.to_owned(), port))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Address::Unix(path) => return write!(f, "unix://{}", path.display()),
            Address::Tcp(host, port) => ("mqtt", host, port),
            Address::Tls(host, port) => ("mqtts", host, port),
        };
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_parses_and_prints_with_its_port() {
        for (text, printed) in [
            ("unix:///run/maestro/mqtt.sock", "unix:///run/maestro/mqtt.sock"),
            ("mqtt://localhost", "mqtt://localhost:1883"),
            ("mqtt://10.0.0.1:1884/", "mqtt://10.0.0.1:1884"),
            ("mqtts://cloud.example", "mqtts://cloud.example:8883"),
            ("mqtt://[::1]", "mqtt://[::1]:1883"),
            ("mqtts://[fe80::1]:444", "mqtts://[fe80::1]:444"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), printed);
            assert_eq!(printed.parse(), Ok(address));
        }
    }

    #[test]
    fn a_wrong_address_says_how_to_write_it() {
        for (text, told) in [
            (
                "localhost",
                "'localhost' is not an address: write unix:///path, mqtt://host[:port] or mqtts://host[:port]",
            ),
            ("unix://run/x", "the path in 'unix://run/x' is not absolute: write unix:///path"),
            (
                "mqtt://me:pw@host",
                "no user in 'mqtt://me:pw@host', please: use --username and MAESTRO_PASSWORD",
            ),
            ("mqtt://host:0", "'0' is not a port"),
            ("mqtt://host:x", "'x' is not a port"),
            ("mqtt://", "'' is not a host"),
            (
                "ws://host",
                "'ws://' is not known here: write unix:///path, mqtt://host[:port] or mqtts://host[:port]",
            ),
        ] {
            assert_eq!(text.parse::<Address>(), Err(told.into()));
        }
    }
}
