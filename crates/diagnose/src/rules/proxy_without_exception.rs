//! HTTP requests to a container go to the proxy, which does not know containers.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::case::Case;
use crate::evidence::Container;
use crate::reference::{Place, Reference};
use crate::report::Subject;
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "proxy-without-exception",
    title: "requests to a container go to the HTTP proxy",
    check: Check::Config,
    explained_by: &[],
    docs: "\
## What it checks

The container has a proxy in its environment (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, in capital or small
letters), it is told to use another container by an `http` or `https` URL, and neither `NO_PROXY` nor
`no_proxy` excepts that name or address. The values of the proxy variables are not kept: they may hold a
password. Docker sets them by itself in every container where `proxies` stands in `~/.docker/config.json`.

## Why it matters

An HTTP client with these variables sends the request to the proxy. The proxy knows no names of containers and
has no route to them (unless it is a container on the same network): it answers 502, 503, 504 or 403, or
`could not resolve host`. Databases and everything
that is not HTTP works meanwhile, which makes it look like a fault of the server.

## How to fix it

Except the names of the containers: `NO_PROXY=localhost,127.0.0.1,web`. Clients differ in which spelling they
read, so set both `NO_PROXY` and `no_proxy`. In `~/.docker/config.json` the key is `noProxy`.

## When it is wrong

Some clients ignore these variables, or some of them: then the request does not go to the proxy at all.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let name = case.name();
    let (of_proxies, of_peers): (Vec<&Reference>, Vec<&Reference>) =
        case.detail.references.iter().partition(|one| is_of_a_proxy(case, one));
    let proxies: Vec<&Container> = of_proxies
        .into_iter()
        .filter_map(|reference| container(case, reference))
        .collect();
    let mut meant: Vec<(&Reference, &Container, &str)> = Vec::new();
    for reference in of_peers {
        let Some(scheme @ ("http" | "https")) = reference.scheme.as_deref() else {
            continue;
        };
        let Some(variable) = proxy_for(case, scheme) else {
            continue;
        };
        let Some(other) = container(case, reference) else {
            continue;
        };
        let known = meant.iter().any(|(seen, ..)| seen.host == reference.host);
        // A proxy in a container finds what is on its networks.
        let is_beside_a_proxy = proxies.iter().any(|proxy| share_a_network(proxy, other));
        if !known && !is_beside_a_proxy && !is_excepted(case, reference) {
            meant.push((reference, other, variable));
        }
    }
    let Some((first, _, variable)) = meant.first() else {
        return Verdict::Pass;
    };
    let hosts: Vec<&str> = meant.iter().map(|(one, ..)| one.host.as_str()).collect();
    let mut subjects = vec![Subject::container(name)];
    subjects.extend(meant.iter().map(|(_, other, _)| Subject::container(&other.name)));
    subjects.push(Subject::setting(&first.place));
    let quoted: Vec<String> = hosts.iter().map(|host| format!("`{host}`")).collect();
    let exceptions = &case.detail.proxy_exceptions;
    let excepted = if exceptions.is_empty() {
        "neither NO_PROXY nor no_proxy is set".to_owned()
    } else {
        let lists: Vec<String> = exceptions
            .iter()
            .map(|(variable, list)| format!("{variable}={list}"))
            .collect();
        lists.join(", ")
    };
    let mut list: Vec<&str> = Vec::new();
    for word in exceptions.values().flat_map(|list| words(list)) {
        if !list.contains(&word) {
            list.push(word);
        }
    }
    if list.is_empty() {
        list.extend(["localhost", "127.0.0.1"]);
    }
    list.extend(&hosts);
    let value = list.join(",");
    let fault = Fault::warning(
        format!(
            "`{name}` sends its requests to {} to a proxy ({variable}), which does not know containers",
            quoted.join(", ")
        ),
        subjects,
    )
    .proofs(meant.iter().filter_map(|(one, ..)| one.written_proof()))
    .proof(format!("Engine API: {variable} is set; {excepted}"))
    .fix(
        case.recreate()
            .set_env("NO_PROXY", &value)
            .set_env("no_proxy", &value)
            .fix(
                &format!("Except it from the proxy: `NO_PROXY={value}`, in both spellings"),
                &format!("set `NO_PROXY` and `no_proxy` to `{value}`"),
            ),
    );
    Verdict::Fail(vec![fault])
}

/// Whether it says where the proxy is: that is where requests go, not what they are for.
fn is_of_a_proxy(case: &Case<'_>, reference: &Reference) -> bool {
    match &reference.place {
        Place::Env(name) => case.detail.proxies.iter().any(|one| one.eq_ignore_ascii_case(name)),
        Place::Argument(_) | Place::Label(_) | Place::Asked => false,
    }
}

fn share_a_network(one: &Container, other: &Container) -> bool {
    let has = |id: &str| other.endpoint(id).is_some();
    one.endpoints.iter().any(|endpoint| has(&endpoint.network_id))
}

/// The variable that sends requests of this scheme to a proxy.
fn proxy_for<'a>(case: &Case<'a>, scheme: &str) -> Option<&'a str> {
    let wanted = [format!("{scheme}_proxy"), "all_proxy".to_owned()];
    case.detail
        .proxies
        .iter()
        .map(String::as_str)
        .find(|name| wanted.iter().any(|one| name.eq_ignore_ascii_case(one)))
}

/// The running container on a common network that a reference means.
fn container<'a>(case: &Case<'a>, reference: &Reference) -> Option<&'a Container> {
    let other = match reference.host.parse() {
        Ok(address) => case.owner_of(address),
        Err(_) => case.others_named(&reference.host).into_iter().next(),
    }?;
    let near = other.id != case.subject.id && !case.shared_networks(other).is_empty();
    (near && other.is_running()).then_some(other)
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ' ']).map(str::trim).filter(|word| !word.is_empty())
}

/// Whether some client would go there directly. Clients read the list differently (curl, Go, Python and
/// wget have each their own rules); what any of them takes for an exception is one here.
fn is_excepted(case: &Case<'_>, reference: &Reference) -> bool {
    let host = reference.host.trim_end_matches('.').to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    let excepts = |word: &str| {
        if word == "*" {
            return true;
        }
        let word = word.to_ascii_lowercase();
        // Also `web:80` and `[fd00::2]:80`.
        let bare = match (word.rsplit_once(':'), word.parse::<IpNet>()) {
            (_, Ok(net)) => return address.is_some_and(|address| net.contains(&address)),
            (Some((before, port)), _) if port.parse::<u16>().is_ok() && !before.ends_with(':') => {
                before
            }
            _ => word.as_str(),
        };
        let bare = bare.trim_matches(['[', ']']).trim_start_matches('*');
        let domain = bare.trim_start_matches('.');
        !domain.is_empty() && (host == domain || host.ends_with(&format!(".{domain}")))
    };
    case.detail
        .proxy_exceptions
        .values()
        .flat_map(|list| words(list))
        .any(excepts)
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::evidence::Evidence;
    use crate::rules::testing::{check_rule, commands, container, fails, passes, world};

    const WEB: &str = "172.18.0.3";

    fn app(lines: &[&str], exceptions: &[(&str, &str)]) -> Evidence {
        let mut app = container("app").env(lines);
        app.detail_mut().proxy_exceptions = exceptions
            .iter()
            .map(|(name, list)| ((*name).to_owned(), (*list).to_owned()))
            .collect();
        world(app).and(container("web").on("my_network", WEB))
    }

    #[test]
    fn a_proxy_in_a_container_is_where_it_should_be() {
        let proxy = || container("squid").on("my_network", "172.18.0.7");
        let lines = ["HTTP_PROXY=http://squid:3128", "https_proxy=http://squid:3128/"];
        check_rule(&RULE, &app(&lines, &[]).and(proxy()), passes());
        // It finds what is beside it, and nothing else.
        let lines = [URL, lines[0]];
        check_rule(&RULE, &app(&lines, &[]).and(proxy()), passes());
        let mut both = container("app").env(&lines).on("other", "172.19.0.9");
        both.detail_mut().proxy_exceptions.clear();
        let far = container("web").alone().on("other", "172.19.0.3");
        let problem = "`app` sends its requests to `web` to a proxy (HTTP_PROXY), which does not know containers";
        check_rule(&RULE, &world(both).and(far).and(proxy()), fails(problem));
    }

    const URL: &str = "API_URL=http://web:8080/";

    #[test]
    fn a_proxy_without_exceptions() {
        let evidence = app(&[URL, "http_proxy=x"], &[]);
        check_rule(
            &RULE,
            &evidence,
            fails(
                "`app` sends its requests to `web` to a proxy (http_proxy), which does not know \
                 containers",
            ),
        );
        let all = commands(&RULE, &evidence);
        assert!(
            all.iter().any(|command| command
                .contains("-e NO_PROXY=localhost,127.0.0.1,web -e no_proxy=localhost,127.0.0.1,web")),
            "{all:#?}"
        );
    }

    #[test]
    fn what_is_excepted_already_stays_so() {
        let evidence = app(
            &[URL, "HTTP_PROXY=x", "NO_PROXY=x"],
            &[("NO_PROXY", "localhost,.internal, db")],
        );
        let all = commands(&RULE, &evidence);
        assert!(
            all.iter()
                .any(|command| command.contains("NO_PROXY=localhost,.internal,db,web")),
            "{all:#?}"
        );
    }

    #[test]
    fn what_any_client_takes_for_an_exception_is_silent() {
        for list in ["web", "*", "WEB", "a, web:8080", "a web"] {
            let evidence = app(&[URL, "HTTP_PROXY=x"], &[("no_proxy", list)]);
            check_rule(&RULE, &evidence, passes());
        }
        let by_address = "API_URL=http://172.18.0.3:8080/";
        for list in ["172.18.0.0/16", WEB] {
            let evidence = app(&[by_address, "HTTP_PROXY=x"], &[("no_proxy", list)]);
            check_rule(&RULE, &evidence, passes());
        }
    }

    #[test]
    fn without_a_proxy_http_or_a_container_it_is_silent() {
        for lines in [
            &[URL][..],
            &[URL, "HTTPS_PROXY=x"],
            &[URL, "HTTP_PROXY="],
            &["DB_URL=mysql://web/x", "HTTP_PROXY=x"],
            &["API_URL=http://example.com/", "HTTP_PROXY=x"],
        ] {
            check_rule(&RULE, &app(lines, &[]), passes());
        }
    }
}
