//! What this process itself costs: getrusage(2) and `/proc/self`. proc_pid_statm(5), proc_pid_io(5).

use std::io;
use std::os::unix::fs::MetadataExt;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::unistd::{SysconfVar, sysconf};

use super::proc::{Buffer, ProcFile, lines, number, words};

/// The files of this process, kept open.
#[derive(Debug)]
pub struct Own {
    statm: ProcFile,
    fds: ProcFile,
    tasks: ProcFile,
    /// Missing where the kernel has no task I/O accounting.
    io: Option<ProcFile>,
    page_bytes: u64,
}

/// What the process costs now, or has cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory of it that is in RAM, shared libraries included, in bytes.
    pub resident: u64,
    /// Of that, what is nobody else's and of no file, in bytes.
    pub anonymous: u64,
    /// Threads.
    pub threads: u64,
    /// Open files; `None` before Linux 6.2, which does not count them.
    pub fds: Option<u64>,
    /// CPU time of all threads, user and system, in microseconds.
    pub cpu_us: u64,
    /// Times a thread went to sleep, so: was woken.
    pub wakeups: u64,
    /// Bytes it caused to be written to disks; `None` where the kernel does not count them.
    pub written: Option<u64>,
}

impl Own {
    /// Opens them.
    ///
    /// # Errors
    /// Where /proc is missing.
    pub fn open() -> io::Result<Own> {
        let page_bytes = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
        Ok(Own {
            statm: ProcFile::open("/proc/self/statm")?,
            fds: ProcFile::open("/proc/self/fd")?,
            tasks: ProcFile::open("/proc/self/task")?,
            io: ProcFile::open("/proc/self/io").ok(),
            page_bytes: page_bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(4096),
        })
    }

    /// The figures of this moment.
    ///
    /// # Errors
    /// When the kernel does not give them.
    pub fn read(&self, buffer: &mut Buffer) -> io::Result<Usage> {
        let rusage = getrusage(UsageWho::RUSAGE_SELF).map_err(io::Error::from)?;
        let cpu_us =
            rusage.user_time().num_microseconds() + rusage.system_time().num_microseconds();
        let (resident, shared) = statm(self.statm.read_head(buffer)?)
            .ok_or_else(|| io::Error::other("/proc/self/statm: not of its format"))?;
        let fds = self.fds.file().metadata()?.size(); // Linux 6.2: the count of open files
        let links = self.tasks.file().metadata()?.nlink(); // `.`, `..` and one per thread
        let written = match &self.io {
            Some(io) => write_bytes(io.read_head(buffer)?),
            None => None,
        };
        Ok(Usage {
            resident: resident.saturating_mul(self.page_bytes),
            anonymous: resident.saturating_sub(shared).saturating_mul(self.page_bytes),
            threads: links.saturating_sub(2),
            fds: (fds > 0).then_some(fds),
            cpu_us: u64::try_from(cpu_us).unwrap_or(0),
            wakeups: u64::try_from(rusage.voluntary_context_switches()).unwrap_or(0),
            written,
        })
    }
}

/// The process's part of the RAM, shared pages counted by share, in bytes. Costs the kernel a walk
/// over all its pages: not for every sample.
pub fn proportional(buffer: &mut Buffer) -> Option<u64> {
    let file = ProcFile::open("/proc/self/smaps_rollup").ok()?;
    keyed(file.read_head(buffer).ok()?, b"Pss:").map(|kib| kib.saturating_mul(1024))
}

/// Resident and shared pages.
fn statm(bytes: &[u8]) -> Option<(u64, u64)> {
    let line = lines(bytes).next()?;
    let mut words = words(line).skip(1); // size
    Some((number(words.next()?)?, number(words.next()?)?))
}

fn write_bytes(bytes: &[u8]) -> Option<u64> {
    keyed(bytes, b"write_bytes:")
}

fn keyed(bytes: &[u8], key: &[u8]) -> Option<u64> {
    lines(bytes).find_map(|line| number(words(line.strip_prefix(key)?).next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_the_second_and_third_word() {
        assert_eq!(statm(b"25000 2500 1800 900 0 3000 0\n"), Some((2500, 1800)));
        assert_eq!(statm(b"25000\n"), None);
    }

    #[test]
    fn written_is_what_reached_the_block_layer() {
        let io = b"rchar: 9\nwchar: 8\nsyscr: 1\nsyscw: 1\nread_bytes: 4096\nwrite_bytes: 8192\n\
            cancelled_write_bytes: 7\n";
        assert_eq!(write_bytes(io), Some(8192));
    }

    #[test]
    fn this_process_has_memory_threads_and_files() {
        let own = Own::open().unwrap();
        let usage = own.read(&mut Buffer::default()).unwrap();
        assert!(usage.resident > usage.anonymous && usage.anonymous > 0);
        assert!(usage.threads >= 1 && usage.fds != Some(0) && usage.cpu_us > 0);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = (statm(&bytes), write_bytes(&bytes));
            let _ = write_bytes(&[b"write_bytes:", &bytes[..]].concat());
        }
    }
}
