//! The clients: they talk to an echo server and write what they see to standard output, one line
//! each time. They judge nothing; a test reads the lines.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use super::serve;

/// Between two rounds: often enough that a test need not wait for one, seldom enough that an hour
/// of it is a small log.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A number in decimal, of fixed width, so that a reader knows how much to expect.
const WIDTH: usize = 20;

/// Keeps one TCP connection and sends number after number on it, each when the one before has come
/// back. Returns when the connection fails, or when what comes back is not what was sent.
pub(crate) fn keep_tcp(to: SocketAddr) -> io::Error {
    keep(to).err().unwrap_or_else(|| io::Error::other("closed"))
}

fn keep(to: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_nodelay(true)?;
    for number in 1_u64.. {
        let sent = format!("{number:WIDTH$}");
        let begun = Instant::now();
        stream.write_all(sent.as_bytes())?;
        let mut back = [0; WIDTH];
        stream.read_exact(&mut back)?;
        if back != sent.as_bytes() {
            return Err(io::Error::other(format!(
                "{number} was sent and {:?} came back",
                String::from_utf8_lossy(&back)
            )));
        }
        tell(number, begun.elapsed())?;
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Sends number after number over one UDP socket, whatever comes back. Errors of the socket (ICMP)
/// are told and are not the end.
pub(crate) fn keep_udp(to: SocketAddr) -> io::Result<()> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    let receiver = socket.try_clone()?;
    let begun = Instant::now();
    serve::spawn(move || {
        loop {
            let mut back = [0; 2 * WIDTH];
            // An error belongs to a datagram that was sent; the next one may arrive.
            let Ok(length) = receiver.recv(&mut back) else {
                thread::sleep(PAUSE);
                continue;
            };
            let text = String::from_utf8_lossy(&back[..length]);
            let (number, sent) = text.split_at_checked(WIDTH).unwrap_or_default();
            let sent = Duration::from_micros(sent.trim().parse().unwrap_or_default());
            let number = number.trim().parse().unwrap_or_default();
            // Nobody may be reading.
            let _ = tell(number, begun.elapsed().saturating_sub(sent));
        }
    })?;
    for number in 1_u64.. {
        let sent = begun.elapsed().as_micros();
        let _ = socket.send(format!("{number:WIDTH$}{sent:WIDTH$}").as_bytes());
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// `NUMBER MICROSECONDS`.
fn tell(number: u64, took: Duration) -> io::Result<()> {
    writeln!(io::stdout(), "{number} {}", took.as_micros())
}

/// Sends so many bytes, reads them back, and says how many microseconds that took.
pub(crate) fn transfer(to: SocketAddr, bytes: u64) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    let mut sender = stream.try_clone()?;
    let begun = Instant::now();
    // Beside the reading: an echo server stops to read when nobody takes what it sends.
    let sending =
        thread::Builder::new()
            .stack_size(serve::STACK)
            .spawn(move || -> io::Result<()> {
                let length = io::copy(&mut io::repeat(b'x').take(bytes), &mut sender)?;
                debug_assert_eq!(length, bytes);
                sender.shutdown(Shutdown::Write)
            })?;
    let back = io::copy(&mut stream, &mut io::sink())?;
    let took = begun.elapsed();
    sending
        .join()
        .map_err(|_| io::Error::other("the sending thread died"))??;
    if back != bytes {
        return Err(io::Error::other(format!(
            "{bytes} bytes were sent and {back} came back"
        )));
    }
    writeln!(io::stdout(), "{}", took.as_micros())
}
