//! Drop and refuse, in real namespaces: what `a` sees, what `b` sees, and what established
//! connections see, before, during and after.

mod world;

use std::io::{self, Read as _, Write as _};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use netcheck_fault::{Drop, Fault, Protocol, Refuse, RefuseWith};
use world::{A, B, PATIENCE, World, addresses, echoed};

/// What silence is waited for: an answer on this network takes less than a millisecond.
const SILENCE: Duration = Duration::from_millis(300);

fn drop_from_b(protocol: Option<Protocol>, port: Option<u16>) -> Fault {
    Fault::Drop(Drop {
        from: addresses(B),
        protocol,
        port,
    })
}

#[test]
fn drop_is_silence_and_established_connections_survive_it() {
    for to in B {
        let world = World::new();
        let mut established = world.connect(to).unwrap();
        echoed(&established, b"before");
        let mut program = world.make(drop_from_b(None, None));
        let (error, took) = world.connect_within(to, SILENCE).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(took >= SILENCE);
        let udp = world.udp(to);
        udp.set_read_timeout(Some(SILENCE)).unwrap();
        udp.send(b"x").unwrap();
        let silence = udp.recv(&mut [0; 9]).unwrap_err();
        assert_eq!(silence.kind(), io::ErrorKind::WouldBlock);

        established.write_all(b"during").unwrap();
        established.set_read_timeout(Some(SILENCE)).unwrap();
        let silence = established.read(&mut [0; 9]).unwrap_err();
        assert_eq!(silence.kind(), io::ErrorKind::WouldBlock);
        assert!(program.counters().dropped >= 3);
        program.heal();
        established.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut back = [0; 6];
        established.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"during", "it goes on where it stopped");
        world.connect(to).unwrap();
    }
}

#[test]
fn drop_by_protocol_and_port_leaves_the_rest() {
    let world = World::new();
    let a_port = 4000;
    let mut program = world.make(drop_from_b(Some(Protocol::Udp), Some(a_port)));
    world.connect(B[0]).unwrap();
    for (port, arrives) in [(a_port, false), (a_port + 1, true)] {
        let socket = world.inside("a", || UdpSocket::bind((A[0], port)).unwrap());
        socket.set_read_timeout(Some(SILENCE)).unwrap();
        let sender = world.inside("b", || UdpSocket::bind((B[0], 0)).unwrap());
        sender.send_to(b"x", (A[0], port)).unwrap();
        assert_eq!(socket.recv(&mut [0; 9]).is_ok(), arrives, "port {port}");
    }
    assert_eq!(program.heal().dropped, 1);
}

#[test]
fn neighbours_find_each_other_while_everything_is_dropped() {
    let world = World::new();
    let _program = world.make(drop_from_b(None, None));
    world.ip("a", "neigh flush all");
    let sent = world.inside("a", || UdpSocket::bind("[::]:0").unwrap());
    sent.send_to(b"x", (B[1], 9)).unwrap();
    let start = Instant::now();
    while !world.ip("a", "-6 neigh show").contains("REACHABLE") {
        assert!(
            start.elapsed() < PATIENCE,
            "{}",
            world.ip("a", "neigh show")
        );
        std::thread::yield_now();
    }
}

/// The errno of a connect over TCP; of the second call on a connected UDP socket, if any.
const SEEN: [(RefuseWith, [i32; 2], [Option<i32>; 2]); 5] = {
    use libc::{EACCES, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH};
    [
        (RefuseWith::TcpReset, [ECONNREFUSED; 2], [None; 2]),
        (
            RefuseWith::PortUnreachable,
            [ECONNREFUSED; 2],
            [Some(ECONNREFUSED); 2],
        ),
        (RefuseWith::HostUnreachable, [EHOSTUNREACH; 2], [None; 2]),
        (RefuseWith::NetUnreachable, [ENETUNREACH; 2], [None; 2]),
        (
            RefuseWith::AdminProhibited,
            [EHOSTUNREACH, EACCES],
            [Some(EHOSTUNREACH), Some(EACCES)],
        ),
    ]
};

#[test]
fn refused_connections_fail_at_once_with_the_errno_that_is_documented() {
    for (with, tcp, udp) in SEEN {
        let world = World::new();
        let established = B.map(|to| world.connect(to).unwrap());
        let mut program = world.make(Fault::Refuse(Refuse {
            to: addresses(B),
            protocol: None,
            port: None,
            with,
        }));
        for (index, to) in B.into_iter().enumerate() {
            for (error, took) in [
                world.connect(to).unwrap_err(),
                world.connect_within(to, PATIENCE).unwrap_err(),
            ] {
                assert_eq!(error.raw_os_error(), Some(tcp[index]), "{with:?} to {to}");
                // Not the second that a repeated SYN would take.
                assert!(took < Duration::from_millis(500), "{with:?}: {took:?}");
            }
            let socket = world.udp(to);
            socket.set_read_timeout(Some(SILENCE)).unwrap();
            socket.send(b"x").unwrap();
            let seen = socket.recv(&mut [0; 9]);
            if with == RefuseWith::TcpReset {
                assert!(seen.is_ok(), "UDP is let alone");
            } else {
                let expected = udp[index].or(Some(libc::EAGAIN));
                let seen = seen.unwrap_err().raw_os_error();
                assert_eq!(seen, expected, "UDP, {with:?} to {to}");
            }
            echoed(&established[index], b"an established connection goes on");
        }
        let counters = program.heal();
        assert!(counters.refused >= 2, "{counters:?}");
        assert_eq!(counters.failed, 0);
        for to in B {
            echoed(&world.connect(to).unwrap(), b"after");
        }
    }
}

#[test]
fn what_b_asks_is_still_answered_by_a_that_refuses() {
    let world = World::new();
    let server = world.inside("a", || UdpSocket::bind((A[0], 5000)).unwrap());
    let _program = world.make(Fault::Refuse(Refuse {
        to: addresses(B),
        protocol: None,
        port: None,
        with: RefuseWith::PortUnreachable,
    }));
    let client = world.inside("b", || UdpSocket::bind((B[0], 0)).unwrap());
    client.connect((A[0], 5000)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send(b"question").unwrap();
    let (_, from) = server.recv_from(&mut [0; 9]).unwrap();
    server.send_to(b"answer", from).unwrap();
    assert_eq!(client.recv(&mut [0; 9]).unwrap(), 6);
}

#[test]
fn refusing_one_port_leaves_the_others() {
    let world = World::new();
    let mut program = world.make(Fault::Refuse(Refuse {
        to: addresses(B),
        protocol: Some(Protocol::Tcp),
        port: Some(world::ECHO + 1),
        with: RefuseWith::HostUnreachable,
    }));
    world.connect(B[0]).unwrap();
    assert_eq!(program.heal().refused, 0);
}
