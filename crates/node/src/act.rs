//! Carries out the words in order. Only here is decided how the program ends.

use std::fs::{self, OpenOptions};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{self, ExitCode};
use std::thread;
use std::time::Duration;

use super::client;
use super::complain;
use super::serve;
use super::word::Word;

/// How long `check=` waits for its connection; a health check has seconds, not minutes.
const CHECK_PATIENCE: Duration = Duration::from_secs(2);

/// How often `until=` looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The code of `needs=` when the path is missing.
const NEED_UNMET: u8 = 7;

/// All of it; returns only with the code of the process.
pub(crate) fn carry_out(words: Vec<Word>) -> ExitCode {
    let mut stay = false;
    for word in words {
        match act(word) {
            Ok(After::GoOn) => {}
            Ok(After::Stay) => stay = true,
            Ok(After::Exit(code)) => return ExitCode::from(code),
            Err(message) => {
                complain(&message);
                return ExitCode::FAILURE;
            }
        }
    }
    if stay {
        idle();
    }
    ExitCode::SUCCESS
}

/// What a word leaves behind.
enum After {
    GoOn,
    /// Something works in the background; the program stays for it.
    Stay,
    Exit(u8),
}

fn act(word: Word) -> Result<After, String> {
    match word {
        Word::Serve(service, at) => serve::start(service, at)
            .map(|()| After::Stay)
            .map_err(|error| format!("serving {service:?} at {at}: {error}")),
        Word::After(length) => {
            thread::sleep(length);
            Ok(After::GoOn)
        }
        Word::Exit(code) => Ok(After::Exit(code)),
        Word::ExitAfter(length) => background(move || thread::sleep(length)),
        Word::Until(path) => background(move || {
            while !path.exists() {
                thread::sleep(LOOK_EVERY);
            }
        }),
        Word::Needs(path) if !path.exists() => {
            complain(&format!("{} does not exist, giving up", path.display()));
            Ok(After::Exit(NEED_UNMET))
        }
        Word::Needs(_) => Ok(After::GoOn),
        Word::SecondStart(path) => second_start(&path),
        Word::Check(at) => Ok(check(at)),
        Word::CheckLocalhost(port) => Ok(check(SocketAddr::new(localhost(), port))),
        Word::KeepTcp(to) => {
            // What was seen last stands in the log either way.
            complain(&format!("talking to {to}: {}", client::keep_tcp(to)));
            Ok(After::Exit(1))
        }
        Word::KeepUdp(to) => client::keep_udp(to)
            .map(|()| After::GoOn)
            .map_err(|error| format!("talking to {to}: {error}")),
        Word::Transfer(to, bytes) => client::transfer(to, bytes)
            .map(|()| After::GoOn)
            .map_err(|error| format!("sending {bytes} bytes to {to} and back: {error}")),
        Word::Health(path) => Ok(After::Exit(u8::from(!path.exists()))),
        Word::Idle => idle(),
    }
}

fn background(wait: impl FnOnce() + Send + 'static) -> Result<After, String> {
    thread::Builder::new()
        .stack_size(serve::STACK)
        .spawn(move || {
            wait();
            process::exit(0);
        })
        .map(|_| After::Stay)
        .map_err(|error| format!("starting a thread: {error}"))
}

fn second_start(path: &PathBuf) -> Result<After, String> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(_) => idle(),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(After::GoOn),
        Err(error) => Err(format!(
            "marking the first start in {}: {error}",
            path.display()
        )),
    }
}

fn check(at: SocketAddr) -> After {
    match TcpStream::connect_timeout(&at, CHECK_PATIENCE) {
        Ok(_) => After::Exit(0),
        Err(error) => {
            complain(&format!("connecting to {at}: {error}"));
            After::Exit(1)
        }
    }
}

/// What musl's getaddrinfo gives first for `localhost`: `::1` where the name has it and the loopback too,
/// as an address that cannot be a source comes last (RFC 6724, rule 1).
fn localhost() -> IpAddr {
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let has_six = hosts.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some("::1") && words.any(|name| name == "localhost")
    });
    if has_six && UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        Ipv6Addr::LOCALHOST.into()
    } else {
        Ipv4Addr::LOCALHOST.into()
    }
}

fn idle() -> ! {
    loop {
        thread::park();
    }
}
