//! The way to the cloud: name, TCP, TLS.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::link::Trouble;
use super::{Config, tls};
use crate::linux::tcp;

/// A connection to the cloud.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// For one address; a host may have several.
const CONNECT: Duration = Duration::from_secs(10);

/// Opens a connection.
///
/// # Errors
/// One sentence that says which step failed.
pub(super) async fn dial(config: &Config) -> Result<Box<dyn Stream>, Trouble> {
    if !config.url.tls {
        return Ok(Box::new(connect(config).await?));
    }
    let (client, name) = (tls::client(config)?, tls::server_name(config)?);
    let tcp = connect(config).await?;
    let handshake = TlsConnector::from(client).connect(name, tcp).await;
    let tls = handshake.map_err(|e| broken(config, "TLS handshake", &e))?;
    Ok(Box::new(tls))
}

async fn connect(config: &Config) -> Result<TcpStream, Trouble> {
    let host = &config.url.host;
    let unresolved = |e: &dyn std::fmt::Display| {
        Trouble::ours("bridge.unreachable", format!("cannot resolve {host}: {e}"))
    };
    let found = lookup_host((host.as_str(), config.url.port)).await.map_err(|e| unresolved(&e))?;
    let mut last = unresolved(&"it has no address");
    for address in found {
        match connect_to(address).await {
            Ok(stream) => {
                // Failing here takes nothing away but speed: the keepalive watches all the same.
                let _ = tcp::tune(&stream, config.keepalive);
                return Ok(stream);
            }
            Err(e) => {
                let text = format!("cannot connect to {address}: {e}");
                last = Trouble::ours("bridge.unreachable", text);
            }
        }
    }
    Err(last)
}

async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    timeout(CONNECT, TcpStream::connect(address))
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in 10 s")))
}

/// A connection that failed: rustls hides its own words in an [`io::Error`].
pub(super) fn broken(config: &Config, step: &str, error: &io::Error) -> Trouble {
    let url = &config.url;
    let by_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match by_tls {
        Some(rustls::Error::InvalidCertificate(why)) => {
            let text = format!("the certificate of {url} is not accepted: {why}");
            Trouble::ours("bridge.tls", text)
                .hint("see `ca` of this bridge, the host in `url`, and the clock of this box")
        }
        Some(rustls::Error::AlertReceived(alert)) => {
            let text = format!("{url} ended TLS with the alert {alert:?}");
            Trouble::ours("bridge.tls", text)
                .hint("see `cert` and `key` of this bridge, and what the cloud accepts")
        }
        Some(error) => Trouble::ours("bridge.tls", format!("{step} with {url} failed: {error}")),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            Trouble::theirs("bridge.closed", format!("{url} closed the connection ({step})"))
        }
        None => Trouble::theirs("bridge.closed", format!("{step} with {url} failed: {error}")),
    }
}
