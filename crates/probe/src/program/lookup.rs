//! Resolves a name the way a program with the C library does (getaddrinfo, resolv.conf(5)), and
//! keeps a record of every query. It must never call the C library's own resolver: that one reads
//! the files of the wrong root, and a static binary has none.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Instant;

use netcheck_probe::{DnsOutcome, DnsQuery, HostsEntry, Lookup, RecordType, ResolvConf, Source};

use super::connect::udp;
use super::files::Root;
use super::time::{Until, since};
use super::{dns, parse, run};

/// MAXNS of resolv.conf(5).
const MOST_SERVERS: usize = 3;

/// Search domains that are tried; six was the C library's limit for long.
const MOST_DOMAINS: usize = 6;

/// What the name comes to here.
pub(crate) fn lookup(root: &Root, name: &str, until: Until) -> Result<Lookup, String> {
    let start = Instant::now();
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(Lookup {
            source: Source::Literal,
            addresses: vec![address],
            queries: Vec::new(),
            took_ms: since(start),
        });
    }
    // Without these files the C library takes its defaults; the snapshot tells why they lack.
    let hosts = root.read("/etc/hosts").unwrap_or_default();
    let conf = root.read("/etc/resolv.conf").unwrap_or_default();
    let known = in_hosts(name, &parse::hosts(&hosts));
    let (resolved, queries) = resolve(name, &parse::resolv_conf(&conf), until)?;
    let (source, mut addresses) = match (known.is_empty(), resolved.is_empty()) {
        (false, _) => (Source::Hosts, known),
        (true, false) => (Source::Dns, resolved),
        (true, true) => (Source::Nobody, Vec::new()),
    };
    sort(&mut addresses);
    Ok(Lookup {
        source,
        addresses,
        queries,
        took_ms: since(start),
    })
}

fn in_hosts(name: &str, hosts: &[HostsEntry]) -> Vec<IpAddr> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut found = Vec::new();
    for entry in hosts {
        let same = |it: &String| {
            it.strip_suffix('.')
                .unwrap_or(it)
                .eq_ignore_ascii_case(name)
        };
        if entry.names.iter().any(same) && !found.contains(&entry.address) {
            found.push(entry.address);
        }
    }
    found
}

/// The names to ask for, in order, and of each whether it is the last.
fn candidates(name: &str, conf: &ResolvConf) -> Vec<String> {
    if let Some(absolute) = name.strip_suffix('.') {
        return vec![absolute.to_owned()];
    }
    let dots = name.matches('.').count();
    let with = |domain: &String| match domain.trim_matches('.') {
        "" => name.to_owned(),
        domain => format!("{name}.{domain}"),
    };
    let mut all: Vec<String> = conf.search.iter().take(MOST_DOMAINS).map(with).collect();
    let place = if dots >= conf.ndots() { 0 } else { all.len() };
    all.insert(place, name.to_owned());
    let mut once: Vec<String> = Vec::new();
    for candidate in all {
        if !once.contains(&candidate) {
            once.push(candidate);
        }
    }
    once
}

fn resolve(
    name: &str,
    conf: &ResolvConf,
    until: Until,
) -> Result<(Vec<IpAddr>, Vec<DnsQuery>), String> {
    let mut servers: Vec<SocketAddr> = conf
        .nameservers
        .iter()
        .take(MOST_SERVERS)
        .map(|&address| SocketAddr::new(address, 53))
        .collect();
    if servers.is_empty() {
        servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53));
    }
    let mut queries = Vec::new();
    for candidate in candidates(name, conf) {
        let mut next = Step::Sure;
        for &server in &servers {
            if until.left().is_none() {
                return Ok((Vec::new(), queries));
            }
            let pair = both(&candidate, server, until.at_most(dns::ATTEMPT))?;
            let addresses = pair.iter().flat_map(|query| match &query.outcome {
                DnsOutcome::Addresses(addresses) => addresses.clone(),
                _ => Vec::new(),
            });
            let addresses: Vec<IpAddr> = addresses.collect();
            next = step(&pair);
            queries.extend(pair);
            if !addresses.is_empty() {
                return Ok((addresses, queries));
            }
            if matches!(next, Step::Sure) {
                break;
            }
        }
        if matches!(next, Step::Unanswered) {
            break;
        }
    }
    Ok((Vec::new(), queries))
}

/// What the C library does after an answer without an address (res_nsearch, res_nsend).
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// The server is sure; another search domain may know it.
    Sure,
    /// The server cannot tell; the next one may, and after the last one another domain.
    Unsure,
    /// No answer; if no server gives one, no other domain is tried.
    Unanswered,
}

fn step(pair: &[DnsQuery]) -> Step {
    let mut step = Step::Sure;
    for query in pair {
        match query.outcome {
            DnsOutcome::Addresses(_) | DnsOutcome::NoData | DnsOutcome::NxDomain => {}
            DnsOutcome::TimedOut | DnsOutcome::Undelivered(_) => return Step::Unanswered,
            _ => step = Step::Unsure,
        }
    }
    step
}

/// A and AAAA at once.
fn both(name: &str, server: SocketAddr, until: Until) -> Result<Vec<DnsQuery>, String> {
    let ask = |record| dns::query(name, record, server, until);
    let (four, six) = thread::scope(|scope| {
        let other = thread::Builder::new()
            .stack_size(run::STACK)
            .spawn_scoped(scope, || ask(RecordType::Aaaa));
        let four = ask(RecordType::A);
        let six = match other {
            Ok(other) => other
                .join()
                .unwrap_or_else(|_| Err(format!("asking {server} for {name}: thread lost"))),
            // No more threads: one after the other.
            Err(_) => ask(RecordType::Aaaa),
        };
        (four, six)
    });
    Ok(vec![four?, six?])
}

/// RFC 6724 as far as it matters between containers: first what there is a source address and a
/// route for, then by the precedence of its default table.
fn sort(addresses: &mut [IpAddr]) {
    addresses.sort_by_cached_key(|&address| {
        // Connecting a UDP socket sends nothing; it only asks the routing table.
        let reachable = udp(SocketAddr::new(address, 9)).is_ok();
        (Reverse(reachable), Reverse(precedence(address)))
    });
}

fn precedence(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 35,
        IpAddr::V6(six) if six.is_loopback() => 50,
        IpAddr::V6(six) if six.is_unique_local() => 3,
        IpAddr::V6(_) => 40,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netcheck_probe::Errno;

    fn conf(text: &str) -> ResolvConf {
        parse::resolv_conf(text.as_bytes())
    }

    #[test]
    fn search_domains_and_ndots() {
        let plain = conf("search a.example b.example");
        assert_eq!(
            candidates("web", &plain),
            ["web.a.example", "web.b.example", "web"]
        );
        assert_eq!(
            candidates("web.x", &plain),
            ["web.x", "web.x.a.example", "web.x.b.example"]
        );
        assert_eq!(candidates("web.", &plain), ["web"]);
        let docker = conf("search a.example\noptions ndots:0");
        assert_eq!(candidates("web", &docker), ["web", "web.a.example"]);
        assert_eq!(candidates("web", &conf("search .")), ["web"]);
        assert_eq!(candidates("web", &conf("")), ["web"]);
    }

    #[test]
    fn hosts_ignore_case_and_the_final_dot() {
        let hosts = parse::hosts(b"10.0.0.1 Web\n10.0.0.2 other web\nfd00::1 web.\n10.0.0.1 WEB");
        let found = in_hosts("wEb.", &hosts);
        assert_eq!(found.len(), 3);
        assert!(in_hosts("we", &hosts).is_empty());
    }

    #[test]
    fn what_follows_an_answer() {
        let query = |outcome| DnsQuery {
            name: String::new(),
            record: RecordType::A,
            server: "127.0.0.1:53".parse().unwrap(),
            outcome,
            took_ms: 0,
        };
        let after = |a, b| step(&[query(a), query(b)]);
        assert_eq!(after(DnsOutcome::NxDomain, DnsOutcome::NoData), Step::Sure);
        assert_eq!(
            after(DnsOutcome::ServFail, DnsOutcome::NoData),
            Step::Unsure
        );
        assert_eq!(
            after(DnsOutcome::NoData, DnsOutcome::Undelivered(Errno::Refused)),
            Step::Unanswered
        );
    }

    #[test]
    fn order_of_addresses() {
        let mut addresses: Vec<IpAddr> = ["fd00::1", "192.0.2.1", "2001:db8::1"]
            .map(|it| it.parse().unwrap())
            .to_vec();
        addresses.sort_by_key(|&it| Reverse(precedence(it)));
        assert_eq!(addresses[0].to_string(), "2001:db8::1");
        assert_eq!(addresses[2].to_string(), "fd00::1");
    }
}
