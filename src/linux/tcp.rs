//! tcp(7): what a connection to far away needs beyond the defaults.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

/// Small packets leave at once, and sent bytes that nobody acknowledges end the connection after
/// `patience` (TCP_USER_TIMEOUT, RFC 5482) instead of after a quarter of an hour.
///
/// # Errors
/// When the socket is none of TCP.
pub fn tune(socket: &impl AsFd, patience: Duration) -> nix::Result<()> {
    let millis = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
    setsockopt(socket, sockopt::TcpNoDelay, &true)?;
    setsockopt(socket, sockopt::TcpUserTimeout, &millis)
}
