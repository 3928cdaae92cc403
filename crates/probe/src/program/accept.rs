//! Finds out whether the process behind a listener of this namespace still accepts: a handshake
//! proves only that the kernel does. The proof is the connection leaving the accept queue.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use netcheck_probe::{Accepts, Errno, Socket};

use super::connect::{Opened, open};
use super::socket::{FarEnd, far_end, listeners};
use super::time::{Until, since};

/// Connects and watches the queue.
pub(crate) fn accepts(to: SocketAddr, patience_ms: u32, until: Until) -> Result<Accepts, String> {
    let asking = |error: std::io::Error| format!("asking for the accept queue of {to}: {error}");
    let start = Instant::now();
    // Longer than patience would be no more of a proof.
    let opening = until.within(patience_ms);
    let (stream, ours) = match open(to, opening) {
        Opened::Open(stream, ours) => (stream, ours),
        // Only whoever took it can have reset it so soon.
        Opened::Lost(_) => {
            return Ok(Accepts::Accepted {
                took_ms: since(start),
            });
        }
        Opened::Not(errno) => {
            // Within one namespace only a full queue makes the kernel ignore a SYN.
            let queue = listeners(to.port()).ok().and_then(|all| queue_of(to, &all));
            return Ok(match (errno, queue) {
                (
                    Errno::TimedOut,
                    Some(Queue {
                        queued,
                        is_full: true,
                    }),
                ) => Accepts::Waiting {
                    queued,
                    waited_ms: since(start),
                },
                _ => Accepts::Failed { errno },
            });
        }
    };
    let until = until.within(patience_ms);
    let mut pause = Duration::from_millis(10);
    loop {
        let listeners = listeners(to.port()).map_err(asking)?;
        let Queue { queued, is_full } = queue_of(to, &listeners)
            .ok_or_else(|| format!("no TCP listener for {to} in this namespace"))?;
        // On a busy server the queue may never be seen empty while our connection was taken
        // long ago. Where that cannot be asked, the queue alone decides.
        let is_through = match far_end(ours, to) {
            _ if queued == 0 => true,
            Ok(FarEnd::Taken) => true,
            // It waits for room, or else for words, which we do not say.
            Ok(FarEnd::Pending) => !is_full,
            Ok(FarEnd::Queued) | Err(_) => false,
        };
        if is_through {
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

/// The accept queues of some listeners, together.
#[derive(Debug, PartialEq, Eq)]
struct Queue {
    queued: u32,
    /// Further connections are turned away by each of them.
    is_full: bool,
}

/// What waits at the listeners that get a connection to this address: the kernel
/// prefers a socket bound to the address over one bound to all, and of several equal ones
/// (SO_REUSEPORT) any may have ours.
fn queue_of(to: SocketAddr, listeners: &[Socket]) -> Option<Queue> {
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
    let matching = || listeners.iter().filter(|socket| rank(socket) == Some(best));
    Some(Queue {
        queued: matching().map(|socket| socket.waiting).sum(),
        // The kernel's own test, sk_acceptq_is_full: one more than the backlog fits in.
        is_full: matching().all(|socket| socket.waiting > socket.backlog),
    })
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
            queue_of(to, &owned).map(|queue| queue.queued)
        };
        assert_eq!(queue(&[&all, &exact, &dual]), Some(2));
        assert_eq!(queue(&[&all, &all, &other]), Some(2));
        assert_eq!(queue(&[&dual, &other]), Some(4));
        assert_eq!(queue(&[&six, &other]), None);
        let to = "[fd00::2]:80".parse().unwrap();
        let queue = queue_of(to, &[all, six]).unwrap();
        assert_eq!((queue.queued, queue.is_full), (8, false));
        let full = |waiting| queue_of(to, &[listener("[::]:80", None, waiting)]).unwrap();
        assert!(full(129).is_full && !full(128).is_full);
    }
}
