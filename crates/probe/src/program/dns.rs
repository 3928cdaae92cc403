//! Asks one DNS server one question. The server may be hostile: what it sends is bounded before it
//! is decoded, and a reply that does not belong to the question is never believed.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use netcheck_probe::{DnsOutcome, DnsQuery, RecordType};
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, RCODE, TYPE};

use super::connect::udp;
use super::time::{Until, errno, is_timeout, since};

/// What one server gets. The C library gives 5 s, twice; the fault is the same after 2.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(2);

/// The fixed part of a message (RFC 1035 4.1.1).
const HEADER: usize = 12;

/// The smallest record: a root name, type, class, time to live and length.
const SMALLEST_RECORD: usize = 11;

/// Addresses of one answer that are kept.
const MOST_ADDRESSES: usize = 64;

/// Sends the query and waits for its reply.
pub(crate) fn query(
    name: &str,
    record: RecordType,
    server: SocketAddr,
    until: Until,
) -> Result<DnsQuery, String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let id = RandomState::new().hash_one(name) as u16;
    let message = encode(id, name, record)?;
    let start = Instant::now();
    let outcome =
        exchange(&message, &Asked { id, name, record }, server, until).unwrap_or_else(|error| {
            match is_timeout(&error) {
                true => DnsOutcome::TimedOut,
                false => DnsOutcome::Undelivered(errno(&error)),
            }
        });
    Ok(DnsQuery {
        name: name.to_owned(),
        record,
        server,
        outcome,
        took_ms: since(start),
    })
}

/// What a reply has to match.
struct Asked<'a> {
    id: u16,
    name: &'a str,
    record: RecordType,
}

impl Asked<'_> {
    fn kind(&self) -> TYPE {
        match self.record {
            RecordType::A => TYPE::A,
            RecordType::Aaaa => TYPE::AAAA,
        }
    }
}

/// What a message from the server is.
#[derive(Debug, PartialEq, Eq)]
enum Reply {
    /// An answer to what was asked.
    Outcome(DnsOutcome),
    /// An answer that did not fit into a datagram.
    Cut,
    /// Not an answer to what was asked; forged or late.
    Foreign(&'static str),
}

fn encode(id: u16, name: &str, record: RecordType) -> Result<Vec<u8>, String> {
    let refused = |reason: &str| format!("asking for {name:?}: not a DNS name: {reason}");
    // The library would leave out empty labels, i.e. ask for another name.
    if name.is_empty() || name.split('.').any(str::is_empty) {
        return Err(refused("it has an empty label"));
    }
    if name.contains('\\') {
        return Err(refused("it has a backslash"));
    }
    let kind = Asked { id, name, record }.kind();
    let name = Name::new(name).map_err(|error| refused(&error.to_string()))?;
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(simple_dns::Question::new(
        name.clone(),
        QTYPE::TYPE(kind),
        QCLASS::CLASS(CLASS::IN),
        false,
    ));
    packet
        .build_bytes_vec()
        .map_err(|error| refused(&error.to_string()))
}

fn exchange(
    message: &[u8],
    asked: &Asked<'_>,
    server: SocketAddr,
    until: Until,
) -> io::Result<DnsOutcome> {
    let socket = udp(server)?;
    socket.send(message)?;
    let mut buffer = vec![0; 4096];
    let mut foreign = None;
    while let Some(left) = until.left() {
        socket.set_read_timeout(Some(left))?;
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if is_timeout(&error) => break,
            Err(error) => return Err(error),
        };
        match decode(&buffer[..length], asked) {
            Reply::Outcome(outcome) => return Ok(outcome),
            Reply::Cut => return over_tcp(message, asked, server, until),
            Reply::Foreign(reason) => foreign = Some(reason),
        }
    }
    // Silence and nonsense are different faults of a server.
    Ok(foreign.map_or(DnsOutcome::TimedOut, |reason| {
        DnsOutcome::Malformed(reason.to_owned())
    }))
}

fn over_tcp(
    message: &[u8],
    asked: &Asked<'_>,
    server: SocketAddr,
    until: Until,
) -> io::Result<DnsOutcome> {
    let timed_out = || io::Error::from(io::ErrorKind::TimedOut);
    let mut stream = TcpStream::connect_timeout(&server, until.left().ok_or_else(timed_out)?)?;
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), message].concat())?;
    let mut length = [0; 2];
    if !read_full(&mut stream, &mut length, until)? {
        return Ok(DnsOutcome::Malformed("closed before the answer".to_owned()));
    }
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    if !read_full(&mut stream, &mut reply, until)? {
        return Ok(DnsOutcome::Malformed("closed within the answer".to_owned()));
    }
    Ok(match decode(&reply, asked) {
        Reply::Outcome(outcome) => outcome,
        Reply::Cut => DnsOutcome::Malformed("cut even over TCP".to_owned()),
        Reply::Foreign(reason) => DnsOutcome::Malformed(reason.to_owned()),
    })
}

/// False when the server closed too early. Each part may come as slowly as it likes, all of it
/// must be there in time.
fn read_full(stream: &mut TcpStream, mut place: &mut [u8], until: Until) -> io::Result<bool> {
    while !place.is_empty() {
        let left = until
            .left()
            .ok_or_else(|| io::Error::from(io::ErrorKind::TimedOut))?;
        stream.set_read_timeout(Some(left))?;
        match stream.read(place) {
            Ok(0) => return Ok(false),
            Ok(length) => place = &mut place[length..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn decode(bytes: &[u8], asked: &Asked<'_>) -> Reply {
    let Some((head, body)) = bytes.split_first_chunk::<HEADER>() else {
        return Reply::Foreign("shorter than a DNS header");
    };
    let number = |index: usize| u16::from_be_bytes([head[index], head[index + 1]]);
    if number(0) != asked.id {
        return Reply::Foreign("the answer has another id");
    }
    if head[2] & 0x80 == 0 {
        return Reply::Foreign("the answer is a query");
    }
    // Everything from here on has our random id: whatever it is, this server sent it to us.
    let malformed = |reason: String| Reply::Outcome(DnsOutcome::Malformed(reason));
    let (questions, answers) = (number(4), usize::from(number(6)));
    if head[2] & 0x02 != 0 {
        return Reply::Cut;
    }
    let code = head[3] & 0x0f;
    if questions == 0 && code != 0 {
        // Some servers leave the question out of a refusal.
        return Reply::Outcome(refusal(code));
    }
    if questions != 1 || answers > body.len() / SMALLEST_RECORD {
        return malformed(format!("{questions} questions and {answers} answers"));
    }
    // Only the question and the answers are decoded, by hiding the other two sections.
    let mut message = bytes.to_vec();
    message[8..HEADER].fill(0);
    let packet = match Packet::parse(&message) {
        Ok(packet) => packet,
        Err(error) => return malformed(error.to_string()),
    };
    let matches = Name::new(asked.name).is_ok_and(|name| {
        let kind = QTYPE::TYPE(asked.kind());
        let same = |it: &simple_dns::Question<'_>| it.qname == name && it.qtype == kind;
        packet.questions.first().is_some_and(same)
    });
    if !matches {
        return Reply::Foreign("the answer is to another question");
    }
    if packet.rcode() != RCODE::NoError {
        return Reply::Outcome(refusal(code));
    }
    // Aliases (CNAME) lead to their addresses within the same section.
    let address = |data: &RData<'_>| -> Option<IpAddr> {
        match (data, asked.record) {
            (RData::A(a), RecordType::A) => Some(Ipv4Addr::from(a.address).into()),
            (RData::AAAA(a), RecordType::Aaaa) => Some(Ipv6Addr::from(a.address).into()),
            _ => None,
        }
    };
    let mut found: Vec<IpAddr> = Vec::new();
    for it in packet.answers.iter().filter_map(|it| address(&it.rdata)) {
        if found.len() < MOST_ADDRESSES && !found.contains(&it) {
            found.push(it);
        }
    }
    Reply::Outcome(match found.is_empty() {
        true => DnsOutcome::NoData,
        false => DnsOutcome::Addresses(found),
    })
}

/// For tests: what any bytes from a server come to.
#[cfg(test)]
pub(super) fn outcome_of(bytes: &[u8], name: &str, record: RecordType) -> Option<DnsOutcome> {
    let id = bytes.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    match decode(bytes, &Asked { id, name, record }) {
        Reply::Outcome(outcome) => Some(outcome),
        Reply::Cut | Reply::Foreign(_) => None,
    }
}

fn refusal(code: u8) -> DnsOutcome {
    match code {
        2 => DnsOutcome::ServFail,
        3 => DnsOutcome::NxDomain,
        5 => DnsOutcome::Refused,
        other => DnsOutcome::OtherCode(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::{A, CNAME};

    const ASKED: Asked<'static> = Asked {
        id: 7,
        name: "web.example",
        record: RecordType::A,
    };

    /// An answer through an alias, with compressed names.
    fn answer() -> Vec<u8> {
        let mut packet = Packet::new_reply(7);
        let name = Name::new_unchecked("Web.example");
        let alias = Name::new_unchecked("other.example");
        packet.questions.push(simple_dns::Question::new(
            name.clone(),
            QTYPE::TYPE(TYPE::A),
            QCLASS::CLASS(CLASS::IN),
            false,
        ));
        let mut add = |name: &Name<'static>, data| {
            let record = ResourceRecord::new(name.clone(), CLASS::IN, 60, data);
            packet.answers.push(record);
        };
        add(&name, RData::CNAME(CNAME(alias.clone())));
        for address in [1, 2, 1] {
            add(&alias, RData::A(A { address }));
        }
        packet.build_bytes_vec_compressed().unwrap()
    }

    #[test]
    fn addresses_through_an_alias() {
        let expected = vec!["0.0.0.1".parse().unwrap(), "0.0.0.2".parse().unwrap()];
        assert_eq!(
            decode(&answer(), &ASKED),
            Reply::Outcome(DnsOutcome::Addresses(expected))
        );
    }

    #[test]
    fn codes() {
        for (code, expected) in [
            (2, DnsOutcome::ServFail),
            (3, DnsOutcome::NxDomain),
            (5, DnsOutcome::Refused),
            (4, DnsOutcome::OtherCode(4)),
            (9, DnsOutcome::OtherCode(9)),
            (15, DnsOutcome::OtherCode(15)),
        ] {
            let mut message = answer();
            message[3] |= code;
            assert_eq!(decode(&message, &ASKED), Reply::Outcome(expected.clone()));
            // The same without its question.
            message[4..12].fill(0);
            message.truncate(HEADER);
            assert_eq!(decode(&message, &ASKED), Reply::Outcome(expected));
        }
    }

    #[test]
    fn what_was_not_asked_is_not_believed() {
        let foreign = |asked: &Asked<'_>| matches!(decode(&answer(), asked), Reply::Foreign(_));
        assert!(foreign(&Asked { id: 8, ..ASKED }));
        assert!(foreign(&Asked {
            name: "eb.example",
            ..ASKED
        }));
        assert!(foreign(&Asked {
            record: RecordType::Aaaa,
            ..ASKED
        }));
        assert!(!foreign(&ASKED));
        let query = encode(7, "web.example", RecordType::A).unwrap();
        assert!(matches!(decode(&query, &ASKED), Reply::Foreign(_)));
    }

    #[test]
    fn names_that_cannot_be_asked() {
        for name in [
            "",
            ".",
            "a..b",
            ".a",
            "a\\.b",
            &"x".repeat(64),
            &"x.".repeat(130),
        ] {
            assert!(encode(1, name, RecordType::A).is_err(), "{name:?}");
        }
        assert!(encode(1, "_under-score.example", RecordType::A).is_ok());
    }

    #[test]
    fn no_message_can_panic_or_hang() {
        let good = answer();
        for cut in 0..good.len() {
            let _ = decode(&good[..cut], &ASKED);
        }
        // Each byte, each of the values that mean something: pointers, lengths, counts, types.
        for index in 0..good.len() {
            for value in [
                0, 1, 2, 11, 12, 28, 41, 63, 64, 0x7f, 0x80, 0xbf, 0xc0, 0xfe, 0xff,
            ] {
                let mut message = good.clone();
                message[index] = value;
                let _ = decode(&message, &ASKED);
                for other in (HEADER..good.len()).step_by(3) {
                    message[other] = value ^ good[index];
                    let _ = decode(&message, &ASKED);
                }
            }
        }
        // A compression pointer to itself, and two that point at each other.
        for pointers in [
            &[0xc0, 12, 0xc0, 12][..],
            &[0xc0, 14, 0xc0, 12],
            &[0xff, 0xff, 0xff],
        ] {
            let mut message = good[..HEADER].to_vec();
            message.extend(pointers);
            message.extend([0, 1, 0, 1].repeat(20));
            assert!(matches!(
                decode(&message, &ASKED),
                Reply::Outcome(DnsOutcome::Malformed(_))
            ));
        }
        // Noise behind a valid header, from a simple generator with a fixed seed.
        let mut state = 0x2545_f491_u32;
        for round in 0..20_000_usize {
            let mut message = good[..HEADER + (round % 40).min(good.len() - HEADER)].to_vec();
            for _ in 0..round % 97 {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                message.push(state as u8);
            }
            let _ = decode(&message, &ASKED);
        }
    }
}
