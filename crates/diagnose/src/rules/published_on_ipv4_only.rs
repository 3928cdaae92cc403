//! The host asks for a published port by `::1`, and it is published for IPv4 alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netcheck_probe::Protocol;

use crate::case::{Case, Reached};
use crate::evidence::{Binding, Container};
use crate::recreate::publish_word;
use crate::report::{Fix, Severity, Subject};
use crate::request::place;
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "published-on-ipv4-only",
    title: "the port is published for IPv4 alone, and `::1` is refused",
    check: Check::Published,
    explained_by: &[],
    docs: "\
## What it checks

You asked, from the engine's host (`docker netcheck host localhost:8080`), for a port that a container publishes
on IPv4 addresses of the host only (`-p 0.0.0.0:8080:80`, `-p 127.0.0.1:8080:80`). The connection to `::1` is
refused, and the one to `127.0.0.1` works.

## Why it matters

`localhost` is `::1` as well as `127.0.0.1` on most hosts. Browsers and curl try both; Node from 17 on, some JVM
settings and database drivers take the first one, which is often `::1`: `connect ECONNREFUSED ::1:3306`, while
everything else reaches the same port.

## How to fix it

Write `127.0.0.1` in place of `localhost` there, or publish for both: `-p 8080:80` without an address, or one more
`-p [::1]:8080:80`.

## When it is wrong

If every client on the host tries both addresses, nobody notices.
",
    judge,
};

const FOUR: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SIX: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

fn judge(case: &Case<'_>) -> Verdict {
    let Some(target) = &case.evidence.request.target else {
        return Verdict::NotApplicable;
    };
    let addresses = case.addresses_of(&target.host);
    if !case.subject.is_engine_host()
        || target.container.is_some()
        || target.protocol != Protocol::Tcp
        || !addresses.contains(&SIX)
    {
        return Verdict::NotApplicable;
    }
    let Some((publisher, bindings)) = publisher(case, target.port) else {
        return Verdict::NotApplicable;
    };
    let reached = |address| case.reached(SocketAddr::new(address, target.port), Protocol::Tcp);
    if reached(SIX) != Reached::Refused || reached(FOUR) != Reached::Through {
        return Verdict::Pass;
    }
    let works = addresses.contains(&FOUR);
    Verdict::Fail(vec![fault(case, target.port, &target.host, works, publisher, &bindings)])
}

/// The one running container that publishes this port of the host, for IPv4 alone.
fn publisher<'a>(case: &Case<'a>, number: u16) -> Option<(&'a Container, Vec<Binding>)> {
    let mut found = case
        .evidence
        .containers
        .iter()
        .filter(|container| container.is_running())
        .map(|container| {
            let bindings: Vec<Binding> = container
                .published
                .iter()
                .filter(|binding| {
                    binding.host_port == Some(number)
                        && binding.container.protocol == Protocol::Tcp
                })
                .cloned()
                .collect();
            (container, bindings)
        })
        .filter(|(_, bindings)| !bindings.is_empty());
    let one = found.next()?;
    let on_loopback = |address: Ipv4Addr| address.is_unspecified() || address.is_loopback();
    let all_ipv4 = one.1.iter().all(|binding| match binding.host_address {
        Some(IpAddr::V4(address)) => on_loopback(address),
        _ => false,
    });
    (found.next().is_none() && all_ipv4).then_some(one)
}

fn fault(
    case: &Case<'_>,
    number: u16,
    host: &str,
    works: bool,
    publisher: &Container,
    bindings: &[Binding],
) -> Fault {
    let name = &publisher.name;
    let (four, six) = (SocketAddr::new(FOUR, number), SocketAddr::new(SIX, number));
    let asked = if works {
        format!("`{host}` is {FOUR} and {SIX}")
    } else {
        format!("`{}` is an IPv6 address", place(host, number))
    };
    let on: Vec<String> = bindings.iter().map(publish_word).collect();
    let mut fault = Fault::error(
        format!("{asked}, and `{name}` publishes port {number} of the host for IPv4 alone"),
        vec![Subject::container(name)],
    );
    if works {
        fault.severity = Severity::Warning;
    }
    fault
        .proof(format!("Engine API: `{name}` publishes {}", on.join(", ")))
        .proof(format!(
            "seen from the engine's host: {six}: connection refused; {four}: connected"
        ))
        .fix(publish_for_both(case, number, publisher))
        .fix(Fix::new(
            format!("Write `{four}` where the host's programs connect to it"),
            Vec::new(),
        ))
}

fn publish_for_both(case: &Case<'_>, number: u16, publisher: &Container) -> Fix {
    let text = "Publish it for both families";
    let by_hand = || {
        Fix::new(
            format!("{text}: `-p [::1]:{number}:PORT` besides, or `-p` without an address"),
            Vec::new(),
        )
    };
    let Some(recreate) = case.recreate_other(publisher) else {
        return by_hand();
    };
    let wanted = publisher.detail().map_or(&[][..], |detail| &detail.wanted);
    let is_it = |binding: &&Binding| {
        binding.host_port == Some(number) && binding.container.protocol == Protocol::Tcp
    };
    let Some(old) = wanted.iter().find(is_it) else {
        return by_hand();
    };
    let everywhere = old
        .host_address
        .is_some_and(|address| address.is_unspecified());
    let new = Binding {
        host_address: if everywhere { None } else { Some(SIX) },
        ..old.clone()
    };
    let word = publish_word(&new);
    if everywhere {
        let edit = format!("under `ports` write `{word}` in place of `{}`", publish_word(old));
        return recreate
            .replace_binding(old, new)
            .fix(&format!("{text}, `{word}`"), &edit);
    }
    let mut bindings = wanted.to_vec();
    bindings.push(new);
    recreate.publish(bindings).fix(
        &format!("{text}, with `{word}` besides"),
        &format!("under `ports` add `{word}`"),
    )
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Connected, Errno, HostsEntry, Protocol, Question, Snapshot, Then};

    use super::RULE;
    use crate::evidence::{Container, ENGINE_HOST, Evidence, Viewpoint};
    use crate::report::Severity;
    use crate::request::Target;
    use crate::rule::Verdict;
    use crate::rules::testing::{
        binding, check_rule, commands, container, fails, ip, not_applicable, passes, snapshot, tcp,
        udp, world,
    };

    /// The host asks for port 8080 of `host`; whether IPv4 and IPv6 were taken.
    fn asked(host: &str, web: Container, four: bool, six: bool) -> Evidence {
        let mut evidence = world(Container::engine_host()).and(web);
        evidence.request.container = ENGINE_HOST.into();
        evidence.request.target = Some(Target::new(host, 8080, Protocol::Tcp));
        let mut inside = Snapshot {
            hosts: Ok(Vec::new()),
            ..snapshot()
        };
        for address in ["127.0.0.1", "::1"] {
            inside.hosts.as_mut().unwrap().push(HostsEntry {
                address: ip(address),
                names: vec!["localhost".into()],
            });
        }
        let connect = |address: &str| Question::Connect {
            to: (ip(address), 8080).into(),
            listen_ms: 10,
        };
        let answer = |open: bool| {
            Answer::Connect(if open {
                Connected::Open {
                    from: (ip("127.0.0.1"), 40000).into(),
                    took_ms: 0,
                    then: Then::Silent,
                }
            } else {
                Connected::Failed {
                    errno: Errno::Refused,
                    took_ms: 0,
                }
            })
        };
        let from = Viewpoint::Host;
        evidence
            .answered_from(from.clone(), Question::Snapshot, Answer::Snapshot(inside))
            .answered_from(from.clone(), connect("127.0.0.1"), answer(four))
            .answered_from(from, connect("::1"), answer(six))
    }

    fn web(host: &str) -> Container {
        container("web").publishes(binding(host, 8080, tcp(80)))
    }

    #[test]
    fn by_ipv6_it_is_refused() {
        let evidence = asked("::1", web("0.0.0.0"), true, false);
        check_rule(
            &RULE,
            &evidence,
            fails("`[::1]:8080` is an IPv6 address, and `web` publishes port 8080 of the host for IPv4 alone"),
        );
        assert!(commands(&RULE, &evidence)[2].contains(" -p 8080:80 "));
        let evidence = asked("::1", web("127.0.0.1"), true, false);
        let run = &commands(&RULE, &evidence)[2];
        assert!(run.contains("-p 127.0.0.1:8080:80 -p '[::1]:8080:80'"), "{run}");
    }

    #[test]
    fn by_name_one_of_two_works() {
        let evidence = asked("localhost", web("0.0.0.0"), true, false);
        let case = crate::case::Case::new(&evidence).unwrap();
        let Verdict::Fail(faults) = (RULE.judge)(&case) else {
            panic!("no fault");
        };
        assert_eq!(faults[0].severity, Severity::Warning);
        assert_eq!(
            faults[0].problem,
            "`localhost` is 127.0.0.1 and ::1, and `web` publishes port 8080 of the host for IPv4 alone"
        );
    }

    #[test]
    fn near_misses() {
        let both = web("0.0.0.0").publishes(binding("::", 8080, tcp(80)));
        check_rule(&RULE, &asked("::1", both, true, true), not_applicable());
        // It works by neither; something else answers there.
        check_rule(&RULE, &asked("::1", web("0.0.0.0"), false, false), passes());
        check_rule(&RULE, &asked("::1", web("0.0.0.0"), true, true), passes());
        let four = asked("127.0.0.1", web("0.0.0.0"), true, false);
        check_rule(&RULE, &four, not_applicable());
        // Nobody publishes that port for TCP, or on the loopback.
        let other = container("web").publishes(binding("0.0.0.0", 8081, tcp(80)));
        check_rule(&RULE, &asked("::1", other, true, false), not_applicable());
        let other = container("web").publishes(binding("0.0.0.0", 8080, udp(80)));
        check_rule(&RULE, &asked("::1", other, true, false), not_applicable());
        check_rule(&RULE, &asked("::1", web("10.1.2.3"), true, false), not_applicable());
        // A container's loopback is its own.
        let mut evidence = asked("::1", web("0.0.0.0"), true, false);
        evidence.containers[0].id = "other".into();
        evidence.request.container = "other".into();
        check_rule(&RULE, &evidence, not_applicable());
        check_rule(&RULE, &world(container("app")), not_applicable());
    }
}
