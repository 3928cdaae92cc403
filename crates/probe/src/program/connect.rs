//! Opens a TCP connection or sends one datagram, and reports what came back. It says nothing on a
//! TCP connection and sends a single byte over UDP, so that no server is made to act.

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Instant;

use netcheck_probe::{Connected, Delivered, Errno, Then};
use socket2::{Domain, Socket, Type};

use super::time::{Until, errno, is_timeout, since};

/// Bytes of a greeting that are kept.
const LONGEST_GREETING: usize = 64;

/// A connection, and what happens on it for `listen_ms`.
pub(crate) fn connect(to: SocketAddr, listen_ms: u32, until: Until) -> Connected {
    let start = Instant::now();
    match open(to, until) {
        Err(errno) => Connected::Failed {
            errno,
            took_ms: since(start),
        },
        Ok((stream, from)) => Connected::Open {
            from,
            took_ms: since(start),
            then: listen(stream, until.within(listen_ms)),
        },
    }
}

/// A connection with its own end.
pub(crate) fn open(to: SocketAddr, until: Until) -> Result<(TcpStream, SocketAddr), Errno> {
    let left = until.left().ok_or(Errno::TimedOut)?;
    let stream = TcpStream::connect_timeout(&to, left).map_err(|error| errno(&error))?;
    let from = stream.local_addr().map_err(|error| errno(&error))?;
    Ok((stream, from))
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

/// A UDP socket that takes packets and ICMP errors from one address only.
pub(crate) fn udp(to: SocketAddr) -> io::Result<UdpSocket> {
    // Not bound first: until it is connected, a bound socket looks like a server to a snapshot.
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
