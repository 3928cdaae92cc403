//! Published ports against what listens, and who points where: the facts behind several rules.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use netcheck_probe::{Connected, Delivered, Protocol, Then};

use super::{Case, Listener, Reach};
use crate::evidence::{Binding, Container, Mode, Port, Status};
use crate::plan::nearest;
use crate::recreate::publish_word;
use crate::reference::Reference;
use crate::report::Fix;
use crate::start_error::StartError;

/// How a published container port stands to the sockets of its container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Somebody outside reaches a listener on it.
    Served,
    /// Its only listeners are on loopback, or take no IPv4.
    Narrow,
    /// The same number listens in the other protocol only, and is published in this one only.
    OtherProtocol,
    /// Nobody, but exactly one other port listens for the world and is not published: this one.
    Elsewhere(u16),
    /// Nobody, and that is usual: a range for connections on demand, one of two protocols, a port
    /// that only `-P` published.
    OnDemand,
    /// Nobody.
    Nobody,
}

/// From this many ports in a row on, a published range is one for connections on demand (passive
/// FTP, RTP, TURN): their listeners come and go.
const RANGE: usize = 4;

/// Ports of debuggers and supervisors, which are on loopback on purpose: Node's inspector, JDWP,
/// Go's pprof, debugpy, Delve, supervisord.
pub const LOCAL_BY_DESIGN: &[u16] = &[9229, 5005, 6060, 5678, 2345, 9001];

impl<'a> Case<'a> {
    /// The container ports that are published and in force, each once, sorted.
    pub fn published_ports(&self) -> BTreeSet<Port> {
        let published = &self.subject.published;
        published.iter().map(|binding| binding.container).collect()
    }

    /// Each published container port with how it stands.
    pub fn standings(&self) -> Result<Vec<(Port, Standing)>, String> {
        let listeners = self.listeners()?;
        let published = self.published_ports();
        let on = |port: Port| {
            listeners
                .iter()
                .filter(move |listener| listener.port == port)
        };
        let orphan = |port: &Port| on(*port).next().is_none();
        let any_served = published.iter().any(|port| !orphan(port));
        let strays: BTreeSet<u16> = listeners
            .iter()
            .filter(|listener| listener.port.protocol == Protocol::Tcp && listener.is_reachable())
            .filter(|listener| !published.contains(&listener.port))
            // Debuggers, and ports that the kernel chose, are not what a mapping was meant for.
            .filter(|listener| {
                let number = listener.port.number;
                self.detail.exposed.contains(&listener.port)
                    || (number < 32768 && !LOCAL_BY_DESIGN.contains(&number))
            })
            .map(|listener| listener.port.number)
            .collect();
        let wanted = |port: &Port| self.detail.wanted.iter().any(|b| b.container == *port);
        let usual = |port: &Port| {
            let twin = other_protocol(*port);
            (published.contains(&twin) && !orphan(&twin))
                || (any_served && self.detail.publish_all && !wanted(port))
                || (any_served && run_of_orphans(*port, &published, orphan) >= RANGE)
        };
        let orphans = published
            .iter()
            .filter(|port| port.protocol == Protocol::Tcp && orphan(port) && !usual(port))
            .count();
        let standing = |port: &Port| {
            if on(*port).any(|l| l.is_reachable() && l.reach != Reach::Ipv6Only) {
                return Standing::Served;
            }
            if !orphan(port) {
                return Standing::Narrow;
            }
            if usual(port) {
                return Standing::OnDemand;
            }
            let twin = other_protocol(*port);
            if !orphan(&twin) && !published.contains(&twin) {
                return Standing::OtherProtocol;
            }
            match (port.protocol, orphans, strays.first(), strays.len()) {
                (Protocol::Tcp, 1, Some(only), 1) => Standing::Elsewhere(*only),
                _ => Standing::Nobody,
            }
        };
        Ok(published
            .iter()
            .map(|port| (*port, standing(port)))
            .collect())
    }

    /// The host side of a published container port, in words: `host port 8080`.
    pub fn host_side(&self, port: Port) -> String {
        let mut sides: Vec<String> = self
            .subject
            .published
            .iter()
            .filter(|binding| binding.container == port)
            .filter_map(|binding| {
                let number = binding.host_port?;
                Some(match binding.host_address {
                    Some(IpAddr::V4(a)) if !a.is_unspecified() => format!("{a}:{number}"),
                    Some(IpAddr::V6(a)) if !a.is_unspecified() => format!("[{a}]:{number}"),
                    _ => number.to_string(),
                })
            })
            .collect();
        sides.sort_unstable();
        sides.dedup();
        format!("host port {}", sides.join(", "))
    }

    /// What the engine's host saw of a published container port, one line for each address tried.
    pub fn host_saw(&self, port: Port) -> Vec<String> {
        let Ok(visit) = self.host_visit() else {
            return Vec::new();
        };
        let bindings = self
            .subject
            .published
            .iter()
            .filter(|binding| binding.container == port);
        bindings
            .filter_map(|binding| {
                let address = nearest(binding.host_address?);
                let to = SocketAddr::new(address, binding.host_port?);
                let saw = match port.protocol {
                    Protocol::Tcp => match visit.connect(to).known()? {
                        Connected::Open {
                            then: Then::Closed | Then::Reset,
                            ..
                        } => "connected, then closed at once: docker-proxy accepts and cannot get \
                              through"
                            .to_owned(),
                        Connected::Open { .. } => "connected".to_owned(),
                        Connected::Failed { errno, .. } => errno.words().to_owned(),
                    },
                    Protocol::Udp => match visit.datagram(to).known()? {
                        Delivered::Reply { .. } => "a reply".to_owned(),
                        Delivered::Neighbour { .. } | Delivered::Silent => "no reply".to_owned(),
                        Delivered::Failed { errno } => errno.words().to_owned(),
                    },
                };
                Some(format!("seen from the engine's host: {to}: {saw}"))
            })
            .collect()
    }

    /// What listens, in one line of proof.
    pub fn sockets_seen(&self, listeners: &[Listener]) -> String {
        let name = self.name();
        if listeners.is_empty() {
            return format!("seen from `{name}`: no listening socket at all");
        }
        let mut words: Vec<String> = listeners
            .iter()
            .map(|listener| {
                let only = match listener.reach {
                    Reach::Ipv6Only => " (IPv6 only)",
                    Reach::Everybody | Reach::Loopback | Reach::OneAddress(_) => "",
                };
                format!(
                    "{} {}{only}",
                    listener.port.protocol.as_str(),
                    listener.local
                )
            })
            .collect();
        words.dedup();
        let more = words.len().saturating_sub(8);
        words.truncate(8);
        let more = match more {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        format!(
            "seen from `{name}`: listening on {}{more}",
            words.join(", ")
        )
    }

    /// Makes the subject anew with this container port in the place of a published one; `text` says why.
    pub fn publish_instead(&self, port: Port, container: Port, text: &str) -> Fix {
        let (mut recreate, mut new_words, mut old_words) = (self.recreate(), vec![], vec![]);
        for old in self.wishes_for(port) {
            let new = Binding {
                container,
                ..old.clone()
            };
            new_words.push(format!("`{}`", publish_word(&new)));
            old_words.push(format!("`{}`", publish_word(&old)));
            recreate = recreate.replace_binding(&old, new);
        }
        let (new, old) = (new_words.join(" and "), old_words.join(" and "));
        recreate.fix(
            &format!("{text}, {new}"),
            &format!("under `ports` write {new} in place of {old}"),
        )
    }

    /// What `-p` asked for a container port; where only `-P` did, what the engine chose.
    pub fn wishes_for(&self, port: Port) -> Vec<Binding> {
        let wanted: Vec<_> = self
            .detail
            .wanted
            .iter()
            .filter(|binding| binding.container == port)
            .cloned()
            .collect();
        if !wanted.is_empty() {
            return wanted;
        }
        let mut chosen: Vec<_> = self
            .subject
            .published
            .iter()
            .filter(|binding| binding.container == port)
            .map(|binding| Binding {
                host_address: binding.host_address.filter(|a| !a.is_unspecified()),
                ..binding.clone()
            })
            .collect();
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }

    /// Another running container is on one of the subject's networks.
    pub fn has_neighbours(&self) -> bool {
        self.evidence.containers.iter().any(|other| {
            other.id != self.subject.id
                && other.is_running()
                && !self.shared_networks(other).is_empty()
        })
    }

    /// Another container lives in the subject's namespace, and may use its loopback.
    pub fn shares_its_namespace(&self) -> bool {
        self.evidence.containers.iter().any(|other| {
            other.detail().is_some_and(|detail| match &detail.mode {
                Mode::Container(owner) => *owner == self.subject.id || *owner == self.subject.name,
                _ => false,
            })
        })
    }

    /// The references of other containers that name the subject, on a network they share.
    pub fn named_by_others(&self) -> Vec<(&'a Container, &'a Reference)> {
        self.evidence
            .containers
            .iter()
            .filter(|other| other.id != self.subject.id && !self.shared_networks(other).is_empty())
            .filter_map(|other| Some((other, other.detail()?)))
            .flat_map(|(other, detail)| detail.references.iter().map(move |r| (other, r)))
            .filter(|(_, reference)| match reference.host.parse::<IpAddr>() {
                Ok(address) => self.subject.has_address(address),
                Err(_) => self
                    .named(&reference.host)
                    .iter()
                    .any(|named| named.id == self.subject.id),
            })
            .collect()
    }

    /// Somebody outside the namespace is meant to reach this TCP port: it is promised, somebody's
    /// configuration names it, or it is all that the container could be there for.
    pub fn is_meant_for_others(&self, number: u16, listeners: &[Listener]) -> bool {
        let port = Port {
            number,
            protocol: Protocol::Tcp,
        };
        let promised = self.promised_ports().contains(&port);
        let named = || {
            self.named_by_others()
                .iter()
                .any(|(_, reference)| reference.certain_port() == Some(number))
        };
        let only = || {
            // A higher number was chosen by the kernel: nobody could know it.
            number < 32768
                && !LOCAL_BY_DESIGN.contains(&number)
                && !self.shares_its_namespace()
                && listeners
                    .iter()
                    .filter(|listener| listener.port.protocol == Protocol::Tcp)
                    .all(|listener| listener.port.number == number)
                && (self.has_neighbours()
                    || !self.subject.published.is_empty()
                    || !self.detail.wanted.is_empty())
        };
        promised || named() || only()
    }

    /// The listening sockets matter to others, although they may not be known.
    pub fn promises_or_is_named(&self) -> bool {
        !self.promised_ports().is_empty() || !self.named_by_others().is_empty()
    }

    /// Whether a reference points to the engine's host, from this container.
    pub fn points_to_host(&self, holder: &Container, reference: &Reference) -> bool {
        if let Ok(address) = reference.host.parse::<IpAddr>() {
            return !address.is_loopback() && self.is_host_address(address);
        }
        let host = reference.host.trim_end_matches('.');
        let by_hosts_file = holder.detail().and_then(|detail| {
            detail
                .extra_hosts
                .iter()
                .find(|line| line.name.eq_ignore_ascii_case(host))
        });
        match by_hosts_file {
            Some(line) => {
                line.address == "host-gateway"
                    || line
                        .address
                        .parse()
                        .is_ok_and(|address| self.is_host_address(address))
            }
            None => super::is_host_name(host),
        }
    }

    /// The gateway of a bridge network, or an address of one of the host's interfaces.
    pub fn is_host_address(&self, address: IpAddr) -> bool {
        self.is_gateway(address)
            || self.host_snapshot().is_some_and(|snapshot| {
                snapshot.interfaces.as_ref().is_ok_and(|interfaces| {
                    interfaces
                        .iter()
                        .flat_map(|interface| &interface.addresses)
                        .any(|(own, _)| *own == address && !own.is_loopback())
                })
            })
    }

    /// The bridge's own address on one of the engine's networks, i.e. the host.
    pub fn is_gateway(&self, address: IpAddr) -> bool {
        let networks = self.evidence.networks.known();
        let bridges = || {
            networks
                .into_iter()
                .flatten()
                .filter(|network| network.driver == "bridge")
        };
        bridges().flat_map(|network| &network.ipam).any(|ipam| {
            ipam.gateway == Some(address)
                // The engine does not always say it; it is the first address then.
                || (ipam.gateway.is_none() && ipam.subnet.hosts().next() == Some(address))
        }) || self.evidence.containers.iter().any(|container| {
            container.endpoints.iter().any(|endpoint| {
                endpoint.gateways.contains(&address)
                    && bridges().any(|network| network.id == endpoint.network_id)
            })
        })
    }

    /// The namespace of the engine's host, if it was visited.
    pub fn host_snapshot(&self) -> Option<&'a netcheck_probe::Snapshot> {
        self.host_visit().ok()?.snapshot().known().copied()
    }

    /// The port of the host for whose sake the engine did not start the subject.
    pub fn refused_host_port(&self) -> Option<SocketAddr> {
        if !matches!(self.subject.status, Status::Created | Status::Exited) {
            return None;
        }
        match StartError::read(&self.detail.state.error)? {
            StartError::PortAllocated(at) | StartError::PortInUse(at) => Some(at),
            _ => None,
        }
    }

    /// Where TCP listens on the engine's host on this port; none if that is not known.
    pub fn host_listens(&self, port: u16) -> Option<Vec<IpAddr>> {
        let sockets = self.host_snapshot()?.sockets.as_ref().ok()?;
        Some(
            sockets
                .iter()
                .filter(|s| s.protocol == Protocol::Tcp && s.local.port() == port)
                .map(|socket| socket.local.ip())
                .collect(),
        )
    }

    /// All references that point to the engine's host and concern the subject's report: its own,
    /// and those of running containers that have a namespace of their own.
    pub fn references_to_host(&self) -> Vec<(&'a Container, &'a Reference)> {
        // On Desktop the host of that name is the user's machine, with a way to its loopback.
        let desktop = self
            .evidence
            .engine
            .known()
            .is_some_and(crate::evidence::Engine::is_desktop);
        if desktop {
            return Vec::new();
        }
        self.evidence
            .containers
            .iter()
            .filter(|container| container.is_running())
            .filter_map(|container| Some((container, container.detail()?)))
            .filter(|(_, detail)| detail.mode != Mode::Host)
            .flat_map(|(container, detail)| detail.references.iter().map(move |r| (container, r)))
            .filter(|(container, reference)| self.points_to_host(container, reference))
            .collect()
    }
}

fn other_protocol(port: Port) -> Port {
    Port {
        number: port.number,
        protocol: match port.protocol {
            Protocol::Tcp => Protocol::Udp,
            Protocol::Udp => Protocol::Tcp,
        },
    }
}

/// How many published ports in a row around this one have no listener.
fn run_of_orphans(port: Port, published: &BTreeSet<Port>, orphan: impl Fn(&Port) -> bool) -> usize {
    let is = |number: Option<u16>| {
        number.is_some_and(|number| {
            let next = Port { number, ..port };
            published.contains(&next) && orphan(&next)
        })
    };
    let up = (1..)
        .take_while(|n| is(port.number.checked_add(*n)))
        .count();
    let down = (1..)
        .take_while(|n| is(port.number.checked_sub(*n)))
        .count();
    1 + up + down
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Accepts, Answer, Question};

    use super::*;
    use crate::evidence::Evidence;
    use crate::rule::Verdict;
    use crate::rules::RULES;
    use crate::rules::testing::{binding, container, ip, socket, tcp, udp, world};

    /// The subject listens on these ports and takes connections.
    fn serving(evidence: Evidence, on: &[(Protocol, &str)]) -> Evidence {
        let sockets = on.iter().map(|(p, at)| socket(*p, at)).collect();
        on.iter()
            .fold(evidence.listens(sockets), |evidence, (_, at)| {
                let port = at.rsplit(':').next().unwrap().parse().unwrap();
                evidence.answered(
                    Question::Accepts {
                        to: (ip("172.18.0.9"), port).into(),
                        patience_ms: 1000,
                    },
                    Answer::Accepts(Accepts::Accepted { took_ms: 0 }),
                )
            })
    }

    #[track_caller]
    fn check_healthy(evidence: &Evidence) {
        let case = Case::new(evidence).unwrap();
        for rule in RULES {
            let verdict = (rule.judge)(&case);
            assert!(
                !matches!(verdict, Verdict::Fail(_)),
                "`{}`: {verdict:#?}",
                rule.code
            );
        }
    }

    #[test]
    fn healthy_containers_get_no_fault_from_any_rule() {
        use Protocol::{Tcp, Udp};
        let peer = || container("peer").on("my_network", "172.18.0.3");
        let mysql = container("mysql-db").exposes(tcp(3306)).exposes(tcp(33060));
        check_healthy(&serving(
            world(mysql.clone()).and(peer()),
            &[(Tcp, "[::]:3306")],
        ));
        let published = mysql
            .publishes(binding("0.0.0.0", 3306, tcp(3306)))
            .publishes(binding("::", 3306, tcp(3306)));
        check_healthy(&serving(
            world(published.clone()).and(peer()),
            &[(Tcp, "0.0.0.0:3306"), (Tcp, "[::]:33060")],
        ));
        let client = peer().env(&["DB_URL=mysql://mysql-db:3306/some"]);
        check_healthy(&serving(
            world(published).and(client),
            &[(Tcp, "[::]:3306")],
        ));
        // A client, a worker with a debugger, and one whose neighbour is not known in detail.
        check_healthy(&serving(world(container("app")).and(peer()), &[]));
        let mut stranger = peer();
        stranger.detail = crate::evidence::Fact::NotCollected;
        check_healthy(&serving(
            world(container("worker")).and(stranger),
            &[(Tcp, "127.0.0.1:9229")],
        ));
        let dns = container("dns")
            .publishes(binding("0.0.0.0", 53, udp(53)))
            .publishes(binding("127.0.0.1", 8080, tcp(8080)));
        check_healthy(&serving(
            world(dns).and(peer()),
            &[
                (Udp, "0.0.0.0:53"),
                (Tcp, "[::]:8080"),
                (Tcp, "127.0.0.1:953"),
            ],
        ));
    }
}
