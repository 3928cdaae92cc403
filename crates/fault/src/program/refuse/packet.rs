//! Reads the packet that opens a connection and writes the packet that refuses it: TCP with RST
//! (RFC 9293 3.5.2), ICMP (RFC 792) or ICMPv6 (RFC 4443). Pure functions over bytes; whatever they
//! are, nothing here may panic.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netcheck_fault::RefuseWith;

const TCP: u8 = 6;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// Of the packet that is refused: the header and this much after it go back, enough for every
/// transport header, and below the smallest MTU (RFC 8200 5: 1280).
const QUOTED: usize = 128;

/// The answer to a packet, with its IP header, and to whom it goes; none if the packet is not
/// understood, e.g. a fragment or one with IPv6 extension headers before TCP.
pub(super) fn refusal(packet: &[u8], with: RefuseWith) -> Option<(Vec<u8>, IpAddr)> {
    match packet.first()? >> 4 {
        4 => {
            let length = usize::from(packet[0] & 0xf) * 4;
            let header = packet.get(..length.max(20))?;
            let from = Ipv4Addr::from(*header[12..].first_chunk::<4>()?);
            let to = Ipv4Addr::from(*header[16..].first_chunk::<4>()?);
            let (protocol, body) = match with {
                RefuseWith::TcpReset if header[9] == TCP => {
                    let mut body = reset(packet.get(header.len()..)?)?;
                    let pseudo = [&to.octets()[..], &from.octets(), &[0, TCP, 0, 20]].concat();
                    finish(&mut body, 16, &pseudo);
                    (TCP, body)
                }
                RefuseWith::TcpReset => return None,
                _ => {
                    let quoted = packet.get(..packet.len().min(header.len() + QUOTED))?;
                    let mut body = icmp(3, code(with, false)?, quoted);
                    finish(&mut body, 2, &[]);
                    (ICMP, body)
                }
            };
            Some((ipv4(to, from, protocol, &body), from.into()))
        }
        6 => {
            let header = packet.get(..40)?;
            let from = Ipv6Addr::from(*header[8..].first_chunk::<16>()?);
            let to = Ipv6Addr::from(*header[24..].first_chunk::<16>()?);
            let (protocol, mut body, checksum) = match with {
                RefuseWith::TcpReset if header[6] == TCP => (TCP, reset(packet.get(40..)?)?, 16),
                RefuseWith::TcpReset => return None,
                _ => {
                    let quoted = packet.get(..packet.len().min(40 + QUOTED))?;
                    (ICMPV6, icmp(1, code(with, true)?, quoted), 2)
                }
            };
            // RFC 8200 8.1: addresses, length, next header.
            let length = (body.len() as u32).to_be_bytes();
            let pseudo = [
                &to.octets()[..],
                &from.octets(),
                &length,
                &[0, 0, 0, protocol],
            ]
            .concat();
            finish(&mut body, checksum, &pseudo);
            Some((ipv6(to, from, protocol, &body), from.into()))
        }
        _ => None,
    }
}

/// The code of "destination unreachable": ICMP type 3 or ICMPv6 type 1.
fn code(with: RefuseWith, six: bool) -> Option<u8> {
    Some(match (with, six) {
        (RefuseWith::TcpReset, _) => return None,
        (RefuseWith::PortUnreachable, false) => 3,
        (RefuseWith::PortUnreachable, true) => 4,
        (RefuseWith::HostUnreachable, false) => 1,
        (RefuseWith::HostUnreachable, true) => 3,
        (RefuseWith::NetUnreachable, _) => 0,
        (RefuseWith::AdminProhibited, false) => 13,
        (RefuseWith::AdminProhibited, true) => 1,
    })
}

/// The segment that refuses one which opens a connection; its checksum is still zero.
fn reset(segment: &[u8]) -> Option<Vec<u8>> {
    let segment = segment.get(..20)?;
    let sequence = u32::from_be_bytes(*segment[4..].first_chunk()?);
    let mut answer = vec![0; 20];
    answer[..2].copy_from_slice(&segment[2..4]);
    answer[2..4].copy_from_slice(&segment[..2]);
    answer[8..12].copy_from_slice(&sequence.wrapping_add(1).to_be_bytes());
    // The length of the header in words; RST and ACK.
    answer[12] = 5 << 4;
    answer[13] = 0x14;
    Some(answer)
}

/// Type, code, checksum, four bytes that mean nothing here, and what it is about.
fn icmp(kind: u8, code: u8, quoted: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(quoted);
    message
}

/// A header without identification and checksum: the kernel fills them in, raw(7).
fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend(((20 + body.len()) as u16).to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend_from_slice(body);
    packet
}

fn ipv6(from: Ipv6Addr, to: Ipv6Addr, protocol: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((body.len() as u16).to_be_bytes());
    packet.extend([protocol, 64]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend_from_slice(body);
    packet
}

/// Puts the checksum of the message and its pseudo header in its place (RFC 1071).
fn finish(message: &mut [u8], place: usize, pseudo: &[u8]) {
    let sum = !checksum(&[pseudo, message]);
    if let Some(field) = message.get_mut(place..place + 2) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
}

fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u64::from(u16::from_be_bytes([
                pair[0],
                pair.get(1).copied().unwrap_or(0),
            ]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [RefuseWith; 5] = [
        RefuseWith::TcpReset,
        RefuseWith::PortUnreachable,
        RefuseWith::HostUnreachable,
        RefuseWith::NetUnreachable,
        RefuseWith::AdminProhibited,
    ];

    /// From port 1000 to port 80, sequence number 0x01020304, SYN.
    fn syn() -> Vec<u8> {
        let mut segment = vec![0x03, 0xe8, 0, 80, 1, 2, 3, 4, 0, 0, 0, 0, 0x50, 2];
        segment.resize(20, 0);
        segment
    }

    fn four() -> Vec<u8> {
        ipv4([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), TCP, &syn())
    }

    fn six() -> Vec<u8> {
        let address = |last| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last);
        ipv6(address(1), address(2), TCP, &syn())
    }

    #[test]
    fn a_reset_answers_the_segment() {
        let (answer, to) = refusal(&four(), RefuseWith::TcpReset).unwrap();
        assert_eq!(to, IpAddr::from([10, 0, 0, 1]));
        assert_eq!(answer[12..20], [10, 0, 0, 2, 10, 0, 0, 1]);
        let segment = &answer[20..];
        assert_eq!(segment[..4], [0, 80, 0x03, 0xe8]);
        assert_eq!(segment[8..12], [1, 2, 3, 5]);
        let pseudo = [&answer[12..20], &[0, TCP, 0, 20]].concat();
        assert_eq!(checksum(&[&pseudo, segment]), 0xffff);
    }

    #[test]
    fn checksums_of_icmp_are_right_in_both_families() {
        let (answer, _) = refusal(&four(), RefuseWith::AdminProhibited).unwrap();
        assert_eq!(answer[20..22], [3, 13]);
        assert_eq!(checksum(&[&answer[20..]]), 0xffff);
        assert_eq!(answer[28..], four(), "the whole short packet is quoted");
        let (answer, _) = refusal(&six(), RefuseWith::PortUnreachable).unwrap();
        assert_eq!(answer[40..42], [1, 4]);
        let pseudo = [&answer[8..40], &answer[4..6], &[0, 0, 0, ICMPV6]].concat();
        // The length stands in two bytes of the header and four of the pseudo header: no matter.
        assert_eq!(checksum(&[&pseudo, &answer[40..]]), 0xffff);
    }

    #[test]
    fn nothing_cut_short_or_mad_panics() {
        for with in ALL {
            for whole in [four(), six()] {
                for end in 0..whole.len() {
                    let _ = refusal(&whole[..end], with);
                }
                for place in 0..whole.len() {
                    for value in [0, 1, 0x0f, 0x4f, 0x6f, 0x7f, 0xff] {
                        let mut mad = whole.clone();
                        mad[place] = value;
                        let _ = refusal(&mad, with);
                    }
                }
            }
        }
    }
}
