//! Runs the built probe against sockets of the test itself. Every test waits for an answer that
//! only the right behaviour can give; none of them may need root, a name server or the network.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test")]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

mod call;

use call::{Probe, ask, ask_below, blackhole, nobody, own};
use netcheck_probe::{
    Accepts, Answer, Answered, Connected, Delivered, DnsOutcome, Errno, MAX_LINE, Protocol,
    Question, RecordType, Request, Source, Then,
};

fn connect(to: SocketAddr) -> Connected {
    let question = Question::Connect { to, listen_ms: 300 };
    let Answer::Connect(connected) = ask(3000, &question).unwrap() else {
        panic!("another answer")
    };
    connected
}

/// What follows on a connection to a server that does `act` with it.
fn then(act: impl FnOnce(TcpStream) + Send + 'static) -> Then {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    thread::spawn(move || act(listener.accept().unwrap().0));
    match connect(to) {
        Connected::Open { from, then, .. } => {
            assert_eq!(from.ip(), to.ip());
            then
        }
        failed @ Connected::Failed { .. } => panic!("{failed:?}"),
    }
}

#[test]
fn a_hello_is_one_tls_record_and_nothing_else() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut head = [0; 5];
        stream.read_exact(&mut head).unwrap();
        let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
        let mut more = Vec::new();
        // A reset is an end as well.
        let _ = stream.read_to_end(&mut more);
        (head, body, more)
    });
    let question = Question::Hello { to, wait_ms: 3000 };
    let Answer::Hello(Connected::Open { then, .. }) = ask_below(&[], 5000, &question).unwrap()
    else {
        panic!("no connection")
    };
    assert_eq!(then, Then::Spoke("HTTP/1.1 400 Bad Request\r\n\r\n".into()));
    let (head, body, more) = server.join().unwrap();
    // RFC 8446 5.1 and 4: a handshake record with one client hello that fills it.
    assert_eq!(head[..3], [0x16, 3, 1]);
    assert_eq!(body[..2], [1, 0]);
    assert_eq!(usize::from(body[3]), body.len() - 4);
    // Version, random, session, three cipher suites, one compression, then the extensions.
    let extensions = &body[4 + 2 + 32 + 1 + 2 + 6 + 2..];
    assert_eq!(usize::from(extensions[1]), extensions.len() - 2);
    assert!(more.is_empty());
}

#[test]
fn connect_refused() {
    let (_guard, to) = nobody();
    assert!(matches!(
        connect(to),
        Connected::Failed { errno: Errno::Refused, took_ms } if took_ms < 1000
    ));
}

#[test]
fn connect_and_silence() {
    let end = then(|stream| {
        thread::sleep(Duration::from_secs(2));
        drop(stream);
    });
    assert_eq!(end, Then::Silent);
}

#[test]
fn connect_and_a_greeting() {
    let end = then(|mut stream| {
        stream.write_all(b"SSH-2.0-\xffx\r\n").unwrap();
        thread::sleep(Duration::from_secs(2));
    });
    assert_eq!(end, Then::Spoke("SSH-2.0-\u{fffd}x\r\n".to_owned()));
}

#[test]
fn connect_and_a_close() {
    assert_eq!(then(drop), Then::Closed);
}

#[test]
fn connect_and_a_reset() {
    let end = then(|stream| {
        let socket = socket2::Socket::from(stream);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    });
    assert_eq!(end, Then::Reset);
}

#[test]
fn a_process_that_accepts_and_one_that_does_not() {
    let ask_accepts = |to, patience_ms| {
        let question = Question::Accepts { to, patience_ms };
        let Answer::Accepts(accepts) = ask(3000, &question).unwrap() else {
            panic!("another answer")
        };
        accepts
    };
    let accepting = TcpListener::bind("0.0.0.0:0").unwrap();
    let to = SocketAddr::new(
        "127.0.0.1".parse().unwrap(),
        accepting.local_addr().unwrap().port(),
    );
    thread::spawn(move || {
        let mut kept = Vec::new();
        loop {
            thread::sleep(Duration::from_millis(60));
            kept.push(accepting.accept());
        }
    });
    let accepted = ask_accepts(to, 2000);
    assert!(matches!(accepted, Accepts::Accepted { .. }), "{accepted:?}");

    let hung = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = hung.local_addr().unwrap();
    let _earlier = TcpStream::connect(to).unwrap();
    let waiting = ask_accepts(to, 300);
    assert!(
        matches!(waiting, Accepts::Waiting { queued: 2, waited_ms } if (300..1000).contains(&waited_ms)),
        "{waiting:?}"
    );
    let (_guard, to) = nobody();
    assert_eq!(
        ask_accepts(to, 300),
        Accepts::Failed {
            errno: Errno::Refused
        }
    );
}

#[test]
fn datagrams() {
    let send = |to| {
        let question = Question::Datagram { to, wait_ms: 300 };
        let Answer::Datagram(delivered) = ask(3000, &question).unwrap() else {
            panic!("another answer")
        };
        delivered
    };
    let echo = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = echo.local_addr().unwrap();
    let server = thread::spawn(move || {
        let mut buffer = [0; 9];
        let (length, peer) = echo.recv_from(&mut buffer).unwrap();
        echo.send_to(&buffer[..length], peer).unwrap();
        buffer[..length].to_vec()
    });
    assert!(matches!(send(to), Delivered::Reply { .. }));
    assert_eq!(server.join().unwrap(), b"x");

    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_eq!(send(silent.local_addr().unwrap()), Delivered::Silent);
    let nobody = own(1);
    assert_eq!(
        send(nobody),
        Delivered::Failed {
            errno: Errno::Refused
        }
    );
}

/// A reply made from the query by changing its header and appending records.
fn reply(query: &[u8], code: u8, answers: &[&[u8]]) -> Vec<u8> {
    let mut message = query.to_vec();
    message[2] |= 0x80;
    message[3] = 0x80 | code;
    message[7] = u8::try_from(answers.len()).unwrap();
    message.extend(answers.concat());
    message
}

/// A record for the name of the question.
const A_RECORD: &[u8] = &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7];

/// Makes a reply from a query.
type Make = fn(&[u8]) -> Vec<u8>;

/// The outcome of a query to a UDP server that sends what `answer` makes of it.
fn dns(answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> DnsOutcome {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let (send, asked) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, peer)) = server.recv_from(&mut buffer) {
            let _ = send.send(());
            let message = answer(&buffer[..length]);
            if !message.is_empty() {
                server.send_to(&message, peer).unwrap();
            }
        }
    });
    let outcome = query(address);
    asked.try_recv().expect("the server was not even asked");
    outcome
}

fn query(server: SocketAddr) -> DnsOutcome {
    let question = Question::Query {
        name: "web.example.".to_owned(),
        record: RecordType::A,
        server,
    };
    let Answer::Query(query) = ask(500, &question).unwrap() else {
        panic!("another answer")
    };
    assert_eq!((query.name.as_str(), query.server), ("web.example", server));
    query.outcome
}

#[test]
fn dns_answers() {
    let address: IpAddr = "192.0.2.7".parse().unwrap();
    assert_eq!(
        dns(|it| reply(it, 0, &[A_RECORD])),
        DnsOutcome::Addresses(vec![address])
    );
    assert_eq!(dns(|it| reply(it, 0, &[])), DnsOutcome::NoData);
    assert_eq!(dns(|it| reply(it, 3, &[])), DnsOutcome::NxDomain);
    assert_eq!(dns(|it| reply(it, 2, &[])), DnsOutcome::ServFail);
    assert_eq!(dns(|it| reply(it, 5, &[])), DnsOutcome::Refused);
    assert_eq!(dns(|it| reply(it, 4, &[])), DnsOutcome::OtherCode(4));
}

#[test]
fn dns_silence_and_nonsense() {
    assert_eq!(dns(|_| Vec::new()), DnsOutcome::TimedOut);
    let (_guard, to) = nobody();
    assert_eq!(query(to), DnsOutcome::Undelivered(Errno::Refused));
    let nonsense: [Make; 6] = [
        |_| b"SSH-2.0-OpenSSH".to_vec(),
        |it| it.to_vec(),
        |it| reply(it, 0, &[&A_RECORD[..9]]),
        |it| reply(it, 0, &[&[0xc0, 0xff]]),
        // A record whose name points at itself: the question has 17 bytes behind the header.
        |it| {
            reply(
                it,
                0,
                &[&[0xc0, 29, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 1, 1, 1, 1]],
            )
        },
        // Another name than the one that was asked for.
        |it| {
            let mut message = reply(it, 0, &[A_RECORD]);
            message[13] = b'x';
            message
        },
    ];
    for (index, answer) in nonsense.into_iter().enumerate() {
        let outcome = dns(answer);
        assert!(
            matches!(outcome, DnsOutcome::Malformed(_)),
            "{index}: {outcome:?}"
        );
    }
}

#[test]
fn dns_cut_answers_are_asked_for_over_tcp() {
    // A port free for one protocol need not be so for the other.
    let address = own(2);
    let listener = TcpListener::bind(address).unwrap();
    let datagrams = UdpSocket::bind(address).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        let (length, peer) = datagrams.recv_from(&mut buffer).unwrap();
        let mut cut = reply(&buffer[..length], 0, &[]);
        cut[2] |= 0x02;
        datagrams.send_to(&cut, peer).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut query).unwrap();
        let full = reply(&query, 0, &[A_RECORD]);
        // In two parts, as TCP may deliver it.
        let length = u16::try_from(full.len()).unwrap().to_be_bytes();
        stream.write_all(&[&length, &full[..5]].concat()).unwrap();
        thread::sleep(Duration::from_millis(50));
        stream.write_all(&full[5..]).unwrap();
    });
    let expected: IpAddr = "192.0.2.7".parse().unwrap();
    assert_eq!(query(address), DnsOutcome::Addresses(vec![expected]));
}

#[test]
fn the_deadline_is_kept() {
    let (_kept, to) = blackhole();
    let (_guard, refused) = nobody();
    let mut questions: Vec<Question> = (0..100)
        .map(|listen_ms| Question::Connect { to, listen_ms })
        .collect();
    questions.push(Question::Connect {
        to: refused,
        listen_ms: 0,
    });
    // First in the queue, or none of the 64 threads would come to it.
    questions.rotate_right(1);
    let mut probe = Probe::start(&[]);
    // The start of the program is no part of the deadline.
    probe.respond(1000, vec![]);
    let start = Instant::now();
    let response = probe.respond(500, questions);
    let took = start.elapsed();
    assert!(took < Duration::from_millis(650), "{took:?}");
    assert!(
        took > Duration::from_millis(400),
        "the listener does accept: {took:?}"
    );
    assert_eq!(response.answers.len(), 101);
    let failed = |answered: &Answered, wanted: Errno| matches!(&answered.answer, Ok(Answer::Connect(Connected::Failed { errno, .. })) if *errno == wanted);
    assert!(failed(&response.answers[0], Errno::Refused));
    assert!(failed(&response.answers[1], Errno::TimedOut));
    let late: Vec<&String> = response
        .answers
        .iter()
        .filter_map(|it| it.answer.as_ref().err())
        .collect();
    // 64 threads, of which the one with the refused connection takes another question.
    assert_eq!(late.len(), 101 - 65, "more threads than allowed, or fewer");
    assert_eq!(late[0], "not finished within 500 ms");
}

#[test]
fn the_same_question_is_asked_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let question = Question::Connect { to, listen_ms: 50 };
    let response = Probe::start(&[]).respond(1000, vec![question; 5]);
    assert_eq!(response.answers.len(), 5);
    for answered in &response.answers {
        assert!(matches!(
            answered.answer,
            Ok(Answer::Connect(Connected::Open { .. }))
        ));
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_ok());
    assert!(listener.accept().is_err(), "a second connection");
}

#[test]
fn the_end_of_input_ends_it_in_the_middle_of_a_request() {
    let (_kept, to) = blackhole();
    let mut probe = Probe::start(&[]);
    probe.respond(1000, vec![]);
    let request = Request::new(20_000, vec![Question::Connect { to, listen_ms: 0 }]);
    let mut line = serde_json::to_vec(&request).unwrap();
    line.push(b'\n');
    probe.say(&line);
    thread::sleep(Duration::from_millis(100));
    assert!(
        probe.child.try_wait().unwrap().is_none(),
        "it has to be working now"
    );
    probe.input = None;
    let start = Instant::now();
    let status = probe.child.wait().unwrap();
    assert!(
        start.elapsed() < Duration::from_millis(100),
        "{:?}",
        start.elapsed()
    );
    assert!(status.success());
    let mut rest = Vec::new();
    probe.output.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
}

#[test]
fn requests_that_are_none() {
    let mut probe = Probe::start(&[]);
    for (line, word) in [
        ("{\"version\":99,\"what\":1}", "version 99"),
        ("hello", "not one"),
        ("{\"version\":1}", "not one"),
        (
            "{\"version\":1,\"deadline_ms\":1,\"questions\":[{\"ask\":\"reboot\"}]}",
            "reboot",
        ),
        ("\u{0}", "not one"),
    ] {
        probe.say(format!("{line}\n").as_bytes());
        let response = probe.hear();
        assert!(response.answers.is_empty());
        let error = response.error.unwrap();
        assert!(error.contains(word), "{line}: {error}");
    }
    probe.say(&vec![b' '; MAX_LINE + 10]);
    probe.say(b"\n");
    assert!(probe.hear().error.unwrap().contains("longer than"));
    // And it goes on.
    let response = probe.respond(2000, vec![Question::Snapshot]);
    assert_eq!(response.error, None);
    assert!(response.answers[0].answer.is_ok());
}

#[test]
fn snapshot_of_this_namespace() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let _waits = TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
    let Answer::Snapshot(snapshot) = ask(5000, &Question::Snapshot).unwrap() else {
        panic!("another answer")
    };
    let link = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(
        link.to_str().unwrap(),
        format!("net:[{}]", snapshot.namespace.unwrap())
    );
    let interfaces = snapshot.interfaces.unwrap();
    let lo = interfaces.iter().find(|it| it.name == "lo").unwrap();
    assert!(lo.up && lo.mac.is_none() && lo.mtu > 0);
    assert!(lo.addresses.contains(&("127.0.0.1".parse().unwrap(), 8)));
    let sockets = snapshot.sockets.unwrap();
    let find = |protocol, local| {
        let mut found = sockets
            .iter()
            .filter(|it| it.protocol == protocol && it.local == local);
        (found.next().unwrap(), found.count())
    };
    let (listener, more) = find(Protocol::Tcp, tcp.local_addr().unwrap());
    assert_eq!((listener.waiting, listener.v6_only, more), (1, None, 0));
    assert!(listener.backlog > 0);
    assert_eq!(listener.owner.as_ref().unwrap().pid, std::process::id());
    let (receiver, _) = find(Protocol::Udp, udp.local_addr().unwrap());
    assert_eq!((receiver.waiting, receiver.backlog), (0, 0));
    assert!(snapshot.sysctls.contains_key("net.ipv4.ip_forward"));
    snapshot.routes.unwrap();
    snapshot.neighbours.unwrap();
}

#[test]
fn files_below_a_root_that_points_out() {
    let root = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let etc = root.path().join("etc");
    std::fs::create_dir(&etc).unwrap();
    std::fs::write(outside.path().join("hosts"), "192.0.2.66 outside\n").unwrap();
    std::os::unix::fs::symlink(outside.path().join("hosts"), etc.join("hosts")).unwrap();
    // Up and out, which has to end at the root, at a file that is really there.
    std::fs::write(
        root.path().join("resolv"),
        "nameserver 127.0.0.254\nsearch a.example\n",
    )
    .unwrap();
    std::os::unix::fs::symlink("../../../../../../resolv", etc.join("resolv.conf")).unwrap();
    let below = ["--root", root.path().to_str().unwrap()];
    let Answer::Snapshot(snapshot) = ask_below(&below, 5000, &Question::Snapshot).unwrap() else {
        panic!("another answer")
    };
    let error = snapshot.hosts.unwrap_err();
    assert!(
        error.starts_with("reading /etc/hosts: No such file"),
        "{error}"
    );
    let conf = snapshot.resolv_conf.unwrap();
    assert_eq!(conf.search, ["a.example"]);

    // With the same link but the target inside, it is read: the test above is no accident.
    let inside = root.path().join(outside.path().strip_prefix("/").unwrap());
    std::fs::create_dir_all(&inside).unwrap();
    std::fs::write(inside.join("hosts"), "192.0.2.1 inside\n").unwrap();
    let lookup = |name: &str| {
        let question = Question::Lookup {
            name: name.to_owned(),
        };
        let Answer::Lookup(lookup) = ask_below(&below, 2000, &question).unwrap() else {
            panic!("another answer")
        };
        lookup
    };
    let known = lookup("INSIDE");
    assert_eq!(known.source, Source::Hosts);
    assert_eq!(known.addresses, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
    // DNS was asked too, at the server of that resolv.conf; refused, no further domain is tried.
    assert_eq!(known.queries.len(), 2);
    for (query, record) in known.queries.iter().zip([RecordType::A, RecordType::Aaaa]) {
        assert_eq!(query.name, "INSIDE.a.example");
        assert_eq!(query.record, record);
        assert_eq!(query.server, "127.0.0.254:53".parse().unwrap());
        assert_eq!(query.outcome, DnsOutcome::Undelivered(Errno::Refused));
    }
    assert_eq!(lookup("outside").source, Source::Nobody);
    let literal = lookup("192.0.2.9");
    assert_eq!(
        (literal.source, literal.queries.len()),
        (Source::Literal, 0)
    );
}

#[test]
fn files_that_are_no_files() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("etc/hosts")).unwrap();
    let fifo = root.path().join("etc/resolv.conf");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let below = ["--root", root.path().to_str().unwrap()];
    let Answer::Snapshot(snapshot) = ask_below(&below, 5000, &Question::Snapshot).unwrap() else {
        panic!("another answer")
    };
    assert!(snapshot.hosts.unwrap_err().contains("not a regular file"));
    assert!(
        snapshot
            .resolv_conf
            .unwrap_err()
            .contains("not a regular file")
    );
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_netcheck-probe"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn arguments() {
    let version = run(&["--version"]);
    assert!(version.status.success());
    let text = String::from_utf8(version.stdout).unwrap();
    assert!(text.ends_with("(protocol 1)\n"), "{text}");
    for (arguments, code, word) in [
        (&["--what"][..], 64, "--what"),
        (&["--root"], 64, "--root"),
        (&["--root", "/nowhere/at/all"], 1, "/nowhere/at/all"),
        (&["--netns", "/nowhere/at/all"], 1, "/nowhere/at/all"),
        (&["--netns", "/etc/passwd"], 1, "entering"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(code));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(word) && output.stdout.is_empty(), "{text}");
    }
}

#[test]
fn a_reader_that_is_gone_ends_it_quietly() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_netcheck-probe"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"hello\n").unwrap();
    let start = Instant::now();
    let status = child.wait().unwrap();
    assert!(status.success() && start.elapsed() < Duration::from_secs(2));
    let mut said = String::new();
    child.stderr.unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
    drop(input);
}
