//! A service is bound to the container's address on one network, and others come to it on another.

use std::net::IpAddr;

use netcheck_probe::Protocol;

use crate::case::{Case, Listener, Reach, list, opened};
use crate::evidence::{Container, Port, Viewpoint};
use crate::reference::Reference;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};

use super::listens_on_loopback_only::address_in_command;

/// See the module.
pub static RULE: Rule = Rule {
    code: "listens-on-one-address",
    title: "a service listens on its address on another network only",
    check: Check::Listening,
    explained_by: &["container-starting"],
    docs: "\
## What it checks

Every listener of a TCP port is bound to one address of the container, and another container whose
configuration names that port (or from which you asked for it) shares only networks with it on which it has
another address.

## Why it matters

A container on two networks has an address on each. A program that looks for its own address when it starts
(`hostname -i`, `$(hostname)`, an interface by name) takes one of them: neighbours on that network reach it,
those on the other get `connection refused`, from a container that runs and a port that is open. It often
starts when somebody connects a container to a second network.

## How to fix it

Start it on all addresses (`0.0.0.0`, `::`). Only the container's networks see it then.

## When it is wrong

It is bound to one network on purpose, and the other container is meant to use that one, too: then connect it
there.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    // What could not be looked at is told by `listens-on-loopback-only`.
    let Ok(listeners) = case.listeners() else {
        return Verdict::NotApplicable;
    };
    let mut faults: Vec<Fault> = Vec::new();
    let mut told: Vec<u16> = Vec::new();
    for (other, reference) in case.named_by_others() {
        let Some(number) = reference.certain_port().filter(|number| !told.contains(number)) else {
            continue;
        };
        let port = Port {
            number,
            protocol: Protocol::Tcp,
        };
        let on_port: Vec<&Listener> = listeners.iter().filter(|one| one.port == port).collect();
        let bound: Option<Vec<IpAddr>> = on_port
            .iter()
            .map(|listener| match listener.reach {
                Reach::OneAddress(address) => Some(address),
                Reach::Everybody | Reach::Ipv6Only | Reach::Loopback => None,
            })
            .collect();
        let bound = bound.unwrap_or_default();
        let comes_to = comes_to(case, other, reference);
        let seen = case.evidence.visit(&Viewpoint::of(&other.id));
        if bound.is_empty()
            || comes_to.is_empty()
            || comes_to.iter().any(|address| bound.contains(address))
            || comes_to.iter().any(|address| seen.is_some_and(|visit| opened(visit, *address, number)))
        {
            continue;
        }
        told.push(number);
        faults.push(fault(case, other, port, &on_port, &bound, &comes_to));
    }
    Verdict::from_faults(faults)
}

fn comes_to(case: &Case<'_>, other: &Container, reference: &Reference) -> Vec<IpAddr> {
    match reference.host.parse() {
        Ok(address) => vec![address],
        Err(_) => case.addresses_towards(other),
    }
}

fn fault(
    case: &Case<'_>,
    other: &Container,
    port: Port,
    on_port: &[&Listener],
    bound: &[IpAddr],
    comes_to: &[IpAddr],
) -> Fault {
    let (name, number) = (case.name(), port.number);
    let owner = on_port
        .iter()
        .find_map(|listener| listener.owner.as_ref())
        .map(|process| format!(" by `{}`", process.name))
        .unwrap_or_default();
    let (at, to) = (list(bound), list(comes_to));
    let shared: Vec<String> = case
        .shared_networks(other)
        .iter()
        .map(|network| format!("`{}`", network.name))
        .collect();
    let fault = Fault::error(
        format!("port {number} of `{name}` is bound to {at} only, and `{}` comes to {to}", other.name),
        vec![
            Subject::container(name),
            Subject::container(&other.name),
            Subject::port(port),
        ],
    )
    .proof(format!("seen from `{name}`: port {number} is open on {at} only{owner}"))
    .proof(format!(
        "Engine API: on {}, which it shares with `{}`, `{name}` has {to}",
        shared.join(" and "),
        other.name
    ));
    let hosts: Vec<String> = bound.iter().map(ToString::to_string).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let all = "Start it on all addresses";
    fault.fix(match address_in_command(case, number, &hosts) {
        Some((from, to)) => case.recreate().edit_command(&from, &to).fix(
            &format!("{all}, with `{to}` in place of `{from}` in its command"),
            &format!("write `{to}` in place of `{from}` in `command` (or `entrypoint`)"),
        ),
        None => Fix::new(
            format!("{all}, `0.0.0.0`, in place of {at} (or of what it finds as its own, such as `hostname -i`)"),
            Vec::new(),
        ),
    })
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Connected, Protocol, Question, Then};

    use super::RULE;
    use crate::evidence::{Container, Evidence, Viewpoint};
    use crate::rules::testing::{
        check_rule, commands, container, fails, fix_texts, id_of, ip, not_applicable, passes, socket, world,
    };

    const PROBLEM: &str = "port 80 of `web` is bound to 172.18.0.9 only, and `app` comes to 172.19.0.9";

    fn web() -> Container {
        container("web").on("other", "172.19.0.9").command(&["serve", "tcp=172.18.0.9:80"])
    }

    /// `app` is on this network, and `web` listens there.
    fn seen(web: Container, network: &str, at: &[&str]) -> Evidence {
        let address = if network == "other" { "172.19.0.4" } else { "172.18.0.4" };
        let app = container("app").alone().on(network, address).env(&["API_URL=http://web:80/"]);
        let sockets = at.iter().map(|at| socket(Protocol::Tcp, at)).collect();
        world(web).and(app).listens(sockets)
    }

    #[test]
    fn neighbours_of_the_other_network_are_refused() {
        let evidence = seen(web(), "other", &["172.18.0.9:80"]);
        check_rule(&RULE, &evidence, fails(PROBLEM));
        let lines = commands(&RULE, &evidence);
        assert!(lines.iter().any(|line| line.ends_with("serve tcp=0.0.0.0:80")), "{lines:?}");
        let found_by_itself = web().command(&["serve"]);
        let evidence = seen(found_by_itself, "other", &["172.18.0.9:80"]);
        assert!(fix_texts(&RULE, &evidence)[0].contains("hostname -i"));
    }

    #[test]
    fn those_who_come_to_it_and_all_addresses_are_silent() {
        check_rule(&RULE, &seen(web(), "my_network", &["172.18.0.9:80"]), passes());
        check_rule(&RULE, &seen(web(), "other", &["0.0.0.0:80"]), passes());
        let both = ["172.18.0.9:80", "172.19.0.9:80"];
        check_rule(&RULE, &seen(web(), "other", &both), passes());
        check_rule(&RULE, &seen(web(), "other", &["127.0.0.1:80"]), passes());
        check_rule(&RULE, &seen(web(), "other", &["172.18.0.9:81"]), passes());
        check_rule(&RULE, &world(web()), not_applicable());
        // Something else lets it through.
        let question = Question::Connect {
            to: (ip("172.19.0.9"), 80).into(),
            listen_ms: 1,
        };
        let open = Answer::Connect(Connected::Open {
            from: (ip("172.19.0.4"), 40000).into(),
            took_ms: 1,
            then: Then::Silent,
        });
        let from = Viewpoint::Container(id_of("app"));
        let through = seen(web(), "other", &["172.18.0.9:80"]).answered_from(from, question, open);
        check_rule(&RULE, &through, passes());
    }
}
