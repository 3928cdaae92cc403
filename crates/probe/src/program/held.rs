//! Counts the local ports that connections to one place hold, from /proc/net (proc_net_tcp in the
//! kernel's documentation): it shows closed connections that still wait, and takes no right.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;

use super::parse;
use super::time::Until;

/// How many different ports they are.
pub(crate) fn held(to: SocketAddr, until: Until) -> Result<u32, String> {
    let mut ports = BTreeSet::new();
    for table in ["tcp", "tcp6"] {
        // Not of the process but of this thread, which may have entered another namespace.
        let path = format!("/proc/thread-self/net/{table}");
        match count(&path, to, until, &mut ports) {
            Ok(()) => {}
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && table == "tcp6" => {}
            Err(error) => return Err(format!("reading {path}: {error}")),
        }
    }
    Ok(u32::try_from(ports.len()).unwrap_or(u32::MAX))
}

fn count(path: &str, to: SocketAddr, until: Until, ports: &mut BTreeSet<u16>) -> io::Result<()> {
    let mut lines = BufReader::new(File::open(path)?);
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        if until.left().is_none() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if let Some((ours, theirs)) = parse::proc_connection(&line)
            && theirs.port() == to.port()
            && theirs.ip().to_canonical() == to.ip().to_canonical()
        {
            ports.insert(ours.port());
        }
        line.clear();
    }
    Ok(())
}
