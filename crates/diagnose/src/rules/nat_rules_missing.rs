//! A published port leads nowhere, because the rule that translates its packets is gone.

use std::net::SocketAddr;

use netcheck_probe::{Accepts, Connected, Errno, Protocol, Socket};

use crate::case::Case;
use crate::evidence::Binding;
use crate::filtered;
use crate::plan::nearest;
use crate::report::Subject;
use crate::rule::{Check, Fault, Rule, Verdict};

/// The processes that hold a published port where there is no proxy: Docker's engine, and podman's keeper of a
/// container.
const HOLDERS: [&str; 2] = ["dockerd", "conmon"];

/// See the module.
pub static RULE: Rule = Rule {
    code: "nat-rules-missing",
    title: "no NAT rule leads from the published port to the container",
    check: Check::Published,
    explained_by: &["docker-chains-missing", "engine-iptables-off"],
    docs: "\
## What it checks

On the engine's host a connection to the published port opens, and nobody takes it: it stays in the accept queue of
the host's own socket. With `--userland-proxy=false` that socket is the engine's, which only keeps the port from
others; connections are to be translated before they come to it. From Docker 28 on its queue takes one connection, and
further ones time out: then the full queue is the proof.

## Why it matters

Clients connect, and then nothing happens, until they give up. `iptables -t nat -F` in a firewall script, or a
firewall service that starts anew, takes Docker's rules away, and the engine does not notice.

## How to fix it

`systemctl restart docker` writes them again; on podman, `podman network reload --all` does, when the table `netavark` of
nftables is deleted. Then keep that script from flushing tables that are not its own. With the proxy (the default)
connections still come through without the rules; only the client's address is lost.

## When it is wrong

The engine was started with `--iptables=false` and `--userland-proxy=false` at once: then there is nothing that could
lead to the container, and one of the two has to go. Or the proxy of that port hangs.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let bindings = &case.subject.published;
    let tcp = |binding: &&Binding| binding.container.protocol == Protocol::Tcp;
    if !case.is_joined() || !bindings.iter().any(|binding| tcp(&binding)) {
        return Verdict::NotApplicable;
    }
    if case.host_visit().is_err() {
        return Verdict::NotApplicable;
    }
    let mut faults: Vec<Fault> = Vec::new();
    for binding in bindings.iter().filter(tcp) {
        let (Some(address), Some(port)) = (binding.host_address, binding.host_port) else {
            continue;
        };
        let to = SocketAddr::new(nearest(address), port);
        let holder = holder(case, port);
        if holder.is_some_and(|name| !HOLDERS.contains(&name)) {
            continue;
        }
        let by = holder.map_or_else(String::new, |holder| format!(" of `{holder}`"));
        let Some((how, saw)) = ends_nowhere(case, to, &by) else {
            continue;
        };
        let fault = fault(case, binding, how, &format!("{to}: {saw}"));
        // Both families of one port tell the same story.
        if faults.iter().all(|known| known.problem != fault.problem) {
            faults.push(fault);
        }
    }
    Verdict::from_faults(faults)
}

/// How connections end there in the queue of the host's own socket, and what was seen of it; none where they do not.
fn ends_nowhere(case: &Case<'_>, to: SocketAddr, by: &str) -> Option<(&'static str, String)> {
    if let Some(Accepts::Waiting { queued, .. }) = case.host_visit().ok()?.accepts(to).known() {
        let saw = "connected, and nobody took it";
        return Some((
            "open and end nowhere",
            format!("{saw} ({queued} wait in the queue of the host's own socket{by})"),
        ));
    }
    let waiting = full_queue(case, to)?;
    Some((
        "end nowhere",
        format!("timed out, as the queue of the host's own socket{by} is full ({waiting} in it)"),
    ))
}

/// Who holds the port on the host, where that was seen.
fn holder<'a>(case: &Case<'a>, port: u16) -> Option<&'a str> {
    sockets(case, port).find_map(|socket| Some(socket.owner.as_ref()?.name.as_str()))
}

/// The connections that wait in the queue of the socket that would take this one, where it is full and this one
/// timed out: the kernel drops a SYN to a full queue without a word (listen(2), `tcp_abort_on_overflow`).
fn full_queue(case: &Case<'_>, to: SocketAddr) -> Option<u32> {
    let visit = case.host_visit().ok()?;
    let Some(Connected::Failed {
        errno: Errno::TimedOut,
        ..
    }) = visit.connect(to).known()
    else {
        return None;
    };
    let takes = |socket: &&Socket| {
        let at = socket.local.ip();
        at == to.ip() || at.is_unspecified() && at.is_ipv4() == to.is_ipv4()
    };
    let full = |socket: &&Socket| socket.waiting > socket.backlog;
    let mut full = sockets(case, to.port()).filter(takes).filter(full);
    Some(full.next()?.waiting)
}

/// The listeners on a TCP port of the host.
fn sockets<'a>(case: &Case<'a>, port: u16) -> impl Iterator<Item = &'a Socket> {
    let sockets = case.host_snapshot().and_then(|seen| seen.sockets.as_ref().ok());
    sockets
        .into_iter()
        .flatten()
        .filter(move |socket| socket.protocol == Protocol::Tcp && socket.local.port() == port)
}

fn fault(case: &Case<'_>, binding: &Binding, how: &str, saw: &str) -> Fault {
    let name = case.name();
    let side = case.host_side(binding.container);
    let mut again = filtered::write_rules_again(case);
    if !case.is_podman() {
        again.text += "; containers that it does not start by itself have to be started";
    }
    Fault::error(
        format!(
            "connections to {side} {how}: no NAT rule leads on to port {} of `{name}`",
            binding.container
        ),
        vec![Subject::container(name), Subject::port(binding.container)],
    )
    .proof(format!("seen from the engine's host: {saw}"))
    .fix(again)
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{
        Accepts, Answer, Connected, Errno, Process, Protocol, Question, Snapshot,
    };

    use super::RULE;
    use crate::evidence::{Evidence, Viewpoint};
    use crate::rules::testing::{
        binding, check_rule, commands, container, fails, not_applicable, on_podman, passes, snapshot, socket,
        tcp, udp, world,
    };

    /// The host's own socket of a published port, with a queue of so many.
    fn held(waiting: u32, owner: Option<&str>) -> Evidence {
        let mut held = socket(Protocol::Tcp, "0.0.0.0:18085");
        (held.waiting, held.backlog) = (waiting, 0);
        held.owner = owner.map(|name| Process {
            pid: 7,
            name: name.into(),
            state: 'S',
        });
        let host = Snapshot {
            sockets: Ok(vec![held]),
            ..snapshot()
        };
        world(container("web").publishes(binding("0.0.0.0", 18085, tcp(80))))
            .answered_from(Viewpoint::Host, Question::Snapshot, Answer::Snapshot(host))
    }

    fn seen(accepts: Accepts, owner: Option<&str>) -> Evidence {
        held(0, owner).answered_from(
            Viewpoint::Host,
            Question::Accepts {
                to: "127.0.0.1:18085".parse().unwrap(),
                patience_ms: 1000,
            },
            Answer::Accepts(accepts),
        )
    }

    fn waiting() -> Accepts {
        Accepts::Waiting {
            queued: 2,
            waited_ms: 1000,
        }
    }

    #[test]
    fn connections_that_nobody_takes() {
        for owner in [None, Some("dockerd")] {
            let evidence = seen(waiting(), owner);
            check_rule(
                &RULE,
                &evidence,
                fails(
                    "connections to host port 18085 open and end nowhere: no NAT rule leads on to port 80/tcp \
                     of `web`",
                ),
            );
            assert_eq!(commands(&RULE, &evidence), ["systemctl restart docker"]);
        }
        let evidence = on_podman(seen(waiting(), Some("conmon")));
        assert_eq!(
            commands(&RULE, &evidence).last().unwrap(),
            "podman network reload --all"
        );
    }

    /// Docker 28's own socket takes one connection and stays full.
    fn timed_out(waiting: u32, owner: Option<&str>) -> Evidence {
        held(waiting, owner).answered_from(
            Viewpoint::Host,
            Question::Connect {
                to: "127.0.0.1:18085".parse().unwrap(),
                listen_ms: 30,
            },
            Answer::Connect(Connected::Failed {
                errno: Errno::TimedOut,
                took_ms: 2000,
            }),
        )
    }

    #[test]
    fn a_queue_that_was_full_before() {
        for owner in [None, Some("dockerd")] {
            check_rule(
                &RULE,
                &timed_out(1, owner),
                fails(
                    "connections to host port 18085 end nowhere: no NAT rule leads on to port 80/tcp of `web`",
                ),
            );
        }
        // A firewall drops them: none came as far as the socket.
        check_rule(&RULE, &timed_out(0, Some("dockerd")), passes());
        check_rule(&RULE, &timed_out(1, Some("docker-proxy")), passes());
    }

    #[test]
    fn a_proxy_that_takes_them_or_hangs_and_ports_that_were_not_tried() {
        let taken = Accepts::Accepted { took_ms: 1 };
        check_rule(&RULE, &seen(taken, None), passes());
        check_rule(&RULE, &seen(waiting(), Some("docker-proxy")), passes());
        let udp = container("dns").publishes(binding("0.0.0.0", 53, udp(53)));
        check_rule(&RULE, &world(udp), not_applicable());
        check_rule(&RULE, &world(container("web")), not_applicable());
    }
}
