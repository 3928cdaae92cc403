//! Exchanges what differs from run to run (names of the engine, ids, addresses, times) for what
//! does not. It must leave every other word as it is.

use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::join_all;
use ipnet::IpNet;
use netcheck_diagnose::evidence::EngineKind;
use serde_json::Value;

use crate::lab::Inner;
use crate::start;

/// The first port that the kernel hands out by itself, and so Docker too
/// (`net.ipv4.ip_local_port_range`).
const FIRST_EPHEMERAL: u32 = 32_768;

/// What is exchanged for what.
#[derive(Debug, Default)]
pub(crate) struct Placeholders {
    /// Words, the longest first.
    words: Vec<(String, String)>,
    addresses: Vec<(IpAddr, String)>,
    subnets: Vec<(IpNet, String)>,
    /// Where containers of this engine ask for names, after the exchange.
    resolvers: Vec<String>,
}

impl Placeholders {
    /// Those of a lab as it is now. Addresses that a container had before it was disconnected are
    /// known too.
    pub(crate) async fn of(lab: &Arc<Inner>) -> Self {
        let (containers, networks, parked) = {
            let state = lab.state();
            (
                state.containers.values().cloned().collect::<Vec<_>>(),
                state.networks.values().cloned().collect::<Vec<_>>(),
                state.parked.clone(),
            )
        };
        let mut found = Self::default();
        for network in &networks {
            found
                .words
                .push((network.real_name.clone(), network.name.clone()));
            found.id(&network.id, &network.name);
            for gateway in &network.gateways {
                found
                    .addresses
                    .push((*gateway, format!("{{gateway@{}}}", network.name)));
            }
            for subnet in &network.subnets {
                found.subnets.push((*subnet, network.name.clone()));
            }
        }
        let looks = containers
            .iter()
            .map(|record| async move { (record, start::inspect(lab, record).await.ok()) });
        for (record, inspected) in join_all(looks).await {
            found
                .words
                .push((record.real_name.clone(), record.name.clone()));
            found.id(&record.id, &record.name);
            let endpoints = inspected
                .and_then(|inspected| inspected.network_settings)
                .and_then(|settings| settings.networks)
                .unwrap_or_default();
            let before = parked
                .iter()
                .filter(|((container, _), _)| *container == record.id)
                .filter_map(|((_, network), settings)| {
                    let config = settings.ipam_config.clone()?;
                    Some((network.clone(), config.ipv4_address, config.ipv6_address))
                });
            for endpoint in endpoints.values() {
                let known = networks
                    .iter()
                    .find(|known| endpoint.network_id.as_deref() == Some(&known.id));
                let at = known.map_or("bridge", |known| &known.name);
                for gateway in [&endpoint.gateway, &endpoint.ipv6_gateway]
                    .into_iter()
                    .flatten()
                {
                    if let Ok(gateway) = gateway.parse() {
                        found.addresses.push((gateway, format!("{{gateway@{at}}}")));
                    }
                }
            }
            let now = endpoints.into_values().map(|endpoint| {
                (
                    endpoint.network_id.unwrap_or_default(),
                    endpoint.ip_address,
                    endpoint.global_ipv6_address,
                )
            });
            for (network, v4, v6) in now.chain(before) {
                let known = networks.iter().find(|known| known.id == network);
                let at = known.map_or("bridge", |known| &known.name);
                for address in [v4, v6].into_iter().flatten() {
                    if let Ok(address) = address.parse() {
                        found
                            .addresses
                            .push((address, format!("{{{}@{at}}}", record.name)));
                    }
                }
            }
        }
        found.resolvers.push("127.0.0.11".to_owned());
        if lab.engine.client.kind() == EngineKind::Podman {
            // Its resolver listens at the gateways (aardvark-dns).
            let names = networks.iter().map(|network| &network.name);
            let gateways = names.map(|name| format!("{{gateway@{name}}}"));
            found.resolvers.extend(gateways);
        }
        // Its tag changes with every build of it.
        if let Ok(image) = lab.engine.node_image().await {
            found.words.push((image, "netcheck-node".to_owned()));
        }
        // The id of the lab, wherever else it stands (names of re-created containers).
        found.words.push((format!("-{}", lab.id), String::new()));
        found
            .words
            .sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
        found
    }

    fn id(&mut self, id: &str, name: &str) {
        let placeholder = format!("{{id of {name}}}");
        self.words.push((id.to_owned(), placeholder.clone()));
        // As `docker ps` shows it.
        if let Some(short) = id.get(..12) {
            self.words.push((short.to_owned(), placeholder));
        }
    }

    /// Into every text of a value.
    pub(crate) fn put_into(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.put_into(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.put_into(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Into one text.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (word, placeholder) in &self.words {
            text = text.replace(word.as_str(), placeholder);
        }
        // The engine's name and the alias were two words, and are one now.
        for (_, name) in &self.words {
            text = text.replace(
                &format!("`{name}`, which is `{name}`,"),
                &format!("`{name}`,"),
            );
        }
        let text = times(&ports(&self.addresses_in(&without_our_labels(&text))));
        interfaces(&self.resolvers_in(text))
    }

    fn resolvers_in(&self, mut text: String) -> String {
        for resolver in &self.resolvers {
            for before in ["from", "DNS"] {
                text = text.replace(
                    &format!("{before} {resolver}"),
                    &format!("{before} {{dns}}"),
                );
            }
        }
        // What servers of the machine say of a name that the engine does not know is theirs.
        for said in [
            "no such name (NXDOMAIN)",
            "server failure (SERVFAIL)",
            "refused to answer (REFUSED)",
        ] {
            text = text.replace(&format!("{said} from {{dns}}"), "no such name from {dns}");
        }
        text
    }

    fn addresses_in(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while !rest.is_empty() {
            let length = rest
                .find(|c: char| !(c.is_ascii_hexdigit() || ".:/".contains(c)))
                .unwrap_or(rest.len());
            if length == 0 {
                let next = rest.chars().next().map_or(1, char::len_utf8);
                out.push_str(&rest[..next]);
                rest = &rest[next..];
                continue;
            }
            out.push_str(&self.token(&rest[..length]));
            rest = &rest[length..];
        }
        out
    }

    /// A run of characters of which addresses consist: an address alone, with a port, or a subnet.
    fn token(&self, token: &str) -> String {
        let bare = token.trim_end_matches(['.', ':', '/']);
        let tail = &token[bare.len()..];
        // `://10.0.0.1`: what is left of a scheme.
        let body = bare.trim_start_matches([':', '/', '.']);
        let body = if bare.starts_with("::") { bare } else { body };
        let head = &bare[..bare.len() - body.len()];
        if let Ok(net) = body.parse::<IpNet>() {
            return match self.subnets.iter().find(|(known, _)| *known == net) {
                Some((_, name)) => format!("{head}{{subnet of {name}}}{tail}"),
                None => match self.address(net.addr()) {
                    Some(name) => format!("{head}{name}/{}{tail}", net.prefix_len()),
                    None => token.to_owned(),
                },
            };
        }
        if let Some(name) = body.parse().ok().and_then(|address| self.address(address)) {
            return format!("{head}{name}{tail}");
        }
        // `10.0.0.1:3306`, `10.0.0.1:3306/tcp`, `10.0.0.1/some`.
        for (at, _) in body.match_indices([':', '/']) {
            let (address, port) = body.split_at(at);
            if address.contains('.')
                && let Some(name) = address
                    .parse()
                    .ok()
                    .and_then(|address| self.address(address))
            {
                return format!("{head}{name}{port}{tail}");
            }
        }
        token.to_owned()
    }

    fn address(&self, address: IpAddr) -> Option<String> {
        if let Some((_, name)) = self.addresses.iter().find(|(known, _)| *known == address) {
            return Some(name.clone());
        }
        let (_, network) = self
            .subnets
            .iter()
            .find(|(net, _)| net.contains(&address))?;
        Some(format!("{{nobody@{network}}}"))
    }
}

/// Labels of the kit in a command that makes a container again: they say who made it, and when.
fn without_our_labels(text: &str) -> String {
    const BEGIN: &str = " --label ";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(BEGIN) {
        let word = &rest[at + BEGIN.len()..];
        let quoted = word.strip_prefix('\'');
        let end = match quoted {
            Some(inner) => inner.find('\'').map_or(word.len(), |end| end + 2),
            None => word.find(' ').unwrap_or(word.len()),
        };
        let ours = quoted.unwrap_or(word).starts_with("io.netcheck.testkit.");
        out.push_str(&rest[..at]);
        if !ours {
            out.push_str(BEGIN);
            out.push_str(&word[..end]);
        }
        rest = &word[end..];
    }
    out.push_str(rest);
    out
}

/// Ports that were handed out: `:49153` becomes `:{port}`.
fn ports(text: &str) -> String {
    replace_numbers(text, |before, number, after| {
        let whole =
            before.ends_with(':') && !after.starts_with(|c: char| c.is_ascii_alphanumeric());
        let number: u32 = number.parse().ok()?;
        (whole && (FIRST_EPHEMERAL..=65_535).contains(&number)).then(|| "{port}".to_owned())
    })
}

/// Interfaces: which network gets which number differs from engine to engine.
fn interfaces(text: &str) -> String {
    replace_numbers(text, |before, _, _| {
        before.ends_with("through eth").then(String::new)
    })
    .replace("through eth", "through {interface}")
}

/// Durations: `12 ms`, `3.1 s`.
fn times(text: &str) -> String {
    let units = [
        " ms", " s", " seconds", " minutes", " second", " minute", " min",
    ];
    replace_numbers(text, |before, _, after| {
        let begins = !before.ends_with(|c: char| c.is_ascii_alphanumeric() || ".:/-_".contains(c));
        let unit = units.iter().find(|unit| {
            after.strip_prefix(**unit).is_some_and(|rest| {
                !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-')
            })
        });
        (begins && unit.is_some()).then(|| "{time}".to_owned())
    })
}

/// Exchanges each number (digits, at most one point within) for what `by` makes of it, given what
/// stands before and after it.
fn replace_numbers(text: &str, by: impl Fn(&str, &str, &str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(start) = text[at..]
        .find(|c: char| c.is_ascii_digit())
        .map(|i| at + i)
    {
        let mut end = start;
        let mut point = false;
        for (offset, c) in text[start..].char_indices() {
            let followed = text[start + offset + 1..].starts_with(|c: char| c.is_ascii_digit());
            match c {
                '0'..='9' => end = start + offset + 1,
                '.' if !point && followed => point = true,
                _ => break,
            }
        }
        out.push_str(&text[at..start]);
        match by(&text[..start], &text[start..end], &text[end..]) {
            Some(new) => out.push_str(&new),
            None => out.push_str(&text[start..end]),
        }
        at = end;
    }
    out.push_str(&text[at..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placeholders() -> Placeholders {
        Placeholders {
            words: vec![
                ("mysql-db-1f2e".into(), "mysql-db".into()),
                ("-1f2e".into(), String::new()),
            ],
            addresses: vec![
                ("10.213.0.2".parse().unwrap(), "{mysql-db@back}".into()),
                ("fd00::2".parse().unwrap(), "{mysql-db@back}".into()),
                ("10.213.0.1".parse().unwrap(), "{gateway@back}".into()),
            ],
            subnets: vec![("10.213.0.0/26".parse().unwrap(), "back".into())],
            resolvers: vec!["127.0.0.11".into(), "{gateway@back}".into()],
        }
    }

    #[test]
    fn what_differs_from_run_to_run_is_exchanged() {
        let placeholders = placeholders();
        for (text, expected) in [
            (
                "mysql-db-1f2e is 10.213.0.2.",
                "mysql-db is {mysql-db@back}.",
            ),
            (
                "mysql://10.213.0.2:3306/some",
                "mysql://{mysql-db@back}:3306/some",
            ),
            (
                "[fd00::2]:3306 (fd00::2)",
                "[{mysql-db@back}]:3306 ({mysql-db@back})",
            ),
            (
                "10.213.0.0/26 via 10.213.0.1",
                "{subnet of back} via {gateway@back}",
            ),
            ("10.213.0.2/26", "{mysql-db@back}/26"),
            ("10.213.0.9 is nobody's", "{nobody@back} is nobody's"),
            (
                "from 10.213.0.2:49153 in 12 ms",
                "from {mysql-db@back}:{port} in {time} ms",
            ),
            ("after 3.1 s, twice", "after {time} s, twice"),
            ("docker rm new-1f2e", "docker rm new"),
            (
                "10.213.0.1 through eth12 (back) answers",
                "{gateway@back} through {interface} (back) answers",
            ),
            (
                "no such name (NXDOMAIN) from 10.213.0.1",
                "no such name from {dns}",
            ),
            ("DNS 127.0.0.11 answers", "DNS {dns} answers"),
        ] {
            assert_eq!(placeholders.text(text), expected);
        }
    }

    #[test]
    fn labels_of_the_kit_go_and_others_stay() {
        let text = "docker run -d --label a=b --label io.netcheck.testkit.lab=1 --label 'io.netcheck.testkit.test=it is' --label 'c=d e' image";
        let expected = "docker run -d --label a=b --label 'c=d e' image";
        assert_eq!(placeholders().text(text), expected);
    }

    #[test]
    fn everything_else_stays() {
        let placeholders = placeholders();
        for text in [
            "port 3306 of db, 0.0.0.0:8080->80/tcp",
            "127.0.0.11 and ::1 and 192.168.1.1:53",
            "listens-on-loopback-only",
            "sha256:abc, 1.2.3.4.5, a::b::c, 9/9",
            "in 2 steps; DB_HOST=web2 s",
            "ümläut … 10.213.0",
        ] {
            assert_eq!(placeholders.text(text), text);
        }
    }
}
