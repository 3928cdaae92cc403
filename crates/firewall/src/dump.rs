//! Asks the kernel for the filter of the namespace this process is in. It only sends dump requests.

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use crate::attributes::messages;
use crate::filter::Filter;
use crate::{VERSION, decode};

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

/// Reads all chains and rules. It takes CAP_NET_ADMIN.
///
/// # Errors
/// What the kernel said; [`io::ErrorKind::Interrupted`] if rules changed while they were read.
pub fn read() -> io::Result<Filter> {
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
