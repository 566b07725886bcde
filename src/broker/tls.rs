//! TLS of one connection (RFC 8446, 5246), by rustls, without buffers of its own: records are taken
//! where the loop read them and made where the loop writes from.
//!
//! What stays here between two turns is a record that has not come whole, and records that the kernel
//! did not take. Both are empty on an idle connection, and that one keeps nothing but its keys.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, InsufficientSizeError};
use rustls::{Error, ServerConfig};

/// RFC 8446 §4: a handshake message may span records; more than this nobody sends by right.
const LONGEST_UNFINISHED: usize = 80 << 10;

/// One connection.
pub(super) struct Tls {
    connection: Box<UnbufferedServerConnection>,
    /// Records that are not whole yet.
    partial: Vec<u8>,
    /// Records to be sent.
    pub(super) sealed: Vec<u8>,
    /// The other side has said that it is done.
    closed: bool,
    /// It went wrong: rustls is not asked again, which it does not expect.
    failed: bool,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tls({} to come, {} to go)", self.partial.len(), self.sealed.len())
    }
}

impl Tls {
    /// A connection that nobody has said anything on.
    ///
    /// # Errors
    /// When the configuration cannot serve.
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Tls, Error> {
        let connection = Box::new(UnbufferedServerConnection::new(config)?);
        Ok(Tls {
            connection,
            partial: Vec::new(),
            sealed: Vec::new(),
            closed: false,
            failed: false,
        })
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether the other side will send nothing more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// The certificate that the other side has shown, and that was verified.
    pub(super) fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.connection.peer_certificates().and_then(<[_]>::first)
    }

    /// Takes bytes from the socket, and gives what they say to `plain`. Answers of TLS itself stand in
    /// `sealed` then, also the alert that an error is told with.
    ///
    /// # Errors
    /// When the other side broke the rules: send `sealed`, and end it.
    pub(super) fn open(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>) -> Result<(), Error> {
        // A fault in somebody else's code, found by somebody else's bytes, is this connection's end only.
        let opened = catch_unwind(AssertUnwindSafe(|| self.open_unguarded(bytes, plain)));
        let opened = opened.unwrap_or_else(|_| Err(Error::General("TLS panicked".into())));
        opened.inspect_err(|_| self.failed = true)
    }

    fn open_unguarded(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>) -> Result<(), Error> {
        if self.failed {
            return Err(Error::HandshakeNotComplete);
        }
        if self.partial.is_empty() {
            let (done, result) = self.records(bytes, plain);
            if result.is_ok() {
                self.partial.extend_from_slice(&bytes[done..]);
            }
            return self.bounded(result);
        }
        let mut partial = std::mem::take(&mut self.partial);
        partial.extend_from_slice(bytes);
        let (done, result) = self.records(&mut partial, plain);
        if done < partial.len() {
            partial.drain(..done);
            self.partial = partial;
        }
        self.bounded(result)
    }

    fn bounded(&self, result: Result<(), Error>) -> Result<(), Error> {
        if self.partial.len() > LONGEST_UNFINISHED {
            return Err(Error::General("a handshake message that does not end".into()));
        }
        result
    }

    /// Takes the whole records at the front of `bytes`; how many bytes that were.
    fn records(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>) -> (usize, Result<(), Error>) {
        let (mut done, mut trouble) = (0, None);
        // After an error there is nothing to be had but the alert that tells it.
        while trouble.is_none() || self.connection.wants_write() {
            let status = self.connection.process_tls_records(&mut bytes[done..]);
            let mut used = status.discard;
            let state = match status.state {
                Ok(state) => state,
                Err(error) => {
                    done += used;
                    trouble = Some(error);
                    continue;
                }
            };
            let goes_on = match state {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        plain.extend_from_slice(record.payload);
                        used += record.discard;
                    }
                    true
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    append(&mut self.sealed, |into| match data.encode(into) {
                        Ok(count) => Ok(count),
                        Err(EncodeError::InsufficientSize(size)) => Err(Some(size)),
                        Err(EncodeError::AlreadyEncoded) => Err(None),
                    })
                }
                ConnectionState::TransmitTlsData(sent) => {
                    sent.done(); // it stands in `sealed`, which is sent in order
                    true
                }
                ConnectionState::PeerClosed => {
                    self.closed = true;
                    true
                }
                ConnectionState::Closed
                | ConnectionState::BlockedHandshake
                | ConnectionState::WriteTraffic(_) => false,
                // Early data is never agreed to, and of other states this version knows nothing.
                ConnectionState::ReadEarlyData(_) | _ => {
                    trouble = trouble.or(Some(Error::HandshakeNotComplete));
                    false
                }
            };
            done += used;
            if !goes_on {
                break;
            }
        }
        (done, trouble.map_or(Ok(()), Err))
    }

    /// Appends `plain` as records to `into`.
    ///
    /// # Errors
    /// When nothing can be sent any more.
    pub(super) fn seal(&mut self, plain: &[u8], into: &mut Vec<u8>) -> Result<(), Error> {
        self.in_traffic(into, |traffic, into| match traffic.encrypt(plain, into) {
            Ok(count) => Ok(count),
            Err(EncryptError::InsufficientSize(size)) => Err(Some(size)),
            Err(EncryptError::EncryptExhausted) => Err(None),
        })
    }

    /// Appends close_notify to what is to be sent (RFC 8446 §6.1).
    pub(super) fn close(&mut self) {
        let mut last = Vec::new();
        let said =
            self.in_traffic(&mut last, |traffic, into| match traffic.queue_close_notify(into) {
                Ok(count) => Ok(count),
                Err(EncryptError::InsufficientSize(size)) => Err(Some(size)),
                Err(EncryptError::EncryptExhausted) => Err(None),
            });
        if said.is_ok() {
            self.sealed.extend_from_slice(&last);
        }
    }

    fn in_traffic(
        &mut self,
        into: &mut Vec<u8>,
        mut put: impl FnMut(&mut Traffic<'_>, &mut [u8]) -> Result<usize, Option<InsufficientSizeError>>,
    ) -> Result<(), Error> {
        while !self.failed {
            // Not an empty slice: of a message in several records the first ones are remembered by
            // their place in it.
            let status = self.connection.process_tls_records(&mut self.partial);
            let discard = status.discard;
            let state = status.state.inspect_err(|_| self.failed = true)?;
            let put = match state {
                ConnectionState::WriteTraffic(mut traffic) => {
                    append(into, |into| put(&mut traffic, into)).then_some(true)
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    append(into, |into| match data.encode(into) {
                        Ok(count) => Ok(count),
                        Err(EncodeError::InsufficientSize(size)) => Err(Some(size)),
                        Err(EncodeError::AlreadyEncoded) => Err(None),
                    })
                    .then_some(false)
                }
                ConnectionState::TransmitTlsData(sent) => {
                    sent.done();
                    Some(false)
                }
                ConnectionState::PeerClosed => {
                    self.closed = true;
                    Some(false)
                }
                ConnectionState::ReadTraffic(_)
                | ConnectionState::ReadEarlyData(_)
                | ConnectionState::BlockedHandshake
                | ConnectionState::Closed
                | _ => None,
            };
            self.partial.drain(..discard);
            match put {
                Some(true) => return Ok(()),
                Some(false) => {}
                None => self.failed = true,
            }
        }
        Err(Error::HandshakeNotComplete)
    }
}

type Traffic<'c> = rustls::unbuffered::WriteTraffic<'c, ServerConnectionData>;

/// Makes room for what `put` writes, as much as it asks for; false when it cannot.
fn append(
    into: &mut Vec<u8>,
    mut put: impl FnMut(&mut [u8]) -> Result<usize, Option<InsufficientSizeError>>,
) -> bool {
    let old = into.len();
    let mut room = 0;
    loop {
        into.resize(old + room, 0);
        match put(&mut into[old..]) {
            Ok(count) => {
                into.truncate(old + count);
                return true;
            }
            Err(Some(size)) if size.required_size > room => room = size.required_size,
            Err(_) => {
                into.truncate(old);
                return false;
            }
        }
    }
}
