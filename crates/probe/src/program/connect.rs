//! Opens a TCP connection or sends one datagram, and reports what came back. It says nothing on a
//! TCP connection, or a TLS hello where that was asked for, and sends a single byte over UDP, so that
//! no server is made to act.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use netcheck_probe::{Connected, Delivered, Errno, Then};
use socket2::{Domain, Socket, Type};

use super::time::{Until, errno, is_timeout, since};

/// Bytes of a greeting that are kept.
const LONGEST_GREETING: usize = 64;

/// A connection, and what happens on it for `listen_ms`.
pub(crate) fn connect(to: SocketAddr, listen_ms: u32, until: Until) -> Connected {
    converse(to, &[], listen_ms, until)
}

/// The same after a TLS `ClientHello`.
pub(crate) fn hello(to: SocketAddr, wait_ms: u32, until: Until) -> Connected {
    converse(to, &CLIENT_HELLO, wait_ms, until)
}

/// TLS 1.2 without a server name (RFC 5246 7.4.1.2): enough for any TLS server to answer, be it
/// with an alert. Its random part is fixed, as no key will ever come of it, and holds an empty line,
/// so that a server that reads lines answers too and does not wait for more.
#[rustfmt::skip]
const CLIENT_HELLO: [u8; 82] = [
    // Record: handshake, 77 bytes; handshake: client hello, 73 bytes, TLS 1.2.
    0x16, 3, 1, 0, 77, 1, 0, 0, 73, 3, 3,
    // Random.
    b'n', b'e', b't', b'c', b'h', b'e', b'c', b'k', b'\r', b'\n', b'\r', b'\n', 0, 1, 2, 3,
    b'n', b'e', b't', b'c', b'h', b'e', b'c', b'k', b'\r', b'\n', b'\r', b'\n', 4, 5, 6, 7,
    // No session; ECDHE-ECDSA, ECDHE-RSA and RSA with AES-128; no compression.
    0, 0, 6, 0xc0, 0x2b, 0xc0, 0x2f, 0, 0x9c, 1, 0,
    // Extensions, 26 bytes: groups P-256 and P-384; signatures RSA, ECDSA; uncompressed points.
    0, 26,
    0, 10, 0, 6, 0, 4, 0, 23, 0, 24,
    0, 13, 0, 6, 0, 4, 4, 1, 4, 3,
    0, 11, 0, 2, 1, 0,
];

fn converse(to: SocketAddr, say: &[u8], listen_ms: u32, until: Until) -> Connected {
    timed(to, say, listen_ms, until).0
}

/// A connection on which `say` is said, and exactly how long the handshake or the error took.
pub(crate) fn timed(
    to: SocketAddr,
    say: &[u8],
    listen_ms: u32,
    until: Until,
) -> (Connected, Duration) {
    let start = Instant::now();
    let opened = open(to, until);
    let (took, took_ms) = (start.elapsed(), since(start));
    let connected = match opened {
        Opened::Not(errno) => Connected::Failed { errno, took_ms },
        Opened::Lost(from) => Connected::Open {
            from,
            took_ms,
            then: Then::Reset,
        },
        Opened::Open(stream, from) => Connected::Open {
            from,
            took_ms,
            then: if (&stream).write_all(say).is_ok() {
                listen(stream, until.within(listen_ms))
            } else {
                Then::Reset
            },
        },
    };
    (connected, took)
}

/// What became of a handshake.
pub(crate) enum Opened {
    /// A connection with its own end.
    Open(TcpStream, SocketAddr),
    /// Completed, and reset before we could look.
    Lost(SocketAddr),
    /// None.
    Not(Errno),
}

/// Opens a connection.
pub(crate) fn open(to: SocketAddr, until: Until) -> Opened {
    let attempt = || -> io::Result<Opened> {
        let Some(left) = until.left() else {
            return Ok(Opened::Not(Errno::TimedOut));
        };
        // Not the standard library's, which gives no socket, and so no address, with an error.
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        let result = socket.connect_timeout(&to.into(), left);
        let from = || socket.local_addr().ok()?.as_socket();
        match (result, from()) {
            (Ok(()), Some(from)) => Ok(Opened::Open(socket.into(), from)),
            // A reset in place of a handshake is ECONNREFUSED; this one came after it.
            (Err(error), Some(from)) if error.kind() == io::ErrorKind::ConnectionReset => {
                Ok(Opened::Lost(from))
            }
            (Err(error), _) => Err(error),
            (Ok(()), None) => Err(io::Error::from(io::ErrorKind::AddrNotAvailable)),
        }
    };
    attempt().unwrap_or_else(|error| Opened::Not(errno(&error)))
}

fn listen(mut stream: TcpStream, until: Until) -> Then {
    let mut greeting = [0; LONGEST_GREETING];
    loop {
        let Some(left) = until.left() else {
            return Then::Silent;
        };
        if stream.set_read_timeout(Some(left)).is_err() {
            return Then::Silent;
        }
        match stream.read(&mut greeting) {
            Ok(0) => return Then::Closed,
            Ok(length) => {
                return Then::Spoke(String::from_utf8_lossy(&greeting[..length]).into_owned());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_timeout(&error) => return Then::Silent,
            // After a handshake, any other error is an end that somebody put to it.
            Err(_) => return Then::Reset,
        }
    }
}

/// Held for reading while a UDP socket is not connected yet, and for writing while the sockets of
/// the namespace are listed: until it is connected, a socket of ours looks like a server.
pub(crate) static CONNECTING: RwLock<()> = RwLock::new(());

/// A UDP socket that takes packets and ICMP errors from one address only.
pub(crate) fn udp(to: SocketAddr) -> io::Result<UdpSocket> {
    // Declared first, dropped last: a socket that could not be connected is closed by then.
    let _guard = CONNECTING.read().unwrap_or_else(PoisonError::into_inner);
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, None)?;
    socket.connect(&to.into())?;
    Ok(socket.into())
}

/// One datagram, and what comes back.
pub(crate) fn datagram(to: SocketAddr, wait_ms: u32, until: Until) -> Result<Delivered, String> {
    let until = until.within(wait_ms);
    let start = Instant::now();
    let failed = |error: &io::Error| Delivered::Failed {
        errno: errno(error),
    };
    let socket = match udp(to) {
        Ok(socket) => socket,
        Err(error) => return Ok(failed(&error)),
    };
    if let Err(error) = socket.send(b"x") {
        return Ok(failed(&error));
    }
    let mut reply = [0; 16];
    loop {
        let Some(left) = until.left() else {
            return Ok(Delivered::Silent);
        };
        socket
            .set_read_timeout(Some(left))
            .map_err(|error| format!("waiting for a datagram from {to}: {error}"))?;
        match socket.recv(&mut reply) {
            Ok(_) => {
                return Ok(Delivered::Reply {
                    took_ms: since(start),
                });
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_timeout(&error) => return Ok(Delivered::Silent),
            Err(error) => return Ok(failed(&error)),
        }
    }
}
