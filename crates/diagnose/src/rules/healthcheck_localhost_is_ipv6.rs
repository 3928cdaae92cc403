//! The health check goes to `localhost`, which is `::1` there, and the service takes IPv4 only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netcheck_probe::Protocol;

use super::ipv6_name_ipv4_service::listen_on_both;
use crate::case::{Case, Listener, Reached};
use crate::evidence::Port;
use crate::redact;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "healthcheck-localhost-is-ipv6",
    title: "the health check goes to `::1`, where nothing listens",
    check: Check::State,
    explained_by: &[],
    docs: "\
## What it checks

The container is unhealthy. Its health check connects to `localhost`, which is `::1` as well as `127.0.0.1` there;
what listens on that port takes IPv4 only; and just now a connection to `::1` was refused, while one to
`127.0.0.1` was taken. What the check printed last says that it could not connect.

## Why it matters

busybox `wget` and `nc` and others that were built with musl take the first address of `localhost`, which is
`::1`, and give up. The program serves, and Compose's `condition: service_healthy`, Swarm and Traefik wait for it
for ever. From Engine 26 on the loopback of every container has `::1`; before that, those on a network with IPv6.
So it begins after an upgrade, with nothing changed.

## How to fix it

Write `127.0.0.1` in place of `localhost` in the check, or let the program listen on `[::]`.

## When it is wrong

If the check fails for another reason, and its program tries `127.0.0.1` too (`curl` does; a check that names it is
not reported here).
",
    judge,
};

/// What tries every address of a name by itself, and so fails for another reason.
const TRIES_ALL: [&str; 3] = ["curl", "pg_isready", "mysqladmin"];

fn judge(case: &Case<'_>) -> Verdict {
    let health = case.detail.state.health.as_ref();
    let Some(health) = health.filter(|_| case.subject.is_running()) else {
        return Verdict::NotApplicable;
    };
    let Some(number) = case.health_asks_localhost() else {
        return Verdict::NotApplicable;
    };
    let test = case.detail.health_test.join(" ");
    if health.status != "unhealthy"
        || TRIES_ALL.iter().any(|word| test.contains(word))
        || !could_not_connect(&health.last_output)
    {
        return Verdict::Pass;
    }
    let name = case.name();
    let open = |why: String| Verdict::Unknown(format!("where the health check of `{name}` goes: {why}"));
    let snapshot = match case.snapshot() {
        Ok(snapshot) => snapshot,
        Err(why) => return open(why),
    };
    let written = match &snapshot.hosts {
        Ok(hosts) => hosts.iter().any(|line| {
            line.address == IpAddr::V6(Ipv6Addr::LOCALHOST)
                && line.names.iter().any(|name| name == "localhost")
        }),
        Err(why) => return open(why.clone()),
    };
    let listeners = match case.listeners() {
        Ok(listeners) => listeners,
        Err(why) => return open(why),
    };
    let port = Port {
        number,
        protocol: Protocol::Tcp,
    };
    let on_port: Vec<&Listener> = listeners.iter().filter(|l| l.port == port).collect();
    let takes_ipv6 = |listener: &&Listener| !listener.local.ip().to_canonical().is_ipv4();
    if !written || on_port.is_empty() || on_port.iter().any(takes_ipv6) {
        return Verdict::Pass;
    }
    let six = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), number);
    let four = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), number);
    let reached = |to| case.reached(to, Protocol::Tcp);
    if let Some(why) = case
        .visit()
        .ok()
        .and_then(|visit| visit.connect(six).why_unknown().map(str::to_owned))
    {
        return open(format!("{six}: {why}"));
    }
    if (reached(six), reached(four)) != (Reached::Refused, Reached::Through) {
        return Verdict::Pass;
    }
    let local: Vec<String> = on_port.iter().map(|l| l.local.to_string()).collect();
    let fault = Fault::error(
        format!(
            "`{name}` is unhealthy because its health check goes to `localhost`, which is `::1` first, \
             and port {number} is open by IPv4 only"
        ),
        vec![Subject::container(name), Subject::port(port)],
    )
    .proof(format!("the check: {}", redact::text(&test)))
    .proof(format!(
        "it last said: {}",
        redact::text(health.last_output.trim())
    ))
    .proof(format!(
        "seen from `{name}`: `localhost` is `::1` too in its /etc/hosts; {six}: connection refused; \
         {four}: connected; it listens on {}",
        local.join(", ")
    ));
    Verdict::Fail(vec![
        fault.fix(correct_the_check(case)).fix(listen_on_both(case, number)),
    ])
}

/// The check's own words for a connection that did not come about, and not by IPv4.
fn could_not_connect(output: &str) -> bool {
    let output = output.to_ascii_lowercase();
    let says = ["refused", "connect to", "::1"];
    says.iter().any(|word| output.contains(word)) && !output.contains("127.0.0.1")
}

fn correct_the_check(case: &Case<'_>) -> Fix {
    let text = "Write `127.0.0.1` in place of `localhost` in the health check";
    let edit = "write `127.0.0.1` in place of `localhost` in the `test` of its `healthcheck`";
    // Only what a shell reads can be given with `docker run`, and what holds no secret.
    if let [kind, command] = &case.detail.health_test[..]
        && kind == "CMD-SHELL"
        && !command.contains(redact::MASK)
    {
        let corrected = command.replace("localhost", "127.0.0.1");
        return case.recreate().health_command(&corrected).fix(text, edit);
    }
    let place = match case.subject.compose_service() {
        Some((project, service)) => {
            format!(": in the Compose file of `{project}`, service `{service}`, {edit}")
        }
        None => " (`HEALTHCHECK` of its image, `--health-cmd` of `docker run`)".into(),
    };
    Fix::new(format!("{text}{place}"), Vec::new())
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Connected, Errno, HostsEntry, Protocol, Question, Then};

    use super::RULE;
    use crate::evidence::{Container, Evidence};
    use crate::rules::testing::{
        check_rule, commands, container, fails, fix_texts, ip, not_applicable, passes, snapshot,
        socket, unknown, world,
    };

    const PROBLEM: &str = "`web` is unhealthy because its health check goes to `localhost`, which is \
                           `::1` first, and port 80 is open by IPv4 only";

    fn web(said: &str) -> Container {
        let mut web = container("web").health("unhealthy").command(&["tcp=0.0.0.0:80"]);
        web.detail_mut().state.health.as_mut().unwrap().last_output = said.into();
        web
    }

    const SAID: &str = "wget: can't connect to remote host: Connection refused";

    fn seen(web: Container, listens: &str, six: Option<bool>, four: bool) -> Evidence {
        let mut inside = snapshot();
        inside.sockets = Ok(vec![socket(Protocol::Tcp, listens)]);
        inside.hosts.as_mut().unwrap().push(HostsEntry {
            address: ip("::1"),
            names: vec!["localhost".into(), "ip6-localhost".into()],
        });
        let connect = |address: &str| Question::Connect {
            to: (ip(address), 80).into(),
            listen_ms: 1,
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
        let evidence = world(web).sees(inside).answered(connect("127.0.0.1"), answer(four));
        match six {
            Some(open) => evidence.answered(connect("::1"), answer(open)),
            None => evidence,
        }
    }

    #[test]
    fn the_check_goes_where_nothing_listens() {
        let evidence = seen(web(SAID), "0.0.0.0:80", Some(false), true);
        check_rule(&RULE, &evidence, fails(PROBLEM));
        let commands = commands(&RULE, &evidence);
        let run: Vec<_> = commands.iter().filter(|c| c.starts_with("docker run")).collect();
        assert!(run[0].contains("--health-cmd 'wget -qO- http://127.0.0.1/'"), "{run:?}");
        assert!(run[1].ends_with("'tcp=[::]:80'"), "{run:?}");
        // Its own loopback is as good.
        let evidence = seen(web(SAID), "127.0.0.1:80", Some(false), true);
        check_rule(&RULE, &evidence, fails(PROBLEM));
        let compose = web(SAID).of_service("shop", "web");
        let texts = fix_texts(&RULE, &seen(compose, "0.0.0.0:80", Some(false), true));
        assert!(texts[0].contains("in the `test` of its `healthcheck`"), "{texts:?}");
    }

    #[test]
    fn near_misses() {
        let pass = |evidence: &Evidence| check_rule(&RULE, evidence, passes());
        // Both families; it does not serve at all; another reason; a program that tries both.
        pass(&seen(web(SAID), "[::]:80", Some(true), true));
        pass(&seen(web(SAID), "0.0.0.0:8080", Some(false), false));
        pass(&seen(web("HTTP/1.1 503"), "0.0.0.0:80", Some(false), true));
        pass(&seen(web(""), "0.0.0.0:80", Some(false), true));
        let said = "connect to 127.0.0.1 port 80: Connection refused";
        pass(&seen(web(said), "0.0.0.0:80", Some(false), true));
        let mut curl = web(SAID);
        curl.detail_mut().health_test[1] = "curl -f http://localhost/".into();
        pass(&seen(curl, "0.0.0.0:80", Some(false), true));
        // `::1` is nobody's name there.
        let mut evidence = seen(web(SAID), "0.0.0.0:80", Some(false), true);
        if let Ok(Answer::Snapshot(inside)) = &mut evidence.visits[0].answers[0].answer {
            inside.hosts.as_mut().unwrap().pop();
        }
        pass(&evidence);
        pass(&seen(web(SAID).health("healthy"), "0.0.0.0:80", Some(false), true));
        let mut elsewhere = web(SAID);
        elsewhere.detail_mut().health_test[1] = "wget -qO- http://127.0.0.1/".into();
        check_rule(&RULE, &world(elsewhere), not_applicable());
        check_rule(&RULE, &world(container("web")), not_applicable());
    }

    #[test]
    fn what_was_not_seen_stays_open() {
        let evidence = seen(web(SAID), "0.0.0.0:80", None, true);
        check_rule(&RULE, &evidence, unknown("[::1]:80"));
        check_rule(&RULE, &world(web(SAID)), unknown("no look"));
    }
}
