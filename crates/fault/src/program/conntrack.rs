//! The flows that conntrack remembers, ctnetlink (include/uapi/linux/netfilter/nfnetlink_conntrack.h).
//! A nat rule is asked once in a flow, and a UDP flow lives 30 s after its last packet (180 s once
//! it went to and fro; nf_conntrack-sysctl.rst). Whoever sends again from the same port goes where
//! the rules led at the time, so that a change of rules holds only for flows that are forgotten.
//! Only flows of UDP to one place are ever touched.

use std::io;
use std::net::SocketAddr;

use netlink_sys::protocols::NETLINK_NETFILTER;

use super::netlink::{NLM_F_ACK, NLM_F_REQUEST, Writer, attribute, dump, messages, open, verdict};
use super::trouble::{Result, Trouble};

const NFNL_SUBSYS_CTNETLINK: u16 = 1;
const IPCTNL_MSG_CT_GET: u16 = (NFNL_SUBSYS_CTNETLINK << 8) | 1;
const IPCTNL_MSG_CT_DELETE: u16 = (NFNL_SUBSYS_CTNETLINK << 8) | 2;

const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_STATUS: u16 = 3;
const CTA_ID: u16 = 12;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;

/// Of CTA_STATUS: something came back.
const IPS_SEEN_REPLY: u32 = 1 << 1;

/// struct nfgenmsg.
const GENERIC_HEADER: usize = 4;

/// Which flows of UDP are to be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those that were answered: the answer to the first question of another may be on its way.
    Answered,
    /// Those that a rule led there.
    LedTo(SocketAddr),
}

/// Makes the kernel decide anew where the next packet of each UDP flow to this place goes.
pub(crate) fn forget(to: SocketAddr, which: Which) -> Result<()> {
    forget_udp(to, which).map_err(|error| {
        let doing = format!("forgetting UDP flows to {to}");
        match error.raw_os_error() {
            Some(libc::EPERM) => Trouble::unsupported("CAP_NET_ADMIN", format!("{doing}: {error}")),
            // EINVAL: nothing in this kernel has the subsystem (nfnetlink_rcv_msg).
            Some(libc::EINVAL | libc::EOPNOTSUPP | libc::EPROTONOSUPPORT) => {
                Trouble::unsupported("nf_conntrack_netlink", format!("{doing}: {error}"))
            }
            _ => Trouble::failed(doing, error),
        }
    })
}

fn forget_udp(to: SocketAddr, which: Which) -> io::Result<()> {
    let socket = open(NETLINK_NETFILTER)?;
    let header = [family(to), 0, 0, 0];
    let mut doomed = Vec::new();
    dump(&socket, IPCTNL_MSG_CT_GET, &header, |flow| {
        if let Some(flow) = Flow::read(flow)
            && flow.to == to
            && match which {
                Which::Answered => flow.answered,
                Which::LedTo(place) => flow.led_to == place,
            }
        {
            doomed.push(flow);
        }
    })?;
    let mut part = Vec::with_capacity(8 * 1024);
    for (flow, sequence) in doomed.iter().zip(1..) {
        let mut request = Writer::default();
        let flags = NLM_F_REQUEST | NLM_F_ACK;
        request.message(IPCTNL_MSG_CT_DELETE, flags, sequence, |writer| {
            writer.raw(&header);
            writer.nested(CTA_TUPLE_ORIG, |tuple| tuple.raw(&flow.tuple));
            writer.attribute(CTA_ID, &flow.id);
        });
        socket.send(request.bytes(), 0)?;
        part.clear();
        socket.recv(&mut part, 0)?;
        let answers = messages(&part).filter_map(|message| verdict(&message));
        for (_, error) in answers.filter(|(answered, _)| *answered == sequence) {
            match error {
                // Over meanwhile, and maybe another in its place.
                Some(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                Some(error) => return Err(error),
                None => {}
            }
        }
    }
    Ok(())
}

/// A flow of UDP.
#[derive(Debug, PartialEq, Eq)]
struct Flow {
    to: SocketAddr,
    /// Where that leads, which is where answers come from.
    led_to: SocketAddr,
    answered: bool,
    /// As the kernel wrote them: together they are this flow and no later one.
    tuple: Vec<u8>,
    id: [u8; 4],
}

impl Flow {
    /// None where it is of another protocol, or not readable.
    fn read(message: &[u8]) -> Option<Self> {
        let attributes = message.get(GENERIC_HEADER..)?;
        let tuple = attribute(attributes, CTA_TUPLE_ORIG)?;
        let back = attribute(attributes, CTA_TUPLE_REPLY)?;
        let protocol = attribute(tuple, CTA_TUPLE_PROTO)?;
        if attribute(protocol, CTA_PROTO_NUM)? != [libc::IPPROTO_UDP as u8] {
            return None;
        }
        let status = attribute(attributes, CTA_STATUS)?;
        Some(Self {
            to: end(tuple, [CTA_IP_V4_DST, CTA_IP_V6_DST], CTA_PROTO_DST_PORT)?,
            led_to: end(back, [CTA_IP_V4_SRC, CTA_IP_V6_SRC], CTA_PROTO_SRC_PORT)?,
            answered: u32::from_be_bytes(status.try_into().ok()?) & IPS_SEEN_REPLY != 0,
            tuple: tuple.to_vec(),
            id: attribute(attributes, CTA_ID)?.try_into().ok()?,
        })
    }
}

/// One end of a tuple: the address has one of these types, the port that one.
fn end(tuple: &[u8], [four, six]: [u16; 2], port: u16) -> Option<SocketAddr> {
    let addresses = attribute(tuple, CTA_TUPLE_IP)?;
    let address = match attribute(addresses, four) {
        Some(four) => <[u8; 4]>::try_from(four).ok()?.into(),
        None => <[u8; 16]>::try_from(attribute(addresses, six)?)
            .ok()?
            .into(),
    };
    let port = attribute(attribute(tuple, CTA_TUPLE_PROTO)?, port)?;
    Some(SocketAddr::new(
        address,
        u16::from_be_bytes(port.try_into().ok()?),
    ))
}

fn family(address: SocketAddr) -> u8 {
    let family = match address {
        SocketAddr::V4(_) => libc::AF_INET,
        SocketAddr::V6(_) => libc::AF_INET6,
    };
    family as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(protocol: i32, status: u32) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.raw(&[libc::AF_INET as u8, 0, 0, 0]);
        let mut tuple = |kind, from: ([u8; 4], u16), to: ([u8; 4], u16)| {
            writer.nested(kind, |tuple| {
                tuple.nested(CTA_TUPLE_IP, |addresses| {
                    addresses.attribute(CTA_IP_V4_SRC, &from.0);
                    addresses.attribute(CTA_IP_V4_DST, &to.0);
                });
                tuple.nested(CTA_TUPLE_PROTO, |ports| {
                    ports.attribute(CTA_PROTO_NUM, &[protocol as u8]);
                    ports.attribute(CTA_PROTO_SRC_PORT, &from.1.to_be_bytes());
                    ports.attribute(CTA_PROTO_DST_PORT, &to.1.to_be_bytes());
                });
            });
        };
        let client = ([127, 0, 0, 1], 4000);
        tuple(CTA_TUPLE_ORIG, client, ([127, 0, 0, 11], 53));
        tuple(CTA_TUPLE_REPLY, ([127, 0, 0, 1], 5000), client);
        writer.number(CTA_STATUS, status);
        writer.number(CTA_ID, 77);
        writer.bytes().to_vec()
    }

    #[test]
    fn a_flow_is_read() {
        let read = Flow::read(&message(libc::IPPROTO_UDP, IPS_SEEN_REPLY | 1)).unwrap();
        assert_eq!(read.to, "127.0.0.11:53".parse().unwrap());
        assert_eq!(read.led_to, "127.0.0.1:5000".parse().unwrap());
        assert!(read.answered);
        assert_eq!(read.id, 77_u32.to_be_bytes());
        let unanswered = Flow::read(&message(libc::IPPROTO_UDP, 1)).unwrap();
        assert!(!unanswered.answered);
        assert_eq!(Flow::read(&message(libc::IPPROTO_TCP, 1)), None);
    }

    #[test]
    fn nothing_cut_short_is_read_or_panics() {
        let whole = message(libc::IPPROTO_UDP, 1);
        for end in 0..whole.len() {
            assert_eq!(Flow::read(&whole[..end]), None, "cut at {end}");
        }
    }
}
