//! An authority of the test's own, with certificates for a server and for clients.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// The authority. Its files are `ca.pem`, `<name>.pem` and `<name>.key` in one directory.
pub(crate) struct Authority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes one and writes `ca.pem`.
    pub(crate) fn new(dir: &Path) -> Authority {
        std::fs::create_dir_all(dir).expect("a directory for certificates");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "maestro test authority");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        std::fs::write(dir.join("ca.pem"), certificate.pem()).expect("write ca.pem");
        Authority { dir: dir.to_owned(), issuer: Issuer::new(params, key) }
    }
    /// Issues a certificate whose common name is `name`, good for 127.0.0.1, ::1 and localhost and
    /// for whatever else `names` says. Writes and returns certificate and key.
    pub(crate) fn issue(&self, name: &str, names: &[&str]) -> (PathBuf, PathBuf) {
        let mut all = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        all.extend(names.iter().map(ToString::to_string));
        let mut params = CertificateParams::new(all).expect("names and addresses");
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let paths = (self.dir.join(format!("{name}.pem")), self.dir.join(format!("{name}.key")));
        std::fs::write(&paths.0, certificate.pem()).expect("write a certificate");
        std::fs::write(&paths.1, key.serialize_pem()).expect("write a key");
        paths
    }
    /// The authority's own certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }
}
