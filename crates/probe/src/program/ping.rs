//! Finds out whether somebody owns an address: by ICMP echo, or by the kernel's own ARP or NDP
//! after a datagram. It sends one packet and never floods.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use netcheck_probe::{Delivered, Errno, Neighbour, NeighbourState};
use socket2::{Domain, Protocol, Socket, Type};

use super::connect::udp;
use super::link;
use super::time::{Until, errno, is_timeout, since};

/// The payload, and the identity of the request on a raw socket, which sees the replies of others.
const PAYLOAD: &[u8; 8] = b"netcheck";

/// How often the neighbour table is looked at during a silence.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Discard (RFC 863): where a datagram does no harm.
const DISCARD: u16 = 9;

/// One echo request, or one datagram.
pub(crate) fn ping(to: IpAddr, wait_ms: u32, until: Until) -> Result<Delivered, String> {
    let until = until.within(wait_ms);
    for kind in [Type::DGRAM, Type::RAW] {
        match echo(to, kind, until) {
            // Not permitted to this group, or without CAP_NET_RAW: try the next way.
            Err(error) if matches!(error.raw_os_error(), Some(1 | 13 | 93 | 94)) => {}
            Err(error) => {
                return Ok(Delivered::Failed {
                    errno: errno(&error),
                });
            }
            Ok(Some(took_ms)) => return Ok(Delivered::Reply { took_ms }),
            // Echo may be filtered or switched off; ARP cannot lie about an owner.
            Ok(None) => return verdict(to).map(|found| found.unwrap_or(Delivered::Silent)),
        }
    }
    resolve(to, until)
}

/// Who has an address of a link now: an entry from earlier counts only if it answers.
pub(crate) fn owner(of: IpAddr, wait_ms: u32, until: Until) -> Result<Delivered, String> {
    let answer = ping(of, wait_ms, until)?;
    let neighbours = link::neighbours(&HashMap::new())
        .map_err(|error| format!("asking for the neighbour {of}: {error}"))?;
    let answered = matches!(answer, Delivered::Reply { .. });
    let fresh = |entry: &&Neighbour| {
        entry.address == of && (answered || entry.state == NeighbourState::Reachable)
    };
    let mac = neighbours
        .iter()
        .find(fresh)
        .and_then(|entry| entry.mac.clone());
    Ok(match (mac, answer) {
        (Some(mac), _) => Delivered::Neighbour { mac },
        (None, failed @ Delivered::Failed { .. }) => failed,
        (None, _) => Delivered::Silent,
    })
}

/// The time of the reply, or none.
fn echo(to: IpAddr, kind: Type, until: Until) -> io::Result<Option<u32>> {
    let (domain, protocol, request, reply) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, 8, 0),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, 128, 129),
    };
    let socket = Socket::new(domain, kind, Some(protocol))?;
    socket.connect(&SocketAddr::new(to, 0).into())?;
    let identity = std::process::id().to_ne_bytes();
    let mut message = vec![request, 0, 0, 0, identity[0], identity[1], 0, 1];
    message.extend(PAYLOAD);
    if to.is_ipv4() {
        // The kernel sums up ICMPv6 by itself, and ICMPv4 only on the datagram socket.
        let sum = checksum(&message).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
    }
    let start = Instant::now();
    socket.send(&message)?;
    let mut buffer = [0; 256];
    while until.left().is_some() {
        let Some(left) = until.at_most(LOOK_EVERY).left() else {
            break;
        };
        socket.set_read_timeout(Some(left))?;
        match (&socket).read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // An unanswered ARP is no ICMP error that this socket would be told of. The entry was
            // not failed since before: sending made the kernel ask anew.
            Err(error) if is_timeout(&error) => {
                if matches!(verdict(to), Ok(Some(Delivered::Failed { .. }))) {
                    break;
                }
            }
            Err(error) => return Err(error),
            Ok(length) => {
                let packet = &buffer[..length];
                // A raw IPv4 socket hands out the IP header too.
                let skip = match packet.first() {
                    Some(first) if kind == Type::RAW && to.is_ipv4() => usize::from(first & 15) * 4,
                    _ => 0,
                };
                if is_reply(packet.get(skip..).unwrap_or_default(), reply) {
                    return Ok(Some(since(start)));
                }
            }
        }
    }
    Ok(None)
}

fn is_reply(message: &[u8], kind: u8) -> bool {
    message.first() == Some(&kind) && message.get(8..16) == Some(PAYLOAD.as_slice())
}

/// RFC 1071, over an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks_exact(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// A datagram makes the kernel ask who owns the address; the neighbour table has the answer.
fn resolve(to: IpAddr, until: Until) -> Result<Delivered, String> {
    let sent = udp(SocketAddr::new(to, DISCARD)).and_then(|socket| socket.send(b"x"));
    if let Err(error) = sent {
        return Ok(Delivered::Failed {
            errno: errno(&error),
        });
    }
    loop {
        if let Some(found) = verdict(to)? {
            return Ok(found);
        }
        if until.left().is_none() {
            return Ok(Delivered::Silent);
        }
        until.sleep(Duration::from_millis(20));
    }
}

fn verdict(to: IpAddr) -> Result<Option<Delivered>, String> {
    let neighbours = link::neighbours(&HashMap::new())
        .map_err(|error| format!("asking for the neighbour {to}: {error}"))?;
    Ok(judge(to, &neighbours))
}

fn judge(to: IpAddr, neighbours: &[Neighbour]) -> Option<Delivered> {
    let mut failed = None;
    for neighbour in neighbours.iter().filter(|it| it.address == to) {
        match (neighbour.state, &neighbour.mac) {
            (NeighbourState::Reachable | NeighbourState::Stale, Some(mac)) => {
                return Some(Delivered::Neighbour { mac: mac.clone() });
            }
            (NeighbourState::Failed, _) => {
                failed = Some(Delivered::Failed {
                    errno: Errno::HostUnreachable,
                });
            }
            _ => {}
        }
    }
    failed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_of_rfc_1071() {
        let mut message = [8, 0, 0, 0, 0x12, 0x34, 0, 1];
        let sum = checksum(&message).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
        assert_eq!(checksum(&message), 0, "a message with its sum sums to zero");
    }

    #[test]
    fn foreign_packets_are_no_reply() {
        assert!(is_reply(b"\0\0\0\0\0\0\0\x01netcheck", 0));
        assert!(!is_reply(b"\0\0\0\0\0\0\0\x01netcheck", 129));
        assert!(!is_reply(b"\0\0\0\0\0\0\0\x01netch", 0));
        assert!(!is_reply(b"", 0));
    }

    #[test]
    fn neighbour_states() {
        let to = "10.0.0.9".parse().unwrap();
        let entry = |state, mac: Option<&str>| Neighbour {
            address: to,
            interface: None,
            mac: mac.map(str::to_owned),
            state,
        };
        assert_eq!(judge(to, &[entry(NeighbourState::Incomplete, None)]), None);
        assert!(matches!(
            judge(to, &[entry(NeighbourState::Failed, None)]),
            Some(Delivered::Failed {
                errno: Errno::HostUnreachable
            })
        ));
        assert!(matches!(
            judge(to, &[entry(NeighbourState::Reachable, Some("02:00"))]),
            Some(Delivered::Neighbour { .. })
        ));
        assert_eq!(
            judge(
                "10.0.0.8".parse().unwrap(),
                &[entry(NeighbourState::Failed, None)]
            ),
            None
        );
    }
}
