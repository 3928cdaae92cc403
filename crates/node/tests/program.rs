//! Runs the built program, each service for real. Each has a loopback address of its own, so
//! tests can run side by side.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Killed at the end of the test.
struct Node(Child);

impl Node {
    fn start(words: &[&str]) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_netcheck-node"))
            .args(words)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn end(&mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }

    fn complaint(&mut self) -> String {
        let mut text = String::new();
        self.0
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        text
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Below the ports that the kernel gives to connections and to listeners without a port (from
/// 32768 on, ip(7)), and none that a known service has.
const PORT: u16 = 20_461;

/// A place that no other test has. A port that the kernel picks and that is let go again would not
/// do: it picks the same one for two of some fifteen tests once in a hundred runs.
fn own() -> SocketAddr {
    static GIVEN: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = process::id().to_be_bytes();
    let last = GIVEN.fetch_add(1, Ordering::Relaxed);
    // All of 127.0.0.0/8 is this machine (RFC 1122, 3.2.1.3).
    SocketAddr::new(Ipv4Addr::new(127, high, low, last).into(), PORT)
}

/// A connection, as soon as the service is up.
fn connect(to: SocketAddr) -> TcpStream {
    let start = Instant::now();
    loop {
        match TcpStream::connect(to) {
            Ok(stream) => {
                stream
                    .set_read_timeout(Some(Duration::from_secs(3)))
                    .unwrap();
                return stream;
            }
            Err(error) => assert!(start.elapsed() < Duration::from_secs(5), "{to}: {error}"),
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn echoes(stream: &mut TcpStream) {
    stream.write_all(b"ping").unwrap();
    let mut reply = [0; 4];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"ping");
}

#[test]
fn all_services_together() {
    let at: Vec<SocketAddr> = (0..6).map(|_| own()).collect();
    let words = ["tcp", "banner", "close", "http", "udp", "hang"];
    let words: Vec<String> = words
        .iter()
        .zip(&at)
        .map(|(word, at)| format!("{word}={at}"))
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let _node = Node::start(&words);

    // The last in the list: then the others are up as well.
    let mut hung = connect(at[5]);
    hung.write_all(b"x").unwrap();
    hung.set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    assert!(hung.read(&mut [0]).is_err(), "nobody answers");

    let (mut first, mut second) = (connect(at[0]), connect(at[0]));
    echoes(&mut second);
    echoes(&mut first);

    let mut greeted = connect(at[1]);
    let mut greeting = [0; 21];
    greeted.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"netcheck-node ready\r\n");
    echoes(&mut greeted);

    assert_eq!(connect(at[2]).read(&mut [0]).unwrap(), 0);

    let mut web = connect(at[3]);
    web.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut page = String::new();
    web.read_to_string(&mut page).unwrap();
    assert!(page.starts_with("HTTP/1.0 200 OK\r\n"));
    assert!(
        page.contains(&web.local_addr().unwrap().to_string()),
        "{page}"
    );

    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    udp.connect(at[4]).unwrap();
    udp.send(b"hello").unwrap();
    let mut reply = [0; 9];
    assert_eq!(udp.recv(&mut reply).unwrap(), 5);
}

#[test]
fn a_full_backlog_swallows_connections() {
    let at = own();
    let _node = Node::start(&[&format!("hang={at}")]);
    let _kept: Vec<TcpStream> = (0..5).map(|_| connect(at)).collect();
    let timeout = TcpStream::connect_timeout(&at, Duration::from_millis(300)).unwrap_err();
    assert_eq!(timeout.kind(), std::io::ErrorKind::TimedOut);
}

#[test]
fn every_second_connection_is_closed() {
    let at = own();
    let _node = Node::start(&[&format!("some={at}")]);
    // Which one was first, the wait for the service decides.
    let closed: Vec<bool> = (0..4)
        .map(|_| {
            let mut stream = connect(at);
            let _ = stream.write_all(b"ping");
            !matches!(stream.read(&mut [0; 4]), Ok(1..))
        })
        .collect();
    assert_eq!(closed.iter().filter(|one| **one).count(), 2, "{closed:?}");
    assert_ne!(closed[0], closed[1]);
}

#[test]
fn a_slow_server_turns_connections_away_and_takes_them_later() {
    let at = own();
    let _node = Node::start(&[&format!("slow={at}")]);
    let mut kept = vec![connect(at)];
    // It takes two a second, and more than that come.
    let turned_away = (0..10).any(|_| {
        match TcpStream::connect_timeout(&at, Duration::from_millis(200)) {
            Ok(stream) => kept.push(stream),
            Err(error) => return error.kind() == std::io::ErrorKind::TimedOut,
        }
        false
    });
    assert!(turned_away);
    TcpStream::connect_timeout(&at, Duration::from_secs(8)).unwrap();
}

#[test]
fn ipv6_only_and_dual_stack() {
    // Only one of IPv6's addresses is this machine: here the ports differ.
    let at = |port| SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
    let (only, dual) = (at(PORT + 1), at(PORT + 2));
    let _node = Node::start(&[&format!("v6only={only}"), &format!("tcp={dual}")]);
    let six = |at: SocketAddr| SocketAddr::new(Ipv6Addr::LOCALHOST.into(), at.port());
    let four = |at: SocketAddr| SocketAddr::new("127.0.0.1".parse().unwrap(), at.port());
    echoes(&mut connect(six(dual)));
    echoes(&mut connect(six(only)));
    let refused = TcpStream::connect(four(only)).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let default = std::fs::read_to_string("/proc/sys/net/ipv6/bindv6only").unwrap();
    assert_eq!(
        TcpStream::connect(four(dual)).is_ok(),
        default.trim() == "0"
    );
}

#[test]
fn codes() {
    let path = env!("CARGO_MANIFEST_DIR");
    for (words, code, word) in [
        (&["exit=7"][..], 7, ""),
        (&["after=50ms", "exit=0"], 0, ""),
        (&["frobnicate=1"], 64, "frobnicate"),
        (&["tcp=nowhere"], 64, "nowhere"),
        (&["needs=/nowhere/x", "exit=0"], 7, "/nowhere/x"),
        (&[&format!("needs={path}"), "exit=3"], 3, ""),
        (&["health=/nowhere/x"], 1, ""),
        (&[&format!("health={path}")], 0, ""),
        (&["tcp=192.0.2.1:80"], 1, "192.0.2.1:80"),
        (&["exit-after=50ms", "idle"], 0, ""),
        (&[&format!("until={path}"), "idle"], 0, ""),
    ] {
        let mut node = Node::start(words);
        assert_eq!(node.end().code(), Some(code), "{words:?}");
        let complaint = node.complaint();
        assert_eq!(complaint.is_empty(), word.is_empty(), "{complaint}");
        assert!(complaint.contains(word), "{complaint}");
    }
}

#[test]
fn health_of_a_port() {
    let at = own();
    let listener = TcpListener::bind(at).unwrap();
    let word = format!("check={at}");
    assert_eq!(Node::start(&[&word]).end().code(), Some(0));
    drop(listener);
    assert_eq!(Node::start(&[&word]).end().code(), Some(1));
}

#[test]
fn after_delays_what_follows() {
    let (early, late) = (own(), own());
    let start = Instant::now();
    let _node = Node::start(&[
        &format!("tcp={early}"),
        "after=400ms",
        &format!("tcp={late}"),
    ]);
    connect(early);
    assert!(
        start.elapsed() < Duration::from_millis(400),
        "too slow to tell"
    );
    connect(late);
    assert!(start.elapsed() >= Duration::from_millis(400));
}

#[test]
fn works_from_the_second_start_on() {
    let mark = std::env::temp_dir().join(format!("netcheck-node-{}", process::id()));
    let _ = std::fs::remove_file(&mark);
    let word = format!("second-start={}", mark.display());
    let mut first = Node::start(&[&word, "exit=5"]);
    let start = Instant::now();
    while !mark.exists() {
        assert!(start.elapsed() < Duration::from_secs(5));
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(50));
    assert!(first.0.try_wait().unwrap().is_none(), "it idles");
    assert_eq!(Node::start(&[&word, "exit=5"]).end().code(), Some(5));
    std::fs::remove_file(&mark).unwrap();
}

#[test]
fn sigterm_ends_it_at_once() {
    let at = own();
    let mut node = Node::start(&[&format!("tcp={at}"), "idle"]);
    let _open = connect(at);
    let pid = node.0.id().to_string();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    let start = Instant::now();
    // An exit code, not a death by signal: that is what PID 1 needs.
    assert_eq!(node.end().code(), Some(143));
    assert!(start.elapsed() < Duration::from_secs(1));
}
