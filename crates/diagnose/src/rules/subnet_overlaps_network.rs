//! The subnet that was asked for overlaps that of another network.

use crate::case::Case;
use crate::evidence::Network;
use crate::refusal::{Told, network_words, overlap, some_of};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// A proof names no more networks.
const MOST: usize = 12;

/// See the module.
pub static RULE: Rule = Rule {
    code: "subnet-overlaps-network",
    title: "the subnet it asks for overlaps that of another network",
    check: Check::State,
    explained_by: &[],
    docs: "\
## What it checks

The engine's words, given to `docker netcheck explain`: `Pool overlaps with other one on this address space`, or
`networks have overlapping IPv4`. The words do not hold the subnet. If the command is given with them, as it
stands in the terminal, the network that is in the way is named; else the subnets of all networks are.

## Why it matters

Two networks of one engine cannot have an address in common, as nobody could tell where it is. Networks of old
Compose projects stay until `docker compose down`, with the subnets that their files asked for.

## How to fix it

Ask for a subnet that is free, or leave it to the engine to choose one. If nobody needs the other network,
remove it.

## When it is wrong

The network that was in the way may have been removed meanwhile. Whether a subnet that is proposed is used
outside of the engine is not known.
",
    judge,
};

/// A network that was refused has no container.
fn judge(_: &Case<'_>) -> Verdict {
    Verdict::NotApplicable
}

/// What the words stand for; `other` is the id of the network that is in the way, if they hold it.
pub(crate) fn fault(told: &Told<'_>, other: Option<&str>) -> Fault {
    let typed = told.typed();
    let networks = told.evidence.networks.known();
    let mut in_the_way: Vec<&Network> = networks
        .into_iter()
        .flatten()
        .filter(|network| {
            let meets = |ipam: &crate::evidence::Ipam| {
                let mut asked = typed.subnets.iter();
                asked.any(|subnet| overlap(subnet, &ipam.subnet))
            };
            other.is_some_and(|id| network.id.starts_with(id)) || network.ipam.iter().any(meets)
        })
        .collect();
    in_the_way.sort_by(|one, other| one.name.cmp(&other.name));
    let asked: Vec<String> = typed.subnets.iter().map(|net| format!("`{net}`")).collect();
    let asked = match &asked[..] {
        [] => "the subnet that was asked for".to_owned(),
        some => some.join(", "),
    };
    let names: Vec<String> = in_the_way.iter().map(|one| network_words(one)).collect();
    let mut fault = if names.is_empty() {
        Fault::error(
            format!("{asked} overlaps that of another network of this engine"),
            told.subjects(),
        )
    } else {
        let subjects = in_the_way.iter().map(|one| Subject::network(&one.name));
        Fault::error(
            format!("{asked} overlaps {}", names.join(" and ")),
            subjects.collect(),
        )
    };
    fault = fault.proof(told.proof());
    match networks {
        Some(networks) if names.is_empty() => {
            let mut all: Vec<String> = networks
                .iter()
                .filter(|network| !network.ipam.is_empty())
                .map(network_words)
                .collect();
            all.sort();
            let all = some_of(&all, MOST);
            fault = fault.proof(format!("Engine API: the subnets of its networks: {all}"));
        }
        _ => {
            for network in &in_the_way {
                fault = fault.proof(who_is_on(told, network));
            }
        }
    }
    let prefix = match typed.subnets.first() {
        // A larger one would take what others may need.
        Some(net) if (16..=29).contains(&net.prefix_len()) => net.prefix_len(),
        _ => 24,
    };
    let name = told.network_to_make(&typed);
    let subnet = told.free_subnet(prefix).map(|subnet| subnet.to_string());
    fault = fault.fix(match subnet {
        Some(subnet) if typed.by_compose => Fix::new(
            format!(
                "Write another subnet for `{name}` into the Compose file, e.g. `subnet: {subnet}`, or none: then the \
                 engine chooses"
            ),
            Vec::new(),
        ),
        Some(subnet) => Fix::new(
            "Ask for a subnet that no network of this engine has; take another one if a VPN or your own network \
             uses it",
            vec![shell::command([
                "docker", "network", "create", "--subnet", &subnet, &name,
            ])],
        ),
        None => Fix::new("Ask for a subnet that no other network has", Vec::new()),
    });
    if !typed.by_compose {
        fault = fault.fix(Fix::new(
            "Leave it to the engine to choose one, if no address has to be fixed",
            vec![shell::command(["docker", "network", "create", &name])],
        ));
    }
    let unused = told.unused().unwrap_or_default();
    let all_unused = in_the_way
        .iter()
        .all(|network| unused.iter().any(|one| one.id == network.id));
    if !in_the_way.is_empty() && all_unused {
        let mut remove = vec!["docker", "network", "rm"];
        remove.extend(in_the_way.iter().map(|network| network.name.as_str()));
        let which = if in_the_way.len() == 1 {
            "the other network, if it is"
        } else {
            "the other networks, if they are"
        };
        fault = fault.fix(Fix::new(
            format!("Remove {which} not needed any more; then try again"),
            vec![shell::command(&remove)],
        ));
    }
    fault
}

fn who_is_on(told: &Told<'_>, network: &Network) -> String {
    let on: Vec<String> = told
        .evidence
        .containers
        .iter()
        .filter(|container| container.endpoint(&network.id).is_some())
        .map(|container| format!("`{}`", container.name))
        .collect();
    let name = network_words(network);
    if on.is_empty() {
        format!("Engine API: no container is on {name}")
    } else {
        format!("Engine API: on {name} are {}", some_of(&on, MOST))
    }
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::report::Finding;
    use crate::rules::testing::{check_rule, container, not_applicable, world};

    fn finding(words: &str) -> Finding {
        let mut evidence = world(container("web"));
        evidence.request.said = Some(words.into());
        evidence.request.container.clear();
        let mut report = crate::diagnose(&evidence).unwrap();
        report.findings.remove(0)
    }

    const WORDS: &str = "Error response from daemon: Pool overlaps with other one on this address space";

    #[test]
    fn without_the_command_all_subnets_are_told() {
        let finding = finding(WORDS);
        assert_eq!(
            finding.problem,
            "the subnet that was asked for overlaps that of another network of this engine"
        );
        assert_eq!(
            finding.evidence[1],
            "Engine API: the subnets of its networks: `bridge` (172.17.0.0/16), `my_network` (172.18.0.0/16), \
             `other` (172.19.0.0/16)"
        );
        assert_eq!(
            finding.fixes[0].commands,
            ["docker network create --subnet 10.201.0.0/24 app"]
        );
    }

    #[test]
    fn with_the_command_the_other_network_is_named() {
        let typed = |subnet: &str| {
            finding(&format!(
                "# docker network create --subnet {subnet} new\n{WORDS}"
            ))
        };
        let used = typed("172.18.1.0/25");
        assert_eq!(
            used.problem,
            "`172.18.1.0/25` overlaps `my_network` (172.18.0.0/16)"
        );
        assert_eq!(
            used.evidence[1],
            "Engine API: on `my_network` (172.18.0.0/16) are `web`"
        );
        assert_eq!(
            used.fixes[0].commands,
            ["docker network create --subnet 10.201.0.0/25 new"]
        );
        assert_eq!(used.fixes.len(), 2);
        let unused = typed("172.19.0.0/16");
        assert_eq!(unused.fixes[2].commands, ["docker network rm other"]);
        // Another one is in the way, too, and that one is used.
        assert_eq!(typed("172.16.0.0/12").fixes.len(), 2);
    }

    #[test]
    fn the_words_may_hold_the_network() {
        let id = crate::rules::testing::id_of("other");
        let finding = finding(&format!(
            "cannot create network aa (br-aa): conflicts with network {id} (br-{}): networks have overlapping \
             IPv4",
            &id[..12]
        ));
        assert_eq!(
            finding.problem,
            "the subnet that was asked for overlaps `other` (172.19.0.0/16)"
        );
    }

    #[test]
    fn no_container_is_asked() {
        let mut web = container("web").status(crate::evidence::Status::Created);
        web.detail_mut().state.error = WORDS.into();
        check_rule(&RULE, &world(web), not_applicable());
    }
}
