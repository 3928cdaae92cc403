//! A program that may not have a port below 1024: where that can be, and what its log says of it.
//!
//! It reads a log, so it runs where the evidence is made; the one line that it keeps is redacted.

use crate::evidence::{Container, Detail, Mode, Status};
use crate::redact;

/// The first port for which no right is needed (ip(7), `ip_unprivileged_port_start`).
pub const SYSCTL: &str = "net.ipv4.ip_unprivileged_port_start";

/// Without the sysctl: the kernel's own value, which the host's network has.
const USUAL: u16 = 1024;

/// In characters, as much as of a health check.
const LONGEST: usize = 200;

/// Whether the container may have ended for that: not as root, with an error, and where not every port is
/// free for all. In a network of its own it is, unless the container was made otherwise (Engine 20.10).
pub fn may_be(container: &Container) -> bool {
    let ended = matches!(
        container.status,
        Status::Exited | Status::Restarting | Status::Dead
    );
    container.detail().is_some_and(|detail| {
        ended
            && detail.state.exit_code != 0
            && !detail.user.is_empty()
            && first_free(detail).is_some_and(|first| first > 1)
    })
}

/// The first port that its program may have; none where that is not known.
pub fn first_free(detail: &Detail) -> Option<u16> {
    match (detail.sysctls.get(SYSCTL), &detail.mode) {
        (Some(value), _) => value.trim().parse().ok(),
        (None, Mode::Host) => Some(USUAL),
        (None, _) => None,
    }
}

/// The last line of a log that says so.
pub fn find(log: &str, detail: &Detail) -> Option<String> {
    let first = first_free(detail)?;
    let line = log.lines().rev().find(|line| is_refusal(line, first))?;
    let cut: String = line.trim().chars().take(LONGEST).collect();
    Some(redact::text(&crate::clean::clean(&cut)))
}

/// `bind: Permission denied`, `listen EACCES: permission denied 0.0.0.0:80`; not for a file, and not for a
/// port that it may have.
fn is_refusal(line: &str, first: u16) -> bool {
    let line = line.to_ascii_lowercase();
    let denied = line.contains("permission denied") || line.contains("eacces");
    if !denied || line.contains(".sock") || line.contains("unix") {
        return false;
    }
    match ports(&line)[..] {
        [] => line.contains("bind") || line.contains("listen"),
        ref ports => ports.iter().any(|port| *port < first),
    }
}

/// `0.0.0.0:80`, `[::]:80`, `port 80`.
fn ports(line: &str) -> Vec<u16> {
    let after = |mark: &'static str| {
        line.match_indices(mark).filter_map(move |(at, mark)| {
            let before = &line[..at];
            // The time of a line (`12:30:01`) is no place.
            let is_place = mark != ":"
                || before.ends_with([']', ' '])
                || before.ends_with('*')
                || before
                    .rsplit(|c: char| !(c.is_ascii_digit() || c == '.'))
                    .next()
                    .is_some_and(|host| host.parse::<std::net::Ipv4Addr>().is_ok());
            let rest = &line[at + mark.len()..];
            let end = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            rest[..end].parse().ok().filter(|_| is_place)
        })
    };
    after(":").chain(after("port ")).collect()
}

#[cfg(test)]
mod tests {
    use super::is_refusal;

    #[test]
    fn what_programs_say() {
        for line in [
            "httpd: bind: Permission denied",
            "bind() to 0.0.0.0:80 failed (13: Permission denied)",
            "Error: listen EACCES: permission denied 0.0.0.0:80",
            "listen tcp :80: bind: permission denied",
            "2026/11/30 12:30:01 listen tcp [::]:443: bind: permission denied",
            "serving Tcp at 0.0.0.0:80: Permission denied (os error 13)",
            "could not open port 53: Permission denied",
        ] {
            assert!(is_refusal(line, 1024), "{line}");
        }
        for line in [
            "open /etc/shadow: permission denied",
            "bind: Address already in use",
            "listen tcp 0.0.0.0:8080: bind: permission denied",
            "listen tcp :8080: bind: permission denied",
            "bind: /var/run/docker.sock: permission denied",
            "listen unix /run/app: bind: permission denied",
            "FATAL: database: permission denied",
            "",
        ] {
            assert!(!is_refusal(line, 1024), "{line}");
        }
        assert!(!is_refusal(
            "bind() to 0.0.0.0:80 failed (13: Permission denied)",
            80
        ));
    }
}
