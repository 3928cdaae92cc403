//! What the engine's last error (`State.Error`) says kept a container from starting.
//!
//! It reads text and guesses nothing: words that it does not know are no cause at all.

use std::net::{IpAddr, SocketAddr};

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
    /// No address is left.
    SubnetFull,
    /// The network with this id or name is gone.
    NetworkGone(String),
    /// A chain of Docker's in the packet filter is gone.
    ChainMissing,
}

impl StartError {
    /// The cause, if the text names one that is known.
    pub fn read(text: &str) -> Option<Self> {
        if let Some(at) = between(text, "Bind for ", " failed: port is already allocated") {
            return Some(Self::PortAllocated(at.parse().ok()?));
        }
        if text.contains("address already in use") {
            return bound(text).map(Self::PortInUse);
        }
        if text.contains("Address already in use") {
            return Some(Self::AddressInUse);
        }
        let outside = [
            "It does not belong to any of this network's subnets",
            "supported only when connecting to networks with user configured subnets",
            "no configured subnet or ip-range contain the IP address",
        ];
        if outside.iter().any(|words| text.contains(words)) {
            return Some(Self::AddressOutsideSubnet);
        }
        if text.contains("no available IPv4 addresses on this network's address pools") {
            return Some(Self::SubnetFull);
        }
        if text.contains("No chain/target/match by that name") {
            return Some(Self::ChainMissing);
        }
        let gone = between(text, "network ", " not found")?;
        (!gone.contains(' ')).then(|| Self::NetworkGone(gone.to_owned()))
    }
}

/// The host's side in `listen tcp4 0.0.0.0:80: bind: …` and `failed to bind host port for
/// 0.0.0.0:80:172.17.0.2:80/tcp: …`.
fn bound(text: &str) -> Option<SocketAddr> {
    if let Some(rest) = between(text, "listen ", ": bind: ") {
        return rest.split_once(' ')?.1.parse().ok();
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
            ("Address already in use", AddressInUse),
            (
                "Invalid address 10.99.0.3: It does not belong to any of this network's subnets",
                AddressOutsideSubnet,
            ),
            (
                "no available IPv4 addresses on this network's address pools: small (0a)",
                SubnetFull,
            ),
            (
                "failed to set up container networking: network 7c37d15e not found",
                NetworkGone("7c37d15e".into()),
            ),
            (
                "iptables failed: x: iptables: No chain/target/match by that name.",
                ChainMissing,
            ),
        ] {
            assert_eq!(StartError::read(text), Some(cause), "{text}");
        }
    }

    #[test]
    fn other_words_are_no_cause() {
        for text in [
            "",
            "exec: \"nope\": executable file not found in $PATH",
            "port is already allocated",
            "address already in use",
            "Bind for nowhere failed: port is already allocated",
        ] {
            assert_eq!(StartError::read(text), None, "{text}");
        }
    }
}
