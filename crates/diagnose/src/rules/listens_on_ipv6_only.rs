//! A service takes IPv6 connections only, and the container is reached by IPv4.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use netcheck_probe::{Accepts, Errno, Protocol};

use crate::case::{Case, Listener, Reach, command_holds};
use crate::evidence::Port;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "listens-on-ipv6-only",
    title: "a service takes IPv6 connections only",
    check: Check::Listening,
    explained_by: &[],
    docs: "\
## What it checks

A port's only listeners are IPv6 sockets with `IPV6_V6ONLY` (the kernel's word, by `sock_diag`, or a
refused connection to the container's own IPv4 address), while the container has an IPv4 address and
others are meant to reach the port.

## Why it matters

`ss` and `netstat` print `:::80` for such a socket just as for one that takes both families, so it
looks right. Names resolve to the IPv4 address on most networks, and published ports are forwarded to
it: everybody gets `connection refused`.

## How to fix it

Bind `0.0.0.0` (or both), or switch the option off: nginx `ipv6only=off`, Node `ipv6Only: false`,
Java without `-Djava.net.preferIPv6Addresses`. Where `net.ipv6.bindv6only=1` was set for the
container, create it again without that.

## When it is wrong

If all clients use IPv6 on purpose (an IPv6 network whose names resolve to both, and only IPv6 is
wanted), the IPv4 address is there for nothing and this is no problem.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let own: Vec<IpAddr> = case
        .subject
        .endpoints
        .iter()
        .flat_map(|endpoint| &endpoint.addresses)
        .copied()
        .filter(IpAddr::is_ipv4)
        .collect();
    if !case.is_joined() || own.is_empty() {
        return Verdict::NotApplicable;
    }
    let name = case.name();
    let listeners = match case.listeners() {
        Ok(listeners) => listeners,
        Err(why) if case.promises_or_is_named() => {
            return Verdict::Unknown(format!("the listening sockets of `{name}`: {why}"));
        }
        Err(_) => return Verdict::NotApplicable,
    };
    let mut by_port: BTreeMap<Port, Vec<&Listener>> = BTreeMap::new();
    for listener in &listeners {
        by_port.entry(listener.port).or_default().push(listener);
    }
    let faults = by_port
        .iter()
        .filter(|(port, on_port)| {
            let by_option = on_port.iter().any(|l| l.reach == Reach::Ipv6Only)
                && !on_port.iter().any(|l| l.serves_ipv4());
            by_option || refuses_ipv4(case, **port, on_port, &own)
        })
        .filter(|(port, _)| match port.protocol {
            Protocol::Tcp => case.is_meant_for_others(port.number, &listeners),
            Protocol::Udp => case.promised_ports().contains(port),
        })
        .map(|(port, on_port)| fault(case, *port, on_port, &own))
        .collect();
    Verdict::from_faults(faults)
}

/// Where only /proc could be read, the option is not known, and a refused connection tells.
fn refuses_ipv4(case: &Case<'_>, port: Port, on_port: &[&Listener], own: &[IpAddr]) -> bool {
    let wildcard = on_port
        .iter()
        .any(|l| l.local.is_ipv6() && l.local.ip().is_unspecified());
    port.protocol == Protocol::Tcp
        && wildcard
        && on_port.iter().all(|l| l.local.is_ipv6())
        && case.visit().is_ok_and(|visit| {
            own.iter().any(|address| {
                matches!(
                    visit
                        .accepts(SocketAddr::new(*address, port.number))
                        .known(),
                    Some(Accepts::Failed {
                        errno: Errno::Refused
                    })
                )
            })
        })
}

fn fault(case: &Case<'_>, port: Port, on_port: &[&Listener], own: &[IpAddr]) -> Fault {
    let name = case.name();
    let number = port.number;
    let owner = on_port
        .iter()
        .find_map(|l| l.owner.as_ref())
        .map(|process| format!(", held by `{}`", process.name))
        .unwrap_or_default();
    let addresses: Vec<String> = own.iter().map(ToString::to_string).collect();
    let mut fault = Fault::error(
        format!(
            "port {port} of `{name}` takes IPv6 connections only, but others reach `{name}` by IPv4"
        ),
        vec![Subject::container(name), Subject::port(port)],
    )
    .proof(format!(
        "seen from `{name}`: [::]:{number} is an IPv6-only socket{owner}, and no socket takes IPv4 \
         on that port"
    ))
    .proof(format!(
        "Engine API: `{name}` has the address {}",
        addresses.join(", ")
    ));
    for line in case.host_saw(port) {
        fault = fault.proof(line);
    }
    fault.fix(fix(case, number))
}

fn fix(case: &Case<'_>, number: u16) -> Fix {
    const SYSCTL: &str = "net.ipv6.bindv6only";
    if case.detail.sysctls.get(SYSCTL).is_some_and(|v| v == "1") {
        return case.recreate().drop_sysctl(SYSCTL).fix(
            &format!("Take `{SYSCTL}=1` away, so that its sockets take both families"),
            &format!("remove `{SYSCTL}` from `sysctls`"),
        );
    }
    let run = &case.detail.run;
    let (from, to) = (format!("[::]:{number}"), format!("0.0.0.0:{number}"));
    // Where the word asks for IPv6 alone, another address in it would contradict it.
    let insists = run
        .entrypoint
        .iter()
        .flatten()
        .chain(&run.command)
        .any(|word| word.contains(&from) && word.to_ascii_lowercase().contains("6only"));
    if command_holds(run, &from) && !insists {
        return case.recreate().edit_command(&from, &to).fix(
            &format!("Let it listen on IPv4, with `{to}` in place of `{from}` in its command"),
            &format!("write `{to}` in place of `{from}` in `command` (or `entrypoint`)"),
        );
    }
    Fix::new(
        format!(
            "Let it listen on `0.0.0.0:{number}` too, or on `[::]:{number}` without the IPv6-only \
             option (nginx `ipv6only=off`, Node `ipv6Only: false`, socket option IPV6_V6ONLY)"
        ),
        Vec::new(),
    )
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Accepts, Answer, Errno, Protocol, Question, Socket};

    use super::RULE;
    use crate::evidence::Container;
    use crate::rules::testing::{
        check_rule, commands, container, fails, ip, not_applicable, passes, socket, tcp, unknown,
        world,
    };

    const PROBLEM: &str =
        "port 80/tcp of `web` takes IPv6 connections only, but others reach `web` by IPv4";

    fn v6(v6_only: Option<bool>) -> Socket {
        Socket {
            v6_only,
            ..socket(Protocol::Tcp, "[::]:80")
        }
    }

    fn web() -> Container {
        container("web").exposes(tcp(80))
    }

    #[test]
    fn an_ipv6_only_socket_on_a_promised_port() {
        let evidence = world(web()).listens(vec![v6(Some(true))]);
        check_rule(&RULE, &evidence, fails(PROBLEM));
        let loopback = socket(Protocol::Tcp, "127.0.0.1:80");
        let evidence = world(web()).listens(vec![v6(Some(true)), loopback]);
        check_rule(&RULE, &evidence, fails(PROBLEM));
    }

    #[test]
    fn a_refused_connection_tells_it_too() {
        let ask = |errno| {
            world(web()).listens(vec![v6(None)]).answered(
                Question::Accepts {
                    to: (ip("172.18.0.9"), 80).into(),
                    patience_ms: 1000,
                },
                Answer::Accepts(Accepts::Failed { errno }),
            )
        };
        check_rule(&RULE, &ask(Errno::Refused), fails(PROBLEM));
        check_rule(&RULE, &ask(Errno::TimedOut), passes());
    }

    #[test]
    fn takes_the_cause_away_where_it_is_known() {
        let run = |web: Container| {
            commands(&RULE, &world(web).listens(vec![v6(Some(true))]))
                .into_iter()
                .find(|c| c.starts_with("docker run"))
                .unwrap_or_default()
        };
        let mut by_sysctl = web();
        let sysctls = &mut by_sysctl.detail_mut().sysctls;
        sysctls.insert("net.ipv6.bindv6only".into(), "1".into());
        assert_eq!(
            run(by_sysctl),
            "docker run -d --name web --network my_network app:1"
        );
        assert!(run(web().command(&["tcp=[::]:80"])).ends_with("app:1 tcp=0.0.0.0:80"));
        assert_eq!(run(web().command(&["v6only=[::]:80"])), "");
        assert_eq!(run(web().command(&["tcp=[::]:8080"])), "");
    }

    #[test]
    fn dual_stack_and_pairs_of_sockets_are_fine() {
        check_rule(
            &RULE,
            &world(web()).listens(vec![v6(Some(false))]),
            passes(),
        );
        check_rule(&RULE, &world(web()).listens(vec![v6(None)]), passes());
        let pair = vec![v6(Some(true)), socket(Protocol::Tcp, "0.0.0.0:80")];
        check_rule(&RULE, &world(web()).listens(pair), passes());
        let nobodys = world(container("app")).listens(vec![v6(Some(true))]);
        check_rule(&RULE, &nobodys, passes());
    }

    #[test]
    fn a_container_without_ipv4_may_do_so() {
        let mut six = web().alone().on("my_network", "fd00::9");
        six.detail_mut().exposed = vec![tcp(80)];
        check_rule(
            &RULE,
            &world(six).listens(vec![v6(Some(true))]),
            not_applicable(),
        );
        check_rule(
            &RULE,
            &world(web()),
            unknown("the listening sockets of `web`"),
        );
        check_rule(&RULE, &world(container("app")), not_applicable());
    }
}
