//! Asks the kernel for the filter of the namespace this process is in. It only reads, and asks for no
//! table that is not there.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsRawFd as _;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use crate::attributes::messages;
use crate::filter::{Chain, Filter};
use crate::{VERSION, decode, legacy as tables};

const REQUEST_DUMP: u16 = 0x301;
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// NFNL_SUBSYS_NFTABLES, in the upper byte of a message's type.
const NFTABLES: u16 = 10 << 8;
const GET_CHAIN: u16 = 4;
const GET_RULE: u16 = 7;
/// The flag in a header that says the dump changed under way (NLM_F_DUMP_INTR).
const INTERRUPTED: u16 = 0x10;
/// Messages of one dump that are read at most.
const MOST: usize = 50_000;

/// Reads all chains and rules, of nf_tables and of ip_tables. It takes CAP_NET_ADMIN, and for the second
/// the user root, whose `/proc/net/ip_tables_names` is.
///
/// # Errors
/// What the kernel said; [`io::ErrorKind::Interrupted`] if rules changed while they were read.
pub fn read() -> io::Result<Filter> {
    let mut filter = nftables()?;
    for version in [Version::V4, Version::V6] {
        match legacy(version) {
            Ok(chains) => filter.chains.extend(chains),
            Err(_) => filter.incomplete = true,
        }
    }
    Ok(filter)
}

fn nftables() -> io::Result<Filter> {
    let (chains, cut) = dump(GET_CHAIN)?;
    let (rules, also_cut) = dump(GET_RULE)?;
    let mut filter = Filter {
        version: VERSION,
        chains: Vec::new(),
        incomplete: cut || also_cut,
    };
    for body in &chains {
        match decode::chain(body) {
            Some(chain) => filter.chains.push(chain),
            None => filter.incomplete = true,
        }
    }
    for body in &rules {
        let place = decode::rule(body).and_then(|(family, table, name, rule)| {
            let chain = filter
                .chains
                .iter_mut()
                .find(|c| c.family == family && c.table == table && c.name == name)?;
            Some((chain, rule))
        });
        match place {
            Some((chain, rule)) => chain.rules.push(rule),
            None => filter.incomplete = true,
        }
    }
    Ok(filter)
}

/// The bodies of the answers, and whether there were more than are read.
fn dump(kind: u16) -> io::Result<(Vec<Vec<u8>>, bool)> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    // The header, then nfgenmsg: all families, version 0.
    let mut request = 20_u32.to_ne_bytes().to_vec();
    request.extend((NFTABLES | kind).to_ne_bytes());
    request.extend(REQUEST_DUMP.to_ne_bytes());
    request.extend([1, 0, 0, 0].map(|byte: u8| byte));
    request.extend([0; 8]);
    socket.send(&request, 0)?;
    let (mut bodies, mut cut) = (Vec::new(), false);
    let mut part = Vec::with_capacity(64 * 1024);
    loop {
        part.clear();
        if socket.recv(&mut part, 0)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let flags = part
            .get(6..8)
            .map_or(0, |f| u16::from_ne_bytes([f[0], f[1]]));
        if flags & INTERRUPTED != 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        for (kind, body) in messages(&part) {
            match kind {
                DONE => return Ok((bodies, cut)),
                ERROR => {
                    let code = body
                        .first_chunk()
                        .map_or(0, |code| i32::from_ne_bytes(*code));
                    return Err(io::Error::from_raw_os_error(code.saturating_neg()));
                }
                _ if bodies.len() < MOST => bodies.push(body.to_vec()),
                _ => cut = true,
            }
        }
    }
}

/// Of ip_tables.
#[derive(Clone, Copy)]
enum Version {
    V4,
    V6,
}

/// linux/netfilter_ipv4/ip_tables.h; the numbers of ip6_tables.h are the same.
const GET_INFO: libc::c_int = 64;
const GET_ENTRIES: libc::c_int = 65;
/// `struct ipt_getinfo`: a name of 32 bytes, the valid hooks, two numbers for each of five hooks, and
/// the number and the size of the entries.
const INFO: usize = 84;
/// `struct ipt_get_entries` before its entries: the name, their size, and padding.
const ENTRIES_HEADER: usize = 40;
/// The largest table that is read, in bytes: some 50,000 rules.
const LARGEST: u32 = 16 * 1024 * 1024;

/// The tables that exist. Asking for one that does not would make the kernel create it, and change what
/// `iptables` says from then on.
fn legacy(version: Version) -> io::Result<Vec<Chain>> {
    let (file, family) = match version {
        Version::V4 => ("/proc/net/ip_tables_names", 2),
        Version::V6 => ("/proc/net/ip6_tables_names", 10),
    };
    let names = match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        names => names?,
    };
    if names.trim().is_empty() {
        return Ok(Vec::new());
    }
    let socket = match version {
        Version::V4 => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?,
        Version::V6 => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?,
    };
    let mut chains = Vec::new();
    for name in names.lines() {
        let mut info = named(name, INFO)?;
        option(&socket, version, GET_INFO, &mut info)?;
        let word = |at: usize| {
            info.get(at..)
                .and_then(|rest| rest.first_chunk())
                .map_or(0, |bytes| u32::from_ne_bytes(*bytes))
        };
        let size = word(80);
        if size > LARGEST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut entries = named(name, ENTRIES_HEADER + size as usize)?;
        entries[32..36].copy_from_slice(&size.to_ne_bytes());
        option(&socket, version, GET_ENTRIES, &mut entries)?;
        let hooks = [0, 1, 2, 3, 4].map(|hook: u32| {
            let at = 36 + 4 * hook as usize;
            (word(32) & (1 << hook) != 0).then(|| (word(at), word(at + 20)))
        });
        let read = tables::table(family, name, hooks, &entries[ENTRIES_HEADER..]);
        chains.extend(read.ok_or(io::ErrorKind::InvalidData)?);
    }
    Ok(chains)
}

/// Room for an answer, with the table's name at its beginning.
fn named(name: &str, size: usize) -> io::Result<Vec<u8>> {
    let mut room = vec![0; size];
    // The last byte is the zero at its end.
    room.get_mut(..name.len())
        .filter(|_| name.len() < 32)
        .ok_or(io::ErrorKind::InvalidData)?
        .copy_from_slice(name.as_bytes());
    Ok(room)
}

fn option(
    socket: &UdpSocket,
    version: Version,
    number: libc::c_int,
    room: &mut [u8],
) -> io::Result<()> {
    let level = match version {
        Version::V4 => libc::IPPROTO_IP,
        Version::V6 => libc::IPPROTO_IPV6,
    };
    let mut length = libc::socklen_t::try_from(room.len()).map_err(io::Error::other)?;
    // SAFETY: the room is ours, as long as is said, and lives until the call returns; the kernel writes
    // no more than that (do_ipt_get_ctl checks the length).
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            number,
            room.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
