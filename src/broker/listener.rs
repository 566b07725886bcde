//! Where the broker listens, and who came.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::config::{Address, Listener};
use super::core::Origin;
use super::identity::{Owner, Transport};
use super::socket::Stream;
use crate::linux::account::Accounts;
use crate::linux::peer;

/// A bound listener.
#[derive(Debug)]
pub struct OpenListener {
    socket: Socket,
    settings: Listener,
}

#[derive(Debug)]
enum Socket {
    /// The path, if it is ours, is removed when the listener is dropped.
    Unix(UnixListener, Option<PathBuf>),
    Tcp(TcpListener),
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another program has it.
    #[error("{address} is taken by another program")]
    Taken {
        /// As configured.
        address: String,
    },
    /// Something else.
    #[error("cannot listen on {address}: {source}")]
    Other {
        /// As configured.
        address: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The outcome of one accept(2).
#[derive(Debug)]
pub(super) enum Came {
    Connection(Stream, Origin),
    /// It was gone before it could be asked.
    Nobody,
    NoMore,
    /// The process has no file descriptor left.
    NoRoom,
}

impl OpenListener {
    /// Binds. A Unix socket that nobody answers on is a leftover, and replaced.
    ///
    /// # Errors
    /// When it cannot be bound.
    pub fn bind(listener: &Listener) -> Result<OpenListener, ListenError> {
        let address = listener.on.to_string();
        let socket = match &listener.on {
            Address::Unix(path) => {
                bind_unix(path).map(|unix| Socket::Unix(unix, Some(path.clone())))
            }
            Address::Tcp(address) => bind_tcp(*address).map(Socket::Tcp),
        };
        match socket {
            Ok(socket) => Ok(OpenListener { socket, settings: listener.clone() }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Err(ListenError::Taken { address })
            }
            Err(source) => Err(ListenError::Other { address, source }),
        }
    }

    /// Takes the first of the inherited sockets that listens where this listener is to, in place of
    /// [`OpenListener::bind`].
    ///
    /// # Errors
    /// When the kernel does not do with it what it does with any socket.
    pub fn adopt(
        listener: &Listener,
        inherited: &mut Vec<OwnedFd>,
    ) -> Option<Result<OpenListener, ListenError>> {
        let place =
            inherited.iter().position(|socket| place_of(socket) == Some(listener.on.clone()))?;
        let socket = inherited.remove(place);
        let adopted = match &listener.on {
            Address::Unix(_) => {
                let unix = UnixListener::from(socket);
                unix.set_nonblocking(true).map(|()| Socket::Unix(unix, None))
            }
            Address::Tcp(_) => {
                let tcp = TcpListener::from(socket);
                tcp.set_nonblocking(true).map(|()| Socket::Tcp(tcp))
            }
        };
        let address = listener.on.to_string();
        let adopted = adopted.map_err(|source| ListenError::Other { address, source });
        Some(adopted.map(|socket| OpenListener { socket, settings: listener.clone() }))
    }

    /// The port it got, when it is TCP: a configured port 0 is chosen by the kernel.
    pub fn local_address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Unix(..) => None,
            Socket::Tcp(listener) => listener.local_addr().ok(),
        }
    }

    /// As configured.
    pub(super) fn settings(&self) -> &Listener {
        &self.settings
    }

    /// Whether those who come have to pass the door before they are the broker's.
    pub(super) fn has_door(&self) -> bool {
        self.settings.tls.is_some() || self.settings.web.is_some()
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Unix(listener, _) => listener.as_fd(),
            Socket::Tcp(listener) => listener.as_fd(),
        }
    }

    pub(super) fn accept(&self, accounts: &Accounts) -> Came {
        let came = match &self.socket {
            Socket::Unix(listener, _) => accept_unix(listener, accounts),
            Socket::Tcp(listener) => accept_tcp(listener, accounts),
        };
        match came {
            Ok(Some((stream, transport, address, listener))) => {
                let max_role = self.settings.max_role;
                Came::Connection(stream, Origin { transport, address, listener, max_role })
            }
            Ok(None) => Came::Nobody,
            Err(error) => match error.raw_os_error() {
                Some(nix::libc::EAGAIN) => Came::NoMore,
                Some(nix::libc::EMFILE | nix::libc::ENFILE | nix::libc::ENOMEM) => Came::NoRoom,
                _ => Came::Nobody,
            },
        }
    }
}

impl OpenListener {
    /// Somebody on TCP of whom nothing is asked yet; `None` when it is gone already.
    ///
    /// # Errors
    /// As accept(2).
    pub(super) fn accept_stranger(&self) -> io::Result<Option<(TcpStream, IpAddr)>> {
        let Socket::Tcp(listener) = &self.socket else { return Ok(None) };
        let (stream, remote) = listener.accept()?;
        stream.set_nonblocking(true)?;
        let _ = stream.set_nodelay(true);
        Ok(Some((stream, remote.ip())))
    }
}

impl Drop for OpenListener {
    fn drop(&mut self) {
        if let Socket::Unix(_, Some(path)) = &self.socket {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Where an inherited socket listens, by getsockname(2); `None` when it is not a listening stream.
pub fn place_of(socket: &OwnedFd) -> Option<Address> {
    use nix::sys::socket::{SockType, SockaddrStorage, getsockname, getsockopt, sockopt};
    let listens = getsockopt(socket, sockopt::AcceptConn).is_ok_and(|listens| listens)
        && getsockopt(socket, sockopt::SockType).is_ok_and(|kind| kind == SockType::Stream);
    let name: SockaddrStorage = getsockname(socket.as_raw_fd()).ok().filter(|_| listens)?;
    if let Some(name) = name.as_unix_addr() {
        return name.path().map(|path| Address::Unix(path.to_owned()));
    }
    let v4 = name.as_sockaddr_in().map(|name| SocketAddr::V4((*name).into()));
    let v6 = || name.as_sockaddr_in6().map(|name| SocketAddr::V6((*name).into()));
    v4.or_else(v6).map(Address::Tcp)
}

type Accepted = Option<(Stream, Transport, Option<IpAddr>, &'static str)>;

fn accept_unix(listener: &UnixListener, accounts: &Accounts) -> io::Result<Accepted> {
    let (stream, _) = listener.accept()?;
    let Ok(peer) = peer::unix(&stream) else { return Ok(None) };
    stream.set_nonblocking(true)?;
    let mut groups = peer.groups;
    groups.push(peer.gid);
    let owner = Owner { uid: peer.uid, login: accounts.login(peer.uid), groups };
    Ok(Some((Stream::Unix(stream), Transport::Unix(owner), None, "unix")))
}

fn accept_tcp(listener: &TcpListener, accounts: &Accounts) -> io::Result<Accepted> {
    let (stream, remote) = listener.accept()?;
    stream.set_nonblocking(true)?;
    let _ = stream.set_nodelay(true);
    let Ok(local) = stream.local_addr() else { return Ok(None) };
    let loopback = |address: SocketAddr| address.ip().to_canonical().is_loopback();
    let transport = if loopback(local) && loopback(remote) {
        let uid = peer::tcp(&stream).unwrap_or(None);
        Transport::Loopback(uid.map(|uid| Owner {
            uid,
            login: accounts.login(uid),
            groups: accounts.groups_of(uid),
        }))
    } else {
        Transport::Remote
    };
    Ok(Some((Stream::Tcp(stream), transport, Some(remote.ip()), "tcp")))
}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    if let Err(error) = UnixStream::connect(path)
        && error.kind() == io::ErrorKind::ConnectionRefused
    {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    // Everyone on the box may come; the kernel says who it is.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
