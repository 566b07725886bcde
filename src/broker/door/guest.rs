//! One connection before it is let in: TLS handshake, then the request for a WebSocket.
//!
//! ```text
//!   came ─┬─ tls, wss ─> Handshake ─┬─ tls ─────────────────────> Enter
//!         └─ ws ────────────────────┴─ ws, wss ─> Request ─ 101 ─> Enter
//!   wrong, too slow, pushed out by others ─> Leave
//! ```

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use super::config::Web;
use super::upgrade::{self, Verdict};
use crate::broker::tls::Tls;

/// Somebody at the door.
#[derive(Debug)]
pub(super) struct Guest {
    stream: TcpStream,
    pub(super) tls: Option<Tls>,
    /// What came and was decrypted: the request, or the beginning of MQTT.
    said: Vec<u8>,
    /// Where it comes from.
    pub(super) address: IpAddr,
    /// Which of the door's listeners it came to.
    pub(super) listener: usize,
    /// When it came.
    pub(super) since: Instant,
    /// It has said something.
    pub(super) spoke: bool,
    /// The kernel has not taken all that TLS said to it.
    pub(super) unheard: bool,
}

/// What becomes of a guest.
#[derive(Debug)]
pub(super) enum Next {
    /// It has not said all; `true` when it has not heard all, either.
    Wait(bool),
    Enter,
    Leave(Why),
}

/// Why nobody comes in.
#[derive(Debug)]
pub(super) enum Why {
    /// It went by itself.
    Gone,
    /// TLS failed.
    Tls(rustls::Error),
    /// The request was refused and told why.
    Request,
}

impl Guest {
    pub(super) fn new(
        stream: TcpStream,
        tls: Option<Tls>,
        address: IpAddr,
        listener: usize,
        since: Instant,
    ) -> Guest {
        Guest {
            stream,
            tls,
            said: Vec::new(),
            address,
            listener,
            since,
            spoke: false,
            unheard: false,
        }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Takes what has come, and goes as far as that allows.
    pub(super) fn go_on(&mut self, buffer: &mut [u8], web: Option<&Web>) -> Next {
        let count = match self.stream.read(buffer) {
            Ok(0) => return Next::Leave(Why::Gone),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.wait(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return self.wait(),
            Err(_) => return Next::Leave(Why::Gone),
        };
        self.spoke = true;
        match &mut self.tls {
            None => self.said.extend_from_slice(&buffer[..count]),
            Some(tls) => {
                if let Err(error) = tls.open(&mut buffer[..count], &mut self.said) {
                    self.flush();
                    return Next::Leave(Why::Tls(error));
                }
                if tls.is_handshaking() {
                    return self.wait();
                }
            }
        }
        match web {
            None => Next::Enter,
            Some(_) if self.said.is_empty() => self.wait(),
            Some(web) => self.judge(web),
        }
    }

    fn judge(&mut self, web: &Web) -> Next {
        match upgrade::judge(&self.said, web) {
            Verdict::More => self.wait(),
            Verdict::Switch(answer) => {
                self.said = Vec::new();
                match self.say(&answer) {
                    true => Next::Enter,
                    false => Next::Leave(Why::Gone),
                }
            }
            Verdict::Refuse(answer) => {
                self.say(&answer);
                Next::Leave(Why::Request)
            }
        }
    }

    /// Sends an answer; false when it was not taken: a fresh socket has room for one.
    fn say(&mut self, answer: &str) -> bool {
        match &mut self.tls {
            None => matches!(self.stream.write(answer.as_bytes()), Ok(n) if n == answer.len()),
            Some(tls) => {
                let mut sealed = Vec::new();
                let said = tls.seal(answer.as_bytes(), &mut sealed).is_ok();
                tls.sealed.append(&mut sealed);
                self.flush();
                said
            }
        }
    }

    fn wait(&mut self) -> Next {
        Next::Wait(!self.flush())
    }

    /// Sends what TLS has ready; whether that was all.
    fn flush(&mut self) -> bool {
        let Some(tls) = &mut self.tls else { return true };
        if !tls.sealed.is_empty() {
            let count = self.stream.write(&tls.sealed).unwrap_or(0);
            tls.sealed.drain(..count);
        }
        tls.sealed.is_empty()
    }

    /// Goes with a last word that arrives: bytes left unread would make the kernel send a reset.
    pub(super) fn leave(mut self, buffer: &mut [u8]) {
        if let Some(tls) = self.tls.as_mut().filter(|tls| !tls.is_handshaking()) {
            tls.close();
            self.flush();
        }
        let _ = self.stream.shutdown(Shutdown::Write);
        let _ = self.stream.read(buffer);
    }

    /// Its parts, for the broker: the stream, TLS, what it has said of MQTT.
    pub(super) fn enter(self) -> (TcpStream, Option<Tls>, Vec<u8>) {
        (self.stream, self.tls, self.said)
    }
}
