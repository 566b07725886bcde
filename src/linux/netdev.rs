//! `/proc/net/dev`: what went over each interface since it was made. proc_pid_net(5).

use super::proc::{lines, number, words};

/// The counters of one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface<'b> {
    /// Its name.
    pub name: &'b [u8],
    /// What came in.
    pub rx: Flow,
    /// What went out.
    pub tx: Flow,
}

/// One direction of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Bytes, link layer headers included.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Packets lost to errors.
    pub errors: u64,
    /// Packets lost for want of room.
    pub dropped: u64,
}

/// The interfaces of the network namespace in which the file was opened. Headings and lines that are
/// not of the format are passed over.
pub fn parse(bytes: &[u8]) -> impl Iterator<Item = Interface<'_>> {
    lines(bytes).filter_map(interface)
}

fn interface(line: &[u8]) -> Option<Interface<'_>> {
    let colon = line.iter().rposition(|&byte| byte == b':')?; // `eth0:1` was a name once
    let name = words(&line[..colon]).next()?;
    let mut field = [0u64; 12];
    let mut words = words(&line[colon + 1..]);
    for into in &mut field {
        *into = number(words.next()?)?;
    }
    let flow = |at: usize| Flow {
        bytes: field[at],
        packets: field[at + 1],
        errors: field[at + 2],
        dropped: field[at + 3],
    };
    Some(Interface { name, rx: flow(0), tx: flow(8) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[u8] = b"Inter-|   Receive                            |  Transmit\n \
        face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed\n    \
        lo:     100       2    0    0    0     0          0         0      100       2    0    0    0     0       0          0\n\
        eth0.100:987654 3210    1    4    0     0          0         9   123456     987    2    5    0     0       0          0\n";

    #[test]
    fn both_directions_and_a_name_without_a_space_behind_it() {
        let interfaces: Vec<_> = parse(TWO).collect();
        assert_eq!(interfaces.len(), 2);
        assert_eq!(interfaces[0].name, b"lo");
        let rx = Flow { bytes: 987_654, packets: 3210, errors: 1, dropped: 4 };
        let tx = Flow { bytes: 123_456, packets: 987, errors: 2, dropped: 5 };
        assert_eq!(interfaces[1], Interface { name: b"eth0.100", rx, tx });
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            parse(&bytes).for_each(drop);
            parse(&[b"eth0: 1 2 3 ", &bytes[..]].concat()).for_each(drop);
        }
    }
}
