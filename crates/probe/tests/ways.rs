//! Ways, packet sizes and ports, asked of the built probe against sockets of the test itself.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test")]

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

mod call;

use call::ask;
use netcheck_probe::{Answer, Fitted, Question};

fn held(to: SocketAddr) -> u32 {
    match ask(3000, &Question::Held { to }).unwrap() {
        Answer::Held { ports } => ports,
        other => panic!("{other:?}"),
    }
}

fn fits(to: SocketAddr, bytes: u32) -> Fitted {
    let question = Question::Fits {
        to,
        bytes,
        wait_ms: 90,
    };
    match ask(3000, &question).unwrap() {
        Answer::Fits(fitted) => fitted,
        other => panic!("{other:?}"),
    }
}

#[test]
fn ports_of_open_and_of_closed_connections_are_held() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    assert_eq!(held(to), 0);
    let open: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(to).unwrap()).collect();
    assert_eq!(held(to), 3);
    // Who closes first has it wait (RFC 9293 3.6.1).
    drop(open);
    for _ in 0..3 {
        drop(listener.accept().unwrap());
    }
    assert_eq!(held(to), 3);
}

#[test]
fn a_large_packet_that_arrives_and_one_that_nobody_answers() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = silent.local_addr().unwrap();
    assert_eq!(fits(to, 1500), Fitted::Silent);
    let mut room = [0; 2000];
    // 20 bytes of IP, 8 of UDP.
    assert_eq!(silent.recv(&mut room).unwrap(), 1472);
    drop(silent);
    assert_eq!(fits(to, 1500), Fitted::Delivered);
}

#[test]
fn a_way_to_this_machine() {
    let to = "127.0.0.1".parse().unwrap();
    let answer = ask(3000, &Question::Way { to }).unwrap();
    assert_eq!(answer, Answer::Way { barred: None });
}
