//! A configuration holds the address of a container, which changes hands at restarts.

use std::net::{IpAddr, SocketAddr};

use netcheck_probe::{Connected, Protocol};

use crate::case::{Case, Expected};
use crate::evidence::{Container, Fact, Network};
use crate::reference::Reference;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "stale-container-address",
    title: "the address of a container is written into a configuration",
    check: Check::Config,
    explained_by: &[
        "network-mode-none",
        "container-on-no-network",
        "no-shared-network",
        "subnet-overlaps-host-route",
    ],
    docs: "\
## What it checks

An environment variable or the command line holds an address from the subnet of a Docker network, such
as `mysql://172.17.0.2:3306/some`. It is an error if nobody has that address now, or if its owner does
not serve the port; it is a warning while it still works.

## Why it matters

Docker hands addresses out in the order in which containers start. After a restart of the host, or of
one container, the same address may belong to another container or to nobody: `connection refused`
from a stranger, or `no route to host` after three seconds.

## How to fix it

Write the name in place of the address: `mysql://mysql-db:3306/some`. Names work on every network but
the default `bridge`; put both on one of their own: `docker network create app-net`, `docker network
connect app-net NAME`. A fixed address (`--ip`) on a network with a subnet of its own is the last
resort.

## When it is wrong

The address of a gateway is the host and is left alone, and so is one that its owner asked for with
`--ip`. Networks whose subnet is shared with other machines (macvlan, ipvlan, overlay) are not judged.
Something outside Docker that uses an address of a bridge network's subnet is not known to the engine.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let references: Vec<(&Reference, IpAddr)> = case
        .detail
        .references
        .iter()
        .filter_map(|reference| Some((reference, reference.host.parse::<IpAddr>().ok()?)))
        .filter(|(_, address)| !address.is_loopback() && !address.is_unspecified())
        .collect();
    if references.is_empty() {
        return Verdict::NotApplicable;
    }
    if let Some(why) = case.evidence.networks.why_unknown() {
        return Verdict::Unknown(format!("the subnets of the engine's networks: {why}"));
    }
    let mut faults = Vec::new();
    let mut open = None;
    for (reference, address) in references {
        let Some(network) = case
            .network_of(address)
            .filter(|network| network.driver == "bridge")
        else {
            continue;
        };
        let own = case
            .endpoints_of(case.subject)
            .iter()
            .any(|endpoint| endpoint.addresses.contains(&address));
        if own || case.is_host_address(address) {
            continue;
        }
        match about(case, reference, address, network) {
            Ok(found) => faults.extend(found),
            Err(needs) => open = Some(needs),
        }
    }
    match (faults.is_empty(), open) {
        (true, Some(needs)) => Verdict::Unknown(needs),
        _ => Verdict::from_faults(faults),
    }
}

/// What the subject's connection to the place came to.
fn connection<'a>(case: &Case<'a>, address: IpAddr, port: Option<u16>) -> Fact<&'a Connected> {
    match (case.visit(), port) {
        (Ok(visit), Some(port)) => visit.connect(SocketAddr::new(address, port)),
        _ => Fact::NotCollected,
    }
}

/// It published or exposes the port: it is the kind of container that is meant.
fn promises(owner: &Container, reference: &Reference) -> bool {
    reference.ports().iter().any(|port| {
        let is = |number: u16, protocol| number == *port && protocol == Protocol::Tcp;
        owner
            .published
            .iter()
            .any(|b| is(b.container.number, b.container.protocol))
            || owner
                .detail()
                .is_some_and(|d| d.exposed.iter().any(|p| is(p.number, p.protocol)))
    })
}

/// Of a pair: the asked number is open there for the protocol that was not asked for.
fn serves_by_the_other_protocol(case: &Case<'_>, owner: &Container) -> bool {
    let far = Case::target(case.evidence).filter(|far| far.subject.id == owner.id);
    far.is_some_and(|far| {
        let listeners = far.listeners().unwrap_or_default();
        far.asked_by_the_other_protocol(&listeners).is_some()
    })
}

fn about(
    case: &Case<'_>,
    reference: &Reference,
    address: IpAddr,
    network: &Network,
) -> Result<Option<Fault>, String> {
    let name = case.name();
    let place = &reference.place;
    let port = reference.certain_port();
    let connected = connection(case, address, port);
    let written = port.map_or_else(
        || address.to_string(),
        |port| SocketAddr::new(address, port).to_string(),
    );
    let expected = case.expected_by_port(reference);
    let fault = |fault: Fault| {
        let fault = fault.proofs(reference.written_proof());
        match connected.known() {
            Some(Connected::Failed { errno, .. }) => {
                fault.proof(format!("seen from `{name}`: {written}: {}", errno.words()))
            }
            Some(Connected::Open { .. }) => {
                fault.proof(format!("seen from `{name}`: {written}: connected"))
            }
            None => fault,
        }
    };
    let told = format!("`{name}` is told to reach `{written}`{}, an address that", place.aside());
    let Some(owner) = case.owner_of(address) else {
        if let Some(Connected::Open { .. }) = connected.known() {
            return Err(format!(
                "who answers at `{written}`: no running container has that address"
            ));
        }
        let nobody = format!(
            "Engine API: no running container has the address {address} of the network `{}`",
            network.name
        );
        let reserved = case.evidence.containers.iter().find(|container| {
            container
                .endpoints
                .iter()
                .any(|endpoint| endpoint.static_addresses.contains(&address))
        });
        return Ok(Some(match reserved {
            Some(down) => fault(Fault::error(
                format!(
                    "{told} is reserved for `{}`, which is not running",
                    down.name
                ),
                subjects(case, &[down], reference),
            ))
            .proof(nobody)
            .fix(Fix::new(
                format!("Start `{}`", down.name),
                vec![shell::command(["docker", "start", &down.name])],
            )),
            None => fault(Fault::error(
                format!(
                    "{told} belongs to nobody now{}",
                    but_served(expected.as_ref())
                ),
                subjects(case, &meant(expected.as_ref()), reference),
            ))
            .proof(nobody)
            .fix(by_name(case, reference, expected.as_ref())),
        }));
    };
    let belongs = format!("Engine API: {address} belongs to `{}`", owner.name);
    let elsewhere = expected
        .as_ref()
        .filter(|expected| expected.container.id != owner.id);
    let failed = matches!(connected.known(), Some(Connected::Failed { .. }));
    let opened = matches!(connected.known(), Some(Connected::Open { .. }));
    // It is the one that is meant, and what it serves there is of another family or protocol.
    let serves_otherwise = port.is_some_and(|port| case.connects(owner, port))
        || serves_by_the_other_protocol(case, owner);
    if !opened && !serves_otherwise && !promises(owner, reference) && (failed || elsewhere.is_some()) {
        let mut others = vec![owner];
        others.extend(meant(elsewhere));
        return Ok(Some(
            fault(Fault::error(
                format!(
                    "{told} now belongs to `{}`, which does not serve it{}",
                    owner.name,
                    but_served(elsewhere)
                ),
                subjects(case, &others, reference),
            ))
            .proof(belongs)
            .fix(by_name(case, reference, elsewhere)),
        ));
    }
    let lasting = owner
        .endpoints
        .iter()
        .any(|endpoint| endpoint.static_addresses.contains(&address));
    if lasting {
        return Ok(None);
    }
    let found = Expected {
        container: owner,
        name: None,
        port: port.unwrap_or_default(),
        because: String::new(),
    };
    Ok(Some(
        fault(Fault::warning(
            format!(
                "`{name}` finds `{}` by the address `{address}`{}, which is good only until \
                 `{}` is restarted",
                owner.name,
                place.aside(),
                owner.name
            ),
            subjects(case, &[owner], reference),
        ))
        .proof(belongs)
        .fix(by_name(case, reference, Some(&found))),
    ))
}

fn meant<'a>(expected: Option<&Expected<'a>>) -> Vec<&'a Container> {
    expected
        .map(|expected| expected.container)
        .into_iter()
        .collect()
}

fn but_served(expected: Option<&Expected<'_>>) -> String {
    expected.map_or_else(String::new, |expected| {
        format!(
            "; `{}` serves port {}",
            expected.container.name, expected.port
        )
    })
}

fn subjects(case: &Case<'_>, others: &[&Container], reference: &Reference) -> Vec<Subject> {
    let mut subjects = vec![Subject::container(case.name())];
    subjects.extend(others.iter().map(|other| Subject::container(&other.name)));
    subjects.push(Subject::setting(&reference.place));
    subjects.push(Subject::address(&reference.host));
    subjects
}

fn by_name(case: &Case<'_>, reference: &Reference, expected: Option<&Expected<'_>>) -> Fix {
    let place = &reference.place;
    let Some(expected) = expected else {
        return Fix::new(
            format!(
                "Write the name of the container that is meant in place of `{}` in {place}, and put \
                 both on one network of their own",
                reference.host
            ),
            Vec::new(),
        );
    };
    // The port that was written stays; it is the address alone that is wrong.
    let port = reference.certain_port().unwrap_or(expected.port);
    let other = case.evidence.container(&expected.container.id);
    other
        .and_then(|other| match port {
            // No port is known at all: the name takes the address's place as it stands.
            0 => case.fix_by_bare_name(case.subject, reference, other),
            port => case.fix_by_name(case.subject, reference, other, port),
        })
        .unwrap_or_else(|| {
            Fix::new(
                format!(
                    "Write a name in place of `{}` in {place}: put `{}` and `{}` on one network of \
                     their own and write `{}`",
                    reference.host,
                    case.name(),
                    expected.container.name,
                    expected.container.name
                ),
                Vec::new(),
            )
        })
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Connected, Errno, Question, Then};

    use super::RULE;
    use crate::evidence::{Container, Evidence, Fact, Status};
    use crate::rules::testing::{
        check_rule, commands, container, fails, ip, not_applicable, passes, tcp, unknown, world,
    };

    fn app() -> Container {
        container("app")
            .alone()
            .on("bridge", "172.17.0.9")
            .env(&["DB_URL=mysql://172.17.0.2:3306/some"])
    }

    fn db(address: &str) -> Container {
        container("mysql-db")
            .alone()
            .on("bridge", address)
            .exposes(tcp(3306))
    }

    fn thief() -> Container {
        container("thief").alone().on("bridge", "172.17.0.2")
    }

    fn connected(evidence: Evidence, errno: Option<Errno>) -> Evidence {
        let answer = match errno {
            Some(errno) => Connected::Failed { errno, took_ms: 1 },
            None => Connected::Open {
                from: (ip("172.17.0.9"), 40000).into(),
                took_ms: 1,
                then: Then::Silent,
            },
        };
        evidence.answered(
            Question::Connect {
                to: (ip("172.17.0.2"), 3306).into(),
                listen_ms: 30,
            },
            Answer::Connect(answer),
        )
    }

    const STOLEN: &str = "`app` is told to reach `172.17.0.2:3306` (DB_URL), an address that now \
                          belongs to `thief`, which does not serve it; `mysql-db` serves port 3306";

    #[test]
    fn the_address_belongs_to_somebody_else_now() {
        let evidence = world(app()).and(db("172.17.0.3")).and(thief());
        check_rule(&RULE, &evidence, fails(STOLEN));
        let evidence = connected(evidence, Some(Errno::Refused));
        check_rule(&RULE, &evidence, fails(STOLEN));
        assert_eq!(
            commands(&RULE, &evidence),
            [
                "docker network create app-net",
                "docker network connect app-net mysql-db",
                "docker stop app",
                "docker rename app app-old",
                "docker run -d --name app -e DB_URL=mysql://mysql-db:3306/some app:1",
                "docker network connect app-net app",
            ]
        );
    }

    #[test]
    fn nobody_has_the_address() {
        check_rule(
            &RULE,
            &world(app()).and(db("172.17.0.3")),
            fails(
                "`app` is told to reach `172.17.0.2:3306` (DB_URL), an address that belongs to \
                 nobody now; `mysql-db` serves port 3306",
            ),
        );
        check_rule(
            &RULE,
            &world(app()),
            fails(
                "`app` is told to reach `172.17.0.2:3306` (DB_URL), an address that belongs to \
                 nobody now",
            ),
        );
        check_rule(
            &RULE,
            &connected(world(app()), None),
            unknown("who answers"),
        );
        let mut down = db("172.17.0.2").status(Status::Exited);
        down.endpoints[0].addresses.clear();
        down.endpoints[0].static_addresses = vec![ip("172.17.0.2")];
        let evidence = world(app()).and(down);
        assert_eq!(commands(&RULE, &evidence), ["docker start mysql-db"]);
    }

    #[test]
    fn it_works_until_the_next_restart() {
        const LUCK: &str = "`app` finds `mysql-db` by the address `172.17.0.2` (DB_URL), which is \
                            good only until `mysql-db` is restarted";
        let evidence = world(app()).and(db("172.17.0.2"));
        check_rule(&RULE, &evidence, fails(LUCK));
        check_rule(&RULE, &connected(evidence, None), fails(LUCK));
        let mut fixed = db("172.17.0.2");
        fixed.endpoints[0].static_addresses = vec![ip("172.17.0.2")];
        check_rule(&RULE, &world(app()).and(fixed), passes());
    }

    #[test]
    fn on_a_shared_network_the_name_is_enough() {
        let app = container("app").env(&["CACHE_HOST=172.18.0.4"]);
        let cache = container("cache").on("my_network", "172.18.0.4");
        let evidence = world(app).and(cache);
        assert!(commands(&RULE, &evidence)[2].contains("-e CACHE_HOST=cache "));
    }

    #[test]
    fn gateways_the_host_and_the_outside_are_no_containers() {
        for url in [
            "X=http://172.17.0.1:80",
            "X=http://172.18.0.9:80",
            "X=http://10.0.0.1:80",
        ] {
            check_rule(&RULE, &world(container("app").env(&[url])), passes());
        }
        let named = container("app").env(&["X=http://db:80", "Y=http://127.0.0.1:80"]);
        check_rule(&RULE, &world(named), not_applicable());
    }

    #[test]
    fn without_the_networks_it_stays_open() {
        let mut evidence = world(app());
        evidence.networks = Fact::NotCollected;
        check_rule(
            &RULE,
            &evidence,
            unknown("the subnets of the engine's networks"),
        );
    }
}
