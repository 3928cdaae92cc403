//! Packets of connections that begin, seen on all interfaces of the namespace at once, packet(7). It
//! keeps headers only, and only of connections to the place that is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use netcheck_probe::{Packet, Sight, Watched};
use rustix::net::netdevice::index_to_name;
use socket2::{Domain, SockFilter, Socket, Type};

use super::time::Until;

/// ETH_P_ALL, linux/if_ether.h.
const ALL: u16 = 3;

/// Sights that are kept at most.
const MOST: usize = 512;

/// As much of a packet as is read: an IPv6 header, an ICMPv6 header, and in it again a header with the
/// first bytes of TCP.
const LENGTH: usize = 128;

/// Held by the kernel until it is read, in bytes: a second of 5,000 new connections.
const BUFFER: usize = 4 * 1024 * 1024;

/// A packet before it is known whether it belongs to a connection that is watched.
struct Seen {
    at: Duration,
    interface: u32,
    outgoing: bool,
    from: SocketAddr,
    to: SocketAddr,
    packet: Packet,
    flow: u32,
}

/// Watches until the time is over.
pub(crate) fn watch(to: SocketAddr, time: Duration, until: Until) -> Result<Watched, String> {
    let failed = |error: io::Error| match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => "watching packets takes CAP_NET_RAW".to_owned(),
        _ => format!("watching packets: {error}"),
    };
    let socket = open().map_err(failed)?;
    let began = Instant::now();
    let mut seen = Vec::new();
    let mut incomplete = false;
    // Those of which a first packet to the place was seen.
    let mut flows = BTreeSet::new();
    loop {
        let left = until.left().unwrap_or_default();
        let left = left.min(time.saturating_sub(began.elapsed()));
        if left.is_zero() {
            break;
        }
        socket.set_read_timeout(Some(left)).map_err(failed)?;
        let mut room = [0; LENGTH];
        let Some((length, interface, outgoing)) = receive(&socket, &mut room).map_err(failed)?
        else {
            continue;
        };
        let Some((from, dest, packet, flow)) = read(&room[..length]) else {
            continue;
        };
        if packet == Packet::Syn && dest == to {
            flows.insert(flow);
        }
        // An answer may come before its question is read on another processor.
        if seen.len() >= 8 * MOST {
            incomplete = true;
            break;
        }
        seen.push(Seen {
            at: began.elapsed(),
            interface,
            outgoing,
            from,
            to: dest,
            packet,
            flow,
        });
    }
    let mut names: BTreeMap<u32, String> = BTreeMap::new();
    seen.retain(|one| flows.contains(&one.flow));
    incomplete |= seen.len() > MOST || lost(&socket);
    let sights = seen.into_iter().take(MOST).map(|one| Sight {
        at_us: u32::try_from(one.at.as_micros()).unwrap_or(u32::MAX),
        interface: names
            .entry(one.interface)
            .or_insert_with(|| {
                index_to_name(&socket, one.interface)
                    .unwrap_or_else(|_| format!("interface {}", one.interface))
            })
            .clone(),
        outgoing: one.outgoing,
        from: one.from,
        to: one.to,
        packet: one.packet,
        flow: one.flow,
    });
    Ok(Watched {
        sights: sights.collect(),
        incomplete,
    })
}

fn open() -> io::Result<Socket> {
    // No protocol yet: nothing may come in before the filter is there.
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, None)?;
    socket.attach_filter(&filter())?;
    socket.set_recv_buffer_size(BUFFER)?;
    // SAFETY: all of it is numbers, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { MaybeUninit::zeroed().assume_init() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = ALL.to_be();
    // SAFETY: the address is ours, of the length given, and lives until the call returns.
    let done = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if done == 0 {
        Ok(socket)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Lets through TCP with SYN or RST, and ICMP: what else passes a busy host is not handed to us. The
/// numbers are those of linux/bpf_common.h.
fn filter() -> Vec<SockFilter> {
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_BYTE_INDIRECT: u16 = 0x50;
    /// 4 * (byte & 15): the length of an IPv4 header.
    const LOAD_LENGTH: u16 = 0xb1;
    const AND: u16 = 0x54;
    const JUMP_EQUAL: u16 = 0x15;
    const JUMP_SET: u16 = 0x45;
    const RETURN: u16 = 0x06;
    let step = |code, yes, no, k| SockFilter::new(code, yes, no, k);
    vec![
        /*  0 */ step(LOAD_BYTE, 0, 0, 0),
        /*  1 */ step(AND, 0, 0, 0xf0),
        /*  2 */ step(JUMP_EQUAL, 0, 6, 0x40),
        /*  3 */ step(LOAD_BYTE, 0, 0, 9),
        /*  4 */ step(JUMP_EQUAL, 10, 0, 1),
        /*  5 */ step(JUMP_EQUAL, 0, 10, 6),
        /*  6 */ step(LOAD_LENGTH, 0, 0, 0),
        /*  7 */ step(LOAD_BYTE_INDIRECT, 0, 0, 13),
        /*  8 */ step(JUMP_SET, 6, 7, 0x06),
        /*  9 */ step(JUMP_EQUAL, 0, 6, 0x60),
        /* 10 */ step(LOAD_BYTE, 0, 0, 6),
        /* 11 */ step(JUMP_EQUAL, 3, 0, 58),
        /* 12 */ step(JUMP_EQUAL, 0, 3, 6),
        /* 13 */ step(LOAD_BYTE, 0, 0, 53),
        /* 14 */ step(JUMP_SET, 0, 1, 0x06),
        /* 15 */ step(RETURN, 0, 0, LENGTH as u32),
        /* 16 */ step(RETURN, 0, 0, 0),
    ]
}

/// The length of what was read, the interface, and whether it goes out; none for nothing in time.
fn receive(socket: &Socket, room: &mut [u8]) -> io::Result<Option<(usize, u32, bool)>> {
    // SAFETY: all of it is numbers, for which zero is a value.
    let mut from: libc::sockaddr_ll = unsafe { MaybeUninit::zeroed().assume_init() };
    let mut size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the buffer and the address are ours, of the lengths given, and live until the call returns.
    let length = unsafe {
        libc::recvfrom(
            socket.as_raw_fd(),
            room.as_mut_ptr().cast(),
            room.len(),
            0,
            (&raw mut from).cast(),
            &raw mut size,
        )
    };
    let Ok(length) = usize::try_from(length) else {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            // An interface that went down is said once.
            Some(libc::EAGAIN | libc::EINTR | libc::ENETDOWN) => Ok(None),
            _ => Err(error),
        };
    };
    let interface = u32::try_from(from.sll_ifindex).unwrap_or_default();
    Ok(Some((
        length,
        interface,
        from.sll_pkttype == libc::PACKET_OUTGOING,
    )))
}

/// Whether the kernel had to throw packets away (PACKET_STATISTICS: packets, drops).
fn lost(socket: &Socket) -> bool {
    const PACKET_STATISTICS: libc::c_int = 6;
    let mut counts = [0_u32; 2];
    let mut size = size_of_val(&counts) as libc::socklen_t;
    // SAFETY: the numbers are ours, of the length given, and live until the call returns.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            PACKET_STATISTICS,
            (&raw mut counts).cast(),
            &raw mut size,
        )
    };
    done != 0 || counts[1] > 0
}

/// From where, to where, what, and of which connection.
fn read(bytes: &[u8]) -> Option<(SocketAddr, SocketAddr, Packet, u32)> {
    let (from, to, protocol, rest) = header(bytes)?;
    match protocol {
        6 => {
            let (from_port, to_port, sequence) = ports(rest)?;
            let acknowledged = u32::from_be_bytes(*rest.get(8..)?.first_chunk()?);
            let flags = *rest.get(13)?;
            let (packet, flow) = match (flags & 2 != 0, flags & 4 != 0, flags & 16 != 0) {
                (true, false, false) => (Packet::Syn, sequence),
                (true, false, true) => (Packet::SynAck, acknowledged.wrapping_sub(1)),
                (false, true, true) => (Packet::Reset, acknowledged.wrapping_sub(1)),
                // A reset without an acknowledgement ends what was open.
                _ => return None,
            };
            Some((
                SocketAddr::new(from, from_port),
                SocketAddr::new(to, to_port),
                packet,
                flow,
            ))
        }
        // An error holds the beginning of the packet that it is about.
        1 | 58 => {
            let (kind, code) = (*rest.first()?, *rest.get(1)?);
            // Types 3, 5, 11 and 12 of ICMP, and those below 128 of ICMPv6, are errors.
            let is_error = match protocol {
                1 => [3, 11, 12].contains(&kind),
                _ => kind < 128,
            };
            let (_, _, inner, rest) = header(rest.get(8..)?).filter(|_| is_error)?;
            let (_, _, sequence) = ports(rest).filter(|_| inner == 6)?;
            Some((
                SocketAddr::new(from, 0),
                SocketAddr::new(to, 0),
                Packet::Error(kind, code),
                sequence,
            ))
        }
        _ => None,
    }
}

/// Addresses, protocol and what follows the header.
fn header(bytes: &[u8]) -> Option<(IpAddr, IpAddr, u8, &[u8])> {
    let first = *bytes.first()?;
    match first >> 4 {
        4 => {
            let address = |at: usize| Some(IpAddr::from(*bytes.get(at..)?.first_chunk::<4>()?));
            let length = usize::from(first & 15) * 4;
            // A later fragment has no header of TCP.
            let fragment = u16::from_be_bytes(*bytes.get(6..)?.first_chunk()?) & 0x1fff;
            let rest = bytes.get(length.max(20)..).filter(|_| fragment == 0)?;
            Some((address(12)?, address(16)?, *bytes.get(9)?, rest))
        }
        6 => {
            let address = |at: usize| {
                let bytes = *bytes.get(at..)?.first_chunk::<16>()?;
                Some(IpAddr::from(Ipv6Addr::from(bytes)))
            };
            Some((address(8)?, address(24)?, *bytes.get(6)?, bytes.get(40..)?))
        }
        _ => None,
    }
}

/// Both ports and the sequence number.
fn ports(bytes: &[u8]) -> Option<(u16, u16, u32)> {
    let half = |at: usize| Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    let sequence = u32::from_be_bytes(*bytes.get(4..)?.first_chunk()?);
    Some((half(0)?, half(2)?, sequence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(flags: u8) -> Vec<u8> {
        let mut bytes = vec![
            0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ];
        bytes.extend([0x9c, 0x40, 0, 80]);
        bytes.extend(7_u32.to_be_bytes());
        bytes.extend(8_u32.to_be_bytes());
        bytes.extend([0x50, flags, 0, 0, 0, 0, 0, 0]);
        bytes
    }

    #[test]
    fn first_packets_and_answers() {
        let (from, to, kind, flow) = read(&packet(2)).unwrap();
        assert_eq!(
            (from.to_string(), to.to_string()),
            ("10.0.0.1:40000".into(), "10.0.0.2:80".into())
        );
        assert_eq!((kind, flow), (Packet::Syn, 7));
        assert_eq!(read(&packet(18)).unwrap().2, Packet::SynAck);
        assert_eq!(read(&packet(18)).unwrap().3, 7);
        assert_eq!(read(&packet(20)).unwrap().2, Packet::Reset);
        assert!(read(&packet(16)).is_none());
    }

    #[test]
    fn an_error_about_a_first_packet() {
        let mut bytes = packet(2);
        bytes.truncate(20);
        bytes[9] = 1;
        bytes.extend([3, 10, 0, 0, 0, 0, 0, 0]);
        bytes.extend(&packet(2)[..28]);
        let (_, _, kind, flow) = read(&bytes).unwrap();
        assert_eq!((kind, flow), (Packet::Error(3, 10), 7));
    }

    proptest! {
        #[test]
        fn any_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..LENGTH), first in 0_usize..4) {
            let _ = read(&bytes);
            if let Some(byte) = bytes.first_mut() {
                *byte = [0x45, 0x4f, 0x60, 0x40][first];
            }
            let _ = read(&bytes);
        }
    }
}
