//! Many tries, one after another, as the probe makes them: each begins when it should, finds what
//! is there at that moment, and ends in time.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod call;

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use call::{Probe, ask, blackhole, nobody};
use netcheck_probe::{
    Accepts, Answer, Attempt, Came, Connected, Delivered, Errno, Protocol, Question, Resolved, Then,
};

fn question(host: &str, port: u16, protocol: Protocol, after_ms: u32) -> Question {
    Question::Attempt {
        host: host.into(),
        port,
        protocol,
        after_ms,
        listen_ms: 20,
    }
}

/// One try at an address.
fn attempt(to: SocketAddr, protocol: Protocol) -> Attempt {
    let question = question(&to.ip().to_string(), to.port(), protocol, 0);
    match ask(6000, &question).unwrap() {
        Answer::Attempt(attempt) => attempt,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_begins_at_its_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let mut came = Vec::new();
        for _ in 0..3 {
            drop(listener.accept().unwrap());
            came.push(Instant::now());
        }
        came
    });
    let questions = [0, 300, 600]
        .map(|after_ms| question("127.0.0.1", port, Protocol::Tcp, after_ms))
        .to_vec();
    let response = Probe::start(&[]).respond(5000, questions);
    assert_eq!(response.answers.len(), 3);
    let came = server.join().unwrap();
    for (one, next) in came.iter().zip(&came[1..]) {
        // A thread may wake up late, and never early.
        let between = next.duration_since(*one);
        assert!(between > Duration::from_millis(200), "{between:?}");
    }
}

#[test]
fn one_that_would_begin_too_late_is_not_begun() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let late = question("127.0.0.1", port, Protocol::Tcp, 5000);
    let why = ask(500, &late).unwrap_err();
    assert_eq!(why, "not begun before the deadline");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err());
}

#[test]
fn what_is_there_and_what_is_not() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        stream.write_all(b"hi").unwrap();
    });
    let found = attempt(to, Protocol::Tcp);
    assert_eq!(found.resolved, Resolved::Addresses(vec![to.ip()]));
    let tried = found.tried.unwrap();
    assert_eq!(tried.to, to);
    let Came::Tcp(Connected::Open { then, .. }) = tried.came else {
        panic!("{tried:?}");
    };
    assert_eq!(then, Then::Spoke("hi".into()));

    let (_guard, nowhere) = nobody();
    let refused = attempt(nowhere, Protocol::Tcp).tried.unwrap();
    let refusal = |came: &Came| match came {
        Came::Tcp(Connected::Failed { errno, .. }) => Some(*errno),
        Came::Udp(Delivered::Failed { errno }) => Some(*errno),
        _ => None,
    };
    assert_eq!(refusal(&refused.came), Some(Errno::Refused), "{refused:?}");

    let echo = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = echo.local_addr().unwrap();
    thread::spawn(move || {
        let (_, peer) = echo.recv_from(&mut [0; 9]).unwrap();
        echo.send_to(b"x", peer).unwrap();
    });
    let replied = attempt(to, Protocol::Udp).tried.unwrap();
    assert!(
        matches!(replied.came, Came::Udp(Delivered::Reply { .. })),
        "{replied:?}"
    );
}

#[test]
fn a_full_queue_ends_it_after_its_own_time_and_is_counted() {
    let count = || match ask(2000, &Question::Overflows).unwrap() {
        Answer::Overflows { count } => count,
        other => panic!("{other:?}"),
    };
    let before = count();
    let (_kept, to) = blackhole();
    let start = Instant::now();
    let tried = attempt(to, Protocol::Tcp).tried.unwrap();
    let failed = Came::Tcp(Connected::Failed {
        errno: Errno::TimedOut,
        took_ms: tried.took_us / 1000,
    });
    assert_eq!(tried.came, failed);
    // 3.5 s, though there were 6.
    assert!(tried.took_us > 3_400_000, "{tried:?}");
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(count() > before);
}

#[test]
fn a_name_that_nobody_knows() {
    // RFC 6761 6.4: it never exists. The address of nobody's name server is refused at once.
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("etc")).unwrap();
    let etc = |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
    etc("etc/resolv.conf", "nameserver 127.0.0.77\n");
    etc("etc/hosts", "127.0.0.1 here\n");
    let root = folder.path().to_str().unwrap();
    let mut probe = Probe::start(&["--root", root]);
    let questions = ["nobody.invalid", "here"]
        .map(|name| question(name, 9, Protocol::Udp, 0))
        .to_vec();
    let response = probe.respond(5000, questions);
    let [unknown, known] = &response.answers[..] else {
        panic!("{response:?}");
    };
    let Ok(Answer::Attempt(unknown)) = &unknown.answer else {
        panic!("{unknown:?}");
    };
    let Resolved::Not(Some(query)) = &unknown.resolved else {
        panic!("{unknown:?}");
    };
    assert_eq!(query.name, "nobody.invalid");
    assert_eq!(unknown.tried, None);
    let Ok(Answer::Attempt(known)) = &known.answer else {
        panic!("{known:?}");
    };
    let here = Resolved::Addresses(vec!["127.0.0.1".parse().unwrap()]);
    assert_eq!(known.resolved, here);
}

/// The last ACK of a handshake is dropped when the accept queue is full by then: our end is open, and
/// the other end has no connection that could be accepted. Many at once make that happen.
#[test]
fn a_connection_that_found_no_room_was_not_accepted() {
    for _ in 0..20 {
        let (listener, to) = nobody();
        listener.listen(4).unwrap();
        let questions = (0..60).map(|more| Question::Accepts {
            to,
            patience_ms: 100 + more,
        });
        let response = Probe::start(&[]).respond(600, questions.collect());
        // Most of them found no room, which is told as what it is.
        let waiting = response
            .answers
            .iter()
            .filter(|one| matches!(one.answer, Ok(Answer::Accepts(Accepts::Waiting { .. }))));
        assert!(waiting.count() > 50, "{response:?}");
        let accepted = response
            .answers
            .iter()
            .filter(|one| matches!(one.answer, Ok(Answer::Accepts(Accepts::Accepted { .. }))));
        assert_eq!(accepted.count(), 0, "nobody accepts here");
        drop(listener);
    }
}
