//! Finds the processes that hold sockets, by /proc. It reads links only, stops when its time is
//! over, and gives up in silence where it is not permitted: an owner is a courtesy.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use netcheck_probe::{Process, Socket};

use super::parse;
use super::time::Until;

/// A host may have 10,000 processes with 1,000 descriptors each.
const PATIENCE: Duration = Duration::from_millis(150);

/// Fills in the owners. `namespace` is the inode of ours: a process of another namespace may hold
/// a socket of this one (dockerd does), but looking at them all would take too long.
pub(crate) fn fill(sockets: &mut [Socket], namespace: u64, until: Until) {
    let until = until.at_most(PATIENCE);
    let mut wanted: HashMap<u64, Option<Process>> =
        sockets.iter().map(|socket| (socket.inode, None)).collect();
    let mut missing = wanted.len();
    let here = format!("net:[{namespace}]");
    let Ok(processes) = fs::read_dir("/proc") else {
        return;
    };
    for entry in processes.flatten() {
        if missing == 0 || until.left().is_none() {
            break;
        }
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let path = entry.path();
        if !fs::read_link(path.join("ns/net")).is_ok_and(|link| link.as_os_str() == here.as_str()) {
            continue;
        }
        for inode in socket_inodes(&path) {
            if let Some(place @ None) = wanted.get_mut(&inode) {
                *place = process(pid, &path);
                missing -= usize::from(place.is_some());
            }
            if until.left().is_none() {
                break;
            }
        }
    }
    for socket in sockets {
        socket.owner = wanted.get(&socket.inode).cloned().flatten();
    }
}

fn socket_inodes(process: &Path) -> impl Iterator<Item = u64> {
    fs::read_dir(process.join("fd"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let link = fs::read_link(entry.path()).ok()?;
            let inode = link.to_str()?.strip_prefix("socket:[")?;
            inode.strip_suffix(']')?.parse().ok()
        })
}

fn process(pid: u32, path: &Path) -> Option<Process> {
    let text = String::from_utf8_lossy(&fs::read(path.join("stat")).ok()?).into_owned();
    let (name, state) = parse::stat(&text)?;
    Some(Process { pid, name, state })
}
