//! An engine that misbehaves in one chosen way and is the real one in all others: a proxy on a unix
//! socket before the real engine that sees each request first.
//!
//! It also keeps a record of what was asked. Answers that are not the real engine's are modelled
//! on it: `{"message": …}` with the status the real one gives.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// Where the real engine listens.
const REAL: &str = "/var/run/docker.sock";

/// How often those who hold a connection look whether the test is over.
const TICK: Duration = Duration::from_millis(20);

/// A request as it came in.
pub struct Asked {
    pub method: String,
    /// With version and query, as written.
    pub target: String,
    /// Without version and query: `/containers/json`.
    pub path: String,
    /// Small bodies of a known length; empty for others.
    pub body: Vec<u8>,
}

impl Asked {
    /// `GET /info`.
    pub fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path == path
    }

    /// The inspect of a container whose full id this is.
    pub fn inspects(&self, id: &str) -> bool {
        self.is("GET", &format!("/containers/{id}/json"))
    }

    /// The run whose helper is to be made.
    pub fn run(&self) -> Option<String> {
        if !self.is("POST", "/containers/create") {
            return None;
        }
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        body["Labels"]["io.netcheck.run"]
            .as_str()
            .map(str::to_owned)
    }

    /// The attach to a helper.
    pub fn attaches(&self) -> bool {
        self.method == "POST" && self.path.ends_with("/attach")
    }
}

/// What happens to a request.
pub enum Act {
    /// The real engine answers.
    Forward,
    /// This status with this body.
    Answer(u16, String),
    /// These bytes, and the end.
    Raw(Vec<u8>),
    /// The head of the real answer and so many bytes of what follows it, and the end.
    Cut(usize),
    /// The real answer with another body.
    Change(Box<dyn FnOnce(String) -> String>),
    /// The real engine is asked for this target instead.
    Instead(String),
    /// Nothing, for as long as the test lasts.
    Hang,
    /// The end at once.
    Close,
}

impl Act {
    /// The engine's own form of an error.
    pub fn error(status: u16, message: &str) -> Self {
        Self::Answer(status, format!("{{\"message\":\"{message}\"}}\n"))
    }
}

/// Longer bodies are passed on unseen, in bytes.
const SMALL: usize = 64 * 1024;

type Rule = dyn Fn(&Asked) -> Act + Send + Sync;

/// The proxy; it is gone when dropped.
pub struct Proxy {
    folder: TempDir,
    over: Arc<AtomicBool>,
    log: Arc<Mutex<Vec<String>>>,
    runs: Arc<Mutex<BTreeSet<String>>>,
}

impl Proxy {
    /// Starts it; `rule` decides what happens to each request.
    pub fn new(rule: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Self {
        let folder = TempDir::new().unwrap();
        let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let log = Arc::new(Mutex::new(Vec::new()));
        let runs = Arc::new(Mutex::new(BTreeSet::new()));
        let proxy = Self {
            folder,
            over: over.clone(),
            log: log.clone(),
            runs: runs.clone(),
        };
        let rule: Arc<Rule> = Arc::new(move |asked| {
            runs.lock().unwrap().extend(asked.run());
            rule(asked)
        });
        thread::spawn(move || {
            for client in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let (rule, over, log) = (rule.clone(), over.clone(), log.clone());
                let client = client.unwrap();
                // A client that is gone is what many of these tests are about.
                thread::spawn(move || serve(client, &*rule, &over, &log));
            }
        });
        proxy
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// The same as the docker CLI writes it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// What was asked so far: `GET /v1.41/info`.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Whether a request with this in it came.
    pub fn saw(&self, part: &str) -> bool {
        self.log().iter().any(|line| line.contains(part))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = UnixStream::connect(self.socket());
        // A run's reaper comes through the proxy too. Where that ends before the reaper's work, what
        // is left is for the test to remove; tests about what is left look before this.
        let docker = |words: &[&str]| Command::new("docker").args(words).output();
        for run in self.runs.lock().unwrap().iter() {
            let label = format!("label=io.netcheck.run={run}");
            let Ok(listed) = docker(&["ps", "-aq", "--filter", &label]) else {
                continue;
            };
            for id in String::from_utf8_lossy(&listed.stdout).split_whitespace() {
                // It may be going by itself.
                let _ = docker(&["rm", "-f", id]);
            }
        }
    }
}

fn serve(
    mut client: UnixStream,
    rule: &Rule,
    over: &AtomicBool,
    log: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let Some((head, rest)) = head(&mut client)? else {
        return Ok(());
    };
    let first = head.lines().next().unwrap_or_default();
    let mut words = first.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default().to_owned();
    let path = target.split('?').next().unwrap_or_default();
    let path = match path.strip_prefix("/v1.") {
        Some(versioned) => versioned.find('/').map_or("/", |at| &versioned[at..]),
        None => path,
    };
    log.lock().unwrap().push(format!("{method} {target}"));
    let mut rest = rest;
    let length = content_length(&head).filter(|length| *length < SMALL);
    if let Some(missing) = length.and_then(|length| length.checked_sub(rest.len())) {
        let have = rest.len();
        rest.resize(have + missing, 0);
        client.read_exact(&mut rest[have..])?;
    }
    let asked = Asked {
        path: path.to_owned(),
        method,
        target,
        body: rest.clone(),
    };
    match rule(&asked) {
        Act::Forward => forward(client, &head, &rest, None),
        Act::Instead(target) => {
            let head = head.replacen(&asked.target, &target, 1);
            forward(client, &head, &rest, None)
        }
        Act::Cut(bytes) => forward(client, &head, &rest, Some(bytes)),
        Act::Change(change) => {
            let answer = whole(&head, &rest)?;
            let (status, body) = answer.split_once("\r\n\r\n").unwrap();
            let status = status
                .lines()
                .next()
                .unwrap()
                .replace("HTTP/1.0", "HTTP/1.1");
            client.write_all(response(&status, &change(body.to_owned())).as_bytes())
        }
        Act::Answer(status, body) => {
            swallow(&mut client, &head, rest.len())?;
            let status = format!("HTTP/1.1 {status} Because the test says so");
            client.write_all(response(&status, &body).as_bytes())
        }
        Act::Raw(bytes) => client.write_all(&bytes),
        Act::Close => Ok(()),
        Act::Hang => {
            while !over.load(Ordering::Relaxed) {
                thread::sleep(TICK);
            }
            Ok(())
        }
    }
}

fn response(status: &str, body: &str) -> String {
    format!(
        "{status}\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The head of a request, and what came behind it.
fn head(client: &mut UnixStream) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(at + 4);
            return Ok(Some((String::from_utf8(bytes).unwrap(), rest)));
        }
        match client.read(&mut chunk)? {
            0 => return Ok(None),
            count => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

/// One request per connection, unless it is to become a stream.
fn without_keep_alive(head: &str) -> String {
    let upgrade = |line: &str| line.to_ascii_lowercase().starts_with("upgrade:");
    if head.lines().any(upgrade) {
        return head.to_owned();
    }
    let kept = head
        .lines()
        .filter(|line| !line.is_empty() && !line.to_ascii_lowercase().starts_with("connection:"));
    let kept: Vec<&str> = kept.collect();
    format!("{}\r\nConnection: close\r\n\r\n", kept.join("\r\n"))
}

fn forward(client: UnixStream, head: &str, rest: &[u8], most: Option<usize>) -> io::Result<()> {
    let mut real = UnixStream::connect(REAL)?;
    real.write_all(without_keep_alive(head).as_bytes())?;
    real.write_all(rest)?;
    let (mut from_client, mut to_real) = (client.try_clone()?, real.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_real);
        // What ended on one side ends on the other, as without the proxy.
        let _ = to_real.shutdown(Shutdown::Write);
    });
    let mut to_client = client.try_clone()?;
    let copied = match most {
        Some(most) => {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                real.read_exact(&mut byte)?;
                head.extend(byte);
            }
            to_client.write_all(&head)?;
            io::copy(&mut real.take(most as u64), &mut to_client)
        }
        None => io::copy(&mut real, &mut to_client),
    };
    client.shutdown(Shutdown::Both)?;
    copied.map(|_| ())
}

/// The real answer in one piece: HTTP/1.0 knows no chunks.
fn whole(head: &str, rest: &[u8]) -> io::Result<String> {
    let mut real = UnixStream::connect(REAL)?;
    let head = without_keep_alive(head).replacen("HTTP/1.1", "HTTP/1.0", 1);
    real.write_all(head.as_bytes())?;
    real.write_all(rest)?;
    let mut answer = String::new();
    real.read_to_string(&mut answer)?;
    Ok(answer)
}

fn content_length(head: &str) -> Option<usize> {
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    })
}

/// Reads a request's body away: an engine that answers before it has it breaks the connection.
fn swallow(client: &mut UnixStream, head: &str, have: usize) -> io::Result<()> {
    let mut left = content_length(head).unwrap_or(0).saturating_sub(have);
    let mut chunk = [0; 65536];
    while left > 0 {
        match client.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => left = left.saturating_sub(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A raw server on a unix socket: for answers that are no HTTP at all.
pub fn raw(folder: &Path, answer: impl Fn(&mut UnixStream) + Send + Sync + 'static) -> String {
    let path = folder.join("raw.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let answer = Arc::new(answer);
    // Ends with the test program.
    thread::spawn(move || {
        for client in listener.incoming() {
            let answer = answer.clone();
            thread::spawn(move || answer(&mut client.unwrap()));
        }
    });
    format!("unix://{}", path.display())
}
