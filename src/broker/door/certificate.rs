//! Whom a verified certificate names (RFC 5280 §4.1), and what the configuration makes of that one.
//! Pure.
//!
//! | the certificate has | the bearer is |
//! |---|---|
//! | URIs among its alternative names | `cert:<the first>`: put there to name its bearer (SPIFFE and the like) |
//! | else a common name | `cert:<it>`, as other brokers do |
//! | else DNS names | `cert:<the first>` |
//! | none of them, or one longer than 255 bytes or with control characters | nobody |
//!
//! DNS names come last because they say where a server answers, and many authorities put `localhost`
//! into every certificate. Nothing is decided here about trust: rustls has verified chain, time and
//! revocation before anything is read.

use super::super::identity::Bearer;
use super::config::{CertificateRule, Shown};
use crate::contract::Role;
use crate::topic;

/// Longest name of a bearer, bytes: it becomes part of topics and rows.
const LONGEST: usize = 255;

/// The names in a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    common: Option<String>,
    uris: Vec<String>,
    hosts: Vec<String>,
}

/// Who shows this certificate (DER); `None` when it names nobody.
pub(super) fn bearer(certificate: &[u8], rules: &[CertificateRule]) -> Option<Bearer> {
    let names = Names::of(certificate)?;
    let rule = rules.iter().find(|rule| match &rule.shown {
        Shown::Subject(name) => names.common.as_ref() == Some(name),
        Shown::San(name) => names.uris.iter().chain(&names.hosts).any(|known| known == name),
        Shown::Fingerprint(wanted) => {
            let hash = ring::digest::digest(&ring::digest::SHA256, certificate);
            hash.as_ref() == wanted
        }
    });
    let name = names.uris.first().or(names.common.as_ref()).or(names.hosts.first())?;
    let usable = (1..=LONGEST).contains(&name.len()) && !name.contains(char::is_control);
    let app = rule.and_then(|rule| rule.app.as_ref()).unwrap_or(name);
    usable.then(|| Bearer {
        name: name.clone(),
        role: rule.map_or(Role::App, |rule| rule.role),
        app: topic::encode(app).into_owned(),
    })
}

// X.690: the tags that occur on the way.
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xA0;
const EXTENSIONS: u8 = 0xA3;
/// RFC 5280 §4.2.1.6: GeneralName's choices.
const DNS_NAME: u8 = 0x82;
const URI: u8 = 0x86;
/// 2.5.4.3, id-at-commonName.
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
/// 2.5.29.17, id-ce-subjectAltName.
const ALTERNATIVE_NAMES: [u8; 3] = [0x55, 0x1D, 0x11];

impl Names {
    /// `None` when it is no certificate.
    fn of(certificate: &[u8]) -> Option<Names> {
        let mut whole = Der(Der(certificate).expect(SEQUENCE)?);
        let mut signed = Der(whole.expect(SEQUENCE)?);
        signed.optional(VERSION);
        signed.expect(INTEGER)?; // serial number
        signed.expect(SEQUENCE)?; // algorithm
        signed.expect(SEQUENCE)?; // issuer
        signed.expect(SEQUENCE)?; // validity
        let subject = signed.expect(SEQUENCE)?;
        let mut names = Names { common: common_name(subject), ..Names::default() };
        while let Some((tag, content)) = signed.next() {
            if tag == EXTENSIONS {
                names.note_extensions(content)?;
            }
        }
        Some(names)
    }

    fn note_extensions(&mut self, content: &[u8]) -> Option<()> {
        let mut extensions = Der(Der(content).expect(SEQUENCE)?);
        while let Some((SEQUENCE, extension)) = extensions.next() {
            let mut fields = Der(extension);
            if fields.expect(OID)? != ALTERNATIVE_NAMES {
                continue;
            }
            while let Some((tag, value)) = fields.next() {
                if tag == OCTETS {
                    self.note_alternatives(value)?;
                }
            }
        }
        Some(())
    }

    fn note_alternatives(&mut self, value: &[u8]) -> Option<()> {
        let mut all = Der(Der(value).expect(SEQUENCE)?);
        while let Some((tag, name)) = all.next() {
            let Some(text) = text(name) else { continue };
            match tag {
                URI => self.uris.push(text),
                DNS_NAME => self.hosts.push(text),
                _ => {}
            }
        }
        Some(())
    }
}

/// The last common name of a subject: the most specific comes last (X.501 §9.2).
fn common_name(subject: &[u8]) -> Option<String> {
    let (mut parts, mut found) = (Der(subject), None);
    while let Some((SET, part)) = parts.next() {
        let mut attributes = Der(part);
        while let Some((SEQUENCE, attribute)) = attributes.next() {
            let mut fields = Der(attribute);
            if fields.expect(OID)? == COMMON_NAME {
                found = fields.next().and_then(|(_, value)| text(value));
            }
        }
    }
    found
}

/// UTF8String, PrintableString and IA5String alike; other encodings of names are long out of use.
fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty())?;
    Some(text.to_owned())
}

/// X.690 §8.1: values one after another, each a tag, a length, a content.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], rest) = self.0.split_first_chunk()?;
        let (length, rest) = match first {
            short @ 0..=0x7F => (usize::from(short), rest),
            // The long form, up to the four bytes that a certificate could ever need.
            long @ 0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7F))?;
                (bytes.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }

    fn optional(&mut self, tag: u8) {
        if self.0.first() == Some(&tag) {
            self.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn certificate(common: &[&str], hosts: &[&str], uris: &[&str]) -> Vec<u8> {
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Works");
        for name in common {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        for uri in uris {
            params.subject_alt_names.push(SanType::URI((*uri).try_into().unwrap()));
        }
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    fn is(name: &str, role: Role, app: &str) -> Option<Bearer> {
        Some(Bearer { name: name.into(), role, app: app.into() })
    }

    #[test]
    fn a_bearer_is_whom_its_certificate_names() {
        for (common, hosts, uris, name) in [
            (&["GW-1"][..], &["localhost", "127.0.0.1"][..], &[][..], Some("GW-1")),
            (&["GW-1"], &["localhost"], &["spiffe://plant/gw", "urn:x"], Some("spiffe://plant/gw")),
            (&[], &["a.example", "b.example"], &[], Some("a.example")),
            (&["Größe 1"], &[], &[], Some("Größe 1")),
            (&[], &[], &[], None),
            (&["a\nb"], &[], &[], None),
        ] {
            let found = bearer(&certificate(common, hosts, uris), &[]);
            assert_eq!(found.as_ref().map(|bearer| bearer.name.as_str()), name);
        }
        let long = "x".repeat(256);
        assert_eq!(bearer(&certificate(&[&long], &[], &[]), &[]), None);
    }

    #[test]
    fn the_app_of_a_bearer_is_one_level_of_a_topic() {
        let shown = certificate(&[], &[], &["spiffe://plant/+/#"]);
        let app = "spiffe%3A%2F%2Fplant%2F%2B%2F%23";
        assert_eq!(bearer(&shown, &[]), is("spiffe://plant/+/#", Role::App, app));
    }

    #[test]
    fn the_first_rule_that_fits_says_role_and_app() {
        let shown = certificate(&["GW-1"], &["gw.example"], &[]);
        let hash = ring::digest::digest(&ring::digest::SHA256, &shown);
        let rule = |shown, role, app: Option<&str>| CertificateRule {
            shown,
            role,
            app: app.map(str::to_owned),
        };
        let subject = |name: &str| Shown::Subject(name.into());
        let fingerprint = Shown::Fingerprint(hash.as_ref().try_into().unwrap());
        for (rules, expected) in [
            (vec![], is("GW-1", Role::App, "GW-1")),
            (
                vec![
                    rule(subject("GW-2"), Role::Admin, None),
                    rule(subject("GW-1"), Role::Operator, None),
                    rule(subject("GW-1"), Role::Admin, None),
                ],
                is("GW-1", Role::Operator, "GW-1"),
            ),
            (
                vec![rule(Shown::San("gw.example".into()), Role::App, Some("thermo"))],
                is("GW-1", Role::App, "thermo"),
            ),
            (vec![rule(fingerprint, Role::Admin, None)], is("GW-1", Role::Admin, "GW-1")),
            (
                vec![rule(Shown::Fingerprint([0; 32]), Role::Admin, None)],
                is("GW-1", Role::App, "GW-1"),
            ),
        ] {
            assert_eq!(bearer(&shown, &rules), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_no_certificate_names_nobody_and_never_panics(
            whole in Just(certificate(&["GW-1"], &["a.example"], &["urn:x"])),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            end in any::<prop::sample::Index>(),
        ) {
            let cut = end.index(whole.len());
            prop_assert_eq!(bearer(&whole[..cut], &[]), None);
            let mut changed = whole;
            for (at, byte) in changes {
                let at = at.index(changed.len());
                changed[at] = byte;
            }
            let _ = bearer(&changed, &[]); // with another length it may be whole again
            let _ = bearer(&changed[..cut], &[]);
        }
    }
}
