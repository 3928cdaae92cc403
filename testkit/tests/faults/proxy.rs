//! An engine with something of its own: the real one, behind a socket that reads along. One request
//! a connection, unless it becomes a stream.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

/// Where the real engine listens.
const REAL: &str = "/var/run/docker.sock";

/// Changes what a container is to be.
type Adjust = dyn Fn(&mut Value) + Send + Sync;

/// It is gone with the process.
pub(crate) struct Proxy {
    folder: TempDir,
    shared: Arc<Shared>,
}

struct Shared {
    adjust: Box<Adjust>,
    /// Images of the containers that were created.
    images: Mutex<Vec<String>>,
    streams: Mutex<Vec<UnixStream>>,
}

impl Proxy {
    /// Starts it; `adjust` sees the request for each container.
    pub(crate) fn new(adjust: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        let folder = TempDir::new().unwrap();
        let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
        let shared = Arc::new(Shared {
            adjust: Box::new(adjust),
            images: Mutex::default(),
            streams: Mutex::default(),
        });
        let proxy = Self {
            folder,
            shared: Arc::clone(&shared),
        };
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, shared) = (client.unwrap(), Arc::clone(&shared));
                // A client that goes away is what some of these tests are about.
                thread::spawn(move || serve(client, &shared));
            }
        });
        proxy
    }

    /// As `DOCKER_HOST` spells it.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}/docker.sock", self.folder.path().display())
    }

    /// The images of the containers that were created so far.
    pub(crate) fn images(&self) -> Vec<String> {
        self.shared.images.lock().unwrap().clone()
    }

    /// Ends every connection there is; new ones are taken.
    pub(crate) fn cut(&self) {
        for stream in self.shared.streams.lock().unwrap().drain(..) {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn serve(mut client: UnixStream, shared: &Shared) -> io::Result<()> {
    let mut head = Vec::new();
    let mut chunk = [0; 4096];
    let end = loop {
        if let Some(at) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        match client.read(&mut chunk)? {
            0 => return Ok(()),
            count => head.extend_from_slice(&chunk[..count]),
        }
    };
    let mut body = head.split_off(end);
    let mut head = String::from_utf8(head).unwrap();
    let first = head.lines().next().unwrap().to_owned();
    if first.starts_with("POST ") && first.contains("/containers/create") {
        let length: usize = field(&head, "content-length").unwrap().parse().unwrap();
        let have = body.len();
        body.resize(length, 0);
        client.read_exact(&mut body[have..])?;
        let mut asked: Value = serde_json::from_slice(&body).unwrap();
        let image = asked["Image"].as_str().unwrap_or_default().to_owned();
        shared.images.lock().unwrap().push(image);
        (shared.adjust)(&mut asked);
        body = serde_json::to_vec(&asked)?;
        head = without(&head, "content-length");
        head = with(&head, &format!("Content-Length: {}", body.len()));
    }
    if field(&head, "upgrade").is_none() {
        head = with(&without(&head, "connection"), "Connection: close");
    }
    let mut real = UnixStream::connect(REAL)?;
    for stream in [&client, &real] {
        shared.streams.lock().unwrap().push(stream.try_clone()?);
    }
    real.write_all(head.as_bytes())?;
    real.write_all(&body)?;
    let (mut from_client, mut to_real) = (client.try_clone()?, real.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_real);
        let _ = to_real.shutdown(Shutdown::Write);
    });
    io::copy(&mut real, &mut client)?;
    client.shutdown(Shutdown::Both)
}

fn is(line: &str, name: &str) -> bool {
    let field = line.split_once(':').map(|(field, _)| field);
    field.is_some_and(|field| field.eq_ignore_ascii_case(name))
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let line = head.lines().skip(1).find(|line| is(line, name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

fn without(head: &str, name: &str) -> String {
    let kept = head
        .lines()
        .filter(|line| !line.is_empty() && !is(line, name));
    kept.collect::<Vec<_>>().join("\r\n") + "\r\n\r\n"
}

fn with(head: &str, line: &str) -> String {
    format!("{}\r\n{line}\r\n\r\n", head.trim_end())
}
