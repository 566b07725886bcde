//! `/proc/stat`: where the processors' time went since boot. proc_stat(5).

use super::proc::{lines, number, words};

/// Ticks of all processors together since boot, by what they were spent on. A tick is 1/100 s nearly
/// everywhere, and cancels out: only shares are made of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticks {
    /// Programs, those of lowered priority included.
    pub user: u64,
    /// The kernel, for programs.
    pub system: u64,
    /// Nothing to do.
    pub idle: u64,
    /// Nothing to do but wait for a disk.
    pub iowait: u64,
    /// Interrupts, hard and soft.
    pub irq: u64,
    /// Taken by the hypervisor for others.
    pub steal: u64,
}

/// All processors' ticks and how many processors are online; `None` without a `cpu` line. What an
/// old kernel does not count is 0. Guests' time is inside the user's, so it is not added again.
pub fn parse(bytes: &[u8]) -> Option<(Ticks, u32)> {
    let mut all = None;
    let mut cores = 0;
    for line in lines(bytes) {
        let mut words = words(line);
        match words.next() {
            Some(b"cpu") => all = Some(ticks(words)?),
            Some([b'c', b'p', b'u', rest @ ..]) if number(rest).is_some() => cores += 1,
            Some(_) | None => break, // the processors come first
        }
    }
    Some((all?, cores))
}

fn ticks<'b>(words: impl Iterator<Item = &'b [u8]>) -> Option<Ticks> {
    let mut field = [0u64; 8]; // user nice system idle iowait irq softirq steal
    let mut found = 0;
    for (into, word) in field.iter_mut().zip(words) {
        *into = number(word)?;
        found += 1;
    }
    let [user, nice, system, idle, iowait, irq, softirq, steal] = field;
    (found >= 4).then(|| Ticks {
        user: user.saturating_add(nice),
        system,
        idle,
        iowait,
        irq: irq.saturating_add(softirq),
        steal,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_CORES: &[u8] = b"cpu  1000 20 300 9000 50 6 4 7 3 0\n\
        cpu0 500 10 150 4500 25 3 2 4 1 0\n\
        cpu1 500 10 150 4500 25 3 2 3 2 0\n\
        intr 123456 7 0 0 0\nctxt 999\nbtime 1795340000\nprocesses 4711\n";

    #[test]
    fn niceness_counts_as_user_and_soft_interrupts_as_interrupts() {
        let ticks = Ticks { user: 1020, system: 300, idle: 9000, iowait: 50, irq: 10, steal: 7 };
        assert_eq!(parse(TWO_CORES), Some((ticks, 2)));
    }

    #[test]
    fn the_four_columns_of_an_old_kernel_are_enough() {
        let (ticks, cores) = parse(b"cpu 4 3 2 1\nintr 0\n").unwrap();
        assert_eq!((ticks.user, ticks.system, ticks.idle, ticks.steal, cores), (7, 2, 1, 0, 0));
    }

    #[test]
    fn garbage_is_no_answer() {
        for garbage in [&b""[..], b"cpu\n", b"cpu 1 2 3\n", b"cpu 1 2 x 4\n", b"mem 1 2 3 4\n"] {
            assert_eq!(parse(garbage), None);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes);
            let _ = parse(&[b"cpu ", &bytes[..]].concat());
        }
    }
}
