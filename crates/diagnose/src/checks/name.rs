//! Whether others find it by its names: asked from a peer on each of its networks.

use netcheck_probe::Lookup;

use super::{Seen, comma, parts, short};
use crate::case::Case;
use crate::evidence::{Endpoint, Fact, Mode, Network};
use crate::report::CheckStatus;

const ASKED: &str = "do others find it by its names";

pub(super) fn look(case: &Case<'_>) -> Seen {
    let skipped = |saw: &str| Seen::new(CheckStatus::Skipped, ASKED, "a peer on its networks", saw);
    match &case.detail.mode {
        Mode::Networks => {}
        Mode::Host => return skipped("host mode: it has no name on any network"),
        Mode::None => return skipped("none mode: it has no name, as nobody can reach it"),
        Mode::Container(_) => {
            return skipped("container mode: the names belong to the container it shares with");
        }
        Mode::User(_) => return skipped("user-mode networking gives no names"),
    }
    if let Some(why) = case.evidence.networks.why_unknown() {
        return Seen::unknown(ASKED, "a peer on its networks", why);
    }
    let networks = case.networks();
    if networks.is_empty() {
        return skipped("it is on no network");
    }
    let mut from = Vec::new();
    let mut saw = Vec::new();
    let mut details = Vec::new();
    let mut status = CheckStatus::Skipped;
    for (network, endpoint) in networks {
        if network.is_default_bridge() {
            saw.push(
                "not by name: the default bridge has no DNS (a user-defined network gives names)"
                    .into(),
            );
            continue;
        }
        if !network.has_dns() {
            saw.push(format!("{} gives no names", network.name));
            continue;
        }
        let one = on(case, network, endpoint);
        from.push(one.from);
        saw.push(one.saw);
        details.extend(one.details);
        // One open question is enough for the whole line.
        if status != CheckStatus::Undecided {
            status = one.status;
        }
    }
    if let Fact::Known(lookup) = case
        .visit()
        .map_or(Fact::NotCollected, |visit| visit.lookup(case.name()))
    {
        details.push(format!("for itself, {} {}", case.name(), leads_to(lookup)));
    }
    let from = if from.is_empty() {
        "a peer on its networks".into()
    } else {
        from.join(", ")
    };
    Seen::new(status, ASKED, from, parts(&saw)).details(details)
}

fn on(case: &Case<'_>, network: &Network, endpoint: &Endpoint) -> Seen {
    let (visit, who) = match case.peer_visit(&network.id) {
        Ok(peer) => peer,
        Err(why) => {
            return Seen::new(
                CheckStatus::Undecided,
                ASKED,
                format!("a peer on {}", network.name),
                format!("not known on {}: {why}", network.name),
            );
        }
    };
    let from = if who == "a helper" {
        format!("a helper on {}", network.name)
    } else {
        format!("a peer on {} ({who})", network.name)
    };
    let mut names: Vec<&str> = endpoint.dns_names.iter().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let mut finds = Vec::new();
    let mut misses = Vec::new();
    let mut details = Vec::new();
    for name in names {
        let said = match visit.lookup(name) {
            Fact::Known(lookup) => {
                let said = format!("{name} {}", leads_to(lookup));
                let hit = lookup
                    .addresses
                    .iter()
                    // A peer that is on several of its networks finds it on any of them.
                    .any(|address| case.subject.has_address(*address));
                if !hit {
                    misses.push(said.clone());
                } else if name != short(&case.subject.id) {
                    // Nobody writes the short id into a configuration; it only makes lines long.
                    finds.push(name);
                }
                said
            }
            Fact::NotCollected => continue,
            Fact::Failed(why) => {
                misses.push(format!("{name} could not be asked for: {why}"));
                format!("{name}: {why}")
            }
        };
        details.push(format!("{from}: {said}"));
    }
    let network = &network.name;
    let mut saw = Vec::new();
    if !finds.is_empty() {
        saw.push(format!("{who} on {network} finds it as {}", comma(finds)));
    } else if !misses.is_empty() {
        saw.push(format!("{who} on {network} does not find it by name"));
    }
    if !misses.is_empty() {
        saw.push(comma(&misses));
    }
    let status = if saw.is_empty() {
        saw.push(format!("not known on {network}: no name was asked for"));
        CheckStatus::Undecided
    } else if misses.is_empty() {
        CheckStatus::Ok
    } else {
        CheckStatus::Undecided
    };
    Seen::new(status, ASKED, from, saw.join("; ")).details(details)
}

fn leads_to(lookup: &Lookup) -> String {
    if lookup.addresses.is_empty() {
        "does not resolve".into()
    } else {
        format!("leads to {}", comma(&lookup.addresses))
    }
}
