//! How the name servers fare that the subject's names of outside finally go to, and which of those it
//! was given is the engine's own.
//!
//! Three rules share the answer, and what they are about is told apart here and nowhere else:
//! `dns-server-is-loopback` (an address of the container's own loopback, where nobody is),
//! `upstream-dns-fails` (they answer with an error, or they are the host's own and fail the host too),
//! `dns-server-unreachable` (chosen ones that stay silent, or a way to them that is broken).

use std::net::{IpAddr, SocketAddr};

use netcheck_probe::{Answer, DnsOutcome, RecordType};

use super::{Case, EMBEDDED_DNS, outcome_words};
use crate::evidence::{Fact, Mode, Network, Visit};
use crate::plan::{self, UPSTREAM_TEST};

/// What is known of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Servers {
    /// The container needs none, or they are on the internet and were not asked.
    NotApplicable,
    /// Why it is not known.
    Unknown(String),
    /// At least one answers.
    Fine,
    /// They are on the container's own loopback, and nobody is there.
    OwnLoopback(Heard),
    /// They answer with errors; or they are those of the engine's host, and the host gets no answer either.
    Failing(Heard),
    /// No answer comes back to the container.
    Silent(Heard),
}

/// What came of the queries that bear on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heard {
    /// From the subject straight to a server.
    pub direct: Vec<(IpAddr, DnsOutcome)>,
    /// From the subject through the engine's DNS.
    pub through_engine: Option<(IpAddr, DnsOutcome)>,
    /// From the engine's host to its own servers.
    pub by_host: Vec<(IpAddr, DnsOutcome)>,
}

impl Heard {
    /// The servers that the subject asks itself.
    pub fn servers(&self) -> Vec<IpAddr> {
        self.direct.iter().map(|(server, _)| *server).collect()
    }

    /// Whether the host's own servers answer the host.
    pub fn host_is_fine(&self) -> bool {
        self.by_host.iter().any(|(_, outcome)| is_good(outcome))
    }

    /// Each query in a sentence.
    pub fn proofs(&self, case: &Case<'_>) -> Vec<String> {
        let name = case.name();
        let mut facts = Vec::new();
        for (server, outcome) in &self.direct {
            facts.push(format!(
                "seen from `{name}`: asking {server} port 53 for {UPSTREAM_TEST}: {}",
                outcome_words(outcome)
            ));
        }
        if let Some((server, outcome)) = &self.through_engine {
            facts.push(format!(
                "seen from `{name}`: asking {} ({server}) for {UPSTREAM_TEST}: {}",
                case.engines_dns_words(),
                outcome_words(outcome)
            ));
        }
        for (server, outcome) in &self.by_host {
            facts.push(format!(
                "seen from the engine's host: asking its own server {server} for {UPSTREAM_TEST}: {}",
                outcome_words(outcome)
            ));
        }
        facts
    }
}

/// The name does not exist, by agreement: saying so is the right answer, and any other is none of ours.
fn is_good(outcome: &DnsOutcome) -> bool {
    !is_error(outcome) && !is_silence(outcome)
}

fn is_error(outcome: &DnsOutcome) -> bool {
    matches!(
        outcome,
        DnsOutcome::ServFail | DnsOutcome::Refused | DnsOutcome::OtherCode(_)
    )
}

fn is_silence(outcome: &DnsOutcome) -> bool {
    matches!(outcome, DnsOutcome::TimedOut | DnsOutcome::Undelivered(_))
}

impl Case<'_> {
    /// Whether a name server is the engine's own, which knows containers by name and asks others for the
    /// rest: Docker's in the namespace of each container, podman's at the gateway of each network with
    /// names (aardvark-dns(8), containers.conf(5) `dns_bind_port`).
    pub fn is_engines_dns(&self, server: IpAddr) -> bool {
        let has_it = |network: &Network| {
            let mut gateways = network.ipam.iter().filter_map(|ipam| ipam.gateway);
            network.has_dns() && gateways.any(|gateway| gateway == server)
        };
        let own = self.networks();
        let is_podmans = || match self.evidence.networks.known() {
            // In the namespace of another container it is one of that one's networks.
            Some(all) if own.is_empty() => all.iter().any(has_it),
            Some(_) => own.iter().any(|(network, _)| has_it(network)),
            // Any near server may be it: it is asked as little as that.
            None => plan::is_private(server),
        };
        server == EMBEDDED_DNS || (self.is_podman() && is_podmans())
    }

    /// As people call it.
    pub(crate) fn engines_dns_words(&self) -> &'static str {
        if self.is_podman() {
            "podman's DNS"
        } else {
            "the embedded DNS"
        }
    }

    /// Whether the engine's DNS answered any query of any look-up of the subject; none if nothing went there.
    pub fn engines_dns_answers(&self, visit: &Visit) -> Option<bool> {
        let mut went_there = visit
            .answers
            .iter()
            .filter_map(|answered| match &answered.answer {
                Ok(Answer::Lookup(lookup)) => Some(&lookup.queries),
                _ => None,
            })
            .flatten()
            .filter(|query| self.is_engines_dns(query.server.ip()))
            .peekable();
        went_there.peek()?;
        Some(went_there.any(|query| !is_silence(&query.outcome)))
    }

    /// The servers chosen with `--dns`.
    pub fn chosen_servers(&self) -> Vec<IpAddr> {
        let chosen = self.detail.dns.iter();
        chosen.filter_map(|server| server.parse().ok()).collect()
    }

    /// See [`Servers`].
    pub fn servers(&self) -> Servers {
        let networks = self.networks();
        let is_apart = !self.is_joined()
            || networks.is_empty()
            || networks.iter().all(|(network, _)| network.internal);
        if is_apart && self.detail.mode != Mode::Host {
            return Servers::NotApplicable;
        }
        let seen = self.visit().map_err(str::to_owned).and_then(|visit| {
            let conf = self.snapshot()?.resolv_conf.as_ref();
            Ok((visit, conf.map_err(Clone::clone)?))
        });
        let (visit, conf) = match seen {
            Ok(seen) => seen,
            Err(reason) => return Servers::Unknown(reason),
        };
        let chosen = self.chosen_servers();
        let mut given = conf.nameservers.iter().copied();
        let engines_dns = given.find(|server| self.is_engines_dns(*server));
        let asked_from_here = match engines_dns {
            None => &conf.nameservers[..],
            Some(EMBEDDED_DNS) => &chosen,
            // podman's asks from outside of the container, so its own way there says nothing.
            Some(_) => &[],
        };
        let mut heard = Heard {
            by_host: self.heard_by_host(),
            ..Heard::default()
        };
        let mut failed = None;
        for server in asked_from_here {
            match outcome(visit, *server) {
                Fact::Known(outcome) => heard.direct.push((*server, outcome)),
                Fact::NotCollected => {}
                Fact::Failed(reason) => failed = Some(reason),
            }
        }
        if heard.direct.iter().any(|(_, outcome)| is_good(outcome)) {
            return Servers::Fine;
        }
        let engines_dns = match (failed, engines_dns) {
            (Some(reason), None) => return Servers::Unknown(reason),
            (None, _) if !heard.direct.is_empty() => return self.without_answer(heard),
            (None, None) => return Servers::NotApplicable,
            (_, Some(server)) => server,
        };
        heard.direct.clear();
        match outcome(visit, engines_dns) {
            // The engine's DNS itself is not there: nothing is known of the servers behind it.
            Fact::Known(DnsOutcome::Undelivered(errno)) => {
                Servers::Unknown(format!("{}: {}", self.engines_dns_words(), errno.words()))
            }
            // Nor where packets may be lost on the way to it, as podman's is on the host.
            Fact::Known(DnsOutcome::TimedOut)
                if engines_dns != EMBEDDED_DNS && self.engines_dns_answers(visit) != Some(true) =>
            {
                let who = self.engines_dns_words();
                Servers::Unknown(format!("{who} answered for no container either"))
            }
            Fact::Known(outcome) if is_good(&outcome) => Servers::Fine,
            Fact::Known(outcome) => {
                // Engines that write their servers into the comment answer SERVFAIL for silence, too.
                let is_their_word = is_error(&outcome)
                    && (outcome != DnsOutcome::ServFail || conf.upstreams.is_empty());
                let hosts = chosen.is_empty() && !heard.by_host.is_empty();
                let dead = hosts && !heard.host_is_fine();
                heard.through_engine = Some((engines_dns, outcome));
                if is_their_word || dead {
                    Servers::Failing(heard)
                } else {
                    Servers::Silent(heard)
                }
            }
            // Not asked, because the servers behind it are on the internet; or because nobody could say
            // which they are.
            Fact::NotCollected if plan::asks_the_internet(self).is_some() => Servers::NotApplicable,
            Fact::NotCollected => Servers::Unknown(match self.host_visit() {
                Err(why) => format!("which they are, the engine's host would know: {why}"),
                Ok(_) => "which they are could not be read on the engine's host".into(),
            }),
            Fact::Failed(reason) => Servers::Unknown(reason),
        }
    }

    /// No server that the subject asks itself gave a good answer.
    fn without_answer(&self, heard: Heard) -> Servers {
        // In host mode it asks as the host does.
        let is_host = self.detail.mode == Mode::Host && self.detail.dns.is_empty();
        if is_host || heard.direct.iter().any(|(_, outcome)| is_error(outcome)) {
            return Servers::Failing(heard);
        }
        let nobody = |(server, outcome): &(IpAddr, DnsOutcome)| {
            server.is_loopback() && matches!(outcome, DnsOutcome::Undelivered(_))
        };
        if heard.direct.iter().all(nobody) {
            return Servers::OwnLoopback(heard);
        }
        let hosts = |server: &IpAddr| {
            let mut own = heard.by_host.iter();
            own.any(|(other, outcome)| other == server && !is_good(outcome))
        };
        if self.detail.dns.is_empty() && heard.servers().iter().all(hosts) {
            return Servers::Failing(heard);
        }
        Servers::Silent(heard)
    }

    /// What the host's own servers made of the test name, asked from the host.
    pub fn heard_by_host(&self) -> Vec<(IpAddr, DnsOutcome)> {
        let Ok(visit) = self.host_visit() else {
            return Vec::new();
        };
        let Some(Ok(conf)) = visit.snapshot().known().map(|seen| &seen.resolv_conf) else {
            return Vec::new();
        };
        let heard = conf.nameservers.iter();
        heard
            .filter_map(|server| Some((*server, outcome(visit, *server).known()?.clone())))
            .collect()
    }
}

fn outcome(visit: &Visit, server: IpAddr) -> Fact<DnsOutcome> {
    match visit.query(UPSTREAM_TEST, RecordType::A, SocketAddr::new(server, 53)) {
        Fact::Known(query) => Fact::Known(query.outcome.clone()),
        Fact::NotCollected => Fact::NotCollected,
        Fact::Failed(reason) => Fact::Failed(reason),
    }
}
