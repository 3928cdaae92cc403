//! Reads questions and writes our answers to them (RFC 1035 4). A message that is not a plain
//! question for the name is nobody's business here: it is handed on as it is.

use std::net::IpAddr;

use netcheck_fault::DnsOutcome;
use simple_dns::rdata::{A, AAAA, OPT, RData};
use simple_dns::{
    CLASS, Name, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, RCODE, ResourceRecord, TYPE,
};

/// What we say we could take over UDP: DNS flag day 2020.
const UDP_SIZE: u16 = 1232;

/// A plain DNS label is at most this long (RFC 1035 2.3.4).
const LONGEST_LABEL: usize = 63;

/// The name of the fault, and what is said of it.
#[derive(Debug)]
pub(super) struct Subject {
    /// The name with nothing and with each search domain after it; lower case, without a dot at
    /// the end.
    names: Vec<String>,
    outcome: DnsOutcome,
}

/// What is to be done with a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Hand it on.
    Forward,
    /// Send this back.
    Answer(Vec<u8>),
    /// Say nothing.
    Ignore,
}

impl Subject {
    /// The name must be one that DNS can carry.
    pub(super) fn new(name: &str, search: &[String], outcome: &DnsOutcome) -> Result<Self, String> {
        let plain = plain(name);
        let label = |label: &str| !label.is_empty() && label.len() <= LONGEST_LABEL;
        if !plain.split('.').all(label) || plain.len() > 253 {
            return Err(format!("{name:?} is not a DNS name"));
        }
        let suffixed = search
            .iter()
            .map(|domain| format!("{plain}.{}", self::plain(domain)));
        Ok(Self {
            names: std::iter::once(plain.clone()).chain(suffixed).collect(),
            outcome: outcome.clone(),
        })
    }

    /// What becomes of a message that a client sent.
    pub(super) fn judge(&self, message: &[u8]) -> Fate {
        let Ok(packet) = Packet::parse(message) else {
            return Fate::Forward;
        };
        let [question] = packet.questions.as_slice() else {
            return Fate::Forward;
        };
        let about = |name: &Name<'_>| self.names.contains(&plain(&name.to_string()));
        if packet.has_flags(PacketFlag::RESPONSE)
            || packet.opcode() != OPCODE::StandardQuery
            || !matches!(question.qclass, QCLASS::CLASS(CLASS::IN) | QCLASS::ANY)
            || !about(&question.qname)
        {
            return Fate::Forward;
        }
        match self.answer(&packet) {
            Some(answer) => answer.map_or(Fate::Ignore, Fate::Answer),
            None => Fate::Ignore,
        }
    }

    /// None for silence.
    fn answer(&self, asked: &Packet<'_>) -> Option<Option<Vec<u8>>> {
        let (code, addresses) = match &self.outcome {
            DnsOutcome::NoAnswer => return None,
            DnsOutcome::Nxdomain => (RCODE::NameError, [].as_slice()),
            DnsOutcome::Servfail => (RCODE::ServerFailure, [].as_slice()),
            DnsOutcome::Refused => (RCODE::Refused, [].as_slice()),
            DnsOutcome::Empty => (RCODE::NoError, [].as_slice()),
            DnsOutcome::Addresses(addresses) => (RCODE::NoError, addresses.as_slice()),
        };
        let question = asked.questions.first()?;
        let mut reply = Packet::new_reply(asked.id());
        reply.set_flags(PacketFlag::RECURSION_AVAILABLE);
        if asked.has_flags(PacketFlag::RECURSION_DESIRED) {
            reply.set_flags(PacketFlag::RECURSION_DESIRED);
        }
        *reply.rcode_mut() = code;
        reply.questions.push(question.clone());
        for address in addresses {
            if let Some(data) = record(question.qtype, *address) {
                let name = question.qname.clone();
                let record = ResourceRecord::new(name, CLASS::IN, 0, data);
                reply.answers.push(record);
            }
        }
        // RFC 6891 6.1.1: with EDNS in the question there must be EDNS in the answer.
        if asked.opt().is_some() {
            *reply.opt_mut() = Some(OPT {
                opt_codes: Vec::new(),
                udp_packet_size: UDP_SIZE,
                version: 0,
            });
        }
        Some(reply.build_bytes_vec_compressed().ok())
    }
}

/// The record for an address, if its type was asked for.
fn record(kind: QTYPE, address: IpAddr) -> Option<RData<'static>> {
    match (kind, address.to_canonical()) {
        (QTYPE::TYPE(TYPE::A) | QTYPE::ANY, IpAddr::V4(address)) => {
            Some(RData::A(A::from(address)))
        }
        (QTYPE::TYPE(TYPE::AAAA) | QTYPE::ANY, IpAddr::V6(address)) => {
            Some(RData::AAAA(AAAA::from(address)))
        }
        _ => None,
    }
}

/// Lower case, without a dot at the end.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(outcome: DnsOutcome) -> Subject {
        Subject::new("Db.", &["Corp.Example".to_owned()], &outcome).unwrap()
    }

    fn question(name: &str, kind: TYPE) -> Vec<u8> {
        let mut packet = Packet::new_query(0x1234);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        packet.questions.push(simple_dns::Question::new(
            Name::new_unchecked(name),
            QTYPE::TYPE(kind),
            QCLASS::CLASS(CLASS::IN),
            false,
        ));
        packet.build_bytes_vec().unwrap()
    }

    #[test]
    fn the_name_in_any_case_and_with_a_search_domain_and_no_other() {
        let subject = subject(DnsOutcome::Nxdomain);
        for name in ["db", "DB", "db.corp.example", "dB.CORP.example"] {
            let Fate::Answer(answer) = subject.judge(&question(name, TYPE::A)) else {
                panic!("{name} is not answered");
            };
            let answer = Packet::parse(&answer).unwrap();
            assert_eq!((answer.id(), answer.rcode()), (0x1234, RCODE::NameError));
            assert_eq!(
                answer.questions[0].qname.to_string(),
                name,
                "0x20: the case comes back as it was"
            );
        }
        for name in [
            "db2",
            "a.db",
            "db.example",
            "db.corp.example.com",
            "corp.example",
        ] {
            assert_eq!(subject.judge(&question(name, TYPE::A)), Fate::Forward);
        }
    }

    #[test]
    fn addresses_by_their_type() {
        let subject = subject(DnsOutcome::Addresses(vec![
            "192.0.2.7".parse().unwrap(),
            "2001:db8::7".parse().unwrap(),
        ]));
        for (kind, count) in [(TYPE::A, 1), (TYPE::AAAA, 1), (TYPE::MX, 0)] {
            let Fate::Answer(answer) = subject.judge(&question("db", kind)) else {
                panic!("no answer");
            };
            let answer = Packet::parse(&answer).unwrap();
            assert_eq!(answer.rcode(), RCODE::NoError);
            assert_eq!(answer.answers.len(), count);
            assert!(
                answer
                    .answers
                    .iter()
                    .all(|record| record.rdata.type_code() == kind)
            );
        }
    }

    #[test]
    fn nothing_cut_short_or_mad_panics() {
        let subject = subject(DnsOutcome::Servfail);
        let whole = question("db.corp.example", TYPE::A);
        for end in 0..whole.len() {
            assert_eq!(subject.judge(&whole[..end]), Fate::Forward, "cut at {end}");
        }
        for place in 0..whole.len() {
            for value in [0, 1, 0x3f, 0x40, 0x80, 0xc0, 0xc1, 0xff] {
                let mut mad = whole.clone();
                mad[place] = value;
                let _ = subject.judge(&mad);
            }
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(64);
        let many = "a.".repeat(128);
        for name in ["", ".", "a..b", &long, &many] {
            let made = Subject::new(name, &[], &DnsOutcome::Empty);
            assert!(made.is_err(), "{name:?}");
        }
    }
}
