//! `/proc/loadavg`: how many threads wanted to run, on average. proc_loadavg(5).

use super::proc::{number, words};

/// The load, and the threads now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Averages over 1, 5 and 15 minutes.
    pub averages: [f64; 3],
    /// Threads that want to run now.
    pub runnable: u32,
    /// Threads there are.
    pub threads: u32,
}

/// `0.20 0.18 0.12 1/80 11206`
pub fn parse(bytes: &[u8]) -> Option<Load> {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let mut words = words(line);
    let averages =
        [hundredths(words.next()?)?, hundredths(words.next()?)?, hundredths(words.next()?)?];
    let threads = words.next()?;
    let slash = threads.iter().position(|&byte| byte == b'/')?;
    Some(Load {
        averages,
        runnable: number(&threads[..slash]).and_then(|n| u32::try_from(n).ok())?,
        threads: number(&threads[slash + 1..]).and_then(|n| u32::try_from(n).ok())?,
    })
}

fn hundredths(word: &[u8]) -> Option<f64> {
    let dot = word.iter().position(|&byte| byte == b'.')?;
    let (whole, rest) = (number(&word[..dot])?, &word[dot + 1..]);
    (rest.len() == 2).then_some(())?;
    Some(whole as f64 + number(rest)? as f64 / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_averages_and_the_threads() {
        let load = Load { averages: [0.2, 12.18, 0.05], runnable: 1, threads: 80 };
        assert_eq!(parse(b"0.20 12.18 0.05 1/80 11206\n"), Some(load));
    }

    #[test]
    fn half_a_line_is_no_answer() {
        for half in
            [&b""[..], b"0.20 0.1", b"0.20 0.18 0.12", b"0.20 0.18 0.12 180 1", b"a b c 1/2"]
        {
            assert_eq!(parse(half), None);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes);
            let _ = parse(&[b"0.20 0.18 0.12 ", &bytes[..]].concat());
        }
    }
}
