//! TLS to the cloud: rustls with ring, our files.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::Config;
use super::link::Trouble;

/// Where distributions keep the authorities they trust, in the order of their spread.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// On this port a cloud has to be told that MQTT comes (ALPN, RFC 7301); elsewhere nobody asks.
const HTTPS: u16 = 443;

/// What a handshake needs. The files are read for every connection: a renewed certificate serves
/// from the next one on.
///
/// # Errors
/// Which file is wrong, and how.
pub(super) fn client(config: &Config) -> Result<Arc<ClientConfig>, Trouble> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Trouble::ours("bridge.tls", format!("TLS cannot be set up: {e}")))?
        .with_root_certificates(authorities(config)?);
    let mut client = match (&config.cert, &config.key) {
        (Some(cert), Some(key)) => {
            let chain = certificates(cert, "cert")?;
            let private =
                PrivateKeyDer::from_pem_file(key).map_err(|e| unusable(key, "key", &e))?;
            builder.with_client_auth_cert(chain, private).map_err(|e| {
                let (cert, key) = (cert.display(), key.display());
                let text = format!("certificate {cert} and key {key} do not go together: {e}");
                Trouble::ours("bridge.certificate", text)
            })?
        }
        (Some(_) | None, Some(_) | None) => builder.with_no_client_auth(),
    };
    if config.url.port == HTTPS {
        client.alpn_protocols = vec![b"mqtt".to_vec()];
    }
    client.resumption = Resumption::in_memory_sessions(2);
    Ok(Arc::new(client))
}

/// The name that the cloud's certificate must carry.
///
/// # Errors
/// When the host is neither a name nor an address.
pub(super) fn server_name(config: &Config) -> Result<ServerName<'static>, Trouble> {
    ServerName::try_from(config.url.host.clone()).map_err(|_| {
        let text = format!("{} is not a host name that a certificate can carry", config.url.host);
        Trouble::ours("bridge.tls", text)
    })
}

fn authorities(config: &Config) -> Result<RootCertStore, Trouble> {
    let system = || SYSTEM.iter().map(Path::new).find(|path| path.exists());
    let Some(path) = config.ca.as_deref().or_else(system) else {
        let text = "this system has no list of certificate authorities";
        return Err(Trouble::ours("bridge.certificate", text)
            .hint("install ca-certificates, or name the cloud's authority in `ca`"));
    };
    let mut store = RootCertStore::empty();
    let (usable, _) = store.add_parsable_certificates(certificates(path, "ca")?);
    if usable == 0 {
        let text = format!("no certificate in {} is one of an authority", path.display());
        return Err(Trouble::ours("bridge.certificate", text));
    }
    Ok(store)
}

fn certificates(path: &Path, setting: &str) -> Result<Vec<CertificateDer<'static>>, Trouble> {
    let found =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|e| unusable(path, setting, &e))?;
    if found.is_empty() {
        return Err(unusable(path, setting, &pem::Error::NoItemsFound));
    }
    Ok(found)
}

fn unusable(path: &Path, setting: &str, error: &pem::Error) -> Trouble {
    let path = path.display();
    let text = if let pem::Error::Io(e) = error {
        format!("cannot read {path}: {e}")
    } else if matches!(error, pem::Error::NoItemsFound) {
        format!("{path} holds no PEM block of the kind that `{setting}` needs")
    } else {
        format!("{path} is not PEM: {error}")
    };
    Trouble::ours("bridge.certificate", text).hint(format!("see `{setting}` of this bridge"))
}
