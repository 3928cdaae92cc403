//! One of many tries to use a service: a name looked up anew and its first address connected to,
//! as a program does that needs the service at this moment. It says no more than a single try does.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use netcheck_probe::{Attempt, Came, Protocol, Resolved, Tried};

use super::files::Root;
use super::time::Until;
use super::{connect, lookup};

/// The longest a try takes. The kernel sends a SYN again after 1 s and after 3 s (RFC 6298 2 and
/// 5.5), so that a connection that lost two of them still opens in that time.
const LONGEST: Duration = Duration::from_millis(3500);

/// A try that begins at `begin`.
pub(crate) fn attempt(
    root: &Root,
    host: &str,
    (port, protocol): (u16, Protocol),
    begin: Instant,
    listen_ms: u32,
    until: Until,
) -> Result<Attempt, String> {
    until.sleep(begin.saturating_duration_since(Instant::now()));
    if until.left().is_none() {
        return Err("not begun before the deadline".into());
    }
    let until = until.at_most(LONGEST);
    let start = Instant::now();
    let found = lookup::lookup(root, host, until)?;
    let lookup_us = microseconds(start);
    let Some(&address) = found.addresses.first() else {
        return Ok(Attempt {
            resolved: Resolved::Not(found.queries.into_iter().next_back()),
            lookup_us,
            tried: None,
        });
    };
    let to = SocketAddr::new(address, port);
    let start = Instant::now();
    let (came, took) = match protocol {
        Protocol::Tcp => {
            let (connected, took) = connect::timed(to, &[], listen_ms, until);
            (Came::Tcp(connected), took)
        }
        Protocol::Udp => {
            let delivered = connect::datagram(to, listen_ms, until)?;
            (Came::Udp(delivered), start.elapsed())
        }
    };
    Ok(Attempt {
        resolved: Resolved::Addresses(found.addresses),
        lookup_us,
        tried: Some(Tried {
            to,
            took_us: u32::try_from(took.as_micros()).unwrap_or(u32::MAX),
            came,
        }),
    })
}

/// Microseconds since `start`.
fn microseconds(start: Instant) -> u32 {
    u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX)
}
