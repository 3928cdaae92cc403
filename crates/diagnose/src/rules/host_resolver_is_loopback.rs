//! The host's resolver is on its loopback, and the engine gave the container public servers instead.

use std::net::IpAddr;

use crate::case::{Case, list};
use crate::evidence::Mode;
use crate::plan;
use crate::reference::Place;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "host-resolver-is-loopback",
    title: "it asks public DNS servers, as the host's own is on loopback",
    check: Check::Outbound,
    explained_by: &["container-on-no-network", "shared-namespace-dead"],
    docs: "\
## What it checks

On the default bridge: every `nameserver` of the host's /etc/resolv.conf is a loopback address, and the
container's has the engine's default servers, 8.8.8.8 and 8.8.4.4, that nobody chose. The file shows
that: the engine writes them after an empty line, or says so in a comment. Nothing is sent to them.

It is an error where you asked for a name that the engine's host resolves and the container does not.

## Why it matters

A container cannot reach 127.0.0.1 of the host, so the engine takes public servers without a word. Names
of the company's network are unknown there (also in `docker build`), all names fail where 8.8.8.8 is
blocked, and questions for internal names go to the internet. Containers on user-defined networks are
not affected: their embedded DNS asks the host's resolver from the host.

## How to fix it

Put the container on a user-defined network. Or give the engine servers that containers reach: `\"dns\":
[\"10.0.0.2\"]` in `/etc/docker/daemon.json`, and restart it.

## When it is wrong

Only public names are needed, and the public servers are reached: then it is harmless.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if case.detail.mode != Mode::Networks
        || case.subject.endpoints.is_empty()
        || !case.detail.dns.is_empty()
    {
        return Verdict::NotApplicable;
    }
    let own = case
        .snapshot()
        .ok()
        .and_then(|snapshot| snapshot.resolv_conf.as_ref().ok());
    // Unread files are told by the rules about servers that were asked.
    let Some(own) = own.filter(|conf| conf.engine_defaults) else {
        return Verdict::NotApplicable;
    };
    let host = case
        .host_visit()
        .ok()
        .and_then(|visit| visit.snapshot().known().copied())
        .and_then(|snapshot| snapshot.resolv_conf.as_ref().ok());
    let Some(host) = host else {
        return Verdict::NotApplicable;
    };
    if host.nameservers.is_empty() || !host.nameservers.iter().all(IpAddr::is_loopback) {
        return Verdict::Pass;
    }
    let name = case.name();
    let problem = format!(
        "`{name}` asks {}, because the resolver of the engine's host, {}, is on the host's loopback",
        list(&own.nameservers),
        list(&host.nameservers)
    );
    let mut subjects = vec![Subject::container(name)];
    subjects.extend(host.nameservers.iter().map(Subject::address));
    let only_the_host_knows = only_the_host_knows(case);
    let mut fault = match only_the_host_knows {
        Some(_) => Fault::error(problem, subjects),
        None => Fault::warning(problem, subjects),
    }
    .proof(format!(
        "seen from `{name}`: its /etc/resolv.conf has the engine's default servers, {}",
        list(&own.nameservers)
    ))
    .proof(format!(
        "seen from the engine's host: its /etc/resolv.conf has only {}",
        list(&host.nameservers)
    ));
    if let Some((host, addresses)) = only_the_host_knows {
        fault = fault.proof(format!(
            "seen from the engine's host: `{host}` is {}; `{name}` does not find it",
            list(&addresses)
        ));
    }
    Verdict::Fail(vec![fault.fix(Fix::new(
        format!(
            "Give the engine servers that containers reach: \"dns\" in /etc/docker/daemon.json, restart \
             the engine and then `{name}`; or create `{name}` again on a user-defined network, whose \
             embedded DNS asks the host's resolver"
        ),
        Vec::new(),
    ))])
}

/// The name that was asked for, where the engine's host resolves it and the subject does not.
fn only_the_host_knows<'a>(case: &Case<'a>) -> Option<(&'a str, Vec<IpAddr>)> {
    let asked = case
        .named_references()
        .find(|reference| reference.place == Place::Asked)?;
    if !plan::belongs_outside(case, &asked.host) || !case.resolution(&asked.host).ok()?.is_empty() {
        return None;
    }
    let addresses = &case.host_visit().ok()?.lookup(&asked.host).known()?.addresses;
    (!addresses.is_empty()).then(|| (asked.host.as_str(), addresses.clone()))
}

#[cfg(test)]
mod tests {
    use netcheck_probe::ResolvConf;

    use super::RULE;
    use crate::evidence::{Container, Evidence, Viewpoint};
    use crate::reference::Reference;
    use crate::report::Severity;
    use crate::request::Target;
    use crate::rule::Verdict;
    use crate::rules::testing::servers::host_has;
    use crate::rules::testing::{
        check_rule, container, fails, ip, not_applicable, passes, snapshot, world,
    };

    fn on_the_default_bridge() -> Container {
        container("app").alone().on("bridge", "172.17.0.2")
    }

    fn seen(app: Container, engine_defaults: bool) -> Evidence {
        let mut snapshot = snapshot();
        snapshot.resolv_conf = Ok(ResolvConf {
            nameservers: vec![ip("8.8.8.8"), ip("8.8.4.4")],
            engine_defaults,
            ..ResolvConf::default()
        });
        world(app).sees(snapshot)
    }

    const PROBLEM: &str = "`app` asks 8.8.8.8, 8.8.4.4, because the resolver of the engine's host, 127.0.0.1, \
                           is on the host's loopback";

    fn severity(evidence: &Evidence) -> Severity {
        let case = crate::case::Case::new(evidence).unwrap();
        match (RULE.judge)(&case) {
            Verdict::Fail(faults) => faults[0].severity,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn public_servers_that_nobody_chose() {
        let evidence = host_has(seen(on_the_default_bridge(), true), &["127.0.0.1"]);
        check_rule(&RULE, &evidence, fails(PROBLEM));
        assert_eq!(severity(&evidence), Severity::Warning);
    }

    #[test]
    fn a_name_that_only_the_host_knows() {
        let mut app = on_the_default_bridge();
        let target = Target::new("db.corp.example", 5432, netcheck_probe::Protocol::Tcp);
        app.detail_mut().references = vec![Reference::asked(&target)];
        let evidence = host_has(seen(app, true), &["127.0.0.1"]).resolves("db.corp.example", &[]);
        check_rule(&RULE, &evidence, fails(PROBLEM));
        assert_eq!(severity(&evidence), Severity::Warning);
        let knows = evidence.resolves_from(Viewpoint::Host, "db.corp.example", &["10.0.0.7"]);
        assert_eq!(severity(&knows), Severity::Error);
    }

    #[test]
    fn chosen_servers_and_other_hosts_are_silent() {
        let chosen = host_has(seen(on_the_default_bridge(), false), &["127.0.0.1"]);
        check_rule(&RULE, &chosen, not_applicable());
        let mixed = host_has(
            seen(on_the_default_bridge(), true),
            &["127.0.0.1", "10.0.0.2"],
        );
        check_rule(&RULE, &mixed, passes());
        check_rule(
            &RULE,
            &seen(on_the_default_bridge(), true),
            not_applicable(),
        );
        let embedded = host_has(world(container("app")).sees(snapshot()), &["127.0.0.1"]);
        check_rule(&RULE, &embedded, not_applicable());
        let mut asked_for = on_the_default_bridge();
        asked_for.detail_mut().dns.push("8.8.8.8".into());
        let asked_for = host_has(seen(asked_for, true), &["127.0.0.1"]);
        check_rule(&RULE, &asked_for, not_applicable());
    }
}
