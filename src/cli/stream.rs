//! The bytes below the client: a Unix socket, TCP, or TLS by rustls (ring), never waiting longer
//! than told and never deaf to Ctrl-C.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::address::Address;
use super::tls::{Tls, config};

/// Ctrl-C and SIGTERM, to be read like a socket instead of ending the process in the middle.
pub struct Interrupt(SignalFd);

impl Interrupt {
    /// Takes the two signals for this thread.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    pub fn catch() -> io::Result<Interrupt> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGINT);
        signals.add(Signal::SIGTERM);
        signals.thread_block()?;
        Ok(Interrupt(SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)?))
    }
}

/// A connected byte stream that does not block.
pub(super) struct Stream {
    pipe: Pipe,
    interrupt: Option<Interrupt>,
}

enum Pipe {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// There is something to do.
    Ready,
    /// The time is over.
    Late,
    /// Ctrl-C.
    Interrupted,
}

impl Stream {
    /// Connects; TLS is shaken within the first write.
    pub(super) fn connect(address: &Address, tls: &Tls, until: Instant) -> io::Result<Stream> {
        let pipe = match address {
            Address::Unix(path) => {
                let socket = UnixStream::connect(path)?;
                socket.set_nonblocking(true)?;
                Pipe::Unix(socket)
            }
            Address::Tcp(host, port) => Pipe::Tcp(tcp(host, *port, until)?),
            Address::Tls(host, port) => {
                let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
                let config = config(tls)?;
                let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
                Pipe::Tls(Box::new(StreamOwned::new(connection, tcp(host, *port, until)?)))
            }
        };
        Ok(Stream { pipe, interrupt: None })
    }

    /// From now on every wait ends at Ctrl-C.
    pub(super) fn heed(&mut self, interrupt: Interrupt) {
        self.interrupt = Some(interrupt);
    }

    /// Reads what there is; `WouldBlock` when there is nothing.
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.pipe {
            Pipe::Unix(socket) => socket.read(into),
            Pipe::Tcp(socket) => socket.read(into),
            Pipe::Tls(stream) => stream.read(into),
        }
    }

    /// Writes everything before `until`.
    pub(super) fn write_all(&mut self, mut bytes: &[u8], until: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            let wrote = match &mut self.pipe {
                Pipe::Unix(socket) => socket.write(bytes),
                Pipe::Tcp(socket) => socket.write(bytes),
                Pipe::Tls(stream) => stream.write(bytes),
            };
            match wrote {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.pause(until)?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.flush(until)
    }

    fn flush(&mut self, until: Instant) -> io::Result<()> {
        loop {
            let Pipe::Tls(stream) = &mut self.pipe else { return Ok(()) };
            match stream.flush() {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.pause(until)?,
                done => return done,
            }
        }
    }

    /// Waits until writing (or, in a TLS handshake, reading) may go on.
    fn pause(&mut self, until: Instant) -> io::Result<()> {
        let wanted = match &self.pipe {
            Pipe::Tls(stream) if !stream.conn.wants_write() => PollFlags::POLLIN,
            Pipe::Tls(_) | Pipe::Unix(_) | Pipe::Tcp(_) => PollFlags::POLLOUT,
        };
        match self.wait(wanted, until)? {
            Waited::Ready => Ok(()),
            Waited::Late => Err(io::ErrorKind::TimedOut.into()),
            Waited::Interrupted => Err(io::ErrorKind::Interrupted.into()),
        }
    }

    /// Waits until there is something to read.
    pub(super) fn readable(&self, until: Instant) -> io::Result<Waited> {
        self.wait(PollFlags::POLLIN, until)
    }

    fn wait(&self, wanted: PollFlags, until: Instant) -> io::Result<Waited> {
        loop {
            let mut watched = vec![PollFd::new(self.descriptor(), wanted)];
            if let Some(interrupt) = &self.interrupt {
                watched.push(PollFd::new(interrupt.0.as_fd(), PollFlags::POLLIN));
            }
            let left = until.saturating_duration_since(now());
            // Rounded up, or the last millisecond would be spent spinning.
            let left_ms = left.as_millis().saturating_add(u128::from(!left.is_zero()));
            let timeout = PollTimeout::from(u16::try_from(left_ms).unwrap_or(u16::MAX));
            match poll(&mut watched, timeout) {
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
                Ok(0) if now() < until => {} // a wait longer than one poll can be told
                Ok(0) => return Ok(Waited::Late),
                Ok(_) if watched.get(1).is_some_and(|signal| signal.any() == Some(true)) => {
                    return Ok(Waited::Interrupted);
                }
                Ok(_) => return Ok(Waited::Ready),
            }
        }
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        match &self.pipe {
            Pipe::Unix(socket) => socket.as_fd(),
            Pipe::Tcp(socket) => socket.as_fd(),
            Pipe::Tls(stream) => stream.sock.as_fd(),
        }
    }
}

/// The clock. The command line has no core that time could be given to: it only waits.
#[expect(clippy::disallowed_methods, reason = "the command line's one clock, only for waiting")]
pub(super) fn now() -> Instant {
    Instant::now()
}

fn tcp(host: &str, port: u16, until: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        let left = until.saturating_duration_since(now()).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, left) {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                socket.set_nonblocking(true)?;
                return Ok(socket);
            }
            Err(e) => last = e,
        }
    }
    Err(last)
}
