//! TLS for `mqtts://`: rustls with ring, from PEM files.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// The certificates of Debian, Buildroot and Yocto alike.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What TLS needs to know.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Whom to trust (PEM); the system's certificates when not given.
    pub ca: Option<PathBuf>,
    /// Own certificate and key (PEM).
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// What a connection needs; every trouble names its file.
pub(super) fn config(tls: &Tls) -> io::Result<Arc<ClientConfig>> {
    let path = tls.ca.clone().unwrap_or_else(|| SYSTEM_ROOTS.into());
    let unreadable = |path: &PathBuf, what: &str, e: &dyn std::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {what}: {e}", path.display()))
    };
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(&path).map_err(|e| unreadable(&path, "certificates", &e))?;
    // A bundle may carry what rustls does not take; what it does take must not be nothing.
    let (added, _) = roots.add_parsable_certificates(certificates.filter_map(Result::ok));
    if added == 0 {
        return Err(unreadable(&path, "certificates", &"there is none in it"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots);
    let Some((certificate, key)) = &tls.identity else {
        return Ok(Arc::new(builder.with_no_client_auth()));
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| unreadable(certificate, "certificate", &e))?;
    let key_der =
        PrivateKeyDer::from_pem_file(key).map_err(|e| unreadable(key, "private key", &e))?;
    builder
        .with_client_auth_cert(chain, key_der)
        .map(Arc::new)
        .map_err(|e| unreadable(certificate, "does not serve with its key", &e))
}
