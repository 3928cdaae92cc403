//! Diverts frames to the program: rules at the egress hook scramble their hardware addresses, so
//! that nobody takes them, and a packet socket reads them from there, packet(7). It must lose no
//! offload information: the frames may be 64 KiB long and without checksums.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use netlink_sys::protocols::NETLINK_ROUTE;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::lease::Number;
use super::netlink::{attribute, dump, open};
use super::nft::{Chain, Family, Hook, Rule};
use super::trouble::{Result, Trouble};

/// rtnetlink(7).
const RTM_GETLINK: u16 = 18;
const IFLA_IFNAME: u16 = 3;
/// struct ifinfomsg; the type of the interface at offset 2.
const LINK_HEADER: usize = 16;

/// `struct virtio_net_hdr`, before each frame with PACKET_VNET_HDR.
const OFFLOAD_HEADER: usize = 10;

/// Two addresses and a type.
const ETHERNET_HEADER: usize = 14;

/// Not in the libc crate for every C library: if_packet.h.
const PACKET_VNET_HDR: libc::c_int = 15;
const PACKET_STATISTICS: libc::c_int = 6;

/// A frame of 64 KiB (the largest that an interface makes unless told otherwise), its header and
/// room to see that one is longer.
const LARGEST: usize = OFFLOAD_HEADER + ETHERNET_HEADER + 65_536 + 512;

/// What the kernel may hold for us until we read it: 10 ms at 1 GB/s, with its bookkeeping.
const RECEIVE_BUFFER: libc::c_int = 16 * 1024 * 1024;

/// What may be on its way out; a bridge takes frames at once, so this is never the bottleneck.
const SEND_BUFFER: libc::c_int = 4 * 1024 * 1024;

/// What is changed in the two addresses of a diverted frame. The destination becomes nobody's; it
/// stays an address of one station. The source becomes a group address, which is not valid, so
/// that a bridge drops the frame and does not flood it (br_handle_frame, is_valid_ether_addr).
const SCRAMBLE: [u8; 12] = [2, 0, 0, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0];

/// A frame that was diverted, with the addresses it had.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// The offload header and the frame.
    bytes: Vec<u8>,
    interface: i32,
}

impl Frame {
    /// Its length on the wire, as one frame: offload frames become a few headers longer.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - OFFLOAD_HEADER
    }

    /// The packet in it.
    pub(crate) fn packet(&self) -> &[u8] {
        self.bytes
            .get(OFFLOAD_HEADER + ETHERNET_HEADER..)
            .unwrap_or_default()
    }
}

/// What a read gave.
#[derive(Debug)]
pub(crate) enum Read {
    /// A frame.
    Frame(Frame),
    /// One that cannot be handed on: its offload has no name in the header, or it is too long.
    Lost,
    /// Nothing there now.
    Nothing,
}

/// The socket that reads diverted frames and sends them on.
#[derive(Debug)]
pub(crate) struct Tap {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Tap {
    /// Opens it for frames with the divert mark of this number.
    pub(crate) fn open(number: &Number) -> Result<Self> {
        let doing = "opening a packet socket";
        // No protocol yet: nothing may come in before the filter is there.
        let socket = Socket::new(Domain::PACKET, Type::RAW, None).map_err(|error| {
            match error.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => {
                    Trouble::unsupported("CAP_NET_RAW", format!("{doing}: {error}"))
                }
                Some(libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT) => {
                    Trouble::unsupported("AF_PACKET", format!("{doing}: {error}"))
                }
                _ => Trouble::failed(doing, error),
            }
        })?;
        let setup = || -> io::Result<()> {
            socket.set_nonblocking(true)?;
            attach_mark_filter(&socket, number.divert_mark())?;
            set(&socket, libc::SOL_PACKET, PACKET_VNET_HDR, 1)?;
            set(
                &socket,
                libc::SOL_SOCKET,
                libc::SO_RCVBUFFORCE,
                RECEIVE_BUFFER,
            )?;
            set(&socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, SEND_BUFFER)?;
            // What we send must not be diverted again.
            socket.set_mark(number.own_mark())?;
            bind_to_all(&socket)
        };
        setup().map_err(|error| administering("setting up the packet socket", &error))?;
        Ok(Self {
            socket,
            buffer: vec![0; LARGEST],
        })
    }

    /// Reads one frame, without waiting.
    pub(crate) fn read(&mut self) -> io::Result<Read> {
        let mut from = empty_address();
        let mut size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the buffer and the address are ours, of the lengths given, and live until the
        // call returns. MSG_TRUNC only changes the length that is returned.
        let length = unsafe {
            libc::recvfrom(
                self.socket.as_raw_fd(),
                self.buffer.as_mut_ptr().cast(),
                self.buffer.len(),
                libc::MSG_TRUNC,
                (&raw mut from).cast(),
                &raw mut size,
            )
        };
        let Ok(length) = usize::try_from(length) else {
            let error = io::Error::last_os_error();
            return match error.raw_os_error() {
                Some(libc::EAGAIN | libc::EINTR) => Ok(Read::Nothing),
                // packet_rcv_vnet: an offload that the header cannot express.
                Some(libc::EINVAL) => Ok(Read::Lost),
                // An interface went down; the others go on.
                Some(libc::ENETDOWN) => Ok(Read::Nothing),
                _ => Err(error),
            };
        };
        if from.sll_pkttype != libc::PACKET_OUTGOING {
            return Ok(Read::Lost);
        }
        if !(OFFLOAD_HEADER + ETHERNET_HEADER..=LARGEST).contains(&length) {
            return Ok(Read::Lost);
        }
        let mut bytes = self.buffer[..length].to_vec();
        unscramble(&mut bytes[OFFLOAD_HEADER..]);
        Ok(Read::Frame(Frame {
            bytes,
            interface: from.sll_ifindex,
        }))
    }

    /// Sends a frame on its way, without waiting.
    pub(crate) fn send(&self, frame: &Frame) -> io::Result<()> {
        let mut to = empty_address();
        to.sll_ifindex = frame.interface;
        // The type as it stands in the frame, in network byte order.
        let kind = OFFLOAD_HEADER + ETHERNET_HEADER - 2;
        to.sll_protocol = u16::from_ne_bytes([frame.bytes[kind], frame.bytes[kind + 1]]);
        // SAFETY: the bytes and the address live until the call returns and have these lengths.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                frame.bytes.as_ptr().cast(),
                frame.bytes.len(),
                libc::MSG_DONTWAIT,
                (&raw const to).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// How many frames the kernel had to drop since the last call because we read too late.
    pub(crate) fn missed(&self) -> u64 {
        // struct tpacket_stats: packets and drops; reading sets them to zero.
        let mut statistics = [0_u32; 2];
        let mut size = size_of_val(&statistics) as libc::socklen_t;
        // SAFETY: the kernel writes at most `size` bytes there.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                PACKET_STATISTICS,
                statistics.as_mut_ptr().cast(),
                &raw mut size,
            )
        };
        if result == 0 { statistics[1].into() } else { 0 }
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Chains that divert what these rules let through, one for each Ethernet interface there is. The
/// rules say which frames; the diversion is added to them.
pub(crate) fn chains(number: &Number, exempt: &[Rule], wanted: &[Rule]) -> Result<Vec<Chain>> {
    let interfaces =
        ethernet_interfaces().map_err(|error| Trouble::failed("listing the interfaces", error))?;
    if interfaces.is_empty() {
        return Err(Trouble::unsupported(
            "an Ethernet interface",
            "this namespace has none",
        ));
    }
    let accept = super::nft::Expression::Accept;
    let mut rules = vec![
        Rule::new()
            .mark(number.own_mark(), u32::MAX)
            .then(accept.clone()),
    ];
    rules.extend_from_slice(exempt);
    for rule in wanted {
        rules.push(
            rule.clone()
                .set_mark(number.divert_mark())
                .scramble(SCRAMBLE)
                .then(accept.clone()),
        );
    }
    let chain = |interface| Chain {
        family: Family::Netdev,
        hook: Hook::Egress { interface },
        rules: rules.clone(),
    };
    Ok(interfaces.into_iter().map(chain).collect())
}

/// The names of the interfaces that carry Ethernet frames, lo not among them.
fn ethernet_interfaces() -> io::Result<Vec<String>> {
    let socket = open(NETLINK_ROUTE)?;
    let name = |link: &[u8]| {
        let kind = u16::from_ne_bytes(*link.get(2..)?.first_chunk()?);
        if kind != libc::ARPHRD_ETHER {
            return None;
        }
        let name = attribute(link.get(LINK_HEADER..)?, IFLA_IFNAME)?;
        Some(String::from_utf8_lossy(name.strip_suffix(b"\0")?).into_owned())
    };
    let mut names = Vec::new();
    dump(&socket, RTM_GETLINK, &[0; LINK_HEADER], |link| {
        names.extend(name(link));
    })?;
    Ok(names)
}

fn unscramble(frame: &mut [u8]) {
    for (byte, change) in frame.iter_mut().zip(SCRAMBLE) {
        *byte ^= change;
    }
}

/// Lets only packets with this mark into the socket (linux/filter.h, SKF_AD_MARK).
fn attach_mark_filter(socket: &Socket, mark: u32) -> io::Result<()> {
    let load_mark = (libc::SKF_AD_OFF + libc::SKF_AD_MARK) as u32;
    let step = SockFilter::new;
    let steps = [
        // BPF_LD | BPF_W | BPF_ABS
        step(0x20, 0, 0, load_mark),
        // BPF_JMP | BPF_JEQ | BPF_K
        step(0x15, 0, 1, mark),
        // BPF_RET | BPF_K: the whole packet, or nothing of it.
        step(0x06, 0, 0, u32::MAX),
        step(0x06, 0, 0, 0),
    ];
    socket.attach_filter(&steps)
}

/// Starts to receive, from all interfaces: a socket without a protocol gets nothing.
fn bind_to_all(socket: &Socket) -> io::Result<()> {
    let mut address = empty_address();
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    // SAFETY: the address lives until the call returns and has this length.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn empty_address() -> libc::sockaddr_ll {
    // SAFETY: all zeros is a valid sockaddr_ll.
    let mut address: libc::sockaddr_ll = unsafe { MaybeUninit::zeroed().assume_init() };
    address.sll_family = libc::AF_PACKET as u16;
    address
}

fn set(socket: &Socket, level: i32, option: i32, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the value lives until the call returns and has this length.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A raw socket for whole IP packets of our own making, in the name of a peer: raw(7), IPPROTO_RAW.
pub(crate) fn raw_socket(domain: Domain, number: &Number) -> Result<Socket> {
    let doing = "opening a raw socket";
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW))).map_err(
        |error| match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                Trouble::unsupported("CAP_NET_RAW", format!("{doing}: {error}"))
            }
            _ => Trouble::failed(doing, error),
        },
    )?;
    socket
        .set_mark(number.own_mark())
        .map_err(|error| administering("marking the raw socket", &error))?;
    Ok(socket)
}

/// SO_MARK and buffers beyond the usual take CAP_NET_ADMIN, socket(7).
fn administering(doing: &str, error: &io::Error) -> Trouble {
    if error.raw_os_error() == Some(libc::EPERM) {
        return Trouble::unsupported("CAP_NET_ADMIN", format!("{doing}: {error}"));
    }
    Trouble::failed(doing, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrambling_hides_both_addresses_and_is_undone_by_itself() {
        // As Docker makes them: locally administered, of one station.
        let frame = [2, 0x42, 0xac, 0x12, 0, 2, 2, 0x42, 0xac, 0x12, 0, 3, 8, 0];
        let mut scrambled = frame;
        unscramble(&mut scrambled);
        assert_eq!(scrambled[0] & 1, 0, "the destination is no group");
        assert_ne!(scrambled[..6], frame[..6]);
        assert_eq!(scrambled[6] & 1, 1, "the source is a group: not valid");
        unscramble(&mut scrambled);
        assert_eq!(scrambled, frame);
    }
}
