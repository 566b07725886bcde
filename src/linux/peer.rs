//! Who is at the other end of a local connection: SO_PEERCRED and SO_PEERGROUPS (unix(7)) for Unix
//! sockets, sock_diag(7) for TCP on loopback.
//!
//! ```text
//!   client 127.0.0.1:40000 --------> 127.0.0.1:1883 our accepted socket
//!          `- sock_diag is asked for this one: source 40000, destination 1883
//! ```
//! The traps: a socket that its owner has closed is still found, with uid 0 and inode 0. So an answer
//! counts only for exactly this pair of addresses, ESTABLISHED, with an inode. And a client that resets
//! its connection while it waits to be accepted leaves its bytes to be read, and its port to be used by
//! another user's connection, which would then be found. So our own end must still be ESTABLISHED
//! *after* the answer: only then is the one at the other end of these addresses the one at ours.
#![expect(unsafe_code, reason = "nix has no SO_PEERGROUPS, nor a TCP_INFO that both libcs have")]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};

use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, getsockopt, recv,
    sendto, socket, sockopt,
};

/// Who connected to a Unix socket, as the kernel recorded it at connect(2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Effective uid.
    pub uid: u32,
    /// Effective gid.
    pub gid: u32,
    /// Process id; may belong to another process by now.
    pub pid: i32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// The peer of a connected Unix socket.
///
/// # Errors
/// When it is no connected Unix socket.
pub fn unix(fd: &impl AsFd) -> io::Result<Peer> {
    let cred = getsockopt(fd, sockopt::PeerCredentials)?;
    Ok(Peer { uid: cred.uid(), gid: cred.gid(), pid: cred.pid(), groups: groups(fd)? })
}

/// SO_PEERGROUPS (Linux 4.13); none on an older kernel.
fn groups(fd: &impl AsFd) -> io::Result<Vec<u32>> {
    let mut groups: Vec<libc::gid_t> = vec![0; 32];
    loop {
        let bytes = groups.len() * size_of::<libc::gid_t>();
        let mut length = libc::socklen_t::try_from(bytes).map_err(io::Error::other)?;
        // SAFETY: the kernel writes at most `length` bytes, which `groups` owns, and the length back.
        let result = unsafe {
            libc::getsockopt(
                fd.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let needed = length as usize / size_of::<libc::gid_t>();
        if result == 0 {
            groups.truncate(needed);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ERANGE) if needed > groups.len() => groups.resize(needed, 0),
            Some(libc::ENOPROTOOPT) => return Ok(Vec::new()),
            Some(_) | None => return Err(error),
        }
    }
}

/// The uid that owns the other end of an accepted TCP connection of this machine; `None` when there
/// is no such end any more: whoever it was must not be let in.
///
/// # Errors
/// When the kernel cannot be asked.
pub fn tcp(accepted: &TcpStream) -> io::Result<Option<u32>> {
    let (Ok(remote), Ok(local)) = (accepted.peer_addr(), accepted.local_addr()) else {
        return Ok(None); // it was reset
    };
    let owner = owner(remote, local)?;
    Ok(if is_established(accepted)? { owner } else { None })
}

/// The uid of the socket that is connected from `source` to `destination`.
fn owner(source: SocketAddr, destination: SocketAddr) -> io::Result<Option<u32>> {
    let Some(pair) = Pair::new(source, destination) else { return Ok(None) };
    let flags = SockFlag::SOCK_CLOEXEC;
    let protocol = SockProtocol::NetlinkSockDiag;
    let netlink = socket(AddressFamily::Netlink, SockType::Datagram, flags, protocol)?;
    let kernel = NetlinkAddr::new(0, 0);
    sendto(netlink.as_raw_fd(), &pair.request(), &kernel, MsgFlags::empty())?;
    let mut answer = [0_u8; 1024];
    // the kernel has answered before sendto returns
    let length = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::MSG_DONTWAIT)?;
    pair.owner(&answer[..length])
}

/// Whether a connection is open in both directions: the first byte of `struct tcp_info`.
fn is_established(stream: &TcpStream) -> io::Result<bool> {
    let mut state = 0_u8;
    let mut length: libc::socklen_t = 1;
    // SAFETY: the kernel writes at most `length` bytes, one, into `state`, and the length back.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut state).cast(),
            &raw mut length,
        )
    };
    match result {
        0 => Ok(state == TCP_ESTABLISHED),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The two ends of a connection, as its owner sees them, both of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    source: SocketAddr,
    destination: SocketAddr,
}

// linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h, net/tcp_states.h
const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const REQUEST_LENGTH: u32 = 72;
const REQUEST: usize = REQUEST_LENGTH as usize;
const TCP_ESTABLISHED: u8 = 1;
const NO_COOKIE: [u8; 8] = [0xff; 8];
/// Offsets in `struct inet_diag_msg`, behind the header.
const STATE: usize = HEADER + 1;
const ID: usize = HEADER + 4;
const UID: usize = HEADER + 64;
const INODE: usize = HEADER + 68;
const MESSAGE: usize = HEADER + 72;

impl Pair {
    /// `None` for ends of different families: no connection has such.
    fn new(source: SocketAddr, destination: SocketAddr) -> Option<Pair> {
        let plain =
            |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        let pair = Pair { source: plain(source), destination: plain(destination) };
        (pair.source.is_ipv4() == pair.destination.is_ipv4()).then_some(pair)
    }

    /// `struct nlmsghdr`, `struct inet_diag_req_v2`: one exact socket, no dump.
    fn request(&self) -> [u8; REQUEST] {
        let family = if self.source.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let mut bytes = [0_u8; REQUEST];
        bytes[0..4].copy_from_slice(&REQUEST_LENGTH.to_ne_bytes());
        bytes[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        bytes[6..8].copy_from_slice(&NLM_F_REQUEST.to_ne_bytes());
        bytes[16] = family.to_le_bytes()[0];
        bytes[17] = libc::IPPROTO_TCP.to_le_bytes()[0];
        bytes[20..24].copy_from_slice(&u32::MAX.to_ne_bytes()); // every state: judged by the answer
        bytes[24..26].copy_from_slice(&self.source.port().to_be_bytes());
        bytes[26..28].copy_from_slice(&self.destination.port().to_be_bytes());
        bytes[28..44].copy_from_slice(&wire(self.source.ip()));
        bytes[44..60].copy_from_slice(&wire(self.destination.ip()));
        bytes[64..72].copy_from_slice(&NO_COOKIE);
        bytes
    }

    /// The uid in the kernel's answer, if it is about this pair and the pair is alive.
    fn owner(&self, answer: &[u8]) -> io::Result<Option<u32>> {
        let short = || io::Error::new(io::ErrorKind::InvalidData, "sock_diag: short answer");
        let u32_at = |at: usize| {
            let bytes = answer.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_ne_bytes(bytes))
        };
        let kind = answer.get(4..6).and_then(|b| b.try_into().ok()).map(u16::from_ne_bytes);
        if kind == Some(NLMSG_ERROR) {
            let errno = u32_at(HEADER).ok_or_else(short)?.cast_signed();
            return match -errno {
                libc::ENOENT => Ok(None),
                errno => Err(io::Error::from_raw_os_error(errno)),
            };
        }
        if kind != Some(SOCK_DIAG_BY_FAMILY) || answer.len() < MESSAGE {
            return Err(short());
        }
        let alive =
            answer[STATE] == TCP_ESTABLISHED && u32_at(INODE).is_some_and(|inode| inode != 0);
        let mine = self.is_named_in(answer);
        Ok(if alive && mine { u32_at(UID) } else { None })
    }

    /// Whether the answer is about this pair: a lookup that finds no connection may find a listener.
    fn is_named_in(&self, answer: &[u8]) -> bool {
        let port = |at: usize| u16::from_be_bytes([answer[at], answer[at + 1]]);
        let address = |at: usize| -> IpAddr {
            let mut bytes = [0_u8; 16];
            bytes.copy_from_slice(&answer[at..at + 16]);
            if i32::from(answer[HEADER]) == libc::AF_INET {
                Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into()
            } else {
                Ipv6Addr::from(bytes).to_canonical()
            }
        };
        port(ID) == self.source.port()
            && port(ID + 2) == self.destination.port()
            && address(ID + 4) == self.source.ip()
            && address(ID + 20) == self.destination.ip()
    }
}

/// An address as sock_diag wants it: in network order, IPv4 in the first four bytes.
fn wire(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&v4.octets());
            bytes
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Shutdown, TcpListener};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    fn me() -> u32 {
        nix::unistd::geteuid().as_raw()
    }

    fn connected(on: &str, to: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(on).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect((to, port)).unwrap();
        (client, listener.accept().unwrap().0)
    }

    fn asked(accepted: &TcpStream) -> Option<u32> {
        tcp(accepted).unwrap()
    }

    /// A connection to `port` on loopback from the port `from`; 0 takes any.
    fn connect_from(from: u16, port: u16) -> TcpStream {
        use nix::sys::socket::{SockaddrIn, bind, connect, setsockopt};
        let flags = SockFlag::SOCK_CLOEXEC;
        let fd: OwnedFd = socket(AddressFamily::Inet, SockType::Stream, flags, None).unwrap();
        setsockopt(&fd, sockopt::ReuseAddr, &true).unwrap();
        bind(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, from)).unwrap();
        connect(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port)).unwrap();
        fd.into()
    }

    #[test]
    fn the_peer_of_a_unix_socket_is_this_process_with_its_groups() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let peer = unix(&ours).unwrap();
        assert_eq!(peer.uid, me());
        assert_eq!(peer.gid, nix::unistd::getegid().as_raw());
        assert_eq!(peer.pid, nix::unistd::getpid().as_raw());
        let mut groups: Vec<u32> =
            nix::unistd::getgroups().unwrap().iter().map(|gid| gid.as_raw()).collect();
        let mut found = peer.groups;
        groups.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, groups);
    }

    #[test]
    fn a_live_connection_belongs_to_its_owner_on_either_family() {
        for (on, to) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("[::]:0", "127.0.0.1")]
        {
            let (_client, accepted) = connected(on, to);
            assert_eq!(asked(&accepted), Some(me()), "{on} <- {to}");
        }
    }

    #[test]
    fn a_v4_mapped_client_is_found_too() {
        let (_client, accepted) = connected("127.0.0.1:0", "::ffff:127.0.0.1");
        assert_eq!(asked(&accepted), Some(me()));
    }

    #[test]
    fn a_closed_socket_belongs_to_nobody_and_never_to_root() {
        for on in ["127.0.0.1:0", "[::1]:0"] {
            let to = if on.starts_with('[') { "::1" } else { "127.0.0.1" };
            let (client, accepted) = connected(on, to);
            drop(client);
            assert_eq!(asked(&accepted), None, "{on}");
        }
    }

    #[test]
    fn a_half_closed_socket_belongs_to_nobody() {
        let (client, accepted) = connected("127.0.0.1:0", "127.0.0.1");
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(asked(&accepted), None);
    }

    #[test]
    fn a_reset_connection_does_not_get_the_owner_of_the_next_one_from_its_port() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut first = connect_from(0, port);
        let from = first.local_addr().unwrap().port();
        std::io::Write::write_all(&mut first, b"CONNECT as whoever comes next").unwrap();
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        nix::sys::socket::setsockopt(&first, sockopt::Linger, &linger).unwrap();
        drop(first); // a reset; it still waits to be accepted, its bytes to be read
        let next = connect_from(from, port);

        let (mut accepted, remote) = listener.accept().unwrap();
        assert_eq!(remote, next.local_addr().unwrap());
        let found = owner(remote, listener.local_addr().unwrap()).unwrap();
        assert_eq!(found, Some(me()), "the trap: the next one's owner is found");
        assert_eq!(asked(&accepted), None);
        let mut bytes = [0; 7];
        std::io::Read::read_exact(&mut accepted, &mut bytes).unwrap();
        assert_eq!(&bytes, b"CONNECT", "the trap: its bytes are there");

        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(asked(&accepted), Some(me()), "the next one is itself");
    }

    #[test]
    fn a_listener_on_the_peers_port_is_not_taken_for_the_peer() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let beside = listener.local_addr().unwrap();
        let ours = SocketAddr::from(([127, 0, 0, 1], 1)); // nobody is connected from there
        assert_eq!(owner(beside, ours).unwrap(), None);
    }

    #[test]
    fn ends_of_two_families_are_no_connection() {
        let v4 = SocketAddr::from(([127, 0, 0, 1], 1));
        let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 2));
        assert_eq!(owner(v6, v4).unwrap(), None);
    }

    #[test]
    fn an_answer_counts_only_when_it_is_whole_established_ours_and_has_an_inode() {
        let pair = Pair::new(([127, 0, 0, 1], 4000).into(), ([127, 0, 0, 1], 1883).into()).unwrap();
        let mut answer = [0_u8; MESSAGE];
        answer[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        answer[HEADER] = 2;
        answer[STATE] = TCP_ESTABLISHED;
        answer[ID..ID + 48].copy_from_slice(&pair.request()[24..72]);
        answer[UID..UID + 4].copy_from_slice(&1000_u32.to_ne_bytes());
        answer[INODE..INODE + 4].copy_from_slice(&77_u32.to_ne_bytes());
        assert_eq!(pair.owner(&answer).unwrap(), Some(1000));

        for (at, byte) in [(STATE, 10), (STATE, 8), (ID, 1), (ID + 3, 1), (ID + 4, 1), (ID + 20, 1)]
        {
            let mut other = answer;
            other[at] = byte;
            assert_eq!(pair.owner(&other).unwrap(), None, "byte {at}");
        }
        let mut closed = answer;
        closed[INODE..INODE + 4].fill(0);
        assert_eq!(pair.owner(&closed).unwrap(), None);
        for length in 0..MESSAGE {
            assert!(pair.owner(&answer[..length]).is_err(), "{length} bytes");
        }
    }
}
