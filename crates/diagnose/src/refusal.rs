//! Words with which a command was refused (`docker network create`, `docker run`): the finding that they
//! stand for, with what the engine has to do with it. There may be no container to ask about.

use ipnet::{IpNet, Ipv4Net};

use crate::case::Case;
use crate::evidence::{Container, Evidence, Fact, Network, Status};
use crate::judge::{engine_words, sanitize};
use crate::recreate;
use crate::report::{Fix, Outcome, Report, SCHEMA_VERSION, Subject, SubjectKind, Undecided};
use crate::rule::{Fault, Rule, Verdict};
use crate::rules::{
    address_pools_exhausted, alias_ignored_on_default_bridge, by_code, overlay_not_attachable,
    subnet_overlaps_network,
};
use crate::shell;
use crate::start_error::StartError;

/// A proof shows no more of what was said, in characters.
const LONGEST: usize = 300;

/// Flags of `docker network create` that have their value in the next word.
const WITH_VALUE: [&str; 14] = [
    "-d",
    "--driver",
    "-o",
    "--opt",
    "--subnet",
    "--gateway",
    "--ip-range",
    "--aux-address",
    "--label",
    "--scope",
    "--config-from",
    "--ipam-driver",
    "--ipam-opt",
    "--network",
];

/// What a command was refused with, or a container that did not start, and what the engine has to do with it.
#[derive(Debug, Clone)]
pub struct Told<'a> {
    /// Everything.
    pub evidence: &'a Evidence,
    /// The words, without secrets.
    pub words: &'a str,
    /// What they name.
    pub cause: StartError,
    /// The container that could not start for it.
    pub refused: Option<&'a Container>,
}

/// What the words tell of the command that was typed, beside the refusal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Typed {
    /// The network that was to be made.
    pub network: Option<String>,
    /// The subnets it was to have.
    pub subnets: Vec<IpNet>,
    /// Compose was to make it.
    pub by_compose: bool,
}

impl<'a> Told<'a> {
    /// What keeps the subject from starting, if its engine's last error is known words.
    pub fn of(case: &Case<'a>) -> Option<Self> {
        if !matches!(case.subject.status, Status::Created | Status::Exited) {
            return None;
        }
        let words = &case.detail.state.error;
        Some(Self {
            evidence: case.evidence,
            words,
            cause: StartError::read(words)?,
            refused: Some(case.subject),
        })
    }

    /// From words alone.
    fn read(evidence: &'a Evidence, words: &'a str) -> Option<Self> {
        let flat = flat(words);
        let refused = evidence.containers.iter().filter(|container| {
            let error = container
                .detail()
                .map(|detail| flat_error(&detail.state.error));
            let stopped = matches!(container.status, Status::Created | Status::Exited);
            stopped && error.is_some_and(|error| !error.is_empty() && flat.contains(&error))
        });
        // Several that failed for the same reason cannot be told apart.
        let refused = match refused.collect::<Vec<_>>()[..] {
            [only] => Some(only),
            _ => None,
        };
        Some(Self {
            evidence,
            words,
            cause: StartError::read(&flat)?,
            refused,
        })
    }

    /// Whom it is about, as far as it is known.
    pub fn subjects(&self) -> Vec<Subject> {
        match self.refused {
            Some(container) => vec![Subject::container(&container.name)],
            None => vec![the_engine()],
        }
    }

    /// What was said, as a proof.
    pub fn proof(&self) -> String {
        let line = self
            .words
            .lines()
            .find(|line| StartError::read(line).as_ref() == Some(&self.cause));
        let line = flat(line.unwrap_or(self.words));
        let mut shown: String = line.chars().take(LONGEST).collect();
        if shown.len() < line.len() {
            shown.push('…');
        }
        match self.refused {
            Some(_) => format!("the engine's last error: {}", crate::redact::text(&shown)),
            None => format!("what was said: {}", crate::redact::text(&shown)),
        }
    }

    /// See [`Typed`]. A command that was pasted along, or Compose's own words.
    pub fn typed(&self) -> Typed {
        let mut typed = Typed::default();
        if let Some((_, rest)) = self.words.split_once("failed to create network ") {
            let name = rest.split([':', ' ', '\n']).next().unwrap_or_default();
            typed.network = Some(name.to_owned());
            typed.by_compose = true;
        }
        let line = self
            .words
            .lines()
            .find_map(|line| line.split_once("docker network create ")?.1.into());
        let ends = |word: &&str| !(word.contains(['|', ';', '&', '>']));
        let mut words = line.unwrap_or_default().split_whitespace().take_while(ends);
        while let Some(word) = words.next() {
            let (flag, value) = match word.split_once('=') {
                Some((flag, value)) => (flag, Some(value)),
                None => (word, None),
            };
            let bare = |text: &str| text.trim_matches(['"', '\'']).to_owned();
            if flag.starts_with('-') {
                let value = match value {
                    None if WITH_VALUE.contains(&flag) => words.next(),
                    value => value,
                };
                if flag == "--subnet" {
                    typed
                        .subnets
                        .extend(value.and_then(|value| bare(value).parse::<IpNet>().ok()));
                }
            } else {
                typed.network = Some(bare(word));
            }
        }
        let plain = |name: &String| {
            !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
        };
        typed.network = typed.network.filter(plain);
        typed
    }

    /// A name for a network that is to be made: the one that was asked for, or one that is free.
    pub fn network_to_make(&self, typed: &Typed) -> String {
        typed
            .network
            .clone()
            .unwrap_or_else(|| self.evidence.free_network_name("app"))
    }

    /// A subnet that no network and no pool of the engine has; none where they are not known.
    pub fn free_subnet(&self, prefix: u8) -> Option<IpNet> {
        let networks = self.evidence.networks.known()?;
        let engine = self.evidence.engine.known()?;
        let pools = engine.address_pools.iter().map(|pool| pool.base);
        let taken: Vec<IpNet> = networks
            .iter()
            .flat_map(|network| &network.ipam)
            .map(|ipam| ipam.subnet)
            .chain(pools)
            .collect();
        // Far from what homes, offices and the engine's own pools use.
        let mut candidates = (201..250u8)
            .flat_map(|second| (0..=255u8).map(move |third| (second, third)))
            .filter_map(|(second, third)| {
                let net = Ipv4Net::new([10, second, third, 0].into(), prefix).ok()?;
                // Of a larger one only the first address begins it.
                (net.network() == net.addr()).then_some(IpNet::V4(net))
            });
        candidates.find(|net| !taken.iter().any(|other| overlap(net, other)))
    }

    /// Networks that no container and no service is on, running or not, and that can be removed; none where
    /// that is not known.
    pub fn unused(&self) -> Option<Vec<&'a Network>> {
        let networks = self.evidence.networks.known()?;
        let services = match &self.evidence.services {
            Fact::Known(services) => services.as_slice(),
            Fact::NotCollected => &[],
            Fact::Failed(_) => return None,
        };
        let free = |network: &&Network| {
            let own = [
                "bridge",
                "host",
                "none",
                "podman",
                "docker_gwbridge",
                "ingress",
            ];
            let on = |container: &Container| {
                container.endpoints.iter().any(|endpoint| {
                    endpoint.network_id == network.id || endpoint.network_name == network.name
                })
            };
            !own.contains(&network.name.as_str())
                && !network.is_default_bridge()
                && !self.evidence.containers.iter().any(on)
                && !services
                    .iter()
                    .any(|service| service.networks.contains(&network.id))
        };
        let mut unused: Vec<&Network> = networks.iter().filter(free).collect();
        // The engine has no order of its own.
        unused.sort_by(|one, other| one.name.cmp(&other.name));
        Some(unused)
    }

    /// What starts the container that was refused.
    pub fn start(&self) -> Option<String> {
        let container = self.refused?;
        Some(shell::command(["docker", "start", &container.name]))
    }
}

/// Whether two subnets have an address in common.
pub fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

/// `a` (10.0.0.0/24).
pub fn network_words(network: &Network) -> String {
    let subnets: Vec<String> = network
        .ipam
        .iter()
        .map(|ipam| ipam.subnet.to_string())
        .collect();
    format!("`{}` ({})", network.name, subnets.join(", "))
}

/// At most so many of a list, and how many more.
pub fn some_of(items: &[String], most: usize) -> String {
    match items.get(most..) {
        Some(rest) if !rest.is_empty() => {
            format!("{} and {} more", items[..most].join(", "), rest.len())
        }
        _ => items.join(", "),
    }
}

fn the_engine() -> Subject {
    Subject {
        kind: SubjectKind::Engine,
        name: "the engine".into(),
    }
}

fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The command line puts a dot of its own behind it.
fn flat_error(text: &str) -> String {
    flat(text).trim_end_matches('.').to_owned()
}

/// Explains the words of the request.
pub(crate) fn diagnose(evidence: &Evidence, said: &str) -> Report {
    let told = Told::read(evidence, said);
    let found = told.as_ref().and_then(|told| {
        let rule = by_code(told.cause.code())?;
        Some((rule, fault(told, rule)))
    });
    let mut undecided = Vec::new();
    let (summary, subject, mut findings) = match found {
        Some((rule, fault)) => {
            if let Fact::Failed(why) = &evidence.networks {
                undecided.push(Undecided {
                    code: rule.code.into(),
                    needs: format!("what the engine has to do with it: {why}"),
                });
            }
            let subject = fault.subjects.first().cloned();
            let finding = fault.into_finding(rule);
            (
                format!("refused: {}", rule.title),
                subject.unwrap_or_else(the_engine),
                vec![finding],
            )
        }
        None => {
            undecided.push(Undecided {
                code: "explain".into(),
                needs: "what these words mean: no cause that this tool knows is named in them; they may have \
                        nothing to do with networks"
                    .into(),
            });
            (
                "refused, and it is not known why".to_owned(),
                the_engine(),
                Vec::new(),
            )
        }
    };
    recreate::together(&mut findings);
    let mut report = Report {
        schema_version: SCHEMA_VERSION,
        outcome: if findings.is_empty() {
            Outcome::Undecided
        } else {
            Outcome::Problems
        },
        summary,
        subject,
        engine: engine_words(evidence),
        path: Vec::new(),
        repeated: None,
        checks: Vec::new(),
        findings,
        undecided,
        visits: Vec::new(),
    };
    sanitize(&mut report);
    report
}

fn fault(told: &Told<'_>, rule: &Rule) -> Fault {
    match &told.cause {
        StartError::PoolsUsedUp => address_pools_exhausted::fault(told),
        StartError::SubnetOverlaps(id) => subnet_overlaps_network::fault(told, id.as_deref()),
        StartError::AliasOnDefaultBridge => alias_ignored_on_default_bridge::fault(told),
        StartError::NotAttachable(_) | StartError::NoSwarm => overlay_not_attachable::fault(told),
        _ => of_container(told, rule),
    }
}

/// What the rule says of the container that was refused, or that it is the one to ask.
fn of_container(told: &Told<'_>, rule: &Rule) -> Fault {
    let case = told.refused.and_then(|subject| {
        Some(Case {
            evidence: told.evidence,
            subject,
            detail: subject.detail()?,
            asked: None,
        })
    });
    if let Some(Verdict::Fail(faults)) = case.map(|case| (rule.judge)(&case))
        && let Some(fault) = faults.into_iter().next()
    {
        return fault;
    }
    let name = told
        .words
        .split_once("on endpoint ")
        .and_then(|(_, rest)| rest.split_once(" ("))
        .map(|(name, _)| name)
        .or(told.refused.map(|container| container.name.as_str()))
        .filter(|name| !name.contains(char::is_whitespace));
    let subjects = match name {
        Some(name) => vec![Subject::container(name)],
        None => vec![the_engine()],
    };
    let (text, commands) = match name {
        Some(name) => (
            format!("Ask about `{name}`, while it is there: that finds the rest out"),
            vec![shell::command(["docker", "netcheck", name])],
        ),
        None => (
            "Ask about the container that was refused, if it is still there (`docker ps -a`): `docker netcheck \
             NAME` finds the rest out"
                .into(),
            Vec::new(),
        ),
    };
    Fault::error(format!("the engine refused: {}", rule.title), subjects)
        .proof(told.proof())
        .fix(Fix::new(text, commands))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::EngineKind;
    use crate::rules::testing::{container, world};

    /// An engine with two networks beside the default one, and the words.
    fn told(words: &str) -> Evidence {
        let mut evidence = world(container("web"));
        evidence.request.container.clear();
        evidence.request.said = Some(words.into());
        evidence
    }

    fn report(evidence: &Evidence) -> Report {
        crate::diagnose(evidence).unwrap()
    }

    #[test]
    fn a_command_that_was_pasted_along_is_read() {
        let typed = |words: &str| {
            let evidence = told(words);
            Told {
                evidence: &evidence,
                words,
                cause: StartError::PoolsUsedUp,
                refused: None,
            }
            .typed()
        };
        assert_eq!(
            typed(
                "$ docker network create --driver bridge --subnet 10.1.0.0/25 --label a=b my-net 2>&1 | cat\nx"
            ),
            Typed {
                network: Some("my-net".into()),
                subnets: vec!["10.1.0.0/25".parse().unwrap()],
                by_compose: false,
            }
        );
        assert_eq!(
            typed("docker network create --subnet='10.2.0.0/16' $NAME").subnets,
            ["10.2.0.0/16".parse::<IpNet>().unwrap()]
        );
        assert_eq!(typed("docker network create $(x)").network, None);
        assert_eq!(
            typed(
                "failed to create network shop_default: Error response from daemon: all predefined"
            ),
            Typed {
                network: Some("shop_default".into()),
                subnets: Vec::new(),
                by_compose: true,
            }
        );
        assert_eq!(typed("Error response from daemon: x"), Typed::default());
    }

    #[test]
    fn words_that_name_no_cause_are_undecided() {
        for words in [
            "",
            "docker: invalid reference format",
            "732dc35400121c719937f07e0d1f5b1d6401828f4bf9debdcfc1f75d9d479d3b",
            "Error response from daemon: network with name app already exists",
        ] {
            let report = report(&told(words));
            assert_eq!(report.outcome, Outcome::Undecided, "{words}");
            assert_eq!(report.undecided.len(), 1);
        }
    }

    #[test]
    fn broken_lines_are_read_all_the_same() {
        let report = report(&told(
            "Error response from daemon: Pool overlaps\n  with other one on this address space",
        ));
        assert_eq!(report.findings[0].code, "subnet-overlaps-network");
        assert!(report.findings[0].evidence[0].starts_with("what was said: Error response"));
    }

    #[test]
    fn every_cause_has_a_rule() {
        for cause in [
            StartError::PortAllocated("0.0.0.0:80".parse().unwrap()),
            StartError::AddressInUse,
            StartError::AddressOutsideSubnet,
            StartError::SubnetFull(String::new()),
            StartError::RangeFull(std::net::Ipv4Addr::LOCALHOST.into()),
            StartError::NetworkGone(String::new()),
            StartError::ChainMissing,
            StartError::PoolsUsedUp,
            StartError::SubnetOverlaps(None),
            StartError::AliasOnDefaultBridge,
            StartError::NoSwarm,
        ] {
            assert!(by_code(cause.code()).is_some(), "{cause:?}");
        }
    }

    #[test]
    fn the_container_that_was_refused_is_judged_by_its_rule() {
        let error = "driver failed programming external connectivity on endpoint shop (0a1b): Bind for \
                     0.0.0.0:8080 failed: port is already allocated";
        let words = format!("docker: Error response from daemon: {error}.");
        let mut shop = container("shop").status(Status::Created);
        shop.detail_mut().state.error = error.into();
        let holder = container("web").publishes(crate::rules::testing::binding(
            "0.0.0.0",
            8080,
            crate::rules::testing::tcp(80),
        ));
        let mut evidence = told(&words);
        evidence.containers = vec![shop, holder];
        let known = report(&evidence);
        assert_eq!(
            known.findings[0].problem,
            "`shop` could not start: port 8080 of the host is published by `web`"
        );
        // Removed meanwhile: its name is left.
        evidence.containers.remove(0);
        let gone = report(&evidence);
        assert_eq!(gone.findings[0].code, "host-port-taken");
        assert_eq!(gone.findings[0].fixes[0].commands, ["docker netcheck shop"]);
    }

    #[test]
    fn without_an_engine_the_words_are_explained_all_the_same() {
        let mut evidence = told("all predefined address pools have been fully subnetted");
        evidence.engine = Fact::Failed("nobody answers".into());
        evidence.networks = Fact::Failed("nobody answers".into());
        evidence.containers.clear();
        let report = report(&evidence);
        assert_eq!(report.outcome, Outcome::Problems);
        assert!(report.undecided[0].needs.contains("nobody answers"));
        assert!(!report.findings[0].fixes.is_empty());
    }

    #[test]
    fn a_free_subnet_is_nobodys() {
        let mut evidence = told("");
        if let Fact::Known(networks) = &mut evidence.networks {
            networks.push(crate::rules::testing::network("taken", "10.201.0.0/17"));
        }
        if let Fact::Known(engine) = &mut evidence.engine {
            assert_eq!(engine.kind, EngineKind::Docker);
            engine.address_pools = vec![crate::evidence::AddressPool {
                base: "10.202.0.0/16".parse().unwrap(),
                size: 24,
            }];
        }
        let told = Told {
            evidence: &evidence,
            words: "",
            cause: StartError::PoolsUsedUp,
            refused: None,
        };
        let free = |prefix| told.free_subnet(prefix).unwrap().to_string();
        assert_eq!(free(24), "10.201.128.0/24");
        assert_eq!(free(16), "10.203.0.0/16");
        assert_eq!(free(28), "10.201.128.0/28");
    }
}
