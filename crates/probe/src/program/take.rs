//! Takes a snapshot of the namespace: everything that can be read without sending a packet. Each
//! part fails for itself.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read as _;
use std::os::linux::fs::MetadataExt as _;
use std::sync::PoisonError;

use netcheck_probe::{Snapshot, Socket};

use super::connect::CONNECTING;
use super::files::Root;
use super::time::Until;
use super::{link, owner, parse, socket};

/// Those by which a container's network is switched.
const SYSCTLS: [&str; 10] = [
    "net.bridge.bridge-nf-call-iptables",
    "net.ipv4.ip_forward",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv6.bindv6only",
    "net.ipv6.conf.all.disable_ipv6",
    "net.ipv6.conf.all.forwarding",
    "net.netfilter.nf_conntrack_count",
    "net.netfilter.nf_conntrack_max",
];

/// The state of the namespace that this thread is in.
pub(crate) fn snapshot(root: &Root, until: Until) -> Snapshot {
    let namespace = std::fs::metadata("/proc/thread-self/ns/net")
        .map(|metadata| metadata.st_ino())
        .map_err(|error| format!("reading /proc/thread-self/ns/net: {error}"));
    let interfaces =
        link::interfaces().map_err(|error| format!("asking for the interfaces: {error}"));
    let names = interfaces
        .as_ref()
        .map_or_else(|_| HashMap::new(), |interfaces| link::names(interfaces));
    Snapshot {
        routes: link::routes(&names).map_err(|error| format!("asking for the routes: {error}")),
        neighbours: link::neighbours(&names)
            .map_err(|error| format!("asking for the neighbours: {error}")),
        sockets: sockets(namespace.as_ref().ok().copied(), until),
        resolv_conf: root
            .read("/etc/resolv.conf")
            .map(|bytes| parse::resolv_conf(&bytes)),
        hosts: root.read("/etc/hosts").map(|bytes| parse::hosts(&bytes)),
        sysctls: sysctls(names.values().map(String::as_str)),
        namespace,
        interfaces,
    }
}

fn sockets(namespace: Option<u64>, until: Until) -> Result<Vec<Socket>, String> {
    let mut sockets = socket::listeners(0)
        .map_err(|error| format!("asking for the listening TCP sockets: {error}"))?;
    let receivers = {
        let _guard = CONNECTING.write().unwrap_or_else(PoisonError::into_inner);
        socket::receivers()
    };
    sockets.extend(receivers.map_err(|error| format!("asking for the UDP sockets: {error}"))?);
    if let Some(namespace) = namespace {
        owner::fill(&mut sockets, namespace, until);
    }
    Ok(sockets)
}

/// `ListenOverflows` of this namespace, see [`netcheck_probe::Answer::Overflows`].
pub(crate) fn overflows() -> Result<u64, String> {
    // Not of the process but of this thread, which may have entered another namespace.
    let path = "/proc/thread-self/net/netstat";
    let text = std::fs::read_to_string(path).map_err(|error| format!("reading {path}: {error}"))?;
    parse::counter(&text, "TcpExt:", "ListenOverflows")
        .ok_or_else(|| format!("{path} does not count overflows"))
}

/// The switches, and for which interfaces 127.0.0.0/8 may be routed: an engine without docker-proxy says so
/// for its bridges.
fn sysctls<'a>(interfaces: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    let value = |path: &str| {
        let mut text = String::new();
        let file = File::open(path).ok()?;
        file.take(4096).read_to_string(&mut text).ok()?;
        Some(text.trim().to_owned())
    };
    let switches = SYSCTLS.iter().filter_map(|name| {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        Some(((*name).to_owned(), value(&path)?))
    });
    let routed = interfaces
        // Of these there may be hundreds, and none is a bridge.
        .filter(|interface| !interface.starts_with("veth"))
        .filter_map(|interface| {
            let path = format!("/proc/sys/net/ipv4/conf/{interface}/route_localnet");
            let on = value(&path).filter(|value| value == "1")?;
            Some((format!("net.ipv4.conf.{interface}.route_localnet"), on))
        });
    switches.chain(routed).collect()
}
