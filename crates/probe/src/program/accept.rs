//! Finds out whether the process behind a listener of this namespace still accepts: a handshake
//! proves only that the kernel does. The proof is the connection leaving the accept queue.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use netcheck_probe::{Accepts, Socket};

use super::connect::{Opened, open};
use super::socket::{is_queued, listeners};
use super::time::{Until, since};

/// Connects and watches the queue.
pub(crate) fn accepts(to: SocketAddr, patience_ms: u32, until: Until) -> Result<Accepts, String> {
    let asking = |error: std::io::Error| format!("asking for the accept queue of {to}: {error}");
    let start = Instant::now();
    let (stream, ours) = match open(to, until) {
        Opened::Open(stream, ours) => (stream, ours),
        // Only whoever took it can have reset it so soon.
        Opened::Lost(_) => {
            return Ok(Accepts::Accepted {
                took_ms: since(start),
            });
        }
        Opened::Not(errno) => return Ok(Accepts::Failed { errno }),
    };
    let until = until.within(patience_ms);
    let mut pause = Duration::from_millis(10);
    loop {
        let listeners = listeners(to.port()).map_err(asking)?;
        let queued = queue_of(to, &listeners)
            .ok_or_else(|| format!("no TCP listener for {to} in this namespace"))?;
        // On a busy server the queue may never be seen empty while our connection was taken
        // long ago. Where that cannot be asked, the queue alone decides.
        if queued == 0 || !is_queued(ours, to).unwrap_or(true) {
            drop(stream);
            return Ok(Accepts::Accepted {
                took_ms: since(start),
            });
        }
        if until.left().is_none() {
            return Ok(Accepts::Waiting {
                queued,
                waited_ms: since(start),
            });
        }
        until.sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// Connections that wait at the listeners that get a connection to this address: the kernel
/// prefers a socket bound to the address over one bound to all, and of several equal ones
/// (SO_REUSEPORT) any may have ours.
fn queue_of(to: SocketAddr, listeners: &[Socket]) -> Option<u32> {
    let target = to.ip().to_canonical();
    let rank = |socket: &Socket| match socket.local.ip().to_canonical() {
        address if socket.local.port() == to.port() && address == target => Some(0),
        _ if socket.local.port() != to.port() => None,
        IpAddr::V4(any) if any.is_unspecified() && target.is_ipv4() => Some(1),
        IpAddr::V6(any) if any.is_unspecified() && target.is_ipv6() => Some(1),
        IpAddr::V6(any) if any.is_unspecified() && socket.v6_only != Some(true) => Some(2),
        _ => None,
    };
    let best = listeners.iter().filter_map(rank).min()?;
    let matching = listeners.iter().filter(|socket| rank(socket) == Some(best));
    Some(matching.map(|socket| socket.waiting).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use netcheck_probe::Protocol;

    fn listener(local: &str, v6_only: Option<bool>, waiting: u32) -> Socket {
        Socket {
            protocol: Protocol::Tcp,
            local: local.parse().unwrap(),
            v6_only,
            waiting,
            backlog: 128,
            inode: 1,
            owner: None,
        }
    }

    #[test]
    fn the_listener_that_the_kernel_would_take() {
        let to = "10.0.0.2:80".parse().unwrap();
        let all = listener("0.0.0.0:80", None, 1);
        let exact = listener("10.0.0.2:80", None, 2);
        let dual = listener("[::]:80", Some(false), 4);
        let six = listener("[::]:80", Some(true), 8);
        let other = listener("0.0.0.0:81", None, 16);
        let queue = |listeners: &[&Socket]| {
            let owned: Vec<Socket> = listeners.iter().copied().cloned().collect();
            queue_of(to, &owned)
        };
        assert_eq!(queue(&[&all, &exact, &dual]), Some(2));
        assert_eq!(queue(&[&all, &all, &other]), Some(2));
        assert_eq!(queue(&[&dual, &other]), Some(4));
        assert_eq!(queue(&[&six, &other]), None);
        let to = "[fd00::2]:80".parse().unwrap();
        assert_eq!(queue_of(to, &[all, six]), Some(8));
    }
}
