//! The container did not start, because the address it was given is none of its network's.

use std::net::IpAddr;

use crate::case::Case;
use crate::evidence::{Endpoint, Network, Status};
use crate::report::Subject;
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::start_error::StartError;

use super::static_address_in_use::any_address;

/// See the module.
pub static RULE: Rule = Rule {
    code: "static-address-outside-subnet",
    title: "the address it was given is none of its network's",
    check: Check::State,
    explained_by: &[],
    docs: "\
## What it checks

The engine's last error about a container that does not run says that the address it was given (`--ip`,
`ipv4_address` of Compose) belongs to none of the network's subnets, or that the network was made without
`--subnet`, so that its subnet may be another one tomorrow and no address of it can be given.

## Why it matters

The container does not start. Typical after a network was made again with another subnet. Newer engines
refuse such a container at once, with `no configured subnet or ip-range contain the IP address`.

## How to fix it

Let it have any address, and use its name instead. Or give it one of the network's subnet, which has to be
made with `--subnet` for that.

## When it is wrong

The error is of the last attempt; the network may have been made again meanwhile.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if !matches!(case.subject.status, Status::Created | Status::Exited) {
        return Verdict::NotApplicable;
    }
    if StartError::read(&case.detail.state.error) != Some(StartError::AddressOutsideSubnet) {
        return Verdict::Pass;
    }
    let fixed: Vec<(&Endpoint, IpAddr)> = case
        .subject
        .endpoints
        .iter()
        .filter_map(|endpoint| Some((endpoint, *endpoint.static_addresses.first()?)))
        .collect();
    let outside = fixed.iter().find(|(endpoint, address)| {
        network(case, endpoint).is_some_and(|network| !network.contains(*address))
    });
    match (outside, fixed.as_slice()) {
        (Some((endpoint, address)), _) | (None, [(endpoint, address)]) => {
            Verdict::Fail(vec![fault(case, endpoint, *address)])
        }
        (None, _) => Verdict::Unknown(format!(
            "which address of `{}` its network refused: all look right",
            case.name()
        )),
    }
}

fn network<'a>(case: &Case<'a>, endpoint: &Endpoint) -> Option<&'a Network> {
    let networks = case.evidence.networks.known()?;
    networks.iter().find(|one| one.name == endpoint.network_name)
}

fn fault(case: &Case<'_>, endpoint: &Endpoint, address: IpAddr) -> Fault {
    let (name, on) = (case.name(), &endpoint.network_name);
    let known = network(case, endpoint);
    let outside = known.filter(|network| !network.contains(address));
    let why = match outside {
        Some(_) => format!("its address {address} is none of `{on}`"),
        None => format!("`{on}` was made without a subnet of its own, so it gives nobody {address}"),
    };
    let mut fault = Fault::error(
        format!("`{name}` could not start: {why}"),
        vec![Subject::container(name), Subject::network(on)],
    )
    .proof(format!(
        "the engine's last error: {}",
        crate::redact::text(&case.detail.state.error)
    ));
    if let Some(network) = outside {
        let subnets: Vec<String> = network
            .ipam
            .iter()
            .map(|ipam| ipam.subnet.to_string())
            .collect();
        fault = fault.proof(format!("Engine API: `{on}` has {}", subnets.join(", ")));
    }
    fault.fix(any_address(case, endpoint))
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::evidence::{Container, Status};
    use crate::rules::testing::{
        check_rule, commands, container, fails, ip, not_applicable, passes, unknown, world,
    };

    const OUTSIDE: &str = "Invalid address 10.99.0.3: It does not belong to any of this network's subnets";

    fn refused(error: &str, address: &str) -> Container {
        let mut web = container("web").alias("www").status(Status::Created);
        web.detail_mut().state.error = error.into();
        for endpoint in &mut web.endpoints {
            endpoint.static_addresses = vec![ip(address)];
            endpoint.addresses.clear();
        }
        web
    }

    #[test]
    fn the_subnet_is_told() {
        let evidence = world(refused(OUTSIDE, "10.99.0.3"));
        check_rule(
            &RULE,
            &evidence,
            fails("`web` could not start: its address 10.99.0.3 is none of `my_network`"),
        );
        assert_eq!(
            commands(&RULE, &evidence),
            [
                "docker network disconnect --force my_network web",
                "docker network connect --alias www my_network web",
                "docker start web",
            ]
        );
    }

    #[test]
    fn a_network_without_a_subnet_of_its_own() {
        let error = "user specified IP address is supported only when connecting to networks with user \
                     configured subnets";
        check_rule(
            &RULE,
            &world(refused(error, "172.18.0.9")),
            fails("`web` could not start: `my_network` was made without a subnet of its own, so it gives nobody 172.18.0.9"),
        );
        let mut without = refused(error, "172.18.0.9");
        for endpoint in &mut without.endpoints {
            endpoint.static_addresses.clear();
        }
        check_rule(&RULE, &world(without), unknown("which address of `web`"));
    }

    #[test]
    fn other_errors_and_running_containers_are_silent() {
        let other = refused("Address already in use", "10.99.0.3");
        check_rule(&RULE, &world(other), passes());
        check_rule(&RULE, &world(container("web")), not_applicable());
    }
}
