//! Questions that put something on the wire or ask a resolver, and their answers.
//! Data only; an answer records what was seen and never judges it.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use netcheck_firewall::Filter;

use crate::{Protocol, Snapshot, Watched};

/// One thing to find out from inside the namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum Question {
    /// Interfaces, routes, neighbours, sockets, resolv.conf, hosts, sysctls.
    Snapshot,
    /// What a program here gets for a name: /etc/hosts first, then the servers and search
    /// domains of resolv.conf, A and AAAA.
    Lookup {
        /// As a program would write it; a final dot switches the search domains off.
        name: String,
    },
    /// One query to one server, past /etc/hosts and search domains.
    Query {
        /// Asked for exactly as written.
        name: String,
        /// A or AAAA.
        record: RecordType,
        /// Asked over UDP, and over TCP when the answer was cut.
        server: SocketAddr,
    },
    /// Opens a TCP connection, says nothing, and looks for `listen_ms` at what comes back.
    Connect {
        /// Where to.
        to: SocketAddr,
        /// How long to wait for a first byte or a close after the handshake, in milliseconds.
        listen_ms: u32,
    },
    /// Opens a TCP connection, sends a TLS `ClientHello` and nothing else, and looks for `wait_ms`
    /// at what comes back. Asked only where a URL's scheme says that there is TLS.
    Hello {
        /// Where to.
        to: SocketAddr,
        /// How long to wait for the first bytes, in milliseconds.
        wait_ms: u32,
    },
    /// Opens a TCP connection to a listener of *this* namespace and watches its accept queue
    /// until the connection was taken out of it.
    Accepts {
        /// A listener of this namespace.
        to: SocketAddr,
        /// How long the process may take to accept, in milliseconds.
        patience_ms: u32,
    },
    /// Sends one UDP datagram and waits for a reply or an ICMP error.
    Datagram {
        /// Where to.
        to: SocketAddr,
        /// How long to wait, in milliseconds.
        wait_ms: u32,
    },
    /// ICMP echo; where that is not allowed, the neighbour's state after a datagram towards it.
    Ping {
        /// A gateway, as a rule.
        to: IpAddr,
        /// How long to wait, in milliseconds.
        wait_ms: u32,
    },
    /// Who has an address of a link now: the kernel's own ARP or NDP, asked by an ICMP echo.
    Owner {
        /// Whose.
        of: IpAddr,
        /// How long to wait, in milliseconds.
        wait_ms: u32,
    },
    /// Whether this namespace's kernel has a way to an address, by all its tables and rules. Nothing is
    /// sent.
    Way {
        /// Where to.
        to: IpAddr,
    },
    /// Sends datagrams that must not be split and fill a packet of this size, and waits for the error
    /// that says that it is too large for a link on the way (RFC 1191, RFC 8201). Asked only where the
    /// engine's own host has to turn it away: nothing leaves it.
    Fits {
        /// Where to.
        to: SocketAddr,
        /// The size of the packet with its IP header, in bytes.
        bytes: u32,
        /// How long to wait, in milliseconds.
        wait_ms: u32,
    },
    /// How many local ports TCP connections of this namespace to there hold, closed ones that still
    /// wait included.
    Held {
        /// Where they lead to.
        to: SocketAddr,
    },
    /// What a program does each time it needs a service: looks the name up, and connects to the
    /// first address. One of many tries; what differs between them is `after_ms`.
    Attempt {
        /// As a program would write it, or an address.
        host: String,
        /// Where to connect there.
        port: u16,
        /// Over TCP as with [`Question::Connect`], or one datagram over UDP.
        protocol: Protocol,
        /// When to begin, in milliseconds after the request came in.
        after_ms: u32,
        /// How long to wait for a first byte, a close or a reply, in milliseconds.
        listen_ms: u32,
    },
    /// How many connections this namespace's kernel had no room for in an accept queue so far.
    Overflows,
    /// The packet filter with its counters. It takes CAP_NET_ADMIN and the user root.
    Firewall,
    /// Looks at the packets on all interfaces that belong to TCP connections to one place, and at the
    /// errors about them. It takes CAP_NET_RAW, and sees nothing of what is said on the connections.
    Watch {
        /// Where those that are watched begin to go, before any translation.
        to: SocketAddr,
        /// How long, in milliseconds.
        for_ms: u32,
    },
}

/// The DNS record types asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordType {
    /// IPv4 address.
    A,
    /// IPv6 address.
    Aaaa,
}

/// A question with what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// As it was asked.
    pub question: Question,
    /// The answer, or why there is none (a missing capability, the deadline). An error here is
    /// never a "no": a refused connection is an [`Answer`].
    pub answer: Result<Answer, String>,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "saw", rename_all = "kebab-case")]
pub enum Answer {
    /// To [`Question::Snapshot`].
    Snapshot(Snapshot),
    /// To [`Question::Lookup`].
    Lookup(Lookup),
    /// To [`Question::Query`].
    Query(DnsQuery),
    /// To [`Question::Connect`].
    Connect(Connected),
    /// To [`Question::Hello`]. What was spoken is the beginning of the reply: a TLS record starts
    /// with byte 0x15 or 0x16 (RFC 8446 5.1), a plain HTTP server's answer with `HTTP/`.
    Hello(Connected),
    /// To [`Question::Accepts`].
    Accepts(Accepts),
    /// To [`Question::Datagram`].
    Datagram(Delivered),
    /// To [`Question::Ping`].
    Ping(Delivered),
    /// To [`Question::Owner`]: the neighbour, silence, or a failure.
    Owner(Delivered),
    /// To [`Question::Way`].
    Way {
        /// Why it has none (connect(2)); none where there is a way.
        barred: Option<Errno>,
    },
    /// To [`Question::Fits`].
    Fits(Fitted),
    /// To [`Question::Held`].
    Held {
        /// Different ports.
        ports: u32,
    },
    /// To [`Question::Attempt`].
    Attempt(Attempt),
    /// To [`Question::Overflows`]: `ListenOverflows` of `TcpExt` in /proc/net/netstat, since the
    /// namespace was made.
    Overflows {
        /// Handshakes that were ended or not begun because an accept queue was full.
        count: u64,
    },
    /// To [`Question::Firewall`].
    Firewall(Filter),
    /// To [`Question::Watch`].
    Watch(Watched),
}

/// How one of many tries went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// What the name came to.
    pub resolved: Resolved,
    /// The lookup, in microseconds: names of containers take less than a millisecond.
    pub lookup_us: u32,
    /// The try at the first address; none when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried: Option<Tried>,
}

/// What a name came to at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolved {
    /// In the order a program would try them; never empty.
    Addresses(Vec<IpAddr>),
    /// To nothing; the last query that was sent, if any was.
    Not(Option<DnsQuery>),
}

/// One try at an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// Where to.
    pub to: SocketAddr,
    /// Until the handshake was complete, the error, or the reply, in microseconds.
    pub took_us: u32,
    /// How it went.
    pub came: Came,
}

/// What came of a try, by the protocol it was made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Came {
    /// Over TCP.
    Tcp(Connected),
    /// Over UDP.
    Udp(Delivered),
}

/// What a name came to, and by which way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    /// Where the addresses are from.
    pub source: Source,
    /// In the order a program would try them; empty when nothing resolved.
    pub addresses: Vec<IpAddr>,
    /// Every query that was sent, in order.
    pub queries: Vec<DnsQuery>,
    /// The whole lookup, in milliseconds.
    pub took_ms: u32,
}

/// Who knew the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A line of /etc/hosts; DNS was still asked, so that the two can be compared.
    Hosts,
    /// A DNS server.
    Dns,
    /// The name is itself an address.
    Literal,
    /// Nobody.
    Nobody,
}

/// One query and its fate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsQuery {
    /// The name as sent, with the search domain if one was appended, without the final dot.
    pub name: String,
    /// A or AAAA.
    pub record: RecordType,
    /// Who was asked.
    pub server: SocketAddr,
    /// What came back.
    pub outcome: DnsOutcome,
    /// Until the answer or the time-out, in milliseconds.
    pub took_ms: u32,
}

/// What a DNS server made of a query (RFC 1035 4.1.1 for the codes).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DnsOutcome {
    /// NOERROR with addresses.
    Addresses(Vec<IpAddr>),
    /// NOERROR without an address of this type.
    NoData,
    /// The name does not exist.
    NxDomain,
    /// The server failed.
    ServFail,
    /// The server refused.
    Refused,
    /// Another response code.
    OtherCode(u8),
    /// No answer.
    TimedOut,
    /// The query could not be delivered, e.g. refused by an ICMP message.
    Undelivered(Errno),
    /// The answer could not be read.
    Malformed(String),
}

/// How a TCP connection went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "kebab-case")]
pub enum Connected {
    /// The handshake was completed. This alone does not prove that a program accepted: docker-proxy
    /// and the kernel of a paused container do it too.
    Open {
        /// Our end, i.e. which source address the kernel chose.
        from: SocketAddr,
        /// Handshake time, in milliseconds.
        took_ms: u32,
        /// What came after.
        then: Then,
    },
    /// No connection.
    Failed {
        /// Why.
        errno: Errno,
        /// Until the error, in milliseconds.
        took_ms: u32,
    },
}

/// What happened on a connection on which we said nothing, or only hello.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// Stayed open in silence, as most servers do until they are spoken to.
    Silent,
    /// The server spoke first; the beginning, at most 64 bytes, lossily decoded.
    Spoke(String),
    /// Closed at once (end of file).
    Closed,
    /// Reset at once.
    Reset,
}

/// Whether a process took the connection from its accept queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "kebab-case")]
pub enum Accepts {
    /// The queue was empty again.
    Accepted {
        /// In milliseconds.
        took_ms: u32,
    },
    /// Connections were still waiting when patience ended.
    Waiting {
        /// Connections that nobody accepts, ours included (`idiag_rqueue`, sock_diag(7)).
        queued: u32,
        /// In milliseconds.
        waited_ms: u32,
    },
    /// It could not even be connected.
    Failed {
        /// Why.
        errno: Errno,
    },
}

/// What became of a datagram or an echo request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "kebab-case")]
pub enum Delivered {
    /// Something came back.
    Reply {
        /// In milliseconds.
        took_ms: u32,
    },
    /// No reply, but the address was resolved to a neighbour, i.e. somebody owns it.
    Neighbour {
        /// The neighbour's link-layer address.
        mac: String,
    },
    /// Nothing at all. For UDP this may still mean "delivered".
    Silent,
    /// Refused, unreachable, not permitted.
    Failed {
        /// Why.
        errno: Errno,
    },
}

/// What became of a packet that may be too large for a link on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "kebab-case")]
pub enum Fitted {
    /// The sender is told so, or knew it already.
    TooLarge {
        /// What the kernel takes for the largest packet on this way now, in bytes.
        mtu: u32,
    },
    /// The other end got it: it answered or refused.
    Delivered,
    /// Nothing came back at all.
    Silent,
    /// It could not be sent, or another error came back.
    Failed {
        /// Why.
        errno: Errno,
    },
}

/// The errors of connect(2) and of ICMP that tell causes apart; `docs/` has what each one proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Errno {
    /// ECONNREFUSED: the packet arrived where nobody listens, or a firewall rejects.
    Refused,
    /// ETIMEDOUT, or our own deadline with the SYN unanswered.
    TimedOut,
    /// EHOSTUNREACH: no ARP/ND answer (after about 3 s), or a host-prohibited ICMP (at once).
    HostUnreachable,
    /// ENETUNREACH: no route.
    NetworkUnreachable,
    /// EADDRNOTAVAIL: no source address of that family, or no free port.
    AddressNotAvailable,
    /// ECONNRESET.
    Reset,
    /// EACCES or EPERM: a prohibit route or a local firewall.
    NotPermitted,
    /// EAFNOSUPPORT: the kernel has no such family here.
    FamilyNotSupported,
    /// EINVAL: connect(2) through a blackhole route.
    Invalid,
    /// Another number.
    Other(i32),
}

impl Errno {
    /// From errno(3) on Linux; other systems never run the probe.
    pub fn from_raw(raw: i32) -> Self {
        match raw {
            111 => Self::Refused,
            110 => Self::TimedOut,
            113 => Self::HostUnreachable,
            101 => Self::NetworkUnreachable,
            99 => Self::AddressNotAvailable,
            104 => Self::Reset,
            1 | 13 => Self::NotPermitted,
            97 => Self::FamilyNotSupported,
            22 => Self::Invalid,
            other => Self::Other(other),
        }
    }

    /// The words a person knows from `curl` or `nc`.
    pub fn words(self) -> &'static str {
        match self {
            Self::Refused => "connection refused",
            Self::TimedOut => "timed out",
            Self::HostUnreachable => "no route to host",
            Self::NetworkUnreachable => "network is unreachable",
            Self::AddressNotAvailable => "cannot assign requested address",
            Self::Reset => "connection reset",
            Self::NotPermitted => "not permitted",
            Self::FamilyNotSupported => "address family not supported",
            Self::Invalid => "invalid (a blackhole route)",
            Self::Other(_) => "failed",
        }
    }
}
