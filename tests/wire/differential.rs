//! Both codecs asked about every packet of the tables and a hundred thousand mutations of them.

use std::collections::BTreeMap;

use maestro::broker::wire::Version;

use crate::oracle::{Known, REFUSED, TAKEN, compare};
use crate::{malformed, properties, valid};

/// Mutations of each packet.
const MUTATIONS: usize = 200;

/// A small generator of our own: the same cases in every run and on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % end
    }
    fn byte(&mut self) -> u8 {
        const LIKELY: [u8; 12] = [0, 1, 2, 3, 4, 0x26, 0x7F, 0x80, 0xFF, b'#', b'+', b'/'];
        if self.below(2) == 0 {
            LIKELY[self.below(12)]
        } else {
            u8::try_from(self.below(256)).unwrap()
        }
    }
    fn mutate(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len() + 1);
        match self.below(6) {
            0 => bytes.insert(at, self.byte()),
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            3 => bytes.truncate(at),
            4 => {
                let from = self.below(other.len());
                let to = from + self.below(other.len() - from + 1);
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            _ if at < bytes.len() => bytes[at] = self.byte(),
            _ => {}
        }
        // Most mutations would end at a wrong remaining length.
        if self.below(4) > 0 && (2..130).contains(&bytes.len()) {
            bytes[1] = u8::try_from(bytes.len() - 2).unwrap();
        }
    }
}

fn packets() -> Vec<(Version, Vec<u8>)> {
    let mut all = valid::packets();
    all.extend(malformed::packets());
    all.extend(properties::packets().map(|bytes| (Version::V5, bytes)));
    all
}

#[test]
fn every_difference_to_the_other_codec_is_listed_with_its_clause() {
    let packets = packets();
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut unlisted: BTreeMap<String, String> = BTreeMap::new();
    let mut ask = |version, bytes: &[u8]| match compare(version, bytes) {
        Ok(None) => {}
        Ok(Some(known)) => *seen.entry(format!("{version:?} {known:?}")).or_default() += 1,
        Err(difference) => {
            let kind: String = difference.split('(').next().unwrap().to_owned();
            unlisted.entry(kind).or_insert(format!("{version:?} {bytes:02X?}\n{difference}"));
        }
    };
    for (version, bytes) in &packets {
        ask(*version, bytes);
        for _ in 0..MUTATIONS {
            let mut bytes = bytes.clone();
            for _ in 0..=random.below(3) {
                let other = &packets[random.below(packets.len())].1;
                random.mutate(&mut bytes, other);
            }
            ask(*version, &bytes);
        }
    }
    let unlisted: Vec<_> = unlisted.into_values().collect();
    assert!(unlisted.is_empty(), "{}", unlisted.join("\n\n"));
    let mut gone = Vec::new();
    for (version, clause, rule, _) in TAKEN {
        assert_eq!(rule.clause(*version), *clause);
        let known = format!("{version:?} {:?}", Known::Taken(*rule));
        gone.extend((!seen.contains_key(&known)).then_some(known));
    }
    for (name, ..) in REFUSED {
        let known = format!("{:?}", Known::Refused(name));
        gone.extend((!seen.keys().any(|seen| seen.ends_with(&known))).then_some(known));
    }
    assert!(gone.is_empty(), "no longer a difference: {gone:?}");
}
