//! What several programs in one namespace must not share: the number that tells their tables and
//! marks apart, and a peer whose link is bad. Held by sockets with abstract names, unix(7), which
//! belong to the network namespace and vanish with their process, however it ends.

use std::io;
use std::net::IpAddr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use super::trouble::{Result, Trouble};

/// The most faults in one namespace at a time; the priorities of nat chains have room for them.
const MOST: u16 = 63;

/// `nc` in the upper half of a packet mark: with that, the lower half is ours.
const MARK: u32 = 0x6e63_0000;

/// Which bits of a mark say that it is ours.
pub(crate) const MARK_MASK: u32 = 0xffff_0000;

/// The prefix of all our marks.
pub(crate) const MARK_PREFIX: u32 = MARK;

/// Set in the marks of frames that are to be diverted to the program.
const DIVERT: u32 = 0x8000;

/// A mark, and which bits of it count, of frames that are to be diverted to any of our programs.
pub(crate) const DIVERTED: (u32, u32) = (MARK | DIVERT, MARK_MASK | DIVERT);

/// A number that no other fault of this namespace has; free again when dropped.
#[derive(Debug)]
pub(crate) struct Number {
    number: u16,
    _socket: UnixDatagram,
}

impl Number {
    /// The lowest number that is free, from 1.
    pub(crate) fn take() -> Result<Self> {
        for number in 1..=MOST {
            if let Some(socket) = bind(&format!("number/{number}"))? {
                return Ok(Self {
                    number,
                    _socket: socket,
                });
            }
        }
        Err(Trouble::failed(
            "taking a number for this fault",
            format!("there are {MOST} faults in this namespace already"),
        ))
    }

    /// From 1 to [`MOST`].
    pub(crate) fn get(&self) -> u16 {
        self.number
    }

    /// The name of this fault's tables.
    pub(crate) fn table(&self) -> String {
        format!("netcheck-fault-{}", self.number)
    }

    /// The mark of packets that this program sends itself.
    pub(crate) fn own_mark(&self) -> u32 {
        MARK | u32::from(self.number)
    }

    /// The mark of packets that are to be diverted to this program.
    pub(crate) fn divert_mark(&self) -> u32 {
        MARK | DIVERT | u32::from(self.number)
    }
}

/// A peer whose link this program alone changes, as long as this lives.
#[derive(Debug)]
pub(crate) struct Peer {
    _socket: UnixDatagram,
}

impl Peer {
    /// Fails if another link fault has this peer: it would get the frames twice, or never.
    pub(crate) fn take(address: IpAddr) -> Result<Self> {
        match bind(&format!("link/{address}"))? {
            Some(socket) => Ok(Self { _socket: socket }),
            None => Err(Trouble::request(format!(
                "another link fault in this namespace has the link to {address}; one fault holds \
                 delay, loss and rate at once"
            ))),
        }
    }
}

fn bind(name: &str) -> Result<Option<UnixDatagram>> {
    let bound = SocketAddr::from_abstract_name(format!("netcheck-fault/{name}"))
        .and_then(|address| UnixDatagram::bind_addr(&address));
    match bound {
        Ok(socket) => Ok(Some(socket)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
        Err(error) => Err(Trouble::failed(
            format!("taking the name netcheck-fault/{name}"),
            error,
        )),
    }
}
