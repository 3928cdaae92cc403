//! What the rules about packet filters share: which of them a lost packet belongs to, and the proof
//! and the commands that name the rule that took it.
//!
//! It blames nothing that no counter and no sight proves.

use netcheck_probe::Protocol;
use netcheck_probe::firewall::{Backend, Chain, Filter, Part, Rule, Suspect, Verdict as Fate};

use crate::case::{Case, Place, Taken, Traced};
use crate::evidence::{Binding, Viewpoint};
use crate::report::{Fix, Subject};
use crate::rule::{Fault, Verdict};
use crate::shell;

/// NF_INET_LOCAL_IN of linux/netfilter.h.
const INPUT: u32 = 1;

/// NFPROTO_IPV4.
const IPV4: u8 = 2;

/// What a rule of a packet filter does to the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Drops what it sends.
    Drops,
    /// Refuses what it sends.
    Rejects,
    /// Drops or refuses what is answered.
    Replies,
    /// Keeps it from the host itself.
    Host,
    /// No rule lets it through, and the policy is to drop.
    Forward,
}

fn kind(case: &Case<'_>, traced: &Traced<'_>, suspect: &Suspect<'_>, at: &Viewpoint) -> Kind {
    let is_policy = suspect.rule.is_none() && suspect.is_iptables();
    if traced.place == Place::Replies {
        Kind::Replies
    } else if *at == Viewpoint::Host && suspect.hook == INPUT && !case.subject.is_engine_host() {
        Kind::Host
    } else if *at == Viewpoint::Host
        && is_policy
        && suspect.chain.name == "FORWARD"
        // podman neither sets this policy nor writes rules for iptables.
        && !case.is_podman()
    {
        Kind::Forward
    } else if suspect.verdict == Fate::Reject {
        Kind::Rejects
    } else {
        Kind::Drops
    }
}

/// The verdict of the rule for this kind.
pub(crate) fn judge(case: &Case<'_>, wanted: Kind) -> Verdict {
    let traced = case.traced();
    if traced.is_empty() {
        return Verdict::NotApplicable;
    }
    let mut faults: Vec<Fault> = Vec::new();
    let mut open = Vec::new();
    for one in &traced {
        match &one.taken {
            Taken::By {
                suspect,
                counted,
                at,
            } => {
                if kind(case, one, suspect, at) == wanted {
                    let fault = fault(case, one, suspect, *counted, at, wanted);
                    if !faults.iter().any(|known| known.problem == fault.problem) {
                        faults.push(fault);
                    }
                }
            }
            // Said once, by the rule that would have the most to say.
            Taken::Unknown(_) if wanted == Kind::Drops => open.push(one.story()),
            Taken::Unknown(_) => {}
        }
    }
    if faults.is_empty()
        && let Some(story) = open.into_iter().next()
    {
        return Verdict::Unknown(story);
    }
    Verdict::from_faults(faults)
}

/// What was tried, as it was asked for where it was.
fn target(case: &Case<'_>, traced: &Traced<'_>) -> String {
    let to = traced.trial.to;
    match &case.evidence.request.target {
        Some(target) if target.host.parse() != Ok(to.ip()) => format!("{target} ({to})"),
        _ => to.to_string(),
    }
}

fn fault(
    case: &Case<'_>,
    traced: &Traced<'_>,
    suspect: &Suspect<'_>,
    counted: Option<u64>,
    at: &Viewpoint,
    kind: Kind,
) -> Fault {
    let (name, to) = (case.name(), target(case, traced));
    let who = if case.subject.is_engine_host() {
        "the engine's host".to_owned()
    } else {
        format!("`{name}`")
    };
    let whose = case.whose(at);
    let a_rule = match suspect.rule {
        Some(_) => "a firewall rule",
        None => "the policy of a firewall chain",
    };
    let problem = match kind {
        Kind::Drops => format!("{a_rule} {whose} drops what {who} sends to {to}"),
        Kind::Rejects => format!("{a_rule} {whose} refuses what {who} sends to {to}"),
        Kind::Replies => format!("{a_rule} {whose} takes the answers of {to} to {who}"),
        Kind::Host => format!("the firewall of the engine's host keeps {who} from {to}"),
        Kind::Forward => format!(
            "no firewall rule on the engine's host lets {who} through to {to}: Docker's rules are missing"
        ),
    };
    let counter = match counted {
        Some(count) => format!("its counter rose by {count} with these packets"),
        None => "it has no counter, and nothing else there can have taken them".into(),
    };
    Fault::error(
        problem,
        vec![Subject::container(name), Subject::address(traced.trial.to)],
    )
    .proofs(traced.proofs())
    .proof(format!("{} {whose}: {}", suspect.place(), suspect.words()))
    .proof(counter)
    .fixes(fixes(case, traced, suspect, at, kind))
}

fn fixes(
    case: &Case<'_>,
    traced: &Traced<'_>,
    suspect: &Suspect<'_>,
    at: &Viewpoint,
    kind: Kind,
) -> Vec<Fix> {
    let there = |words: Vec<String>| inside(case, at, &words);
    let remove = || {
        suspect.removal().map(|words| {
            let title = match suspect.rule {
                Some(_) => "Take the rule away, on the engine's host (as root)",
                None => "Let through what no rule decides on, on the engine's host (as root)",
            };
            Fix::new(title, vec![there(words)])
        })
    };
    match kind {
        Kind::Drops | Kind::Rejects => remove().into_iter().collect(),
        Kind::Replies => vec![Fix::new(
            "Let answers through before that rule, on the engine's host (as root)",
            vec![there(before(suspect, &state_words(suspect)))],
        )],
        Kind::Host => vec![Fix::new(
            "Let the container's network in before that rule, on the engine's host (as root)",
            vec![there(before(suspect, &source_words(case, traced, suspect)))],
        )],
        Kind::Forward => vec![write_rules_again(case)],
    }
}

/// Docker writes its rules when it starts, podman when it is told (podman-network-reload(1)). netavark takes a
/// network's rules for whole where one of its chains is left, so what is left goes first; older ones have no such
/// table.
pub(crate) fn write_rules_again(case: &Case<'_>) -> Fix {
    let commands = if case.is_podman() {
        vec![
            "nft delete table inet netavark || true".to_owned(),
            shell::command(["podman", "network", "reload", "--all"]),
        ]
    } else {
        vec![shell::command(["systemctl", "restart", "docker"])]
    };
    Fix::new(
        "Have the engine write its rules again, on the engine's host (as root)",
        commands,
    )
}

/// A command for the namespace whose filter it is.
fn inside(case: &Case<'_>, at: &Viewpoint, words: &[String]) -> String {
    let command = shell::command(words);
    match at {
        Viewpoint::Container(id) => {
            let name = case
                .evidence
                .container(id)
                .map_or(id.as_str(), |one| &one.name);
            let inspect = shell::command(["docker", "inspect", "-f", "{{.State.Pid}}", name]);
            format!("nsenter -t \"$({inspect})\" -n {command}")
        }
        Viewpoint::Host | Viewpoint::Network(_) => command,
    }
}

/// A rule that accepts, at the beginning of the suspect's chain.
fn before(suspect: &Suspect<'_>, matches: &[String]) -> Vec<String> {
    let chain = suspect.chain;
    let mut words: Vec<String> = Vec::new();
    if suspect.is_iptables() {
        words.push(suspect.program().into());
        if chain.table != "filter" {
            words.extend(["-t".to_owned(), chain.table.clone()]);
        }
        words.extend(["-I".to_owned(), chain.name.clone()]);
        words.extend(matches.iter().cloned());
        // What DOCKER-USER accepts is asked nothing more; what it returns goes the usual way.
        let verdict = if chain.name == "DOCKER-USER" {
            "RETURN"
        } else {
            "ACCEPT"
        };
        words.extend(["-j".to_owned(), verdict.to_owned()]);
    } else {
        words.extend(["nft", "insert", "rule"].map(str::to_owned));
        words.push(suspect.family().into());
        words.extend([chain.table.clone(), chain.name.clone()]);
        words.extend(matches.iter().cloned());
        words.push("accept".into());
    }
    words
}

fn state_words(suspect: &Suspect<'_>) -> Vec<String> {
    let words: &[&str] = if suspect.is_iptables() {
        &["-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED"]
    } else {
        &["ct", "state", "established,related"]
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn source_words(case: &Case<'_>, traced: &Traced<'_>, suspect: &Suspect<'_>) -> Vec<String> {
    let to = traced.trial.to;
    let protocol = match traced.trial.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    // All containers of the network: addresses of single ones change.
    let source = case
        .source_network(traced.trial)
        .map(|subnet| subnet.to_string());
    let port = to.port().to_string();
    let mut words: Vec<String> = Vec::new();
    let mut add = |some: &[&str]| words.extend(some.iter().map(|word| (*word).to_owned()));
    if suspect.is_iptables() {
        if let Some(source) = &source {
            add(&["-s", source]);
        }
        add(&["-p", protocol, "--dport", &port]);
    } else {
        if let Some(source) = &source {
            add(&[if to.is_ipv4() { "ip" } else { "ip6" }, "saddr", source]);
        }
        add(&[protocol, "dport", &port]);
    }
    words
}

/// Whether the filter holds chains that Docker makes with iptables, in the tables of one program.
pub(crate) fn program_of_docker(filter: &Filter) -> Option<&'static str> {
    let chain = filter.chains.iter().find(|chain| {
        chain.family == IPV4
            && (chain.name == "DOCKER" || chain.name.starts_with("DOCKER-"))
            && chain.name != "DOCKER-USER"
    })?;
    Some(program(chain))
}

/// The program that changes a chain of IPv4.
pub(crate) fn program(chain: &Chain) -> &'static str {
    match chain.backend {
        Backend::Nft => "iptables-nft",
        Backend::Legacy => "iptables-legacy",
    }
}

/// A rule as one that may have taken something, for its words.
pub(crate) fn as_suspect<'a>(chain: &'a Chain, number: usize, rule: &'a Rule) -> Suspect<'a> {
    Suspect {
        chain,
        hook: 2,
        rule: Some((number, rule)),
        verdict: rule.verdict().cloned().unwrap_or(Fate::Drop),
        certain: false,
        fits: false,
    }
}

/// A host port of the subject that is published on all addresses, and for which a rule of a chain says
/// drop or reject.
pub(crate) struct Meant<'a> {
    pub(crate) binding: &'a Binding,
    pub(crate) chain: &'a Chain,
    pub(crate) number: usize,
    pub(crate) rule: &'a Rule,
}

/// The rules of these chains of table `filter` that ask for a host port of the subject.
pub(crate) fn meant<'a>(case: &Case<'a>, filter: &'a Filter, chains: &[&str]) -> Vec<Meant<'a>> {
    let mut found = Vec::new();
    let of_filter = |chain: &&Chain| {
        chain.family == IPV4 && chain.table == "filter" && chains.contains(&chain.name.as_str())
    };
    for chain in filter.chains.iter().filter(of_filter) {
        for (index, rule) in chain.rules.iter().enumerate() {
            let takes = matches!(rule.verdict(), Some(Fate::Drop | Fate::Reject));
            let Some((protocol, from, to)) = rule.ports().filter(|_| takes) else {
                continue;
            };
            let binding = case.subject.published.iter().find(|binding| {
                let number = match binding.container.protocol {
                    Protocol::Tcp => 6,
                    Protocol::Udp => 17,
                };
                let open = binding.host_address.is_none_or(|ip| !ip.is_loopback());
                let port = binding.host_port;
                open && number == protocol && port.is_some_and(|port| (from..=to).contains(&port))
            });
            if let Some(binding) = binding {
                found.push(Meant {
                    binding,
                    chain,
                    number: index + 1,
                    rule,
                });
            }
        }
    }
    found
}

/// Docker's chain for rules of one's own; podman has none, and its packets pass FORWARD.
pub(crate) fn own_chain(case: &Case<'_>) -> &'static str {
    if case.is_podman() {
        "FORWARD"
    } else {
        "DOCKER-USER"
    }
}

/// Whether a chain that forwarded packets pass has a rule for a host port that works, as it asks for the port before
/// its translation.
pub(crate) fn is_filtered(case: &Case<'_>, filter: &Filter, port: u16) -> bool {
    let mut chains = filter
        .chains
        .iter()
        .filter(|chain| chain.name == own_chain(case));
    chains.any(|chain| {
        chain.rules.iter().any(|rule| {
            matches!(rule.verdict(), Some(Fate::Drop | Fate::Reject))
                && rule.parts.iter().any(|part| {
                    matches!(part, Part::OriginalPort { from, to, inside: true }
                        if (*from..=*to).contains(&port))
                })
        })
    })
}

/// A rule that drops what comes from outside to a host port, where forwarded packets pass.
pub(crate) fn drop_host_port(case: &Case<'_>, program: &str, binding: &Binding) -> Vec<String> {
    let protocol = match binding.container.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    let port = binding.host_port.unwrap_or_default().to_string();
    let mut words = vec![program.to_owned(), "-I".into(), own_chain(case).into()];
    if let Some(uplink) = case.uplink() {
        words.extend(["-i".to_owned(), uplink]);
    }
    let rest = ["-p", protocol, "-m", "conntrack", "--ctorigdstport", &port];
    words.extend(rest.map(str::to_owned));
    words.extend(["--ctdir", "ORIGINAL", "-j", "DROP"].map(str::to_owned));
    words
}
