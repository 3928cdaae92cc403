//! Finds out whether there is a way at all, and whether a sender is told that its packet is too large for a
//! link on it.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;

use netcheck_probe::{Errno, Fitted};

use super::connect::udp;
use super::time::{Until, errno, is_timeout};

/// How often a packet is sent: one may get lost by itself.
const TIMES: u32 = 3;

/// Discard (RFC 863): a port is needed, and nothing is sent there.
const DISCARD: u16 = 9;

/// IP and UDP headers, in bytes (RFC 791, RFC 8200, RFC 768).
const HEADERS: [u32; 2] = [20 + 8, 40 + 8];

/// Why the kernel has no way to an address. To connect a UDP socket is to look for one, and sends nothing.
pub(crate) fn barred(to: IpAddr) -> Option<Errno> {
    udp(SocketAddr::new(to, DISCARD))
        .err()
        .map(|error| errno(&error))
}

/// Sends packets of this size that must not be split.
pub(crate) fn fits(
    to: SocketAddr,
    bytes: u32,
    wait_ms: u32,
    until: Until,
) -> Result<Fitted, String> {
    let asking = |error: io::Error| format!("sending {bytes} bytes to {to}: {error}");
    let failed = |error: &io::Error| Fitted::Failed {
        errno: errno(error),
    };
    let socket = match udp(to) {
        Ok(socket) => socket,
        Err(error) => return Ok(failed(&error)),
    };
    do_not_split(&socket, to).map_err(asking)?;
    let headers = HEADERS[usize::from(to.is_ipv6())];
    let length = bytes.saturating_sub(headers).min(0xffff - headers) as usize;
    let message = vec![0; length];
    let mut reply = [0; 16];
    for _ in 0..TIMES {
        let until = until.within(wait_ms / TIMES);
        if let Err(error) = socket.send(&message) {
            match error.raw_os_error() {
                Some(libc::EMSGSIZE) => return too_large(&socket, to).map_err(asking),
                // The answer to the one before.
                Some(libc::ECONNREFUSED) => return Ok(Fitted::Delivered),
                _ => return Ok(failed(&error)),
            }
        }
        while let Some(left) = until.left() {
            socket.set_read_timeout(Some(left)).map_err(asking)?;
            match socket.recv(&mut reply) {
                Ok(_) => return Ok(Fitted::Delivered),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => break,
                Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                    return too_large(&socket, to).map_err(asking);
                }
                Err(error) if errno(&error) == Errno::Refused => return Ok(Fitted::Delivered),
                Err(error) => return Ok(failed(&error)),
            }
        }
    }
    Ok(Fitted::Silent)
}

/// IP_PMTUDISC_DO of ip(7).
fn do_not_split(socket: &UdpSocket, to: SocketAddr) -> io::Result<()> {
    let (level, name, value) = match to {
        SocketAddr::V4(_) => (
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_DO,
        ),
        SocketAddr::V6(_) => (
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_DO,
        ),
    };
    // SAFETY: the value is an int that lives until the call returns, with its size.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn too_large(socket: &UdpSocket, to: SocketAddr) -> io::Result<Fitted> {
    let (level, name) = match to {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU),
    };
    let mut mtu: libc::c_int = 0;
    let mut size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: both are ours and live until the call returns; the size is that of the value.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw mut mtu).cast(),
            &raw mut size,
        )
    };
    if done == 0 {
        Ok(Fitted::TooLarge {
            mtu: mtu.try_into().unwrap_or_default(),
        })
    } else {
        Err(io::Error::last_os_error())
    }
}
