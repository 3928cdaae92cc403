//! Serves in a resolver's place, over UDP and TCP: answers what concerns the name, and hands every
//! other message to that resolver and its answer back, byte by byte.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use netcheck_fault::Counters;
use rustix::event::{PollFd, PollFlags, poll};
use socket2::{Domain, Socket, Type};

use super::message::{Fate, Subject};

/// Where resolvers listen.
pub(super) const PORT: u16 = 53;

/// A DNS message is at most this long, over TCP because of its length field.
const LONGEST: usize = 65_535;

/// How long we wait for a resolver. Longer than any client does (glibc: 5 s, Go and c-ares less),
/// so that it is the client that gives up, as it would without us.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a client may keep a TCP connection and say nothing (RFC 7766 6.2.3: seconds; servers
/// have 30 s and less).
const IDLE: Duration = Duration::from_secs(30);

/// Questions that are waited for at a time. A client that asks more gets no answer, and asks again.
const MOST_AT_ONCE: usize = 128;

/// The deepest thing done on a thread is decoding DNS; buffers are on the heap.
const STACK: usize = 256 * 1024;

/// What the servers have in common.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) subject: Subject,
    pub(super) tally: Arc<Tally>,
}

/// What they have done, read by others while they work.
#[derive(Debug, Default)]
pub(super) struct Tally {
    answered: AtomicU64,
    forwarded: AtomicU64,
    failed: AtomicU64,
    busy: AtomicUsize,
}

impl Tally {
    pub(super) fn read(&self) -> Counters {
        Counters {
            answered: self.answered.load(Ordering::Relaxed),
            forwarded: self.forwarded.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            ..Counters::default()
        }
    }
}

fn one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The sockets in one resolver's place.
#[derive(Debug)]
pub(super) struct Catching {
    resolver: SocketAddr,
    udp: Arc<UdpSocket>,
    tcp: TcpListener,
    mark: u32,
}

/// Where they listen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) udp: u16,
    pub(super) tcp: u16,
}

/// Where the kernel redirects what was for this address: `redir` at the output hook
/// (nf_nat_redirect_ipv4 and _ipv6).
pub(super) fn loopback(server: IpAddr) -> IpAddr {
    match server {
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

impl Catching {
    /// Listens, on ports that nobody has.
    pub(super) fn open(server: IpAddr, mark: u32) -> io::Result<Self> {
        let at = SocketAddr::new(loopback(server), 0);
        let caught = Self {
            resolver: SocketAddr::new(server, PORT),
            udp: Arc::new(UdpSocket::bind(at)?),
            tcp: TcpListener::bind(at)?,
            mark,
        };
        caught.udp.set_nonblocking(true)?;
        caught.tcp.set_nonblocking(true)?;
        // Whether it can be done must show now, not at the first question.
        caught.socket(Type::DGRAM)?;
        Ok(caught)
    }

    pub(super) fn ports(&self) -> io::Result<Ports> {
        Ok(Ports {
            udp: self.udp.local_addr()?.port(),
            tcp: self.tcp.local_addr()?.port(),
        })
    }

    /// One whose packets our own rules let through.
    fn socket(&self, kind: Type) -> io::Result<Socket> {
        marked(self.resolver, self.mark, kind)
    }
}

fn marked(resolver: SocketAddr, mark: u32, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(resolver), kind, None)?;
    socket.set_mark(mark)?;
    Ok(socket)
}

/// Serves until it is told to stop.
pub(super) fn serve(catching: &[Catching], served: &Arc<Served>, stopped: &io::PipeReader) {
    let mut buffer = vec![0; LONGEST];
    loop {
        let mut sources = vec![PollFd::new(stopped, PollFlags::IN)];
        for caught in catching {
            sources.push(PollFd::new(&*caught.udp, PollFlags::IN));
            sources.push(PollFd::new(&caught.tcp, PollFlags::IN));
        }
        match poll(&mut sources, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
        if !sources[0].revents().is_empty() {
            return;
        }
        for caught in catching {
            if let Ok((length, client)) = caught.udp.recv_from(&mut buffer) {
                datagram(caught, served, &buffer[..length], client);
            }
            if let Ok((stream, _)) = caught.tcp.accept() {
                let (resolver, mark) = (caught.resolver, caught.mark);
                let shared = served.clone();
                beside(served, move || {
                    // Its end is the client's to see.
                    let _ = connection(&shared, &stream, resolver, mark);
                });
            }
        }
    }
}

fn datagram(caught: &Catching, served: &Arc<Served>, message: &[u8], client: SocketAddr) {
    match served.subject.judge(message) {
        Fate::Answer(answer) => {
            one(&served.tally.answered);
            if caught.udp.send_to(&answer, client).is_err() {
                one(&served.tally.failed);
            }
        }
        Fate::Ignore => one(&served.tally.answered),
        Fate::Forward => {
            let socket = match caught.socket(Type::DGRAM) {
                Ok(socket) => socket,
                Err(_) => return one(&served.tally.failed),
            };
            let (resolver, back) = (caught.resolver, caught.udp.clone());
            let message = message.to_vec();
            let shared = served.clone();
            beside(served, move || {
                one(&shared.tally.forwarded);
                let answer = forward(socket.into(), resolver, &message);
                // A resolver that says nothing, or is not there, is silence here, too.
                if let Ok(answer) = answer
                    && back.send_to(&answer, client).is_err()
                {
                    one(&shared.tally.failed);
                }
            });
        }
    }
}

/// Asks the resolver; its answer as it came.
fn forward(socket: UdpSocket, resolver: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    socket.connect(resolver)?;
    socket.send(message)?;
    let until = Instant::now() + PATIENCE;
    let mut buffer = vec![0; LONGEST];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let length = socket.recv(&mut buffer)?;
        // The id is what binds an answer to its question; a late one belongs to nobody.
        if buffer[..length].get(..2) == message.get(..2) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

/// One client over TCP: messages with their length before them (RFC 1035 4.2.2), one at a time.
fn connection(
    served: &Served,
    client: &TcpStream,
    resolver: SocketAddr,
    mark: u32,
) -> io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(IDLE))?;
    client.set_write_timeout(Some(IDLE))?;
    let mut upstream = None;
    loop {
        let message = receive(client)?;
        match served.subject.judge(&message) {
            Fate::Answer(answer) => {
                one(&served.tally.answered);
                send(client, &answer)?;
            }
            Fate::Ignore => one(&served.tally.answered),
            Fate::Forward => {
                one(&served.tally.forwarded);
                let upstream = match &upstream {
                    Some(upstream) => upstream,
                    None => {
                        let socket = marked(resolver, mark, Type::STREAM)?;
                        socket.connect_timeout(&resolver.into(), PATIENCE)?;
                        let stream = TcpStream::from(socket);
                        stream.set_read_timeout(Some(PATIENCE))?;
                        stream.set_write_timeout(Some(PATIENCE))?;
                        upstream.insert(stream)
                    }
                };
                send(upstream, &message)?;
                send(client, &receive(upstream)?)?;
            }
        }
    }
}

fn receive(mut stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut message)?;
    Ok(message)
}

fn send(mut stream: &TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), message].concat())
}

/// Does something that waits, on a thread of its own, if there are not too many already.
fn beside(served: &Arc<Served>, work: impl FnOnce() + Send + 'static) {
    let tally = served.tally.clone();
    if tally.busy.fetch_add(1, Ordering::Relaxed) >= MOST_AT_ONCE {
        tally.busy.fetch_sub(1, Ordering::Relaxed);
        return one(&tally.failed);
    }
    let started = thread::Builder::new().stack_size(STACK).spawn(move || {
        work();
        tally.busy.fetch_sub(1, Ordering::Relaxed);
    });
    if started.is_err() {
        served.tally.busy.fetch_sub(1, Ordering::Relaxed);
        one(&served.tally.failed);
    }
}
