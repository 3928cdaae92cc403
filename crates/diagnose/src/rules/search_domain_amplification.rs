//! Container names are asked for with search domains first, so that others hear of them or answer.

use std::net::IpAddr;

use netcheck_probe::{DnsOutcome, Lookup, ResolvConf};

use crate::case::{Case, list};
use crate::evidence::Fact;
use crate::plan;
use crate::reference::Reference;
use crate::report::Subject;
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "search-domain-amplification",
    title: "container names are asked for with search domains first",
    check: Check::Name,
    explained_by: &[
        "container-not-running",
        "container-on-no-network",
        "network-mode-none",
        "shared-namespace-dead",
        // With servers that answer, the name itself is asked for in the end.
        "dns-server-is-loopback",
        "upstream-dns-fails",
        "dns-server-unreachable",
        "engine-dns-silent",
    ],
    docs: "\
## What it checks

The environment, the command line or your question names a container on a common network, and the
container's /etc/resolv.conf has search domains and an `ndots` above the number of dots in that name. Then
`web` is asked for as `web.corp.example` first. The lookup is made as a program makes it, where the servers
that hear of it are not on the internet; else the files alone decide.

It is an error where another machine's address comes back, or none; a warning where the right one comes
after all.

## Why it matters

Each lookup takes a query for each search domain and address family before the right one; container names
show up in the logs of name servers that have no business with them; and where a domain has a wildcard
entry, `db` leads to a foreign host, while `nslookup db.` is right. When those servers are down, container
names do not resolve either.

## How to fix it

Make the container again without `--dns-option ndots:N` (`dns_opt` in a Compose file; often copied from
Kubernetes): Docker itself writes `ndots:0`. Where the number is the host's or the engine's (podman
leaves it at 1), choose `--dns-option ndots:0`. A name with a final dot (`web.`) is asked for as it is.

## When it is wrong

The host in the search domain is the one that is meant, and a container happens to have its name.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if !case.is_joined() {
        return Verdict::NotApplicable;
    }
    let conf = match case
        .snapshot()
        .and_then(|seen| seen.resolv_conf.as_ref().map_err(Clone::clone))
    {
        Ok(conf) => conf,
        Err(reason) if may_search(case) && !case.detail.references.is_empty() => {
            return Verdict::Unknown(format!("the search domains of `{}`: {reason}", case.name()));
        }
        Err(_) => return Verdict::NotApplicable,
    };
    let leaks = case.networks().iter().any(|(network, _)| !network.internal);
    let mut faults = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for reference in case.named_references() {
        let host = reference.host.as_str();
        if !case.is_chosen(reference)
            || seen.contains(&host)
            || !conf.nameservers.iter().any(|one| case.is_engines_dns(*one))
            || !plan::asks_search_domains_first(case, host)
            || !plan::is_answered_locally(case, host)
            || in_hosts(case, host)
        {
            continue;
        }
        seen.push(host);
        let searched = match case.visit().map(|visit| visit.lookup(host)) {
            Ok(Fact::Known(lookup)) if was_searched(lookup, host) => Some(lookup),
            _ => None,
        };
        // In a network without a way out nobody else hears of it.
        if searched.is_some() || leaks {
            faults.push(fault(case, reference, conf, searched));
        }
    }
    Verdict::from_faults(faults)
}

/// By the words it was made with: Docker itself writes ndots:0, and podman a search domain of its own.
fn may_search(case: &Case<'_>) -> bool {
    case.detail.dns_options.iter().any(|one| raises(one))
        || (case.is_podman() && !case.detail.dns_search.is_empty())
}

fn raises(option: &str) -> bool {
    let number = option.strip_prefix("ndots:");
    number.and_then(|number| number.parse().ok()) > Some(0_usize)
}

fn in_hosts(case: &Case<'_>, name: &str) -> bool {
    let hosts = case
        .snapshot()
        .ok()
        .and_then(|seen| seen.hosts.as_ref().ok());
    hosts.into_iter().flatten().any(|line| {
        line.names
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name))
    })
}

/// The lookup was made as programs make it, not with a final dot.
fn was_searched(lookup: &Lookup, host: &str) -> bool {
    let first = lookup.queries.first();
    first.is_some_and(|query| query.name.trim_end_matches('.') != host)
}

fn fault(
    case: &Case<'_>,
    reference: &Reference,
    conf: &ResolvConf,
    searched: Option<&Lookup>,
) -> Fault {
    let (name, host) = (case.name(), reference.host.as_str());
    let owners = case.others_named(host);
    let owners: Vec<_> = owners
        .into_iter()
        .filter(|other| !case.shared_networks(other).is_empty())
        .collect();
    let right: Vec<IpAddr> = owners
        .iter()
        .flat_map(|other| case.endpoints_of(other))
        .flat_map(|endpoint| endpoint.addresses.iter().copied())
        .collect();
    let first = first_asked(conf, host);
    let mut subjects = vec![Subject::container(name)];
    subjects.extend(owners.iter().map(|other| Subject::container(&other.name)));
    subjects.push(Subject::setting(&reference.place));
    let place = reference.place.aside();
    let addresses = searched.map_or(&[][..], |lookup| &lookup.addresses);
    let is_right = addresses.iter().any(|address| right.contains(address));
    let mut fault = if searched.is_some() && addresses.is_empty() {
        Fault::error(
            format!(
                "`{name}` does not find `{host}`{place}: it asks for `{first}` first, and nobody answers that"
            ),
            subjects,
        )
    } else if searched.is_some() && !is_right && !right.is_empty() {
        Fault::error(
            format!(
                "`{host}`{place} leads `{name}` to {}, a foreign host: it asks for `{first}` first",
                list(addresses)
            ),
            subjects,
        )
    } else {
        Fault::warning(
            format!("`{name}` asks for `{first}` before it asks for `{host}`{place}"),
            subjects,
        )
    }
    .proof(format!(
        "seen from `{name}`: /etc/resolv.conf has `search {}` and `ndots:{}`",
        conf.search.join(" "),
        conf.ndots()
    ));
    if let Some(lookup) = searched {
        fault = fault.proof(format!(
            "seen from `{name}`: looking up `{host}`, {} in all: {}",
            match lookup.queries.len() {
                1 => "1 query".to_owned(),
                number => format!("{number} queries"),
            },
            queries(lookup)
        ));
    }
    if !right.is_empty() {
        fault = fault.proof(format!("Engine API: `{host}` is {}", list(&right)));
    }
    let chosen = case.detail.dns_options.iter().any(|one| raises(one));
    // podman writes none, which means 1.
    let leave = chosen && !case.is_podman();
    let (text, edit) = if leave {
        (
            "Leave `ndots` to the engine, which writes `ndots:0`",
            "take `ndots` out of `dns_opt`",
        )
    } else {
        (
            "Set `ndots:0`, so that a name is asked for as it is first",
            "write `dns_opt: [\"ndots:0\"]`",
        )
    };
    let recreate = case.recreate().drop_dns_option("ndots:");
    let recreate = if leave {
        recreate
    } else {
        recreate.add_dns_option("ndots:0")
    };
    fault.fix(recreate.fix(text, edit))
}

/// What is asked for first.
fn first_asked(conf: &ResolvConf, host: &str) -> String {
    match plan::first_search_domain(conf) {
        Some(domain) => format!("{host}.{domain}"),
        None => host.to_owned(),
    }
}

/// The most names in a proof.
const MOST: usize = 6;

/// Each name once, with what it came to.
fn queries(lookup: &Lookup) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for query in &lookup.queries {
        let best = lookup
            .queries
            .iter()
            .filter(|other| other.name == query.name)
            .find(|other| matches!(other.outcome, DnsOutcome::Addresses(_)));
        if !names.contains(&query.name.as_str()) {
            names.push(&query.name);
            let outcome = crate::case::outcome_words(&best.unwrap_or(query).outcome);
            words.push(format!("`{}`: {outcome}", query.name));
        }
    }
    words.truncate(MOST);
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{
        Answer, DnsOutcome, DnsQuery, HostsEntry, Lookup, Question, RecordType, ResolvConf, Snapshot,
        Source,
    };

    use super::RULE;
    use crate::evidence::{Container, Evidence, Fact};
    use crate::report::Severity;
    use crate::rule::Verdict;
    use crate::rules::testing::{
        check_rule, commands, container, fails, ip, not_applicable, on_podman, passes, snapshot,
        unknown, world,
    };

    fn app() -> Container {
        let mut app = container("app").env(&["WEB_URL=http://web:80/"]);
        app.detail_mut().dns_options = vec!["ndots:5".into()];
        app.detail_mut().dns_search = vec!["corp.example".into()];
        app
    }

    fn seen(ndots: &str) -> Snapshot {
        let mut seen = snapshot();
        let conf = seen.resolv_conf.as_mut().unwrap();
        conf.search = vec!["corp.example".into()];
        conf.options = vec![ndots.into()];
        seen
    }

    fn with(app: Container, ndots: &str) -> Evidence {
        world(app)
            .and(container("web").on("my_network", "172.18.0.2"))
            .sees(seen(ndots))
    }

    /// `web` was looked up, with these answers by name.
    fn searched(evidence: Evidence, answers: &[(&str, DnsOutcome)]) -> Evidence {
        let query = |(name, outcome): &(&str, DnsOutcome)| DnsQuery {
            name: (*name).into(),
            record: RecordType::A,
            server: "127.0.0.11:53".parse().unwrap(),
            outcome: outcome.clone(),
            took_ms: 1,
        };
        let addresses = match &answers.last().unwrap().1 {
            DnsOutcome::Addresses(addresses) => addresses.clone(),
            _ => Vec::new(),
        };
        evidence.answered(
            Question::Lookup { name: "web".into() },
            Answer::Lookup(Lookup {
                source: Source::Dns,
                addresses,
                queries: answers.iter().map(query).collect(),
                took_ms: 3,
            }),
        )
    }

    fn severity(evidence: &Evidence) -> Severity {
        let case = crate::case::Case::new(evidence).unwrap();
        match (RULE.judge)(&case) {
            Verdict::Fail(faults) => faults[0].severity,
            other => panic!("{other:?}"),
        }
    }

    const LEAKS: &str = "`app` asks for `web.corp.example` before it asks for `web` (WEB_URL)";

    #[test]
    fn a_name_that_leaks_and_is_right_in_the_end() {
        let right = DnsOutcome::Addresses(vec![ip("172.18.0.2")]);
        let answers = [
            ("web.corp.example", DnsOutcome::NxDomain),
            ("web", right),
        ];
        let evidence = searched(with(app(), "ndots:5"), &answers);
        check_rule(&RULE, &evidence, fails(LEAKS));
        assert_eq!(severity(&evidence), Severity::Warning);
        let lines = commands(&RULE, &evidence);
        assert!(
            lines.iter().all(|line| !line.contains("ndots"))
                && lines.iter().any(|line| line.contains("--dns-search")),
            "{lines:?}"
        );
    }

    #[test]
    fn a_foreign_host_answers_first() {
        let foreign = DnsOutcome::Addresses(vec![ip("10.0.0.7")]);
        let evidence = searched(with(app(), "ndots:5"), &[("web.corp.example", foreign)]);
        check_rule(
            &RULE,
            &evidence,
            fails(
                "`web` (WEB_URL) leads `app` to 10.0.0.7, a foreign host: it asks for `web.corp.example` first",
            ),
        );
        assert_eq!(severity(&evidence), Severity::Error);
    }

    #[test]
    fn nobody_answers_the_first_question() {
        let answers = [("web.corp.example", DnsOutcome::TimedOut)];
        let evidence = searched(with(app(), "ndots:5"), &answers);
        check_rule(
            &RULE,
            &evidence,
            fails(
                "`app` does not find `web` (WEB_URL): it asks for `web.corp.example` first, and nobody \
                 answers that",
            ),
        );
    }

    #[test]
    fn the_files_alone_decide_where_nothing_may_be_asked() {
        let evidence = with(app(), "ndots:5").resolves("web.", &["172.18.0.2"]);
        check_rule(&RULE, &evidence, fails(LEAKS));
        assert_eq!(severity(&evidence), Severity::Warning);
        let mut inside = evidence;
        if let Fact::Known(networks) = &mut inside.networks {
            networks[1].internal = true;
        }
        check_rule(&RULE, &inside, passes());
    }

    #[test]
    fn a_number_that_is_not_the_containers_own() {
        let mut app = app();
        app.detail_mut().dns_options.clear();
        let evidence = with(app, "ndots:2");
        check_rule(&RULE, &evidence, fails(LEAKS));
        let lines = commands(&RULE, &evidence);
        assert!(
            lines.iter().any(|line| line.contains("--dns-option ndots:0")),
            "{lines:?}"
        );
    }

    #[test]
    fn podmans_own_domain_is_its_own_and_its_number_is_one() {
        let podman = |domain: &str| {
            let mut app = container("app").env(&["WEB_URL=http://web:80/"]);
            app.detail_mut().dns_search = vec![domain.into()];
            let mut seen = snapshot();
            seen.resolv_conf = Ok(ResolvConf {
                nameservers: vec![ip("172.18.0.1")],
                search: vec![domain.into()],
                ..ResolvConf::default()
            });
            let web = container("web").on("my_network", "172.18.0.2");
            on_podman(world(app).and(web).sees(seen))
        };
        check_rule(&RULE, &podman("dns.podman"), passes());
        let leaks = podman("corp.example");
        check_rule(&RULE, &leaks, fails(LEAKS));
        let lines = commands(&RULE, &leaks);
        assert!(
            lines.iter().any(|line| line.contains("--dns-option ndots:0")),
            "{lines:?}"
        );
        let mut unseen = app();
        unseen.detail_mut().dns_options.clear();
        check_rule(&RULE, &on_podman(world(unseen.clone())), unknown("the search domains"));
        check_rule(&RULE, &world(unseen), not_applicable());
    }

    #[test]
    fn silent_where_names_are_asked_for_as_they_are() {
        check_rule(&RULE, &with(app(), "ndots:0"), passes());
        let final_dot = container("app").env(&["WEB_URL=http://web.:80/"]);
        check_rule(&RULE, &with(final_dot, "ndots:5"), passes());
        let unused = container("app");
        check_rule(&RULE, &with(unused, "ndots:5"), passes());
        let mut no_domains = seen("ndots:5");
        no_domains.resolv_conf.as_mut().unwrap().search.clear();
        let evidence = world(app())
            .and(container("web").on("my_network", "172.18.0.2"))
            .sees(no_domains);
        check_rule(&RULE, &evidence, passes());
        let mut in_file = seen("ndots:5");
        in_file.hosts = Ok(vec![HostsEntry {
            address: ip("172.18.0.2"),
            names: vec!["web".into()],
        }]);
        let evidence = world(app())
            .and(container("web").on("my_network", "172.18.0.2"))
            .sees(in_file);
        check_rule(&RULE, &evidence, passes());
        let outside = world(app()).sees(seen("ndots:5"));
        check_rule(&RULE, &outside, passes());
    }

    #[test]
    fn without_a_look_it_is_open_only_where_the_user_set_it() {
        check_rule(&RULE, &world(app()), unknown("the search domains of `app`"));
        check_rule(&RULE, &world(container("app")), not_applicable());
    }
}
