//! Made-up trials of `app` at `db:80` with the filter of the engine's host, as `--deep` sees them.

use std::net::SocketAddr;

use netcheck_probe::firewall::{
    Backend, Chain, Field, Filter, Hook, Part, Rise, Rule, Verdict as Fate,
};
use netcheck_probe::{
    Attempt, Came, Connected, Errno, Packet, Protocol, Resolved, Sight, Tried, Watched,
};

use super::{binding, check_rule, container, id_of, not_applicable, passes, snapshot, tcp, world};
use crate::evidence::{Deep, Evidence, Fact, Trial, Viewpoint, Wave};

/// A world in which every try is lost. What is left out is as it mostly is.
#[derive(Debug, Clone)]
pub(crate) struct Lost {
    /// The base chain and its hook (NF_INET_*).
    pub(crate) chain: (&'static str, u32),
    /// What its one rule does with TCP to the port of `to`; none for the policy instead.
    pub(crate) verdict: Option<Fate>,
    /// The counter rises with the packets.
    pub(crate) counted: bool,
    /// Where to; the host is 172.18.0.1.
    pub(crate) to: &'static str,
    /// The packets go on by this interface, with this source.
    pub(crate) left: Option<(&'static str, &'static str)>,
    /// An answer comes back to the host.
    pub(crate) answered: bool,
}

impl Default for Lost {
    fn default() -> Self {
        Self {
            chain: ("FORWARD", 2),
            verdict: Some(Fate::Drop),
            counted: true,
            to: "172.18.0.3:80",
            left: None,
            answered: false,
        }
    }
}

/// The evidence of that.
pub(crate) fn lost(what: &Lost) -> Evidence {
    let to: SocketAddr = what.to.parse().unwrap();
    let mut host = snapshot();
    if let Ok(links) = &mut host.interfaces {
        links[1].addresses = vec![("172.18.0.1".parse().unwrap(), 16)];
    }
    let mut evidence = world(container("app"))
        .and(container("db").on("my_network", "172.18.0.3"))
        .answered_from(
            Viewpoint::Host,
            netcheck_probe::Question::Snapshot,
            netcheck_probe::Answer::Snapshot(host),
        );
    let app = Viewpoint::Container(id_of("app"));
    let waves = [2, 3].map(|tries: u32| Wave {
        attempts: Fact::Known((0..tries).map(|_| failed(to)).collect()),
        watched: Fact::Known(Watched {
            sights: (0..tries).flat_map(|flow| sights(what, to, flow)).collect(),
            incomplete: false,
        }),
        rises: vec![(Viewpoint::Host, Fact::Known(rises(what, tries)))],
    });
    evidence.deep = Some(Deep {
        filters: vec![(Viewpoint::Host, Fact::Known(filter(what, to.port())))],
        trials: vec![Trial {
            from: app,
            to,
            protocol: Protocol::Tcp,
            waves: waves.into(),
        }],
    });
    evidence
}

fn failed(to: SocketAddr) -> Attempt {
    Attempt {
        resolved: Resolved::Addresses(vec![to.ip()]),
        lookup_us: 0,
        tried: Some(Tried {
            to,
            took_us: 1_000_000,
            came: Came::Tcp(Connected::Failed {
                errno: Errno::TimedOut,
                took_ms: 1000,
            }),
        }),
    }
}

fn sights(what: &Lost, to: SocketAddr, flow: u32) -> Vec<Sight> {
    let own: SocketAddr = "172.18.0.2:40000".parse().unwrap();
    let sight = |interface: &str, outgoing, from, to, packet| Sight {
        at_us: 0,
        interface: interface.into(),
        outgoing,
        from,
        to,
        packet,
        flow,
    };
    let mut all = vec![sight("veth1", false, own, to, Packet::Syn)];
    if let Some((interface, source)) = what.left {
        let source = SocketAddr::new(source.parse().unwrap(), 40000);
        all.push(sight(interface, true, source, to, Packet::Syn));
        if what.answered {
            all.push(sight(interface, false, to, source, Packet::SynAck));
        }
    }
    all
}

fn filter(what: &Lost, port: u16) -> Filter {
    let (name, number) = what.chain;
    let rule = |verdict: &Fate| Rule {
        handle: 7,
        parts: vec![
            Part::Compare {
                field: Field::Protocol,
                mask: Vec::new(),
                value: vec![6],
                equal: true,
            },
            Part::Compare {
                field: if what.answered {
                    Field::Transport(0)
                } else {
                    Field::Transport(2)
                },
                mask: Vec::new(),
                value: port.to_be_bytes().to_vec(),
                equal: true,
            },
            Part::Counter(0),
            Part::Verdict(verdict.clone()),
        ],
    };
    Filter {
        version: 1,
        chains: vec![Chain {
            backend: Backend::Nft,
            family: 2,
            table: "filter".into(),
            name: name.into(),
            hook: Some(Hook {
                number,
                priority: 0,
                drops: what.verdict.is_none(),
                packets: Some(0),
            }),
            rules: what.verdict.iter().map(rule).collect(),
        }],
        incomplete: false,
    }
}

fn rises(what: &Lost, tries: u32) -> Vec<Rise> {
    let rise = Rise {
        backend: Backend::Nft,
        family: 2,
        table: "filter".into(),
        chain: what.chain.0.into(),
        handle: what.verdict.as_ref().map(|_| 7),
        packets: tries.into(),
    };
    what.counted.then_some(rise).into_iter().collect()
}

/// `app` publishes a port, and the one rule of this chain is for TCP to port 8080 of the host.
pub(crate) fn with_a_rule(
    chain: (&'static str, u32),
    (host_port, port): (u16, u16),
    verdict: Fate,
) -> Evidence {
    let mut evidence = lost(&Lost {
        chain,
        verdict: Some(verdict),
        to: "172.18.0.1:8080",
        ..Lost::default()
    });
    evidence.containers[0]
        .published
        .push(binding("0.0.0.0", host_port, tcp(port)));
    evidence
}

/// A rule of the filter is no cause where it counted no packet of ours; without a deep look nothing is said.
pub(crate) fn near_misses(rule: &crate::rule::Rule, case: Lost) {
    let uncounted = Lost {
        counted: false,
        ..case
    };
    check_rule(rule, &lost(&uncounted), passes());
    check_rule(rule, &world(container("app")), not_applicable());
}
