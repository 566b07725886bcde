//! One accepted stream: what of a packet has come so far, and whether it takes more.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::sys::epoll::EpollFlags;

/// Buffers above this are given back when they are empty, bytes.
const KEPT: usize = 2048;

/// A stream of either kind.
#[derive(Debug)]
pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// A stream with its half packet.
#[derive(Debug)]
pub(super) struct Socket {
    stream: Stream,
    partial: Vec<u8>,
    /// The kernel took less than we had.
    pub(super) blocked: bool,
    /// It has more to do than a slice, and waits for its next one.
    pub(super) later: bool,
    /// What the kernel was last told to watch.
    pub(super) interest: EpollFlags,
}

impl Socket {
    pub(super) fn new(stream: Stream) -> Socket {
        let interest = EpollFlags::EPOLLIN;
        Socket { stream, partial: Vec::new(), blocked: false, later: false, interest }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Unix(stream) => stream.as_fd(),
            Stream::Tcp(stream) => stream.as_fd(),
        }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Unix(stream) => stream.read(buffer),
            Stream::Tcp(stream) => stream.read(buffer),
        }
    }

    pub(super) fn has_partial(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Gives new bytes to `taken`, behind what was left over, and keeps what it leaves.
    pub(super) fn feed(&mut self, bytes: &[u8], taken: impl FnOnce(&[u8]) -> usize) {
        if self.partial.is_empty() {
            let done = taken(bytes);
            self.partial.extend_from_slice(&bytes[done..]);
            return;
        }
        self.partial.extend_from_slice(bytes);
        let done = taken(&self.partial);
        self.partial.drain(..done);
        if self.partial.is_empty() && self.partial.capacity() > KEPT {
            self.partial = Vec::new();
        }
    }

    /// Writes what the kernel takes now and removes it from `out`.
    pub(super) fn write(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if out.is_empty() || self.blocked {
            return Ok(());
        }
        let result = match &mut self.stream {
            Stream::Unix(stream) => stream.write(out),
            Stream::Tcp(stream) => stream.write(out),
        };
        match result {
            Ok(count) if count == out.len() => {
                out.clear();
                if out.capacity() > KEPT {
                    *out = Vec::new();
                }
            }
            Ok(count) => {
                out.drain(..count);
                self.blocked = true;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.blocked = true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.blocked = true,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Ends it so that the last words arrive: bytes left unread would make the kernel send a reset.
    pub(super) fn close(mut self, buffer: &mut [u8]) {
        let _ = match &self.stream {
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
        };
        let _ = self.read(buffer);
    }
}
