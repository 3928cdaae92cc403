//! The DNS fault in real namespaces, with a resolver of the test's own in `b`: what `a` is told,
//! and what reaches the resolver.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test")]

mod world;

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use netcheck_fault::{Dns, DnsOutcome, Fault};
use simple_dns::rdata::{A, OPT, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, RCODE, ResourceRecord, TYPE};
use world::{B, PATIENCE, World};

/// What the resolver says of every name.
const TRUTH: [u8; 4] = [192, 0, 2, 99];

/// What silence is waited for.
const SILENCE: Duration = Duration::from_millis(300);

type Heard = Arc<Mutex<Vec<Vec<u8>>>>;

/// A resolver in `b` that remembers what it heard. Of `big` it says over UDP only that it is big.
fn resolver(world: &World) -> Heard {
    let heard = Heard::default();
    let (udp, tcp) = world.inside("b", || {
        (
            UdpSocket::bind("[::]:53").unwrap(),
            TcpListener::bind("[::]:53").unwrap(),
        )
    });
    let remembered = heard.clone();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            remembered.lock().unwrap().push(buffer[..length].to_vec());
            let _ = udp.send_to(&truth(&buffer[..length], true), from);
        }
    });
    let remembered = heard.clone();
    thread::spawn(move || {
        for stream in tcp.incoming() {
            let stream = stream.unwrap();
            let remembered = remembered.clone();
            thread::spawn(move || {
                while let Ok(message) = receive(&stream) {
                    remembered.lock().unwrap().push(message.clone());
                    send(&stream, &truth(&message, false));
                }
            });
        }
    });
    heard
}

fn truth(message: &[u8], udp: bool) -> Vec<u8> {
    let asked = Packet::parse(message).unwrap();
    let mut reply = Packet::new_reply(asked.id());
    let name = asked.questions[0].qname.clone();
    if udp && name.to_string() == "big" {
        reply.set_flags(PacketFlag::TRUNCATION);
    } else {
        let data = RData::A(A::from(std::net::Ipv4Addr::from(TRUTH)));
        reply
            .answers
            .push(ResourceRecord::new(name, CLASS::IN, 5, data));
    }
    reply.questions.push(asked.questions[0].clone());
    reply.build_bytes_vec().unwrap()
}

fn receive(mut stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut message)?;
    Ok(message)
}

fn send(mut stream: &TcpStream, message: &[u8]) {
    let length = (message.len() as u16).to_be_bytes();
    stream.write_all(&[&length, message].concat()).unwrap();
}

/// A question with EDNS.
fn question(name: &str, kind: TYPE) -> Vec<u8> {
    let mut packet = Packet::new_query(7);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(simple_dns::Question::new(
        Name::new(name).unwrap(),
        QTYPE::TYPE(kind),
        QCLASS::CLASS(CLASS::IN),
        false,
    ));
    *packet.opt_mut() = Some(OPT {
        opt_codes: Vec::new(),
        udp_packet_size: 4096,
        version: 0,
    });
    packet.build_bytes_vec().unwrap()
}

/// A UDP socket of `a` that asks this server.
fn client(world: &World, server: &str) -> UdpSocket {
    let any = if server.contains(':') {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    };
    let socket = world.inside("a", || UdpSocket::bind(any).unwrap());
    let server: IpAddr = server.parse().unwrap();
    socket.connect((server, 53)).unwrap();
    socket
}

/// Asks from `a` over UDP, on a socket of its own; none for silence.
fn ask(world: &World, server: &str, message: &[u8], patience: Duration) -> Option<Vec<u8>> {
    ask_on(&client(world, server), message, patience)
}

fn ask_on(socket: &UdpSocket, message: &[u8], patience: Duration) -> Option<Vec<u8>> {
    socket.set_read_timeout(Some(patience)).unwrap();
    socket.send(message).unwrap();
    let mut buffer = vec![0; 4096];
    let length = socket.recv(&mut buffer).ok()?;
    Some(buffer[..length].to_vec())
}

fn ask_tcp(world: &World, server: &str, messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let server: IpAddr = server.parse().unwrap();
    let stream = world.inside("a", || TcpStream::connect((server, 53)).unwrap());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let asked = messages.iter().map(|message| {
        send(&stream, message);
        receive(&stream).unwrap()
    });
    asked.collect()
}

/// The response code and the addresses.
fn said(answer: &[u8]) -> (RCODE, Vec<IpAddr>) {
    let packet = Packet::parse(answer).unwrap();
    assert_eq!(packet.id(), 7);
    let address = |record: &ResourceRecord<'_>| match &record.rdata {
        RData::A(a) => IpAddr::from(a.address.to_be_bytes()),
        RData::AAAA(a) => IpAddr::from(a.address.to_be_bytes()),
        other => panic!("{other:?}"),
    };
    (packet.rcode(), packet.answers.iter().map(address).collect())
}

fn dns(name: &str, outcome: DnsOutcome) -> Fault {
    Fault::Dns(Dns {
        name: name.to_owned(),
        outcome,
        servers: world::addresses(B),
    })
}

fn is_true(answer: Option<Vec<u8>>) {
    let (code, addresses) = said(&answer.expect("the resolver's answer"));
    assert_eq!((code, addresses), (RCODE::NoError, vec![TRUTH.into()]));
}

#[test]
fn each_outcome_over_udp_and_tcp_and_both_families() {
    let four: IpAddr = "198.51.100.4".parse().unwrap();
    let six: IpAddr = "2001:db8::6".parse().unwrap();
    let outcomes = [
        (DnsOutcome::Nxdomain, RCODE::NameError, vec![]),
        (DnsOutcome::Servfail, RCODE::ServerFailure, vec![]),
        (DnsOutcome::Refused, RCODE::Refused, vec![]),
        (DnsOutcome::Empty, RCODE::NoError, vec![]),
        (
            DnsOutcome::Addresses(vec![four, six]),
            RCODE::NoError,
            vec![four],
        ),
    ];
    let world = World::new();
    let heard = resolver(&world);
    for (outcome, code, addresses) in outcomes {
        let mut program = world.make(dns("db", outcome.clone()));
        for server in B {
            let message = question("DB", TYPE::A);
            let answer = ask(&world, server, &message, PATIENCE).unwrap();
            assert_eq!(said(&answer), (code, addresses.clone()), "{outcome:?}");
            let answers = ask_tcp(&world, server, &[message, question("other", TYPE::A)]);
            assert_eq!(said(&answers[0]), (code, addresses.clone()), "{outcome:?}");
            is_true(Some(answers[1].clone()));
        }
        if matches!(outcome, DnsOutcome::Addresses(_)) {
            let answer = ask(&world, B[0], &question("db", TYPE::AAAA), PATIENCE).unwrap();
            assert_eq!(said(&answer), (RCODE::NoError, vec![six]));
        }
        let counters = program.heal();
        assert!(counters.answered >= 4, "{counters:?}");
        assert_eq!((counters.forwarded, counters.failed), (2, 0));
        is_true(ask(&world, B[0], &question("db", TYPE::A), PATIENCE));
    }
    let asked = |name: &str| {
        let heard = heard.lock().unwrap();
        let name = Name::new_unchecked(name).to_string();
        heard
            .iter()
            .filter(|message| {
                Packet::parse(message).unwrap().questions[0]
                    .qname
                    .to_string()
                    == name
            })
            .count()
    };
    assert_eq!(asked("DB"), 0, "the resolver was never asked for it");
    assert_eq!(asked("db"), 5, "but after each healing");
}

#[test]
fn no_answer_is_silence() {
    let world = World::new();
    let _heard = resolver(&world);
    let mut program = world.make(dns("db", DnsOutcome::NoAnswer));
    assert_eq!(ask(&world, B[0], &question("db", TYPE::A), SILENCE), None);
    is_true(ask(&world, B[0], &question("other", TYPE::A), PATIENCE));
    assert_eq!(program.heal().answered, 1);
}

#[test]
fn what_is_not_meant_goes_to_its_resolver_and_back_unchanged() {
    let world = World::new();
    let heard = resolver(&world);
    let _program = world.make(dns("db", DnsOutcome::Nxdomain));
    for server in B {
        let message = question("other", TYPE::A);
        let answer = ask(&world, server, &message, PATIENCE).unwrap();
        assert_eq!(heard.lock().unwrap().pop().unwrap(), message, "with EDNS");
        assert_eq!(answer, truth(&message, true));
        let big = question("big", TYPE::A);
        let cut = ask(&world, server, &big, PATIENCE).unwrap();
        assert_eq!(cut, truth(&big, true));
        assert!(
            Packet::parse(&cut)
                .unwrap()
                .has_flags(PacketFlag::TRUNCATION)
        );
        is_true(ask_tcp(&world, server, &[big]).pop());
    }
}

#[test]
fn several_names_fail_at_once_and_heal_in_any_order() {
    let world = World::new();
    let heard = resolver(&world);
    let faulty = |name: &str| {
        let answer = ask(&world, B[0], &question(name, TYPE::A), PATIENCE).unwrap();
        said(&answer).0 == RCODE::NameError
    };
    let mut programs: Vec<_> = ["one", "two", "three"]
        .map(|name| world.make(dns(name, DnsOutcome::Nxdomain)))
        .into();
    heard.lock().unwrap().clear();
    assert!(faulty("one") && faulty("two") && faulty("three"));
    assert!(!faulty("four"));
    assert_eq!(
        heard.lock().unwrap().len(),
        1,
        "asked once, not in a circle"
    );
    programs.remove(1).heal();
    assert!(faulty("one") && !faulty("two") && faulty("three"));
    programs.remove(0).signal(libc::SIGKILL);
    assert!(!faulty("one") && faulty("three"));
    programs.push(world.make(dns("two", DnsOutcome::Nxdomain)));
    assert!(faulty("two") && faulty("three") && !faulty("one"));
}

/// Resolvers that keep their socket (c-ares, Go's and Envoy's pools), and whoever is given the port
/// that another had a moment ago: the kernel decides once in a flow where it goes, so that each
/// fault has to make it decide again.
#[test]
fn a_client_that_keeps_its_socket_sees_each_fault_and_each_healing() {
    let world = World::new();
    let _heard = resolver(&world);
    let message = question("db", TYPE::A);
    for server in B {
        let socket = client(&world, server);
        let ask = || ask_on(&socket, &message, PATIENCE);
        let fails = || said(&ask().unwrap()).0 == RCODE::NameError;
        is_true(ask());
        for _ in 0..2 {
            let mut lower = world.make(dns("db", DnsOutcome::Nxdomain));
            let mut higher = world.make(dns("db", DnsOutcome::Nxdomain));
            assert!(fails(), "by the lower one");
            lower.heal();
            assert!(fails(), "by the higher one");
            higher.heal();
            is_true(ask());
        }
    }
}
