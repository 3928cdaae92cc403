//! What the words say that an engine or the docker command line refused a command with, or that stand as
//! the engine's last error (`State.Error`) at a container that did not start.
//!
//! It reads text and guesses nothing: words that it does not know are no cause at all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A cause that the engine's words name. Newer engines put more words before the same core, so it
/// is looked for anywhere in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartError {
    /// Another container holds the host port.
    PortAllocated(SocketAddr),
    /// The kernel refused the bind: a process, or a container on another address of the port.
    PortInUse(SocketAddr),
    /// The static address is held by another endpoint.
    AddressInUse,
    /// The static address is in none of the network's subnets, or the user gave it no subnet.
    AddressOutsideSubnet,
    /// No address is left on the network with this name.
    SubnetFull(String),
    /// No address is left on the network that has this one: podman names no network.
    RangeFull(IpAddr),
    /// The network with this id or name is gone.
    NetworkGone(String),
    /// A chain of Docker's in the packet filter is gone.
    ChainMissing,
    /// The link of the host with this name, on which a macvlan or ipvlan network is made, is gone.
    ParentMissing(String),
    /// No subnet is left for a new network.
    PoolsUsedUp,
    /// The subnet of a new network overlaps that of another one: its id, where the words hold it.
    SubnetOverlaps(Option<String>),
    /// An alias was asked for on the default bridge.
    AliasOnDefaultBridge,
    /// The overlay network with this name takes only the tasks of services.
    NotAttachable(String),
    /// The engine manages no swarm.
    NoSwarm,
}

/// Of Docker up to 26, of newer ones, and of podman.
const POOLS_USED_UP: [&str; 3] = [
    "could not find an available, non-overlapping IPv4 address pool",
    "all predefined address pools have been fully subnetted",
    "could not find free subnet from subnet pools",
];

impl StartError {
    /// The code of the finding that is about this cause.
    pub fn code(&self) -> &'static str {
        match self {
            Self::PortAllocated(_) | Self::PortInUse(_) => "host-port-taken",
            Self::AddressInUse => "static-address-in-use",
            Self::AddressOutsideSubnet => "static-address-outside-subnet",
            Self::SubnetFull(_) | Self::RangeFull(_) => "subnet-full",
            Self::NetworkGone(_) => "stale-network-id",
            Self::ChainMissing => "docker-chains-missing",
            Self::ParentMissing(_) => "parent-interface-missing",
            Self::PoolsUsedUp => "address-pools-exhausted",
            Self::SubnetOverlaps(_) => "subnet-overlaps-network",
            Self::AliasOnDefaultBridge => "alias-ignored-on-default-bridge",
            Self::NotAttachable(_) | Self::NoSwarm => "overlay-not-attachable",
        }
    }

    /// The cause, if the text names one that is known.
    pub fn read(text: &str) -> Option<Self> {
        if let Some(at) = between(text, "Bind for ", " failed: port is already allocated") {
            return Some(Self::PortAllocated(at.parse().ok()?));
        }
        if text.contains("address already in use") {
            return bound(text).map(Self::PortInUse);
        }
        if between(
            text,
            "requested ip address ",
            " is already allocated to container",
        )
        .is_some()
        {
            return Some(Self::AddressInUse);
        }
        // A gateway's address is refused to a network, not to a container.
        if text.contains("Address already in use") && !text.contains("failed to allocate gateway") {
            return Some(Self::AddressInUse);
        }
        let outside = [
            "It does not belong to any of this network's subnets",
            "supported only when connecting to networks with user configured subnets",
            "no configured subnet or ip-range contain the IP address",
            " not in any subnet on network ",
        ];
        if outside.iter().any(|words| text.contains(words)) {
            return Some(Self::AddressOutsideSubnet);
        }
        if let Some((_, range)) = text.split_once("failed to find free IP in range: ") {
            let first = range.split_whitespace().next()?;
            return Some(Self::RangeFull(first.parse().ok()?));
        }
        let full = "no available IPv4 addresses on this network's address pools: ";
        if let Some((_, network)) = text.split_once(full) {
            // Followed by its id in parentheses.
            let name = network.split_whitespace().next()?;
            return Some(Self::SubnetFull(name.to_owned()));
        }
        if text.contains("No chain/target/match by that name") {
            return Some(Self::ChainMissing);
        }
        let parent = between(text, "requested parent interface ", " was not found")
            .or_else(|| between(text, "parent iface ", " error: "));
        if let Some(parent) = parent {
            return (!parent.contains(' ')).then(|| Self::ParentMissing(parent.to_owned()));
        }
        if POOLS_USED_UP.iter().any(|words| text.contains(words)) {
            return Some(Self::PoolsUsedUp);
        }
        if text.contains("Pool overlaps with other one on this address space") {
            return Some(Self::SubnetOverlaps(None));
        }
        if text.contains("networks have overlapping IPv4") {
            let other = between(
                text,
                "conflicts with network ",
                ": networks have overlapping",
            );
            let id = other.and_then(|other| other.split(' ').next());
            return Some(Self::SubnetOverlaps(id.map(str::to_owned)));
        }
        // "only supported for user-defined networks", "supported only for containers in user defined networks".
        if text.contains("network-scoped alias")
            && (text.contains("user-defined network") || text.contains("user defined network"))
        {
            return Some(Self::AliasOnDefaultBridge);
        }
        if let Some(network) = between(text, "network ", " not manually attachable") {
            return (!network.contains(' ')).then(|| Self::NotAttachable(network.to_owned()));
        }
        if text.contains("This node is not a swarm manager") {
            return Some(Self::NoSwarm);
        }
        let gone = between(text, "network ", " not found")?;
        (!gone.contains(' ')).then(|| Self::NetworkGone(gone.to_owned()))
    }
}

/// The address in podman's words for one that it could not give.
pub fn refused_address(text: &str) -> Option<IpAddr> {
    let taken = between(text, "requested ip address ", " is already allocated");
    let outside = || between(text, "requested static ip ", " not in any subnet");
    taken.or_else(outside)?.parse().ok()
}

/// The host's side in `listen tcp4 0.0.0.0:80: bind: …`, podman's `listen tcp4 :80: bind: …`, and `failed to bind
/// host port for 0.0.0.0:80:172.17.0.2:80/tcp: …`.
fn bound(text: &str) -> Option<SocketAddr> {
    if let Some(rest) = between(text, "listen ", ": bind: ") {
        let (protocol, at) = rest.split_once(' ')?;
        let everywhere: IpAddr = match protocol.ends_with('4') {
            true => Ipv4Addr::UNSPECIFIED.into(),
            false => Ipv6Addr::UNSPECIFIED.into(),
        };
        return match at.strip_prefix(':') {
            Some(port) => Some(SocketAddr::new(everywhere, port.parse().ok()?)),
            None => at.parse().ok(),
        };
    }
    let pair = between(text, "failed to bind host port for ", ": address already")?;
    let mut parts = pair.splitn(3, ':');
    let address: IpAddr = parts.next()?.parse().ok()?;
    Some(SocketAddr::new(address, parts.next()?.parse().ok()?))
}

/// Between the last `before` that `after` follows, and that `after`.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let head = &text[..text.find(after)?];
    Some(&head[head.rfind(before)? + before.len()..])
}

#[cfg(test)]
mod tests {
    use super::StartError::{self, *};
    use super::refused_address;

    #[test]
    fn each_of_the_engines_texts_has_its_cause() {
        let at = |text: &str| text.parse().unwrap();
        for (text, cause) in [
            (
                "x: Bind for 0.0.0.0:18086 failed: port is already allocated",
                PortAllocated(at("0.0.0.0:18086")),
            ),
            (
                "x: listen tcp4 0.0.0.0:18088: bind: address already in use",
                PortInUse(at("0.0.0.0:18088")),
            ),
            (
                "failed to bind host port for 0.0.0.0:18088:172.17.0.2:80/tcp: address already in use",
                PortInUse(at("0.0.0.0:18088")),
            ),
            (
                "cannot listen on the TCP port: listen tcp4 :39121: bind: address already in use",
                PortInUse(at("0.0.0.0:39121")),
            ),
            (
                "cannot listen on the UDP port: listen udp :53: bind: address already in use",
                PortInUse(at("[::]:53")),
            ),
            ("Address already in use", AddressInUse),
            (
                "IPAM error: requested ip address 10.9.0.2 is already allocated to container ID 9f2cf8990f93",
                AddressInUse,
            ),
            (
                "requested static ip 10.99.0.3 not in any subnet on network net",
                AddressOutsideSubnet,
            ),
            (
                "IPAM error: failed to find free IP in range: 10.9.0.193 - 10.9.0.198",
                RangeFull("10.9.0.193".parse().unwrap()),
            ),
            (
                "Invalid address 10.99.0.3: It does not belong to any of this network's subnets",
                AddressOutsideSubnet,
            ),
            (
                "no available IPv4 addresses on this network's address pools: small (0a)",
                SubnetFull("small".into()),
            ),
            (
                "failed to set up container networking: network 7c37d15e not found",
                NetworkGone("7c37d15e".into()),
            ),
            (
                "iptables failed: x: iptables: No chain/target/match by that name.",
                ChainMissing,
            ),
            (
                "error occurred looking up the macvlan parent iface eth1.50 error: Link not found",
                ParentMissing("eth1.50".into()),
            ),
            (
                "the requested parent interface mp0 was not found on the Docker host",
                ParentMissing("mp0".into()),
            ),
            (
                "docker: Error response from daemon: error creating external connectivity network: could not \
                 find an available, non-overlapping IPv4 address pool among the defaults to assign to the network",
                PoolsUsedUp,
            ),
            (
                "failed to create network shop_default: Error response from daemon: all predefined address \
                 pools have been fully subnetted",
                PoolsUsedUp,
            ),
            (
                "invalid pool request: Pool overlaps with other one on this address space",
                SubnetOverlaps(None),
            ),
            (
                "cannot create network 59311d (br-59311d): conflicts with network b7f26d (br-b7f26d): networks \
                 have overlapping IPv4",
                SubnetOverlaps(Some("b7f26d".into())),
            ),
            (
                "docker: network-scoped aliases are only supported for user-defined networks",
                AliasOnDefaultBridge,
            ),
            (
                "network-scoped alias is supported only for containers in user defined networks",
                AliasOnDefaultBridge,
            ),
            (
                "Could not attach to network shop_back: rpc error: code = PermissionDenied desc = network \
                 shop_back not manually attachable",
                NotAttachable("shop_back".into()),
            ),
            (
                "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect",
                NoSwarm,
            ),
        ] {
            assert_eq!(StartError::read(text), Some(cause), "{text}");
        }
    }

    #[test]
    fn podman_names_the_address() {
        for text in [
            "IPAM error: requested ip address 10.9.0.2 is already allocated to container ID 9f2cf8990f93",
            "requested static ip 10.9.0.2 not in any subnet on network net",
        ] {
            assert_eq!(refused_address(text), Some("10.9.0.2".parse().unwrap()));
        }
        assert_eq!(refused_address("Address already in use"), None);
    }

    #[test]
    fn other_words_are_no_cause() {
        for text in [
            "",
            "exec: \"nope\": executable file not found in $PATH",
            "port is already allocated",
            "address already in use",
            "Bind for nowhere failed: port is already allocated",
            "failed to allocate gateway (10.0.0.1): Address already in use",
            "could not find an available, non-overlapping IPv6 address pool among the defaults",
            "Error response from daemon: network with name app already exists",
        ] {
            assert_eq!(StartError::read(text), None, "{text}");
        }
    }
}
