//! Rules as lists of expressions. Each expression works on register 1 alone, which holds 16 bytes;
//! a comparison that does not hold ends the rule.

use std::net::IpAddr;

use netcheck_fault::Protocol;

use super::super::netlink::{Writer, attribute};

const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NFT_REG_VERDICT: u32 = 0;
const NFT_REG_1: u32 = 1;
const NFTA_COUNTER_PACKETS: u16 = 2;

const NFT_META_PROTOCOL: u32 = 1;
const NFT_META_MARK: u32 = 3;
const NFT_META_NFPROTO: u32 = 15;
const NFT_META_L4PROTO: u32 = 16;

const IPPROTO_ICMPV6: u8 = 58;

/// Neighbour discovery: router and neighbour solicitation and advertisement, redirect (RFC 4861 4).
const NEIGHBOUR_DISCOVERY: (u8, u8) = (133, 137);

/// Of NFTA_CMP_OP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal = 0,
    AtMost = 3,
    AtLeast = 5,
}

/// Of NFTA_PAYLOAD_BASE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Base {
    Link = 0,
    Network = 1,
    Transport = 2,
}

/// One expression.
#[derive(Debug, Clone)]
pub(crate) enum Expression {
    /// Loads packet metadata.
    Meta(u32),
    /// Sets the packet's mark from register 1.
    SetMark,
    /// Loads bytes of the packet.
    Payload {
        base: Base,
        offset: u32,
        length: u32,
    },
    /// Writes register 1 into the packet, without touching a checksum.
    Write {
        base: Base,
        offset: u32,
        length: u32,
    },
    /// Compares register 1, byte by byte.
    Compare(Comparison, Vec<u8>),
    /// `(register & mask) ^ xor`.
    Bitwise { mask: Vec<u8>, xor: Vec<u8> },
    /// Four bytes of register 1 into network byte order, so that they compare as a number.
    NetworkOrder,
    /// Loads the conntrack state of the packet.
    ConntrackState,
    /// Puts bytes into register 1.
    Load(Vec<u8>),
    /// Counts.
    Count,
    /// Sends the flow to the port in register 1 on this host's loopback.
    Redirect,
    /// Ends: the packet goes on to the next chain.
    Accept,
    /// Ends: the packet is gone.
    Discard,
}

/// Expressions, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rule(Vec<Expression>);

impl Rule {
    /// A rule for everything.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds one expression.
    pub(crate) fn then(mut self, expression: Expression) -> Self {
        self.0.push(expression);
        self
    }

    fn is(self, bytes: &[u8]) -> Self {
        self.then(Expression::Compare(Comparison::Equal, bytes.to_vec()))
    }

    /// Only the address family of `address`; in a chain for frames by their type.
    fn family(self, frames: bool, six: bool) -> Self {
        if frames {
            // ETH_P_IP, ETH_P_IPV6
            let kind: u16 = if six { 0x86dd } else { 0x0800 };
            self.then(Expression::Meta(NFT_META_PROTOCOL))
                .is(&kind.to_be_bytes())
        } else {
            self.then(Expression::Meta(NFT_META_NFPROTO))
                .is(&[if six { 10 } else { 2 }])
        }
    }

    /// Only packets for this address. `frames`: in a chain for frames.
    pub(crate) fn to(self, address: IpAddr, frames: bool) -> Self {
        // RFC 791 3.1, RFC 8200 3: the offset of the destination address.
        self.address(address, frames, 16, 24)
    }

    /// Only packets from this address, in a chain for packets.
    pub(crate) fn from(self, address: IpAddr) -> Self {
        self.address(address, false, 12, 8)
    }

    fn address(self, address: IpAddr, frames: bool, four: u32, six: u32) -> Self {
        let rule = self.family(frames, address.is_ipv6());
        let load = |offset, length| Expression::Payload {
            base: Base::Network,
            offset,
            length,
        };
        match address {
            IpAddr::V4(address) => rule.then(load(four, 4)).is(&address.octets()),
            IpAddr::V6(address) => rule.then(load(six, 16)).is(&address.octets()),
        }
    }

    /// Only this transport protocol.
    pub(crate) fn protocol(self, protocol: Protocol) -> Self {
        let number = match protocol {
            Protocol::Tcp => libc::IPPROTO_TCP,
            Protocol::Udp => libc::IPPROTO_UDP,
        };
        self.then(Expression::Meta(NFT_META_L4PROTO))
            .is(&[number as u8])
    }

    /// Only this destination port; after [`Rule::protocol`].
    pub(crate) fn port(self, port: u16) -> Self {
        self.then(Expression::Payload {
            base: Base::Transport,
            offset: 2,
            length: 2,
        })
        .is(&port.to_be_bytes())
    }

    /// Only TCP segments that open a connection: of FIN, SYN, RST and ACK only SYN is set (RFC 9293
    /// 3.1, flags in the fourteenth byte).
    pub(crate) fn opening(self) -> Self {
        self.then(Expression::Payload {
            base: Base::Transport,
            offset: 13,
            length: 1,
        })
        .then(Expression::Bitwise {
            mask: vec![0x17],
            xor: vec![0],
        })
        .is(&[0x02])
    }

    /// Only packets of flows that conntrack saw no answer of. The state is one bit in the byte
    /// order of the machine; NF_CT_STATE_BIT(IP_CT_NEW) is 8.
    pub(crate) fn new_flow(self) -> Self {
        self.then(Expression::ConntrackState)
            .then(Expression::Bitwise {
                mask: 8_u32.to_ne_bytes().to_vec(),
                xor: vec![0; 4],
            })
            .is(&8_u32.to_ne_bytes())
    }

    /// Only packets whose mark has these bits under this mask.
    pub(crate) fn mark(self, mark: u32, mask: u32) -> Self {
        self.then(Expression::Meta(NFT_META_MARK))
            .then(Expression::Bitwise {
                mask: mask.to_ne_bytes().to_vec(),
                xor: vec![0; 4],
            })
            .is(&mark.to_ne_bytes())
    }

    /// Only packets with a mark between these, both included.
    pub(crate) fn mark_between(self, low: u32, high: u32) -> Self {
        let high = high.to_be_bytes().to_vec();
        self.then(Expression::Meta(NFT_META_MARK))
            .then(Expression::NetworkOrder)
            .then(Expression::Compare(
                Comparison::AtLeast,
                low.to_be_bytes().to_vec(),
            ))
            .then(Expression::Compare(Comparison::AtMost, high))
    }

    /// Marks the packet.
    pub(crate) fn set_mark(self, mark: u32) -> Self {
        self.then(Expression::Load(mark.to_ne_bytes().to_vec()))
            .then(Expression::SetMark)
    }

    /// Changes the first bytes of a frame by exclusive or; the same again changes them back.
    pub(crate) fn scramble(self, xor: [u8; 12]) -> Self {
        let (base, offset, length) = (Base::Link, 0, xor.len() as u32);
        self.then(Expression::Payload {
            base,
            offset,
            length,
        })
        .then(Expression::Bitwise {
            mask: vec![0xff; xor.len()],
            xor: xor.to_vec(),
        })
        .then(Expression::Write {
            base,
            offset,
            length,
        })
    }

    /// A rule that lets neighbour discovery through.
    pub(crate) fn neighbour_discovery(frames: bool) -> Self {
        let (low, high) = NEIGHBOUR_DISCOVERY;
        Self::new()
            .family(frames, true)
            .then(Expression::Meta(NFT_META_L4PROTO))
            .is(&[IPPROTO_ICMPV6])
            .then(Expression::Payload {
                base: Base::Transport,
                offset: 0,
                length: 1,
            })
            .then(Expression::Compare(Comparison::AtLeast, vec![low]))
            .then(Expression::Compare(Comparison::AtMost, vec![high]))
            .then(Expression::Accept)
    }

    /// The kernel module that is most likely missing if the rule is refused.
    pub(super) fn feature(&self) -> &'static str {
        let has = |wanted: fn(&Expression) -> bool| self.0.iter().any(wanted);
        if has(|expression| matches!(expression, Expression::ConntrackState)) {
            "nft_ct"
        } else if has(|expression| matches!(expression, Expression::Redirect)) {
            "nft_redir"
        } else {
            "nf_tables"
        }
    }

    /// Writes the list of expressions.
    pub(super) fn write(&self, list: &mut Writer) {
        for expression in &self.0 {
            list.nested(NFTA_LIST_ELEM, |element| {
                element.text(NFTA_EXPR_NAME, expression.name());
                element.nested(NFTA_EXPR_DATA, |data| expression.write(data));
            });
        }
    }
}

impl Expression {
    fn name(&self) -> &'static str {
        match self {
            Self::Meta(_) | Self::SetMark => "meta",
            Self::Payload { .. } | Self::Write { .. } => "payload",
            Self::Compare(..) => "cmp",
            Self::Bitwise { .. } => "bitwise",
            Self::NetworkOrder => "byteorder",
            Self::ConntrackState => "ct",
            Self::Load(_) | Self::Accept | Self::Discard => "immediate",
            Self::Count => "counter",
            Self::Redirect => "redir",
        }
    }

    /// The attributes, numbered as the NFTA_*_ enums of each expression are.
    fn write(&self, data: &mut Writer) {
        match self {
            Self::Meta(key) => {
                data.number(1, NFT_REG_1);
                data.number(2, *key);
            }
            Self::SetMark => {
                data.number(2, NFT_META_MARK);
                data.number(3, NFT_REG_1);
            }
            Self::Payload {
                base,
                offset,
                length,
            } => {
                data.number(1, NFT_REG_1);
                data.number(2, *base as u32);
                data.number(3, *offset);
                data.number(4, *length);
            }
            Self::Write {
                base,
                offset,
                length,
            } => {
                data.number(5, NFT_REG_1);
                data.number(2, *base as u32);
                data.number(3, *offset);
                data.number(4, *length);
                // NFT_PAYLOAD_CSUM_NONE
                data.number(6, 0);
            }
            Self::Compare(comparison, bytes) => {
                data.number(1, NFT_REG_1);
                data.number(2, *comparison as u32);
                value(data, 3, bytes);
            }
            Self::Bitwise { mask, xor } => {
                data.number(1, NFT_REG_1);
                data.number(2, NFT_REG_1);
                data.number(3, mask.len() as u32);
                value(data, 4, mask);
                value(data, 5, xor);
            }
            Self::NetworkOrder => {
                data.number(1, NFT_REG_1);
                data.number(2, NFT_REG_1);
                // NFT_BYTEORDER_HTON
                data.number(3, 1);
                data.number(4, 4);
                data.number(5, 4);
            }
            Self::ConntrackState => {
                data.number(1, NFT_REG_1);
                // NFT_CT_STATE
                data.number(2, 0);
            }
            Self::Load(bytes) => {
                data.number(1, NFT_REG_1);
                value(data, 2, bytes);
            }
            Self::Count => {}
            Self::Redirect => data.number(1, NFT_REG_1),
            Self::Accept => verdict(data, 1),
            Self::Discard => verdict(data, 0),
        }
    }
}

fn value(data: &mut Writer, kind: u16, bytes: &[u8]) {
    data.nested(kind, |nested| nested.attribute(NFTA_DATA_VALUE, bytes));
}

/// NF_DROP is 0, NF_ACCEPT is 1.
fn verdict(data: &mut Writer, code: u32) {
    data.number(1, NFT_REG_VERDICT);
    data.nested(2, |nested| {
        nested.nested(NFTA_DATA_VERDICT, |nested| {
            nested.number(NFTA_VERDICT_CODE, code);
        });
    });
}

/// The packets of an element of a rule that the kernel showed, if it is a counter.
pub(super) fn counted(element: &[u8]) -> Option<u64> {
    let name = attribute(element, NFTA_EXPR_NAME)?;
    if name.strip_suffix(b"\0")? != b"counter" {
        return None;
    }
    let packets = attribute(attribute(element, NFTA_EXPR_DATA)?, NFTA_COUNTER_PACKETS)?;
    Some(u64::from_be_bytes(*packets.first_chunk()?))
}
