//! Tries published ports from the machine where the user sits, where that is surely not the engine's host.
//!
//! It connects to the engine's own host, as the user has named it, and to nobody else; it says nothing on a
//! connection. On the engine's host itself there is nothing to tell apart, and nothing is tried.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use netcheck_diagnose::clean::clean;
use netcheck_diagnose::evidence::{Engine, Evidence, Fact, Here};
use netcheck_diagnose::plan;
use netcheck_diagnose::probe::{Connected, Errno, Then};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::client::Client;
use crate::deadline::Deadline;

/// Linux repeats a lost SYN after one second: in two, a single loss is not taken for silence.
const CONNECT: Duration = Duration::from_secs(2);

/// How long a proxy at the other end may take to close what it cannot pass on, beside the way there and
/// back. docker-proxy takes 1 to 7 ms.
const CLOSES_WITHIN: Duration = Duration::from_millis(30);

/// As much of a greeting as the probe keeps, in bytes.
const GREETING: usize = 64;

/// Where the engine is, as seen from here.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// In a virtual machine of this machine, which passes published ports on to its loopback address.
    VirtualMachine,
    /// At this name or address.
    At(String),
    /// Behind ssh, which has names of its own.
    BehindSsh(Vec<String>, String),
}

/// Tries the subject's published ports; none where this machine is the engine's host, or may be.
pub(crate) async fn look(client: &Client, evidence: &Evidence, deadline: Deadline) -> Option<Here> {
    let subject = evidence.container(&evidence.request.container)?;
    if subject.published.is_empty() {
        return None;
    }
    let desktop = evidence.engine.known().is_some_and(Engine::is_desktop);
    let engine = match place(&client.endpoint.host, desktop, cfg!(target_os = "linux"))? {
        Place::VirtualMachine => Ok(Ipv4Addr::LOCALHOST.into()),
        Place::At(name) => address(&name, deadline).await?,
        Place::BehindSsh(words, name) => {
            let name = behind_ssh(&words, deadline).await.unwrap_or(name);
            address(&name, deadline).await?
        }
    };
    let places = match &engine {
        Ok(engine) => plan::here(evidence, *engine),
        Err(_) => Vec::new(),
    };
    let tries = places
        .into_iter()
        .map(|to| async move { (to, connect(to, deadline).await) });
    let tries = join_all(tries).await;
    Some(Here {
        engine: Fact::from(engine),
        // What the deadline cut off is not known.
        tries: tries
            .into_iter()
            .filter_map(|(to, came)| Some((to, came?)))
            .collect(),
    })
}

/// Where an engine of this address is; none if that may be this machine.
fn place(host: &str, desktop: bool, linux: bool) -> Option<Place> {
    let (scheme, rest) = host
        .trim()
        .split_once("://")
        .unwrap_or(("tcp", host.trim()));
    let rest = rest.trim_end_matches('/');
    match scheme {
        // The engine of a Mac or of Windows is always in a virtual machine.
        "unix" | "npipe" => (desktop || !linux).then_some(Place::VirtualMachine),
        "ssh" => {
            let authority = rest.split('/').next().unwrap_or(rest);
            let (user, target) = match authority.rsplit_once('@') {
                Some((user, target)) => (Some(user), target),
                None => (None, authority),
            };
            let (name, port) = split_port(target);
            let mut words = Vec::new();
            for (flag, value) in [("-l", user), ("-p", port)] {
                words.extend(
                    value
                        .map(|value| [flag.to_owned(), value.to_owned()])
                        .into_iter()
                        .flatten(),
                );
            }
            words.extend(["--".to_owned(), name.to_owned()]);
            (!name.is_empty()).then(|| Place::BehindSsh(words, name.to_owned()))
        }
        _ => Some(Place::At(split_port(rest).0.to_owned())),
    }
}

/// `[::1]:2375` is `::1` and `2375`.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    if let Some(rest) = authority.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((name, port)) => (name, port.strip_prefix(':')),
            None => (rest, None),
        };
    }
    match authority.rsplit_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (authority, None),
    }
}

/// The name that ssh connects to in the end: its configuration has names of its own (`ssh -G`, ssh(1)).
async fn behind_ssh(words: &[String], deadline: Deadline) -> Option<String> {
    let mut command = Command::new("ssh");
    command
        .arg("-G")
        .args(words)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout_at(deadline.end(), command.output())
        .await
        .ok()?
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("hostname "))?;
    Some(name.trim().to_owned())
}

/// The address of the engine's host; none if it is this machine's own.
async fn address(name: &str, deadline: Deadline) -> Option<Result<IpAddr, String>> {
    let unknown = |why: &dyn std::fmt::Display| {
        Some(Err(format!(
            "`{}` comes to no address here: {why}",
            clean(name)
        )))
    };
    let found = match name.parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_) => match tokio::time::timeout_at(deadline.end(), tokio::net::lookup_host((name, 0)))
            .await
        {
            Err(_) => return unknown(&"no answer in time"),
            Ok(Err(error)) => return unknown(&error),
            Ok(Ok(found)) => found.map(|socket| socket.ip()).collect(),
        },
    };
    // As most programs do where both families lead somewhere; published ports are on both, as a rule.
    let chosen = found
        .iter()
        .find(|address| address.is_ipv4())
        .or(found.first());
    match chosen {
        None => unknown(&"no such name"),
        // Only an address of one's own can be bound.
        Some(address) if UdpSocket::bind((*address, 0)).is_ok() => None,
        Some(address) => Some(Ok(*address)),
    }
}

/// Connects, says nothing, and sees whether it stays open; none if the deadline came first.
async fn connect(to: SocketAddr, deadline: Deadline) -> Option<Connected> {
    let started = Instant::now();
    let took = |started: Instant| u32::try_from(started.elapsed().as_millis()).unwrap_or(u32::MAX);
    let time = CONNECT.min(deadline.left());
    let mut stream = match tokio::time::timeout(time, TcpStream::connect(to)).await {
        Err(_) if time < CONNECT => return None,
        Err(_) => {
            return Some(Connected::Failed {
                errno: Errno::TimedOut,
                took_ms: took(started),
            });
        }
        Ok(Err(error)) => {
            return Some(Connected::Failed {
                errno: errno(&error),
                took_ms: took(started),
            });
        }
        Ok(Ok(stream)) => stream,
    };
    let way = started.elapsed();
    let took_ms = took(started);
    let mut room = [0; GREETING];
    let wait = (CLOSES_WITHIN + 2 * way).min(deadline.left());
    let then = match tokio::time::timeout(wait, stream.read(&mut room)).await {
        Err(_) => Then::Silent,
        Ok(Ok(0)) => Then::Closed,
        Ok(Ok(length)) => Then::Spoke(String::from_utf8_lossy(&room[..length]).into_owned()),
        Ok(Err(_)) => Then::Reset,
    };
    Some(Connected::Open {
        from: stream.local_addr().ok()?,
        took_ms,
        then,
    })
}

/// By its kind: the numbers differ from system to system.
fn errno(error: &io::Error) -> Errno {
    match error.kind() {
        ErrorKind::ConnectionRefused => Errno::Refused,
        ErrorKind::TimedOut => Errno::TimedOut,
        ErrorKind::HostUnreachable => Errno::HostUnreachable,
        ErrorKind::NetworkUnreachable => Errno::NetworkUnreachable,
        ErrorKind::AddrNotAvailable => Errno::AddressNotAvailable,
        ErrorKind::ConnectionReset => Errno::Reset,
        ErrorKind::PermissionDenied => Errno::NotPermitted,
        _ => Errno::Other(error.raw_os_error().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_an_engine_is() {
        let on_linux = |host| place(host, false, true);
        assert_eq!(on_linux("unix:///var/run/docker.sock"), None);
        assert_eq!(
            on_linux("tcp://10.1.1.1:2375"),
            Some(Place::At("10.1.1.1".into()))
        );
        assert_eq!(
            on_linux("tcp://[fd00::1]:2376/"),
            Some(Place::At("fd00::1".into()))
        );
        assert_eq!(
            on_linux("far.example:2375"),
            Some(Place::At("far.example".into()))
        );
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(
            on_linux("ssh://me@far:2222/run/docker.sock"),
            Some(Place::BehindSsh(
                words(&["-l", "me", "-p", "2222", "--", "far"]),
                "far".into()
            ))
        );
        // What looks like a flag is none.
        assert_eq!(
            on_linux("ssh://-oProxyCommand=x"),
            Some(Place::BehindSsh(
                words(&["--", "-oProxyCommand=x"]),
                "-oProxyCommand=x".into()
            ))
        );
        let vm = Some(Place::VirtualMachine);
        assert_eq!(place("unix:///x.sock", true, true), vm);
        assert_eq!(place("unix:///x.sock", false, false), vm);
        assert_eq!(place("npipe:////./pipe/docker_engine", false, false), vm);
    }

    #[tokio::test]
    async fn this_machine_is_no_other_one() {
        let deadline = Deadline::after(Duration::from_secs(5));
        assert_eq!(address("127.0.0.1", deadline).await, None);
        let far: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(address("192.0.2.1", deadline).await, Some(Ok(far)));
    }
}
