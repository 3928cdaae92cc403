//! A service is bound to 127.0.0.1 or ::1, where only its own container reaches it.

use std::collections::BTreeSet;

use netcheck_probe::Protocol;

use crate::case::{Case, Listener, Reach, command_holds};
use crate::evidence::{Mode, Port};
use crate::reference::Place;
use crate::report::{Fix, Subject};
use crate::request;
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "listens-on-loopback-only",
    title: "a service listens on the container's own loopback only",
    check: Check::Listening,
    explained_by: &["container-starting"],
    docs: "\
## What it checks

Every listener of a TCP port is bound to a loopback address (`127.0.0.1`, `::1`), and others are meant
to reach that port: it is exposed or published, another container's configuration names it, or it is
the only port on which the container listens at all while it has neighbours or publishes something. The
same for a UDP port that is exposed, published or asked for.

## Why it matters

Each container has its own loopback. A program that listens there answers `curl localhost` inside the
container and refuses everybody else: other containers get `connection refused`, a published port is
closed right after it connects (`empty reply from server`). Development servers (Vite, Flask, Rails,
`ng serve`, webpack) and databases in their default configuration do this.

## How to fix it

Start it on all addresses: `--host 0.0.0.0`, `--bind 0.0.0.0`, `HOST=0.0.0.0`,
`listen_addresses='*'`, whatever the program calls it. Only the container's networks see it then; the
outside sees what is published.

## When it is wrong

A port that is for the inside on purpose: a debugger, a supervisor, a metrics page that an agent in
the same container reads. Such ports are not reported unless they are promised (`EXPOSE`, `-p`), named
by somebody, or all the container has; well-known ones (9229, 5005, 6060, 5678, 2345, 9001) never as
the only one. Where several containers share the namespace (`--network container:`), the loopback is
common ground, and this is not asked of those who joined.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if !case.is_joined() && !matches!(case.detail.mode, Mode::User(_)) {
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
    let on = |port: Port| listeners.iter().filter(move |l| l.port == port);
    let ports: BTreeSet<Port> = listeners
        .iter()
        .filter(|l| l.reach == Reach::Loopback)
        .map(|l| l.port)
        .filter(|port| !on(*port).any(Listener::is_reachable))
        .filter(|port| match port.protocol {
            Protocol::Tcp => case.is_meant_for_others(port.number, &listeners),
            // Programs have UDP sockets on the loopback for themselves.
            Protocol::Udp => case.promised_ports().contains(port),
        })
        .collect();
    let faults = ports
        .into_iter()
        .map(|port| fault(case, port, &on(port).collect::<Vec<_>>()))
        .collect();
    Verdict::from_faults(faults)
}

fn fault(case: &Case<'_>, port: Port, on_port: &[&Listener]) -> Fault {
    let name = case.name();
    let number = port.number;
    let shown = match port.protocol {
        Protocol::Tcp => number.to_string(),
        Protocol::Udp => port.to_string(),
    };
    let addresses: Vec<String> = on_port.iter().map(|l| l.local.to_string()).collect();
    let owner = on_port
        .iter()
        .find_map(|l| l.owner.as_ref())
        .map(|process| format!(" by `{}`", process.name))
        .unwrap_or_default();
    let mut fault = Fault::error(
        format!(
            "port {shown} of `{name}` is bound to the container's own loopback ({}), so nobody \
             else can connect to it",
            addresses.join(", ")
        ),
        vec![Subject::container(name), Subject::port(port)],
    )
    .proof(format!(
        "seen from `{name}`: port {shown} is open on {} only{owner}",
        addresses.join(", ")
    ));
    for line in case.host_saw(port) {
        fault = fault.proof(line);
    }
    for (other, reference) in case.named_by_others() {
        if port.protocol == Protocol::Tcp
            && reference.certain_port() == Some(number)
            && reference.place != Place::Asked {
            fault = fault.proof(format!(
                "Engine API: `{}` wants to connect to it ({})",
                other.name, reference.place
            ));
        }
    }
    fault.fix(fix(case, number))
}

fn fix(case: &Case<'_>, number: u16) -> Fix {
    let loopback = ["127.0.0.1", "localhost", "::1"];
    if let Some((from, to)) = address_in_command(case, number, &loopback) {
        return case.recreate().edit_command(&from, &to).fix(
            &format!("Start it on all addresses, with `{to}` in place of `{from}` in its command"),
            &format!("write `{to}` in place of `{from}` in `command` (or `entrypoint`)"),
        );
    }
    let variable = case.detail.env_names.iter().find(|name| {
        matches!(
            name.to_ascii_uppercase().as_str(),
            "HOST"
                | "BIND"
                | "BIND_ADDR"
                | "BIND_ADDRESS"
                | "BIND_HOST"
                | "LISTEN"
                | "LISTEN_ADDR"
                | "LISTEN_ADDRESS"
                | "LISTEN_HOST"
                | "SERVER_HOST"
                | "HTTP_HOST"
        )
    });
    let text = match variable {
        Some(variable) => format!(
            "Start it on all addresses: it probably reads where to listen from `{variable}`, which \
             should be `0.0.0.0`"
        ),
        None => {
            "Start it on all addresses, e.g. with `--host 0.0.0.0` or `HOST=0.0.0.0`, whatever \
                 the program reads"
                .into()
        }
    };
    Fix::new(text, Vec::new())
}

/// Flags after which, or in which, an address is where to listen.
const LISTEN_FLAGS: &[&str] = &[
    "--host",
    "--hostname",
    "-H",
    "--bind",
    "-b",
    "--bind-address",
    "--bind-addr",
    "--bind_ip",
    "--bind-ip",
    "--listen",
    "--listen-address",
    "--listen-addr",
    "-l",
    "--address",
    "--addr",
    "--ip",
    "--interface",
    "bind",
    "--http",
];

/// What to replace in the command line where it says on which of these to listen, and by what, where that is
/// known to the letter.
pub(super) fn address_in_command(
    case: &Case<'_>,
    number: u16,
    hosts: &[&str],
) -> Option<(String, String)> {
    let run = &case.detail.run;
    for host in hosts {
        let from = request::place(host, number);
        if command_holds(run, &from) {
            return Some((from, format!("0.0.0.0:{number}")));
        }
    }
    let words: Vec<&str> = run
        .entrypoint
        .iter()
        .flatten()
        .chain(&run.command)
        .map(String::as_str)
        .collect();
    for host in hosts {
        let holding: Vec<usize> = (0..words.len())
            .filter(|index| words[*index].contains(host))
            .collect();
        // More than one, and it is not known which is where to listen.
        let [at] = holding[..] else { continue };
        if words[at] == *host {
            // Without a flag before it, it may as well be where to connect to.
            let before = at.checked_sub(1).map(|before| words[before]);
            if before.is_some_and(|flag| LISTEN_FLAGS.contains(&flag)) {
                return Some(((*host).into(), "0.0.0.0".into()));
            }
        } else if let Some(flag) = LISTEN_FLAGS
            .iter()
            .find(|flag| has_assignment(words[at], flag, host))
        {
            return Some((format!("{flag}={host}"), format!("{flag}=0.0.0.0")));
        }
    }
    None
}

/// `--host=127.0.0.1` in a word, alone or between commas or spaces.
fn has_assignment(word: &str, flag: &str, host: &str) -> bool {
    word.split([',', ' '])
        .any(|part| part.strip_prefix(flag).and_then(|p| p.strip_prefix('=')) == Some(host))
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Connected, Protocol, Question, Then};

    use super::RULE;
    use crate::evidence::{Evidence, Mode, Viewpoint};
    use crate::rules::testing::{
        binding, check_rule, commands, container, fails, ip, not_applicable, passes, socket, tcp,
        udp, unknown, world,
    };

    const PROBLEM: &str = "port 80 of `web` is bound to the container's own loopback \
                           (127.0.0.1:80), so nobody else can connect to it";

    fn listening(subject: crate::evidence::Container, on: &[&str]) -> Evidence {
        world(subject).listens(on.iter().map(|at| socket(Protocol::Tcp, at)).collect())
    }

    fn web() -> crate::evidence::Container {
        container("web").publishes(binding("0.0.0.0", 18081, tcp(80)))
    }

    #[test]
    fn a_published_port_on_loopback() {
        let evidence = listening(
            web().command(&["serve", "tcp=127.0.0.1:80"]),
            &["127.0.0.1:80"],
        )
        .answered_from(
            Viewpoint::Host,
            Question::Connect {
                to: (ip("127.0.0.1"), 18081).into(),
                listen_ms: 30,
            },
            Answer::Connect(Connected::Open {
                from: (ip("127.0.0.1"), 40000).into(),
                took_ms: 0,
                then: Then::Closed,
            }),
        );
        check_rule(&RULE, &evidence, fails(PROBLEM));
        assert!(
            commands(&RULE, &evidence)
                .iter()
                .any(|c| c.ends_with("app:1 serve tcp=0.0.0.0:80")),
        );
    }

    #[test]
    fn edits_the_command_only_where_it_is_sure() {
        let last = |words: &[&str]| {
            commands(&RULE, &listening(web().command(words), &["127.0.0.1:80"]))
                .into_iter()
                .find(|c| c.starts_with("docker run"))
                .unwrap_or_default()
        };
        assert!(last(&["httpd", "-p", "127.0.0.1:80"]).ends_with("app:1 httpd -p 0.0.0.0:80"));
        assert!(last(&["vite", "--host", "127.0.0.1"]).ends_with("app:1 vite --host 0.0.0.0"));
        assert!(last(&["x", "--bind=127.0.0.1"]).ends_with("app:1 x --bind=0.0.0.0"));
        assert!(last(&["--urls", "http://localhost:80"]).ends_with("--urls http://0.0.0.0:80"));
        assert_eq!(last(&["serve", "127.0.0.1:8080"]), "");
        assert_eq!(last(&["x", "--db-host", "127.0.0.1"]), "");
        assert_eq!(last(&["x", "--host", "127.0.0.1", "--db", "127.0.0.1"]), "");
        assert_eq!(last(&[]), "");
    }

    #[test]
    fn the_only_port_of_a_container_with_neighbours() {
        let app = || container("app").on("my_network", "172.18.0.3");
        let alone = || listening(container("web"), &["127.0.0.1:80"]);
        check_rule(&RULE, &alone(), passes());
        check_rule(&RULE, &alone().and(app()), fails(PROBLEM));
        let two = listening(container("web"), &["127.0.0.1:80", "0.0.0.0:81"]);
        check_rule(&RULE, &two.and(app()), passes());
        let debugger = listening(container("web"), &["127.0.0.1:9229"]);
        check_rule(&RULE, &debugger.and(app()), passes());
        let sidecar = app().alone().mode(Mode::Container("web".into()));
        check_rule(&RULE, &alone().and(app()).and(sidecar), passes());
    }

    #[test]
    fn a_port_that_somebody_names() {
        let two = listening(container("web"), &["127.0.0.1:80", "0.0.0.0:81"]);
        let client = container("app")
            .on("my_network", "172.18.0.3")
            .env(&["API=http://web:80/"]);
        check_rule(&RULE, &two.and(client), fails(PROBLEM));
    }

    #[test]
    fn a_second_listener_for_the_world_is_enough() {
        check_rule(
            &RULE,
            &listening(web(), &["127.0.0.1:80", "172.18.0.9:80"]),
            passes(),
        );
        check_rule(
            &RULE,
            &listening(web(), &["127.0.0.1:80", "[::]:80"]),
            passes(),
        );
        check_rule(
            &RULE,
            &listening(web(), &["0.0.0.0:80", "127.0.0.1:9000"]),
            passes(),
        );
    }

    #[test]
    fn udp_only_where_it_is_promised() {
        let on = |subject| world(subject).listens(vec![socket(Protocol::Udp, "127.0.0.1:53")]);
        check_rule(
            &RULE,
            &on(container("dns").exposes(udp(53))),
            fails(
                "port 53/udp of `dns` is bound to the container's own loopback (127.0.0.1:53), so \
                 nobody else can connect to it",
            ),
        );
        let peer = container("app").on("my_network", "172.18.0.3");
        check_rule(&RULE, &on(container("dns")).and(peer), passes());
    }

    #[test]
    fn unknown_only_where_it_matters() {
        check_rule(
            &RULE,
            &world(web()),
            unknown("the listening sockets of `web`"),
        );
        check_rule(&RULE, &world(container("app")), not_applicable());
        check_rule(&RULE, &world(web().mode(Mode::Host)), not_applicable());
    }
}
