//! No subnet is left for a new network.

use ipnet::IpNet;

use crate::case::Case;
use crate::evidence::{AddressPool, Engine, EngineKind, Network};
use crate::refusal::{Told, network_words, overlap, some_of};
use crate::report::Fix;
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;
use crate::start_error::StartError;

/// The pools of an engine that was told none: each with the prefix length of its subnets.
const BUILT_IN: [(&str, u8); 7] = [
    ("172.17.0.0/16", 16),
    ("172.18.0.0/16", 16),
    ("172.19.0.0/16", 16),
    ("172.20.0.0/14", 16),
    ("172.24.0.0/14", 16),
    ("172.28.0.0/14", 16),
    ("192.168.0.0/16", 20),
];

/// A proof names no more networks.
const MOST: usize = 12;

/// See the module.
pub static RULE: Rule = Rule {
    code: "address-pools-exhausted",
    title: "the engine has no subnet left for a new network",
    check: Check::State,
    explained_by: &[],
    docs: "\
## What it checks

The engine's words: `could not find an available, non-overlapping IPv4 address pool among the defaults to
assign to the network`, `all predefined address pools have been fully subnetted`, podman's `could not find free
subnet from subnet pools`. They come from `docker network create` and `docker compose up`; give them to
`docker netcheck explain`. They may also be the last error of a container that did not start, on an overlay
network, as the engine then makes `docker_gwbridge`. Which networks use the pools, and on which of them no
container is, is asked of the engine.

## Why it matters

Each network without a `--subnet` of its own takes one from the engine's pools. Built in are 31: every Compose
project that is not taken down keeps one or more. A VPN with routes over whole ranges takes pools away, too, as
the engine gives out nothing that overlaps a route of its host.

## How to fix it

Give the network a subnet of its own, or remove networks that nobody needs. For good: smaller subnets, in the
engine's daemon.json: `\"default-address-pools\": [{\"base\": \"10.201.0.0/16\", \"size\": 24}]` are 256 networks.

## When it is wrong

The words are of one moment; somebody may have removed a network meanwhile. Whether a subnet that is proposed
is used outside of the engine (in a VPN, in the office) is not known.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if case.subject.is_running() {
        return Verdict::NotApplicable;
    }
    match Told::of(case) {
        Some(told) if told.cause == StartError::PoolsUsedUp => Verdict::Fail(vec![fault(&told)]),
        _ => Verdict::Pass,
    }
}

/// What the words stand for.
pub(crate) fn fault(told: &Told<'_>) -> Fault {
    let problem = match told.refused {
        Some(container) => format!(
            "`{}` could not start: the engine has no subnet left for a network that it has to make for it",
            container.name
        ),
        None => "the engine has no subnet left for a new network".to_owned(),
    };
    let mut fault = Fault::error(problem, told.subjects()).proof(told.proof());
    let pools = told.evidence.engine.known().map_or(Vec::new(), pools);
    let within = |network: &&Network| {
        let mut subnets = network.ipam.iter().map(|ipam| ipam.subnet);
        subnets.any(|subnet| pools.iter().any(|pool| overlap(&pool.base, &subnet)))
    };
    let networks = told.evidence.networks.known();
    let mut using: Vec<&Network> = networks.into_iter().flatten().filter(within).collect();
    using.sort_by(|one, other| one.name.cmp(&other.name));
    if !pools.is_empty() && networks.is_some() {
        let names: Vec<String> = using.iter().map(|network| network_words(network)).collect();
        fault = fault.proof(format!(
            "Engine API: its pools ({}) are enough for {} networks, and {} use them: {}",
            pool_words(&pools),
            pools.iter().map(AddressPool::networks).sum::<u128>(),
            using.len(),
            some_of(&names, MOST)
        ));
        if pools.iter().map(AddressPool::networks).sum::<u128>() > using.len() as u128 {
            fault = fault.proof(
                "what is left of the pools overlaps a route of the engine's host (a VPN's, say: `ip route` there) or \
                 the subnet of one of these networks, and is not given out",
            );
        }
    }
    let unused: Vec<String> = told
        .unused()
        .unwrap_or_default()
        .into_iter()
        .filter(|network| pools.is_empty() || within(network))
        .map(|network| network.name.clone())
        .collect();
    fault = fault.fix(own_subnet(told));
    if !unused.is_empty() {
        let mut remove = vec!["docker", "network", "rm"];
        remove.extend(unused.iter().map(String::as_str));
        let mut commands = vec![shell::command(&remove)];
        commands.extend(told.start());
        let (which, they) = match &unused[..] {
            [one] => (format!("`{one}`, which no container is on"), "it is"),
            _ => (
                format!("those that no container is on ({})", unused.len()),
                "each is",
            ),
        };
        fault = fault.fix(Fix::new(
            format!("Remove {which}, if {they} not needed any more; then try again"),
            commands,
        ));
    }
    fault.fix(Fix::new(
        "For good: give the engine smaller subnets (`\"default-address-pools\": [{\"base\": \"10.201.0.0/16\", \
         \"size\": 24}]` in its daemon.json, then restart it)",
        Vec::new(),
    ))
}

/// The network with a subnet of its own: the one that was asked for, or the one that the engine makes itself.
fn own_subnet(told: &Told<'_>) -> Fix {
    let typed = told.typed();
    let outside = "; take another one if a VPN or your own network uses it";
    let Some(subnet) = told.free_subnet(24).map(|subnet| subnet.to_string()) else {
        return Fix::new(
            "Give the network a subnet of its own, which no other network has: `docker network create --subnet \
             SUBNET NAME`",
            Vec::new(),
        );
    };
    if told.refused.is_some() || told.words.contains("external connectivity network") {
        // As the engine makes it.
        let mut commands = vec![shell::command([
            "docker",
            "network",
            "create",
            "--subnet",
            &subnet,
            "--opt",
            "com.docker.network.bridge.name=docker_gwbridge",
            "--opt",
            "com.docker.network.bridge.enable_icc=false",
            "docker_gwbridge",
        ])];
        commands.extend(told.start());
        return Fix::new(
            format!("Make that network, `docker_gwbridge`, with a subnet of its own{outside}"),
            commands,
        );
    }
    if typed.by_compose {
        let name = typed.network.unwrap_or_default();
        return Fix::new(
            format!(
                "Give `{name}` a subnet of its own in the Compose file: `ipam: {{config: [{{subnet: {subnet}}}]}}` \
                 below its name in `networks:`{outside}"
            ),
            Vec::new(),
        );
    }
    let name = told.network_to_make(&typed);
    Fix::new(
        format!("Give the network a subnet of its own{outside}"),
        vec![shell::command([
            "docker", "network", "create", "--subnet", &subnet, &name,
        ])],
    )
}

/// The engine's pools of IPv4; none where they are not known.
fn pools(engine: &Engine) -> Vec<AddressPool> {
    if !engine.address_pools.is_empty() || engine.kind != EngineKind::Docker {
        let pools = engine.address_pools.iter().copied();
        return pools
            .filter(|pool| pool.base.addr().is_ipv4())
            .collect();
    }
    BUILT_IN
        .into_iter()
        .filter_map(|(base, size)| {
            Some(AddressPool {
                base: base.parse::<IpNet>().ok()?,
                size,
            })
        })
        .collect()
}

fn pool_words(pools: &[AddressPool]) -> String {
    let words: Vec<String> = pools
        .iter()
        .map(|pool| format!("{} by /{}", pool.base, pool.size))
        .collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::evidence::{AddressPool, Evidence, Fact, Status};
    use crate::rules::testing::{
        check_rule, commands, container, fails, network, not_applicable, passes, world,
    };

    const WORDS: &str = "Error response from daemon: could not find an available, non-overlapping IPv4 address \
                         pool among the defaults to assign to the network";

    fn refused(error: &str) -> Evidence {
        let mut web = container("web").status(Status::Created);
        web.detail_mut().state.error = error.into();
        world(web)
    }

    fn said(words: &str) -> Evidence {
        let mut evidence = world(container("web"));
        evidence.request.said = Some(words.into());
        evidence.request.container.clear();
        if let Fact::Known(engine) = &mut evidence.engine {
            engine.address_pools = vec![AddressPool {
                base: "172.18.0.0/15".parse().unwrap(),
                size: 16,
            }];
        }
        evidence
    }

    #[test]
    fn the_networks_that_nobody_is_on_are_named() {
        let report = crate::diagnose(&said(WORDS)).unwrap();
        let finding = &report.findings[0];
        assert_eq!(finding.problem, "the engine has no subnet left for a new network");
        assert_eq!(
            finding.evidence[1],
            "Engine API: its pools (172.18.0.0/15 by /16) are enough for 2 networks, and 2 use them: `my_network` \
             (172.18.0.0/16), `other` (172.19.0.0/16)"
        );
        assert_eq!(finding.evidence.len(), 2);
        assert_eq!(
            finding.fixes[0].commands,
            ["docker network create --subnet 10.201.0.0/24 app"]
        );
        assert_eq!(finding.fixes[1].commands, ["docker network rm other"]);
    }

    #[test]
    fn networks_of_services_and_of_stopped_containers_stay() {
        let mut evidence = said(WORDS);
        let old = container("old").status(Status::Exited).alone();
        evidence = evidence.and(old.on("other", "172.19.0.2"));
        let report = crate::diagnose(&evidence).unwrap();
        assert!(!report.findings[0].fixes.iter().any(|fix| fix.text.contains("Remove")));
        // Where nobody knows the services, nothing is removed.
        let mut evidence = said(WORDS);
        evidence.services = Fact::Failed("timed out".into());
        let report = crate::diagnose(&evidence).unwrap();
        assert!(!report.findings[0].fixes.iter().any(|fix| fix.text.contains("Remove")));
    }

    #[test]
    fn routes_may_take_the_rest() {
        let mut evidence = said(WORDS);
        if let Fact::Known(engine) = &mut evidence.engine {
            engine.address_pools.clear();
        }
        if let Fact::Known(networks) = &mut evidence.networks {
            networks.push(network("elsewhere", "10.9.0.0/24"));
        }
        let report = crate::diagnose(&evidence).unwrap();
        let finding = &report.findings[0];
        assert!(finding.evidence[1].contains("enough for 31 networks, and 3 use them"), "{finding:#?}");
        assert!(finding.evidence[2].contains("a VPN's"));
        // It frees nothing of the pools.
        assert!(!finding.fixes.iter().any(|fix| fix.commands.iter().any(|line| line.contains("elsewhere"))));
    }

    #[test]
    fn compose_files_are_edited() {
        let words = format!("failed to create network shop_default: {WORDS}");
        let report = crate::diagnose(&said(&words)).unwrap();
        assert!(report.findings[0].fixes[0].text.contains("Give `shop_default` a subnet"));
        assert!(report.findings[0].fixes[0].commands.is_empty());
    }

    #[test]
    fn a_container_on_an_overlay_needs_one_too() {
        let evidence = refused(
            "error creating external connectivity network: could not find an available, non-overlapping IPv4 \
             address pool among the defaults to assign to the network",
        );
        check_rule(
            &RULE,
            &evidence,
            fails(
                "`web` could not start: the engine has no subnet left for a network that it has to make for it",
            ),
        );
        let commands = commands(&RULE, &evidence);
        assert!(commands[0].ends_with(" docker_gwbridge"), "{commands:?}");
        assert_eq!(commands[1], "docker start web");
    }

    #[test]
    fn other_errors_and_running_containers_are_silent() {
        check_rule(&RULE, &refused("Pool overlaps with other one on this address space"), passes());
        check_rule(&RULE, &refused(""), passes());
        check_rule(&RULE, &world(container("web")), not_applicable());
    }
}
