//! A running probe that is asked over its pipes, and places that behave badly. It judges nothing.

#![expect(
    unreachable_pub,
    reason = "a module of test programs has no other public"
)]
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use netcheck_probe::{Answer, Answered, Question, Request, Response};

/// A probe with open pipes, killed at the end of the test.
pub struct Probe {
    pub child: Child,
    pub input: Option<ChildStdin>,
    pub output: BufReader<ChildStdout>,
}

impl Probe {
    pub fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_netcheck-probe"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    pub fn say(&mut self, line: &[u8]) {
        self.input.as_mut().unwrap().write_all(line).unwrap();
    }

    pub fn hear(&mut self) -> Response {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    pub fn respond(&mut self, deadline_ms: u32, questions: Vec<Question>) -> Response {
        let mut line = serde_json::to_vec(&Request::new(deadline_ms, questions)).unwrap();
        line.push(b'\n');
        self.say(&line);
        self.hear()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The one answer to one question.
pub fn ask(deadline_ms: u32, question: &Question) -> Result<Answer, String> {
    ask_below(&[], deadline_ms, question)
}

pub fn ask_below(
    arguments: &[&str],
    deadline_ms: u32,
    question: &Question,
) -> Result<Answer, String> {
    let response = Probe::start(arguments).respond(deadline_ms, vec![question.clone()]);
    assert_eq!(response.error, None);
    let [
        Answered {
            question: asked,
            answer,
        },
    ] = <[Answered; 1]>::try_from(response.answers).unwrap();
    assert_eq!(asked, *question);
    answer
}

/// An address where nobody listens: bound, so that nobody else takes the port, but not listening.
pub fn nobody() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket
        .bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into())
        .unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// A place that nobody else has: an address of this process, with a port below those that the kernel gives (from
/// 32768 on, ip(7)).
pub fn own(number: u8) -> SocketAddr {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    SocketAddr::from(([127, high, low, number], 20_471))
}

/// A listener whose queue is full: the kernel drops further SYNs, as a firewall would.
pub fn blackhole() -> (Vec<socket2::Socket>, SocketAddr) {
    let (listener, to) = nobody();
    listener.listen(0).unwrap();
    let mut kept = vec![listener];
    for _ in 0..8 {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&to.into());
        kept.push(socket);
    }
    thread::sleep(Duration::from_millis(50));
    (kept, to)
}
