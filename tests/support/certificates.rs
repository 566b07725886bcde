//! An authority of the test's own, with certificates for a server and for clients.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber, date_time_ymd,
};

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
        self.issue_with(name, names, |_| {})
    }
    /// The same with changes to what is signed.
    pub(crate) fn issue_with(
        &self,
        name: &str,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> (PathBuf, PathBuf) {
        let mut all = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        all.extend(names.iter().map(ToString::to_string));
        let mut params = CertificateParams::new(all).expect("names and addresses");
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let paths = (self.dir.join(format!("{name}.pem")), self.dir.join(format!("{name}.key")));
        std::fs::write(&paths.0, certificate.pem()).expect("write a certificate");
        std::fs::write(&paths.1, key.serialize_pem()).expect("write a key");
        paths
    }
    /// Writes `crl.pem`, which revokes the certificates with these serial numbers.
    pub(crate) fn revoke(&self, serials: &[u64]) -> PathBuf {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).expect("a list of revocations");
        let path = self.dir.join("crl.pem");
        std::fs::write(&path, list.pem().expect("PEM")).expect("write crl.pem");
        path
    }
    /// The authority's own certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }
}
