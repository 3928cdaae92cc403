//! Interfaces, routes and neighbours, from rtnetlink(7). A message that this program cannot decode
//! (a newer kernel's) is left out; a table that cannot be read at all is an error.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netcheck_probe::{Interface, Neighbour, NeighbourState, Route, RouteKind};
use netlink_packet_core::{NlasIterator, Parseable as _};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressHeader, AddressMessage};
use netlink_packet_route::link::{LinkFlags, LinkHeader};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourHeader, NeighbourMessage,
    NeighbourState as KernelState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType, RouteVia,
};
use netlink_sys::protocols::NETLINK_ROUTE;

use super::netlink::dump;

// rtnetlink(7): the request types.
const RTM_GETLINK: u16 = 18;
const RTM_GETADDR: u16 = 22;
const RTM_GETROUTE: u16 = 26;
const RTM_GETNEIGH: u16 = 30;

// The three attributes of a link that are needed. The library decodes all seventy, and one it
// does not know well would cost the whole interface.
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const LINK_HEADER: usize = 16;

const RT_TABLE_DEFAULT: u32 = 253;
const RT_TABLE_MAIN: u32 = 254;

/// Links with their addresses.
pub(crate) fn interfaces() -> io::Result<Vec<Interface>> {
    let links = dump(NETLINK_ROUTE, RTM_GETLINK, &LinkHeader::default())?;
    let mut interfaces: Vec<Interface> = links.iter().filter_map(|bytes| link(bytes)).collect();
    for bytes in dump(NETLINK_ROUTE, RTM_GETADDR, &AddressHeader::default())? {
        let Ok(message) = AddressMessage::parse(&bytes) else {
            continue;
        };
        let owner = |interface: &&mut Interface| interface.index == message.header.index;
        if let (Some(interface), Some(address)) =
            (interfaces.iter_mut().find(owner), local_address(&message))
        {
            interface
                .addresses
                .push((address, message.header.prefix_len));
        }
    }
    Ok(interfaces)
}

fn link(bytes: &[u8]) -> Option<Interface> {
    let header = LinkHeader::parse(bytes).ok()?;
    let mut interface = Interface {
        name: String::new(),
        index: header.index,
        up: header.flags.contains(LinkFlags::Up),
        carrier: header.flags.contains(LinkFlags::LowerUp),
        mtu: 0,
        mac: None,
        addresses: Vec::new(),
    };
    for attribute in NlasIterator::new(bytes.get(LINK_HEADER..)?) {
        let attribute = attribute.ok()?;
        let value = attribute.value();
        match attribute.kind() {
            IFLA_ADDRESS => interface.mac = mac(value),
            IFLA_IFNAME => {
                let name = value.split(|&byte| byte == 0).next().unwrap_or_default();
                interface.name = String::from_utf8_lossy(name).into_owned();
            }
            IFLA_MTU => interface.mtu = value.try_into().map_or(0, u32::from_ne_bytes),
            _ => {}
        }
    }
    Some(interface)
}

/// Tunnels have IP addresses in this place, and `lo` has zeros: neither is a link-layer address.
fn mac(bytes: &[u8]) -> Option<String> {
    let real = matches!(bytes.len(), 6 | 8 | 20) && bytes.iter().any(|&byte| byte != 0);
    real.then(|| {
        let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        pairs.join(":")
    })
}

/// On a point-to-point link IFA_ADDRESS is the peer; IFA_LOCAL, where present, is ours.
fn local_address(message: &AddressMessage) -> Option<IpAddr> {
    let mut found = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => return Some(*address),
            AddressAttribute::Address(address) => found = Some(*address),
            _ => {}
        }
    }
    found
}

/// The names of the links, by index.
pub(crate) fn names(interfaces: &[Interface]) -> HashMap<u32, String> {
    interfaces
        .iter()
        .map(|interface| (interface.index, interface.name.clone()))
        .collect()
}

/// The tables main and default of both families.
pub(crate) fn routes(names: &HashMap<u32, String>) -> io::Result<Vec<Route>> {
    let mut routes = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let header = RouteHeader {
            address_family: family,
            ..RouteHeader::default()
        };
        let answer = match dump(NETLINK_ROUTE, RTM_GETROUTE, &header) {
            // A kernel without IPv6 has no such table, which is the same as an empty one.
            Err(error) if family == AddressFamily::Inet6 && error.raw_os_error() == Some(95) => {
                continue;
            }
            other => other?,
        };
        for bytes in answer {
            if let Ok(message) = RouteMessage::parse(bytes.as_slice()) {
                routes.extend(route(&message, names));
            }
        }
    }
    Ok(routes)
}

/// One route for each next hop; none for an entry of another table or kind.
fn route(message: &RouteMessage, names: &HashMap<u32, String>) -> Vec<Route> {
    let kind = match message.header.kind {
        RouteType::Unicast => RouteKind::Unicast,
        RouteType::BlackHole => RouteKind::Blackhole,
        RouteType::Unreachable => RouteKind::Unreachable,
        RouteType::Prohibit => RouteKind::Prohibit,
        _ => return Vec::new(),
    };
    let everywhere: IpAddr = match message.header.address_family {
        AddressFamily::Inet => Ipv4Addr::UNSPECIFIED.into(),
        AddressFamily::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return Vec::new(),
    };
    let mut table = u32::from(message.header.table);
    let mut hops = Vec::new();
    let mut route = Route {
        destination: (everywhere, message.header.destination_prefix_length),
        gateway: None,
        interface: None,
        source: None,
        metric: 0,
        kind,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Destination(address) => {
                route.destination.0 = route_address(address).unwrap_or(everywhere);
            }
            RouteAttribute::PrefSource(address) => route.source = route_address(address),
            RouteAttribute::Priority(metric) => route.metric = *metric,
            RouteAttribute::MultiPath(list) => hops.clone_from(list),
            other => hop(&mut route, other, names),
        }
    }
    if table != RT_TABLE_MAIN && table != RT_TABLE_DEFAULT {
        return Vec::new();
    }
    if hops.is_empty() {
        return vec![route];
    }
    hops.iter()
        .map(|next| {
            let mut one = route.clone();
            one.interface = names.get(&next.interface_index).cloned();
            for attribute in &next.attributes {
                hop(&mut one, attribute, names);
            }
            one
        })
        .collect()
}

/// The attributes that a route and each of its next hops have in common.
fn hop(route: &mut Route, attribute: &RouteAttribute, names: &HashMap<u32, String>) {
    match attribute {
        RouteAttribute::Gateway(address) => route.gateway = route_address(address),
        RouteAttribute::Via(RouteVia::Inet(address)) => route.gateway = Some((*address).into()),
        RouteAttribute::Via(RouteVia::Inet6(address)) => route.gateway = Some((*address).into()),
        RouteAttribute::Oif(index) => route.interface = names.get(index).cloned(),
        _ => {}
    }
}

fn route_address(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

/// ARP and NDP entries, without those of multicast and of `lo`, which resolve nothing.
pub(crate) fn neighbours(names: &HashMap<u32, String>) -> io::Result<Vec<Neighbour>> {
    let answer = dump(NETLINK_ROUTE, RTM_GETNEIGH, &NeighbourHeader::default())?;
    Ok(answer
        .iter()
        .filter_map(|bytes| neighbour(&NeighbourMessage::parse(bytes.as_slice()).ok()?, names))
        .collect())
}

fn neighbour(message: &NeighbourMessage, names: &HashMap<u32, String>) -> Option<Neighbour> {
    let state = match message.header.state {
        KernelState::Reachable | KernelState::Permanent => NeighbourState::Reachable,
        KernelState::Stale | KernelState::Delay | KernelState::Probe => NeighbourState::Stale,
        KernelState::Incomplete => NeighbourState::Incomplete,
        KernelState::Failed => NeighbourState::Failed,
        KernelState::Noarp => NeighbourState::NoArp,
        _ => return None,
    };
    let mut address: Option<IpAddr> = None;
    let mut link_layer = None;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(found)) => {
                address = Some((*found).into());
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(found)) => {
                address = Some((*found).into());
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => link_layer = mac(bytes),
            _ => {}
        }
    }
    let address =
        address.filter(|it| !it.is_multicast() && !it.is_loopback() && !it.is_unspecified())?;
    Some(Neighbour {
        address,
        interface: names.get(&message.header.ifindex).cloned(),
        mac: link_layer,
        state,
    })
}
