//! Files of /proc and /sys, kept open and read again from the start: one pread(2) in place of open,
//! read and close. And the words and numbers in them, taken from the bytes without allocation.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The most that is ever read from one file; more is cut off, so that no file can fill the memory.
const LIMIT: usize = 1 << 20;
/// Room for the first read; enough for all but the longest tables.
const ROOM: usize = 8192;

/// A file of /proc or /sys, kept open.
#[derive(Debug)]
pub struct ProcFile {
    path: PathBuf,
    file: File,
}

/// A buffer that is read into again and again; grows once, to the longest file.
#[derive(Debug, Default)]
pub struct Buffer(Vec<u8>);

impl ProcFile {
    /// Opens it.
    ///
    /// # Errors
    /// When it is not there or not ours to read; the message names the path.
    pub fn open(path: impl AsRef<Path>) -> io::Result<ProcFile> {
        let path = path.as_ref().to_path_buf();
        match File::open(&path) {
            Ok(file) => Ok(ProcFile { path, file }),
            Err(error) => Err(naming(&path, &error)),
        }
    }

    /// The content as it is now. For tables of many records (`/proc/diskstats`): the kernel hands out
    /// one page a read, so it reads until nothing more comes.
    ///
    /// # Errors
    /// When the kernel does not give it; the message names the path.
    pub fn read<'b>(&self, buffer: &'b mut Buffer) -> io::Result<&'b [u8]> {
        let bytes = &mut buffer.0;
        let mut filled = 0;
        loop {
            if bytes.len() == filled {
                if filled >= LIMIT {
                    break;
                }
                bytes.resize((filled * 2).max(ROOM), 0);
            }
            match self.pread(&mut bytes[filled..], filled)? {
                0 => break,
                more => filled += more,
            }
        }
        Ok(&bytes[..filled])
    }

    /// The content as it is now, or its first 8 KiB. For files that the kernel makes in one piece
    /// (`/proc/meminfo`): one call, no second one to see the end.
    ///
    /// # Errors
    /// As [`ProcFile::read`].
    pub fn read_head<'b>(&self, buffer: &'b mut Buffer) -> io::Result<&'b [u8]> {
        let bytes = &mut buffer.0;
        if bytes.len() < ROOM {
            bytes.resize(ROOM, 0);
        }
        let filled = self.pread(&mut bytes[..ROOM], 0)?;
        Ok(&bytes[..filled])
    }

    /// The open file, for fstat(2) and poll(2).
    pub fn file(&self) -> &File {
        &self.file
    }

    fn pread(&self, into: &mut [u8], offset: usize) -> io::Result<usize> {
        loop {
            match self.file.read_at(into, offset as u64) {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(naming(&self.path, &error)),
            }
        }
    }
}

fn naming(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// The lines of a file, without their ends.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty())
}

/// The words of a line.
pub fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|&byte| byte == b' ' || byte == b'\t').filter(|word| !word.is_empty())
}

/// A whole word as an unsigned decimal; `None` for anything else, and for more than a `u64`.
pub fn number(word: &[u8]) -> Option<u64> {
    if word.is_empty() {
        return None;
    }
    word.iter().try_fold(0u64, |sum, &byte| match byte {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_file_shows_what_is_true_now() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("temp");
        std::fs::write(&path, "41000\n").unwrap();
        let file = ProcFile::open(&path).unwrap();
        let mut buffer = Buffer::default();
        assert_eq!(file.read_head(&mut buffer).unwrap(), b"41000\n");
        std::fs::write(&path, "42000\n").unwrap();
        assert_eq!(file.read_head(&mut buffer).unwrap(), b"42000\n");
        assert_eq!(file.read(&mut buffer).unwrap(), b"42000\n");
    }

    #[test]
    fn a_table_longer_than_the_buffer_is_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table");
        let content = "a line of the table\n".repeat(2000);
        std::fs::write(&path, &content).unwrap();
        let file = ProcFile::open(&path).unwrap();
        assert_eq!(file.read(&mut Buffer::default()).unwrap(), content.as_bytes());
    }

    #[test]
    fn trouble_names_the_file() {
        let error = ProcFile::open("/proc/no_such_file").unwrap_err();
        assert!(error.to_string().starts_with("/proc/no_such_file: "), "{error}");
    }

    #[test]
    fn a_number_is_all_digits_and_fits() {
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(number(b"18446744073709551616"), None);
        for not_one in [&b""[..], b"-1", b"1.5", b"12a", b"0x10"] {
            assert_eq!(number(not_one), None);
        }
    }
}
