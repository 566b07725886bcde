//! What ends every message of the daemon: when, in which boot, and which one it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// The last keys of a message: `#[serde(flatten)] pub stamp: Stamp` as its last field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Stamp {
    /// When it was made, RFC 3339 in UTC, to the millisecond.
    pub time: String,
    /// The boot it was made in: the first 8 hex digits of the kernel's boot id.
    pub boot: String,
    /// Counts the messages of this daemon since it started: a gap is a lost message.
    pub seq: u64,
}

/// Makes stamps. Cheap to clone; all clones count together.
#[derive(Clone, Debug)]
pub struct Stamper {
    boot: Arc<str>,
    seq: Arc<AtomicU64>,
}

impl Stamper {
    /// A stamper of this boot.
    pub fn new(boot: &str) -> Stamper {
        Stamper { boot: boot.into(), seq: Arc::default() }
    }

    /// The stamp of the next message.
    pub fn stamp(&self) -> Stamp {
        Stamp {
            time: self.time(),
            boot: self.boot.to_string(),
            seq: self.seq.fetch_add(1, Ordering::Relaxed) + 1,
        }
    }

    /// The time now as a message shows it.
    pub fn time(&self) -> String {
        rfc3339(std::time::SystemTime::now())
    }

    /// The first 8 hex digits of the boot id.
    pub fn boot(&self) -> &str {
        &self.boot
    }
}

/// RFC 3339 in UTC, to the millisecond: `2026-11-22T10:00:00.000Z`.
pub fn rfc3339(time: std::time::SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| String::new(), |t| format!("{t:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn a_stamp_counts_and_tells_the_time_in_utc() {
        let time = rfc3339(UNIX_EPOCH + Duration::from_millis(1_795_341_600_007));
        assert_eq!(time, "2026-11-22T10:00:00.007Z");
        let stamper = Stamper::new("1f0c9a3e");
        stamper.clone().stamp();
        assert_eq!(stamper.stamp().seq, 2);
    }
}
