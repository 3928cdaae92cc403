//! What the names in the subject's configuration come to: whom they mean, and whether anything
//! there resolves them.

use std::net::IpAddr;

use super::Case;
use crate::evidence::{Container, Endpoint, Fact, Mode, Network, Status};
use crate::plan::{self, PODMAN_HOST_NAME};
use crate::recreate::Recreate;
use crate::reference::{Place, Reference};

/// Whether the name means the engine's host.
pub fn is_host_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name.eq_ignore_ascii_case(plan::HOST_NAME) || name.eq_ignore_ascii_case(PODMAN_HOST_NAME)
}

/// A container that the subject is told to use, with the places that say so.
#[derive(Debug, Clone)]
pub struct Referenced<'a> {
    /// Who.
    pub container: &'a Container,
    /// The first reference to it.
    pub reference: &'a Reference,
    /// Where it is written: `DB_URL`, or `DB_HOST, DB_URL`.
    pub places: String,
}

impl Referenced<'_> {
    /// ` (DB_HOST, DB_URL)`, or nothing for what was only asked.
    pub fn aside(&self) -> String {
        match self.reference.place {
            Place::Asked => String::new(),
            Place::Env(_) | Place::Argument(_) | Place::Label(_) => format!(" ({})", self.places),
        }
    }
}

/// Every name with which an endpoint can be found on its network: those the engine lists, the
/// aliases, and the container's own, which is always one of them.
pub fn endpoint_names<'a>(container: &'a Container, endpoint: &'a Endpoint) -> Vec<&'a str> {
    let all = endpoint.dns_names.iter().chain(&endpoint.aliases);
    let mut names: Vec<&str> = all.map(String::as_str).chain([&*container.name]).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The flags with which `docker network connect` makes this endpoint again, without one set of
/// aliases.
pub fn connect_flags(endpoint: &Endpoint, without: &[&str]) -> Vec<String> {
    let mut words = Vec::new();
    for alias in &endpoint.aliases {
        if !without.iter().any(|name| name.eq_ignore_ascii_case(alias)) {
            words.extend(["--alias".to_owned(), alias.clone()]);
        }
    }
    for address in &endpoint.static_addresses {
        let flag = if address.is_ipv4() { "--ip" } else { "--ip6" };
        words.extend([flag.to_owned(), address.to_string()]);
    }
    words
}

impl<'a> Case<'a> {
    /// References by a name that must be looked up: no address, not `localhost`, not the host's.
    pub fn named_references(&self) -> impl Iterator<Item = &'a Reference> {
        self.detail.references.iter().filter(|reference| {
            !reference.is_localhost()
                && reference.host.parse::<IpAddr>().is_err()
                && !is_host_name(&reference.host)
        })
    }

    /// Whether somebody wrote the reference for this container. What an image brings along in its
    /// environment (`PYTHON_GET_PIP_URL`) is often never used.
    pub fn is_chosen(&self, reference: &Reference) -> bool {
        match &reference.place {
            Place::Env(name) => self.detail.run.env_names.contains(name),
            Place::Argument(_) | Place::Label(_) | Place::Asked => true,
        }
    }

    /// The containers that a reference's name means, without the subject; none if it means the
    /// subject too.
    pub fn others_named(&self, name: &str) -> Vec<&'a Container> {
        let named = self.named(name);
        if named.iter().any(|other| other.id == self.subject.id) {
            return Vec::new();
        }
        named
    }

    /// What the name comes to in the subject: the lines of its /etc/hosts, else what the lookup
    /// gave. Empty when nobody there knows it; an error when that was not seen.
    pub fn resolution(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let visit = self.visit()?;
        let bare = name.trim_end_matches('.');
        if let Some(Ok(hosts)) = visit.snapshot().known().map(|snapshot| &snapshot.hosts) {
            let written: Vec<_> = hosts
                .iter()
                .filter(|line| line.names.iter().any(|n| n.eq_ignore_ascii_case(bare)))
                .map(|line| line.address)
                .collect();
            if !written.is_empty() {
                return Ok(written);
            }
        }
        match visit.lookup(name) {
            Fact::Known(lookup) => Ok(lookup.addresses.clone()),
            // The embedded DNS does not know it, or it would have been asked; and what only servers
            // on the internet could know of a container's name is nothing.
            Fact::NotCollected if plan::asks_the_internet(self) == Some(true) => Ok(Vec::new()),
            Fact::NotCollected => Err("that name was not looked up".into()),
            Fact::Failed(reason) => Err(reason),
        }
    }

    /// The addresses that a program of the subject would connect to for a host: the one that is written, or
    /// those of the name; none where it leads nowhere or that is not known.
    pub fn addresses_of(&self, host: &str) -> Vec<IpAddr> {
        match host.parse::<IpAddr>() {
            Ok(address) => vec![plan::nearest(address)],
            Err(_) => self.resolution(host).unwrap_or_default(),
        }
    }

    /// The lookup of a name in the subject in words: `no such name (NXDOMAIN)`.
    pub fn lookup_words(&self, name: &str) -> Option<String> {
        let lookup = self.visit().ok()?.lookup(name);
        if lookup == Fact::NotCollected && plan::asks_the_internet(self) == Some(true) {
            return Some("nobody here knows it, and servers on the internet were not asked".into());
        }
        let lookup = lookup.known().copied()?;
        if !lookup.addresses.is_empty() {
            return Some(list(&lookup.addresses));
        }
        let last = lookup
            .queries
            .iter()
            .rev()
            .find(|query| query.name.eq_ignore_ascii_case(name.trim_end_matches('.')));
        Some(match last.or(lookup.queries.last()) {
            Some(query) => format!(
                "{} from {}",
                outcome_words(&query.outcome),
                query.server.ip()
            ),
            None => "nobody knows it".into(),
        })
    }

    /// Containers that the subject's configuration names, where none of that name runs unpaused and
    /// the likeliest one has this status. Not those whose name leads to something alive all the same.
    pub fn referenced_in(&self, statuses: &[Status]) -> Vec<Referenced<'a>> {
        let mut found: Vec<Referenced<'a>> = Vec::new();
        for reference in self.named_references() {
            let named: Vec<_> = self
                .others_named(&reference.host)
                .into_iter()
                .filter(|other| self.may_mean(other, &reference.host))
                .collect();
            let Some(likeliest) = named.first() else {
                continue;
            };
            let alive = named.iter().any(|other| other.status == Status::Running);
            if alive
                || !statuses.contains(&likeliest.status)
                || self.leads_elsewhere(reference, likeliest)
            {
                continue;
            }
            let place = reference.place.to_string();
            match found
                .iter_mut()
                .find(|seen| seen.container.id == likeliest.id)
            {
                Some(seen) => {
                    if !seen.places.split(", ").any(|other| other == place) {
                        seen.places = format!("{}, {place}", seen.places);
                    }
                }
                None => found.push(Referenced {
                    container: likeliest,
                    reference,
                    places: place,
                }),
            }
        }
        found
    }

    /// A Compose service of another project is meant by its service name only where a network is
    /// shared; everybody else by name or alias.
    fn may_mean(&self, other: &Container, name: &str) -> bool {
        let name = name.trim_end_matches('.');
        let is = |known: &str| known.eq_ignore_ascii_case(name);
        is(&other.name)
            || other
                .endpoints
                .iter()
                .any(|endpoint| endpoint_names(other, endpoint).into_iter().any(is))
            || other.compose.get("project") == self.subject.compose.get("project")
            || !self.shared_networks(other).is_empty()
    }

    /// The name resolves to an address that is not just the trace of a stopped container (a `--link`
    /// line stays in /etc/hosts).
    fn leads_elsewhere(&self, reference: &Reference, other: &Container) -> bool {
        self.resolution(&reference.host)
            .unwrap_or_default()
            .into_iter()
            .any(|address| {
                !other.has_address(address)
                    && (self.owner_of(address).is_some() || self.network_of(address).is_none())
            })
    }

    /// A name for a new network that no network has: `base`, `base-2`, ….
    pub fn free_network_name(&self, base: &str) -> String {
        self.evidence.free_network_name(base)
    }

    /// The subject is joined to networks: by its mode, or because somebody took it off `none` and
    /// connected it (the mode keeps the word `none`).
    pub fn is_joined(&self) -> bool {
        match self.detail.mode {
            Mode::Networks => true,
            Mode::None => self
                .networks()
                .iter()
                .any(|(network, _)| network.driver != "null"),
            Mode::Host | Mode::Container(_) | Mode::User(_) => false,
        }
    }

    /// The networks of another container that somebody can join, those on which it carries this
    /// name first, then those with an embedded DNS.
    pub fn networks_of(&self, other: &'a Container, name: &str) -> Vec<&'a Network> {
        let name = name.trim_end_matches('.');
        let mut found: Vec<_> = other
            .endpoints
            .iter()
            .filter_map(|endpoint| Some((self.evidence.network(&endpoint.network_id)?, endpoint)))
            .filter(|(network, _)| {
                !matches!(network.driver.as_str(), "host" | "null") && network.name != "ingress"
            })
            .map(|(network, endpoint)| {
                let carries = endpoint_names(other, endpoint)
                    .into_iter()
                    .any(|known| known.eq_ignore_ascii_case(name));
                (!network.has_dns(), !carries, &network.name, network)
            })
            .collect();
        found.sort_by(|one, two| (one.0, one.1, one.2).cmp(&(two.0, two.1, two.2)));
        found
            .into_iter()
            .map(|(_, _, _, network)| network)
            .collect()
    }

    /// The subject made anew with `to` in the place of a reference's host and port, and what to
    /// write in a Compose file.
    pub fn point_at(&self, reference: &Reference, to: &str) -> (Recreate, String) {
        let recreate = self.recreate();
        let shown = reference.shown_with(to);
        match &reference.place {
            Place::Env(name) => {
                let plain = reference.complete.then(|| shown.clone());
                let edit = if reference.complete {
                    format!("set `{name}` to `{shown}`")
                } else {
                    format!(
                        "write `{to}` instead of `{}` in `{name}`",
                        reference.written
                    )
                };
                (recreate.edit_env(name, &reference.written, to, plain), edit)
            }
            // Nothing of the container has to change: the caller says what to use instead.
            Place::Asked => (recreate, format!("use `{shown}`")),
            Place::Label(name) => (
                recreate.edit_label(name, &reference.written, to),
                format!(
                    "write `{to}` instead of `{}` in its label `{name}`",
                    reference.written
                ),
            ),
            Place::Argument(_) => (
                recreate.edit_command(&reference.written, to),
                format!(
                    "write `{to}` instead of `{}` in its command",
                    reference.written
                ),
            ),
        }
    }
}

/// Addresses with commas between them.
pub fn list(addresses: &[IpAddr]) -> String {
    let words: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    words.join(", ")
}

/// A DNS answer in a few words.
pub fn outcome_words(outcome: &netcheck_probe::DnsOutcome) -> String {
    use netcheck_probe::DnsOutcome;
    match outcome {
        DnsOutcome::Addresses(addresses) => list(addresses),
        DnsOutcome::NoData => "no address of this family".into(),
        DnsOutcome::NxDomain => "no such name (NXDOMAIN)".into(),
        DnsOutcome::ServFail => "server failure (SERVFAIL)".into(),
        DnsOutcome::Refused => "refused to answer (REFUSED)".into(),
        DnsOutcome::OtherCode(code) => format!("response code {code}"),
        DnsOutcome::TimedOut => "no answer".into(),
        DnsOutcome::Undelivered(errno) => errno.words().into(),
        DnsOutcome::Malformed(_) => "an answer that cannot be read".into(),
    }
}
