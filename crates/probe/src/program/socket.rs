//! The sockets that wait for somebody: from sock_diag(7), or from /proc/net where that is refused
//! or the kernel lacks a module for it.

use std::fs;
use std::io;
use std::net::SocketAddr;

use netcheck_probe::{Protocol, Socket};
use netlink_packet_core::Parseable as _;
use netlink_packet_sock_diag::constants::TCP_SYN_RECV;
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags,
};
use netlink_packet_sock_diag::{AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, SOCK_DIAG_BY_FAMILY};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use super::netlink::dump;
use super::parse;

/// Listening TCP sockets, of one port or (0) of all.
pub(crate) fn listeners(port: u16) -> io::Result<Vec<Socket>> {
    let mut found = waiting(Protocol::Tcp, port)?;
    // The /proc fallback knows no filter.
    found.retain(|socket| port == 0 || socket.local.port() == port);
    Ok(found)
}

/// Unconnected UDP sockets.
pub(crate) fn receivers() -> io::Result<Vec<Socket>> {
    waiting(Protocol::Udp, 0)
}

fn waiting(protocol: Protocol, port: u16) -> io::Result<Vec<Socket>> {
    let state = match protocol {
        Protocol::Tcp => StateFlags::LISTEN,
        Protocol::Udp => StateFlags::CLOSE,
    };
    let mut sockets = Vec::new();
    for family in [AF_INET, AF_INET6] {
        let mut id = SocketId::new_v4();
        id.source_port = port;
        match diag(family, protocol, state.clone(), id) {
            Ok(responses) => {
                sockets.extend(responses.iter().map(|response| socket(protocol, response)));
            }
            Err(refused) => sockets.extend(from_proc(family, protocol, &refused)?),
        }
    }
    Ok(sockets)
}

fn diag(
    family: u8,
    protocol: Protocol,
    states: StateFlags,
    socket_id: SocketId,
) -> io::Result<Vec<InetResponse>> {
    let request = InetRequest {
        family,
        protocol: match protocol {
            Protocol::Tcp => IPPROTO_TCP,
            Protocol::Udp => IPPROTO_UDP,
        },
        // None: INET_DIAG_SKV6ONLY comes unasked with each listening or closed IPv6 socket.
        extensions: ExtensionFlags::empty(),
        states,
        socket_id,
    };
    let answer = dump(NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, &request)?;
    Ok(answer
        .iter()
        .filter_map(|bytes| InetResponse::parse(bytes.as_slice()).ok())
        .collect())
}

fn socket(protocol: Protocol, response: &InetResponse) -> Socket {
    let header = &response.header;
    let v6_only = response.nlas.iter().find_map(|attribute| match attribute {
        Nla::SkV6Only(only) => Some(*only),
        _ => None,
    });
    Socket {
        protocol,
        local: SocketAddr::new(
            header.socket_id.source_address,
            header.socket_id.source_port,
        ),
        v6_only: v6_only.filter(|_| header.family == AF_INET6),
        waiting: header.recv_queue,
        backlog: match protocol {
            Protocol::Tcp => header.send_queue,
            Protocol::Udp => 0,
        },
        inode: header.inode.into(),
        owner: None,
    }
}

fn from_proc(family: u8, protocol: Protocol, refused: &io::Error) -> io::Result<Vec<Socket>> {
    let six = if family == AF_INET6 { "6" } else { "" };
    // thread-self: /proc/self would show the namespace of the main thread, which is ours as well,
    // but only by the order of the start.
    let path = format!("/proc/thread-self/net/{}{six}", protocol.as_str());
    match fs::read(&path) {
        Ok(bytes) => Ok(parse::proc_sockets(
            &String::from_utf8_lossy(&bytes),
            protocol,
        )),
        // No such table: a kernel without IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound && family == AF_INET6 => {
            Ok(Vec::new())
        }
        Err(error) => Err(io::Error::other(format!(
            "sock_diag says {refused}, and reading {path}: {error}"
        ))),
    }
}

/// Where the far end of a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FarEnd {
    /// In the accept queue: established, but of no file yet, i.e. with inode 0.
    Queued,
    /// Before the queue, though our end is open: it had no room when the last packet of the handshake
    /// came, or the listener waits for data first (`TCP_DEFER_ACCEPT`, tcp(7)).
    Pending,
    /// A process has it, or had it.
    Taken,
}

/// Where the connection that we opened from `ours` is at a listener here.
pub(crate) fn far_end(ours: SocketAddr, listener: SocketAddr) -> io::Result<FarEnd> {
    let mut id = SocketId::new_v4();
    id.source_port = listener.port();
    id.destination_port = ours.port();
    let states = StateFlags::ESTABLISHED | StateFlags::CLOSE_WAIT | StateFlags::SYN_RECV;
    // A dual-stack listener has IPv4 connections on IPv6 sockets.
    for family in [AF_INET, AF_INET6] {
        let found = diag(family, Protocol::Tcp, states.clone(), id.clone())?;
        let peer = |response: &&InetResponse| {
            let address = response.header.socket_id.destination_address;
            address.to_canonical() == ours.ip().to_canonical()
        };
        if let Some(response) = found.iter().find(peer) {
            return Ok(match (response.header.state, response.header.inode) {
                (TCP_SYN_RECV, _) => FarEnd::Pending,
                (_, 0) => FarEnd::Queued,
                _ => FarEnd::Taken,
            });
        }
    }
    Ok(FarEnd::Taken)
}
