//! The services. Each has a thread, and so has each connection, up to a limit; nothing a peer does
//! may end the program.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::name_server;
use super::word::Service;

/// Of the threads: they hold a buffer of 4 KiB and little more.
pub(crate) const STACK: usize = 64 * 1024;

/// Connections of the whole process that are served at a time; more are closed.
const MOST_CONNECTIONS: usize = 256;

const BACKLOG: i32 = 128;

/// So small that a test can fill it.
const HANG_BACKLOG: i32 = 4;

/// So small that two connections fill it.
const SLOW_BACKLOG: i32 = 1;

/// How long a slow server is busy with each connection.
const SLOW: Duration = Duration::from_millis(500);

static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);

/// Binds, and serves in the background.
pub(crate) fn start(service: Service, at: SocketAddr) -> io::Result<()> {
    match service {
        Service::Udp => {
            let socket = bind(at, Type::DGRAM, false)?;
            spawn(move || echo_datagrams(&socket.into()))
        }
        Service::Sink => {
            let socket = bind(at, Type::DGRAM, false)?;
            spawn(move || take_datagrams(&socket.into()))
        }
        Service::Dns | Service::DnsSome => {
            let socket = bind(at, Type::DGRAM, false)?;
            spawn(move || name_server::serve(&socket.into(), service == Service::DnsSome))
        }
        Service::Slow => {
            let socket = bind(at, Type::STREAM, false)?;
            socket.listen(SLOW_BACKLOG)?;
            let listener = TcpListener::from(socket);
            spawn(move || accept_slowly(&listener))
        }
        Service::Hang => {
            let socket = bind(at, Type::STREAM, false)?;
            socket.listen(HANG_BACKLOG)?;
            // Open for as long as the process lives; nobody ever accepts.
            std::mem::forget(socket);
            Ok(())
        }
        _ => {
            let socket = bind(at, Type::STREAM, service == Service::V6Only)?;
            socket.listen(BACKLOG)?;
            let listener = TcpListener::from(socket);
            spawn(move || accept(&listener, service))
        }
    }
}

fn bind(at: SocketAddr, kind: Type, v6_only: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), kind, None)?;
    if kind == Type::STREAM {
        // A restart must not fail because of connections of the life before.
        socket.set_reuse_address(true)?;
    }
    if v6_only {
        // Elsewhere the sysctl net.ipv6.bindv6only decides, as it does for most programs.
        socket.set_only_v6(true)?;
    }
    socket.bind(&at.into())?;
    Ok(socket)
}

pub(crate) fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().stack_size(STACK).spawn(work)?;
    Ok(())
}

fn echo_datagrams(socket: &UdpSocket) {
    let mut buffer = vec![0; 65_536];
    loop {
        // An error is a peer that is gone (ICMP); the next one may be there.
        match socket.recv_from(&mut buffer) {
            Ok((length, peer)) => drop(socket.send_to(&buffer[..length], peer)),
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn take_datagrams(socket: &UdpSocket) {
    let mut buffer = [0; 1];
    loop {
        if socket.recv_from(&mut buffer).is_err() {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn accept_slowly(listener: &TcpListener) {
    loop {
        let _client = listener.accept();
        thread::sleep(SLOW);
    }
}

fn accept(listener: &TcpListener, service: Service) {
    let mut others = false;
    loop {
        let Ok((stream, peer)) = listener.accept() else {
            // Out of descriptors, or a connection that was reset while it waited.
            thread::sleep(Duration::from_millis(10));
            continue;
        };
        others = !others;
        if service == Service::Close || (service == Service::Some && others) {
            continue;
        }
        if CONNECTIONS.fetch_add(1, Ordering::Relaxed) >= MOST_CONNECTIONS {
            CONNECTIONS.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let started = spawn(move || {
            // A peer that goes away ends its own connection only.
            let _ = talk(stream, peer, service);
            CONNECTIONS.fetch_sub(1, Ordering::Relaxed);
        });
        if started.is_err() {
            CONNECTIONS.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn talk(mut stream: TcpStream, peer: SocketAddr, service: Service) -> io::Result<()> {
    let mut buffer = [0; 4096];
    match service {
        Service::Http => {
            read_request(&mut stream, &mut buffer)?;
            let body = format!("netcheck-node sees you as {peer}\n");
            let length = body.len();
            return write!(
                stream,
                "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        }
        Service::Banner => stream.write_all(b"netcheck-node ready\r\n")?,
        _ => {}
    }
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..length])?;
    }
}

/// Reads up to the empty line: an answer before that is lost if the close resets the connection.
fn read_request(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut filled = 0;
    while filled < buffer.len() {
        let length = stream.read(&mut buffer[filled..])?;
        filled += length;
        let ended = buffer[..filled].windows(4).any(|it| it == b"\r\n\r\n");
        if length == 0 || ended || buffer[..filled].windows(2).any(|it| it == b"\n\n") {
            return Ok(());
        }
    }
    Ok(())
}
