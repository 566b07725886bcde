//! What a listener shows and whom it trusts, from files that may change: certificate, key, authority
//! of the clients, revocations.
//!
//! ```text
//!   handshake begins, SIGHUP ─> changed? ─ no ─> what was loaded
//!                                  │ yes
//!                                  └─> load ─ good ─> the next connections; those that are stay
//!                                         └── bad ──> what was loaded, and status/broker says so
//! ```
//! Tickets of earlier connections end with a change, so that nobody comes back on what no longer
//! holds; where certificates of clients are verified there are none at all.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier};
use rustls::{RootCertStore, ServerConfig};

use super::config::Tls;
use crate::contract::Error;

/// The files are looked at no more often than this, however many come.
const PAUSE: Duration = Duration::from_secs(1);

/// The credentials of one listener.
pub(super) struct Credentials {
    files: Tls,
    protocols: Vec<Vec<u8>>,
    looked: Option<Instant>,
    seen: Vec<Seen>,
    loaded: Option<Arc<ServerConfig>>,
}

/// What tells one version of a file from the next; `None` when it cannot be had.
type Seen = Option<(u64, u64, i64, i64)>;

impl Credentials {
    /// Nothing is loaded yet: [`Credentials::refresh`] does it.
    pub(super) fn new(files: Tls, protocols: &[&[u8]]) -> Credentials {
        let protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Credentials { files, protocols, looked: None, seen: Vec::new(), loaded: None }
    }

    /// What a new connection is served with.
    pub(super) fn current(&self) -> Option<Arc<ServerConfig>> {
        self.loaded.clone()
    }

    /// Looks at the files next time, however soon that is, even where they seem the same.
    pub(super) fn forget(&mut self) {
        self.looked = None;
        self.seen.clear();
    }

    /// Loads what has changed. `Some` is news: how it went.
    pub(super) fn refresh(&mut self, now: Instant) -> Option<Result<(), Error>> {
        if self.looked.is_some_and(|looked| now.saturating_duration_since(looked) < PAUSE) {
            return None;
        }
        self.looked = Some(now);
        let Tls { cert, key, client_ca, crl, .. } = &self.files;
        let files = [Some(cert), Some(key), client_ca.as_ref(), crl.as_ref()];
        let seen: Vec<Seen> = files.into_iter().flatten().map(|path| look(path)).collect();
        if seen == self.seen {
            return None;
        }
        self.seen = seen;
        Some(load(&self.files, &self.protocols).map(|config| self.loaded = Some(config)))
    }
}

fn look(path: &Path) -> Seen {
    fs::metadata(path).ok().map(|m| (m.ino(), m.len(), m.mtime(), m.mtime_nsec()))
}

fn load(files: &Tls, protocols: &[Vec<u8>]) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| trouble(format!("TLS cannot be set up: {error}"), "tls"))?;
    let builder = match verifier(files)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let chain = certificates(&files.cert, "cert")?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| unusable(&files.key, "key", &error))?;
    let mut config = builder.with_single_cert(chain, key).map_err(|error| {
        let (cert, key) = (files.cert.display(), files.key.display());
        let text = format!("certificate {cert} and key {key} do not go together: {error}");
        trouble(text, "cert")
    })?;
    config.alpn_protocols = protocols.to_vec();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    match files.client_ca {
        None => {
            config.ticketer = rustls::crypto::ring::Ticketer::new()
                .map_err(|error| trouble(format!("no keys for tickets: {error}"), "tls"))?;
        }
        Some(_) => config.send_tls13_tickets = 0,
    }
    Ok(Arc::new(config))
}

fn verifier(files: &Tls) -> Result<Option<Arc<dyn ClientCertVerifier>>, Error> {
    let Some(path) = &files.client_ca else { return Ok(None) };
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(certificates(path, "client_ca")?);
    if usable == 0 {
        let text = format!("no certificate in {} is one of an authority", path.display());
        return Err(trouble(text, "client_ca"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if let Some(crl) = &files.crl {
        let lists = CertificateRevocationListDer::pem_file_iter(crl)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let lists = lists.map_err(|error| unusable(crl, "crl", &error))?;
        if lists.is_empty() {
            return Err(unusable(crl, "crl", &pem::Error::NoItemsFound));
        }
        builder = builder.with_crls(lists);
    }
    if !files.require_client_cert {
        builder = builder.allow_unauthenticated();
    }
    let built = builder.build();
    built.map(Some).map_err(|error| trouble(format!("{}: {error}", path.display()), "client_ca"))
}

fn certificates(path: &PathBuf, setting: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|error| unusable(path, setting, &error))?;
    if found.is_empty() {
        return Err(unusable(path, setting, &pem::Error::NoItemsFound));
    }
    Ok(found)
}

fn unusable(path: &Path, setting: &str, error: &pem::Error) -> Error {
    let path = path.display();
    let text = if let pem::Error::Io(error) = error {
        format!("cannot read {path}: {error}")
    } else if matches!(error, pem::Error::NoItemsFound) {
        format!("{path} holds no PEM block of the kind that `{setting}` needs")
    } else {
        format!("{path} is not PEM: {error}")
    };
    trouble(text, setting)
}

fn trouble(text: String, setting: &str) -> Error {
    // The files are looked at again: who mends them need not restart anything.
    let error = Error::new("broker.certificate", text).retryable();
    error.hint(format!("see `{setting}` of this listener"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::testing::at;
    use rcgen::{CertificateParams, KeyPair};

    fn write(dir: &Path, name: &str) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".into()]).unwrap();
        let certificate = certificate.self_signed(&key).unwrap();
        fs::write(dir.join(format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    fn credentials(dir: &Path) -> Credentials {
        let files = Tls {
            cert: dir.join("server.pem"),
            key: dir.join("server.key"),
            client_ca: None,
            require_client_cert: false,
            crl: None,
        };
        Credentials::new(files, &[b"mqtt"])
    }

    #[test]
    fn what_is_missing_is_named_and_serves_as_soon_as_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let mut credentials = credentials(dir.path());
        let error = credentials.refresh(at(0)).unwrap().unwrap_err();
        assert!(error.message.contains("server.pem: No such file"), "{error}");
        assert!(credentials.current().is_none());
        write(dir.path(), "server");
        assert_eq!(credentials.refresh(at(0)), None, "looked at a moment ago");
        assert_eq!(credentials.refresh(at(1)), Some(Ok(())));
        assert!(credentials.current().is_some());
        assert_eq!(credentials.refresh(at(2)), None, "nothing has changed");
    }

    #[test]
    fn a_bad_new_file_leaves_the_old_in_service_and_says_so_once() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "server");
        let mut credentials = credentials(dir.path());
        assert_eq!(credentials.refresh(at(0)), Some(Ok(())));
        let old = credentials.current().unwrap();
        write(dir.path(), "other");
        fs::rename(dir.path().join("other.pem"), dir.path().join("server.pem")).unwrap();
        let error = credentials.refresh(at(1)).unwrap().unwrap_err();
        assert!(error.message.contains("do not go together"), "{error}");
        assert_eq!(credentials.refresh(at(2)), None);
        assert!(Arc::ptr_eq(&old, &credentials.current().unwrap()));
        fs::rename(dir.path().join("other.key"), dir.path().join("server.key")).unwrap();
        assert_eq!(credentials.refresh(at(3)), Some(Ok(())), "and its key comes after it");
        assert!(!Arc::ptr_eq(&old, &credentials.current().unwrap()));
        fs::write(dir.path().join("server.pem"), "no PEM").unwrap();
        let error = credentials.refresh(at(4)).unwrap().unwrap_err();
        assert!(error.message.contains("holds no PEM block"), "{error}");
        credentials.forget();
        assert!(credentials.refresh(at(4)).unwrap().is_err(), "asked for, it is said again");
    }
}
