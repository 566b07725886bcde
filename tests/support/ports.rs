//! Ports for what a test starts, of which no test beside it gets the same.
//!
//! A port that was free a moment ago is not one's own: the program that shall listen on it is started later, and
//! another test may draw the same number meanwhile. So the number stays taken in UDP, which nobody here listens on,
//! for as long as the test's process lives; every test asks there first.

use std::{
    net::{Ipv4Addr, TcpListener, UdpSocket},
    sync::Mutex,
};

static TAKEN: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A port nobody has, below the range from which the kernel picks for outgoing connections.
pub(crate) fn free_port() -> u16 {
    let mut bytes = [0; 2];
    loop {
        getrandom::fill(&mut bytes).expect("random bytes");
        let port = 15_000 + u16::from_le_bytes(bytes) % 15_000;
        let Ok(reservation) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) else { continue };
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            TAKEN.lock().expect("no test panics here").push(reservation);
            return port;
        }
    }
}
