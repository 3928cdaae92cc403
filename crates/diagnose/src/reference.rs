//! Finds the places in a container's configuration that name a peer: `mysql://172.17.0.2:3306/some`
//! in an environment variable, `DB_HOST=localhost`, a URL on the command line.
//!
//! It reads raw values, so it runs where the evidence is made; what it returns is redacted. It must
//! not guess a peer where a value is no place at all, e.g. an address to listen on or a URL meant
//! for browsers.

use serde::{Deserialize, Serialize};

use crate::redact;

/// One peer that a container's configuration names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Where it is written.
    pub place: Place,
    /// The whole value as it may be shown, without secrets.
    pub shown: String,
    /// True when `shown` is the raw value, to the letter.
    pub complete: bool,
    /// `mysql`, `http`, `jdbc:postgresql`; none for a bare host.
    pub scheme: Option<String>,
    /// Name or address as written; an IPv6 address without brackets.
    pub host: String,
    /// As written in the value, or in the variable `port_place`.
    pub port: Option<u16>,
    /// The sibling variable that holds the port (`DB_PORT` of `DB_HOST`).
    pub port_place: Option<String>,
    /// When no port is written: those the scheme or the variable's name suggests, likeliest first.
    pub likely_ports: Vec<u16>,
    /// Host and port to the letter, for a search-and-replace in the raw value: `172.17.0.2:3306`.
    pub written: String,
}

impl Reference {
    /// The port, written or implied, if there is just one.
    pub fn certain_port(&self) -> Option<u16> {
        match (self.port, &self.likely_ports[..]) {
            (Some(port), _) => Some(port),
            (None, [only]) => Some(*only),
            _ => None,
        }
    }

    /// Every port it may mean, likeliest first.
    pub fn ports(&self) -> Vec<u16> {
        self.port
            .map_or_else(|| self.likely_ports.clone(), |port| vec![port])
    }

    /// What a user asks for, as if it were written in the configuration. Without a port for UDP:
    /// rules take a reference's port for TCP.
    pub fn asked(target: &crate::request::Target) -> Self {
        let tcp = target.has_port() && target.protocol == netcheck_probe::Protocol::Tcp;
        let written = if tcp {
            crate::request::place(&target.host, target.port)
        } else {
            target.host.clone()
        };
        Self {
            place: Place::Asked,
            shown: written.clone(),
            complete: true,
            scheme: None,
            host: target.host.clone(),
            port: tcp.then_some(target.port),
            port_place: None,
            likely_ports: Vec::new(),
            written,
        }
    }

    /// ``Engine API: `mysql://db/` in DB_URL``, as a proof; none where it is written nowhere.
    pub fn written_proof(&self) -> Option<String> {
        (self.place != Place::Asked)
            .then(|| format!("Engine API: `{}` in {}", self.shown, self.place))
    }

    /// The value with another host and port in it, as it may be shown.
    pub fn shown_with(&self, written: &str) -> String {
        replace_host(&self.shown, &self.written, written)
    }

    /// Whether the host means the container itself.
    pub fn is_localhost(&self) -> bool {
        let host = self.host.trim_end_matches('.');
        host.eq_ignore_ascii_case("localhost")
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback() || address.is_unspecified())
    }
}

/// Exchanges the host (with or without its port) in a value: not the scheme, which may be the same
/// word (`redis://redis/0`).
pub fn replace_host(value: &str, from: &str, to: &str) -> String {
    let start = value.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = value.split_at(start);
    format!("{scheme}{}", rest.replacen(from, to, 1))
}

/// The names of the variables that send HTTP requests to a proxy. An empty one sends nothing.
pub fn proxies(env: &[String]) -> Vec<String> {
    let is_proxy = |name: &str| {
        ["http_proxy", "https_proxy", "all_proxy"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
    };
    env.iter()
        .filter_map(|line| line.split_once('='))
        .filter(|(name, value)| is_proxy(name) && !value.is_empty())
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Where a reference is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "in", content = "at")]
pub enum Place {
    /// The environment variable of this name.
    Env(String),
    /// The word at this index of the command line (entrypoint first).
    Argument(usize),
    /// The label of this name: others read it, such as proxies and dashboards.
    Label(String),
    /// Nowhere: the user asks whether this place can be reached.
    Asked,
}

impl Place {
    /// ` (DB_URL)`, to follow the name of what is written there; nothing for what was only asked.
    pub fn aside(&self) -> String {
        match self {
            Self::Asked => String::new(),
            written => format!(" ({written})"),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Env(name) => f.write_str(name),
            Self::Argument(index) => write!(f, "word {} of the command line", index + 1),
            Self::Label(name) => write!(f, "the label {name}"),
            Self::Asked => f.write_str("the question"),
        }
    }
}

/// The most references taken from one container: more are no configuration but a list.
const MAX_REFERENCES: usize = 200;

/// The references of a whole configuration: `NAME=value` lines, the words of the command line, and labels.
pub fn find<'a>(
    env: &[String],
    arguments: &[String],
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Vec<Reference> {
    let pairs: Vec<(&str, &str)> = env.iter().filter_map(|line| line.split_once('=')).collect();
    let from_env = pairs
        .iter()
        .flat_map(|(name, value)| in_variable(name, value, &pairs));
    let from_words = arguments
        .iter()
        .enumerate()
        .flat_map(|(index, word)| in_argument(index, word));
    let from_labels = labels
        .into_iter()
        .flat_map(|(name, value)| in_label(name, value));
    from_env
        .chain(from_words)
        .chain(from_labels)
        .map(without_udp_port)
        .take(MAX_REFERENCES)
        .collect()
}

/// Rules take a reference's port for TCP. That `localhost` is the container itself holds for any.
fn without_udp_port(mut found: Reference) -> Reference {
    if found.scheme.as_deref().is_some_and(is_udp) && !found.is_localhost() {
        found.port = None;
        found.likely_ports.clear();
    }
    found
}

/// Whether what follows such a scheme is reached by UDP.
pub(crate) fn is_udp(scheme: &str) -> bool {
    matches!(scheme, "udp" | "dns" | "statsd") || scheme.ends_with("+udp")
}

/// A private address means the same to whoever reads a label: a container, which has it until it is made anew.
fn in_label(name: &str, value: &str) -> Vec<Reference> {
    let is_private = |found: &Reference| {
        let address = found.host.parse::<std::net::IpAddr>();
        address.is_ok_and(|address| !address.is_loopback() && crate::plan::is_private(address))
    };
    urls_of_label(name, value).filter(is_private).collect()
}

/// What labels say of `localhost` and of names without a dot, such as containers have. Who reads a label is not
/// known, and so not what these mean there: they can be shown, but not judged.
pub fn find_unjudged<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Reference> {
    let is_local = |found: &Reference| {
        let is_name = found.host.parse::<std::net::IpAddr>().is_err();
        let is_of_docker = crate::case::is_host_name(&found.host);
        found.is_localhost() || is_name && (is_of_docker || !found.host.contains('.'))
    };
    labels
        .into_iter()
        .flat_map(|(name, value)| urls_of_label(name, value))
        .filter(is_local)
        .take(MAX_REFERENCES)
        .collect()
}

fn urls_of_label(name: &str, value: &str) -> impl Iterator<Item = Reference> {
    let is_read = value.len() <= 4096 && value.contains("://") && !redact::is_secret_name(name);
    let found = is_read.then(|| in_url(Place::Label(name.to_owned()), "", value.trim()));
    found.into_iter().flatten()
}

fn in_variable(name: &str, value: &str, all: &[(&str, &str)]) -> Vec<Reference> {
    if value.is_empty() || value.len() > 4096 || is_for_somebody_else(name) {
        return Vec::new();
    }
    let place = || Place::Env(name.to_owned());
    let value = value.trim();
    if value.contains("://") {
        return in_url(place(), name, value);
    }
    if let Some(found) = in_dsn(place(), value) {
        return vec![found];
    }
    if !names_a_peer(name) || redact::is_secret_name(name) {
        return Vec::new();
    }
    value
        .split(',')
        .take(20)
        .filter_map(|part| {
            let (host, port) = host_and_port(part.trim())?;
            // A bare address to listen on is no peer.
            if matches!(host.as_str(), "0.0.0.0" | "::" | "*") {
                return None;
            }
            let sibling = port.is_none().then(|| port_sibling(name, all)).flatten();
            Some(Reference {
                place: place(),
                shown: value.to_owned(),
                complete: true,
                scheme: None,
                port: port.or(sibling.as_ref().map(|(_, port)| *port)),
                port_place: sibling.map(|(name, _)| name),
                likely_ports: ports_of_name(name),
                written: part.trim().to_owned(),
                host,
            })
        })
        .collect()
}

fn in_argument(index: usize, word: &str) -> Vec<Reference> {
    if word.len() > 4096 || !word.contains("://") {
        return Vec::new();
    }
    let (name, value) = match word.split_once('=') {
        Some((name, value)) if !name.contains("://") => (name, value),
        _ => ("", word),
    };
    if is_for_somebody_else(name) || value.contains(char::is_whitespace) {
        return Vec::new();
    }
    in_url(Place::Argument(index), name, value)
        .into_iter()
        .map(|found| Reference {
            complete: found.complete,
            shown: if name.is_empty() {
                found.shown
            } else {
                format!("{name}={}", found.shown)
            },
            ..found
        })
        .collect()
}

/// The scheme of a URL in small letters, and its hosts with their ports as they are written, with
/// commas between them; without user, password and all that follows. None if it is no URL.
pub(crate) fn authority(value: &str) -> Option<(String, String)> {
    let (scheme, rest) = value.split_once("://")?;
    let known = |c: char| c.is_ascii_alphanumeric() || "+-.:".contains(c);
    if scheme.is_empty() || scheme.len() > 40 || !scheme.chars().all(known) {
        return None;
    }
    let masked = redact::mask_url(&format!("x://{rest}"));
    let authority = masked
        .strip_prefix("x://")
        .unwrap_or_default()
        .split(['/', '?', '#'])
        .next()
        .unwrap_or_default();
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, h)| h);
    Some((scheme.to_ascii_lowercase(), hosts.to_owned()))
}

/// Whether a URL of this scheme names a place on a network at all.
pub(crate) fn is_on_a_network(scheme: &str) -> bool {
    !matches!(scheme, "file" | "unix" | "npipe" | "sqlite" | "data" | "fd")
}

fn in_url(place: Place, name: &str, value: &str) -> Vec<Reference> {
    let Some((scheme, hosts)) = authority(value) else {
        return Vec::new();
    };
    if !is_on_a_network(&scheme) {
        return Vec::new();
    }
    let shown = redact::mask_url(value);
    let implied = scheme_port(&scheme).map_or_else(|| ports_of_name(name), |port| vec![port]);
    hosts
        .split(',')
        .take(20)
        .filter_map(|part| {
            let (host, port) = host_and_port(part)?;
            Some(Reference {
                place: place.clone(),
                complete: shown == value,
                shown: shown.clone(),
                scheme: Some(scheme.clone()),
                host,
                port,
                port_place: None,
                likely_ports: implied.clone(),
                written: part.to_owned(),
            })
        })
        .collect()
}

/// `host=db port=5432 …` (libpq) and `user:pass@tcp(db:3306)/some` (Go's MySQL driver).
pub(crate) fn in_dsn(place: Place, value: &str) -> Option<Reference> {
    if let Some(start) = value.find("@tcp(") {
        let inside = value[start + 5..].split(')').next()?;
        let (host, port) = host_and_port(inside)?;
        return Some(Reference {
            place,
            shown: format!("{}@tcp({inside})", redact::MASK),
            complete: false,
            scheme: Some("mysql".into()),
            host,
            port,
            port_place: None,
            likely_ports: vec![3306],
            written: inside.to_owned(),
        });
    }
    let part = |key: &str| {
        value
            .split([' ', ';'])
            .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    };
    if !value.contains([' ', ';']) {
        return None;
    }
    let host = part("host")
        .or_else(|| part("Host"))
        .or_else(|| part("Server"))?;
    let port = part("port")
        .or_else(|| part("Port"))
        .and_then(|p| p.parse().ok());
    let (host, _) = host_and_port(host)?;
    Some(Reference {
        place,
        shown: format!("host={host} {}", redact::MASK),
        complete: false,
        scheme: None,
        written: host.clone(),
        host,
        port,
        port_place: None,
        likely_ports: vec![5432],
    })
}

/// `db`, `db:5432`, `10.0.0.1:80`, `[::1]:80`, `::1`.
pub(crate) fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(port.parse().ok().filter(|port| *port != 0)?),
            None if rest.is_empty() => None,
            None => return None,
        };
        return Some((host.to_owned(), port));
    }
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return Some((text.to_owned(), None));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok().filter(|port| *port != 0)?)),
        None => (text, None),
    };
    is_host_name(host).then(|| (host.to_owned(), port))
}

/// Letters, digits, `-`, `_` and dots; not only digits, so that a number is no host.
fn is_host_name(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.len() <= 63
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let text = text.strip_suffix('.').unwrap_or(text);
    text.len() <= 253
        && text.split('.').all(part)
        && (text.chars().any(|c| c.is_ascii_alphabetic())
            || text.parse::<std::net::Ipv4Addr>().is_ok())
        && !matches!(
            text,
            "true" | "false" | "yes" | "no" | "on" | "off" | "none" | "null"
        )
}

/// `DB_HOST` names a peer; `HOST`, `BIND_ADDRESS` and `LISTEN_ADDR` name where to listen.
fn names_a_peer(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let own = ["BIND", "LISTEN", "ADVERTISE", "VIRTUAL_HOST", "LETSENCRYPT"]
        .iter()
        .any(|word| upper.contains(word))
        || matches!(
            upper.as_str(),
            "HOST" | "HOSTNAME" | "SERVER_HOST" | "SERVER_ADDR" | "ADDR"
        );
    let suffix = [
        "_HOST",
        "_HOSTS",
        "_HOSTNAME",
        "_SERVER",
        "_SERVERS",
        "_ADDR",
        "_ADDRESS",
        "_ENDPOINT",
        "_ENDPOINTS",
        "_BROKER",
        "_BROKERS",
        "_NODES",
        "_URL",
        "_URI",
        "PGHOST",
    ]
    .iter()
    .any(|suffix| upper.ends_with(suffix));
    suffix && !own
}

/// A URL for browsers, for other people's links, to listen on, or a list of exceptions: `localhost` in it is not
/// where this container connects to.
fn is_for_somebody_else(name: &str) -> bool {
    let name = name
        .trim_start_matches('-')
        .to_ascii_uppercase()
        .replace('-', "_");
    // Whole words: DATABASE_URL is no BASE_URL.
    let name = format!("_{name}_");
    [
        "PUBLIC",
        "EXTERNAL",
        "BROWSER",
        "CORS",
        "ORIGIN",
        "ORIGINS",
        "REDIRECT",
        "CALLBACK",
        "NO_PROXY",
        "VITE",
        "REACT_APP",
        "ISSUER",
        "ADVERTISE",
        "ADVERTISED",
        "FRONTEND_URL",
        "BASE_URL",
        "SITE_URL",
        "ROOT_URL",
        "APP_URL",
        "DOMAIN",
        "DOMAINS",
        "HOMEPAGE",
        "VIRTUAL_HOST",
        "ALLOWED",
        "LISTEN",
        "LISTENER",
        "LISTENERS",
        "BIND",
        // Where an ASP.NET program listens.
        "ASPNETCORE_URLS",
    ]
    .iter()
    .any(|word| name.contains(&format!("_{word}_")))
}

/// `DB_PORT` for `DB_HOST`.
fn port_sibling(name: &str, all: &[(&str, &str)]) -> Option<(String, u16)> {
    let upper = name.to_ascii_uppercase();
    let stem_len = ["_HOSTNAME", "_HOST", "_SERVER", "_ADDRESS", "_ADDR", "HOST"]
        .iter()
        .find(|suffix| upper.ends_with(*suffix))
        .map(|suffix| name.len() - suffix.len())?;
    let stem = &upper[..stem_len];
    all.iter().find_map(|(other, value)| {
        let other_upper = other.to_ascii_uppercase();
        let matches = other_upper == format!("{stem}_PORT") || other_upper == format!("{stem}PORT");
        let port = value.parse().ok().filter(|port| *port != 0)?;
        matches.then(|| ((*other).to_owned(), port))
    })
}

/// The well-known port of a URL scheme (IANA's registry, or the product's documentation).
pub fn scheme_port(scheme: &str) -> Option<u16> {
    let last = scheme.rsplit(':').next().unwrap_or(scheme);
    let base = last.split('+').next().unwrap_or(last);
    Some(match base {
        "mysql" | "mariadb" => 3306,
        "postgres" | "postgresql" => 5432,
        "redis" | "rediss" => 6379,
        "mongodb" => 27017,
        "amqp" => 5672,
        "amqps" => 5671,
        "http" | "ws" => 80,
        "https" | "wss" => 443,
        "kafka" => 9092,
        "nats" => 4222,
        "mqtt" => 1883,
        "mqtts" => 8883,
        "elasticsearch" | "opensearch" => 9200,
        "couchdb" => 5984,
        "dns" => 53,
        "statsd" => 8125,
        "memcached" | "memcache" => 11211,
        "sqlserver" | "mssql" => 1433,
        "clickhouse" => 9000,
        "bolt" | "neo4j" => 7687,
        "ldap" => 389,
        "ldaps" => 636,
        "smtp" => 25,
        "smtps" => 465,
        "ftp" => 21,
        "ssh" | "sftp" => 22,
        "etcd" => 2379,
        "zookeeper" | "zk" => 2181,
        "cassandra" => 9042,
        "oracle" => 1521,
        _ => return None,
    })
}

/// What a variable's name says about the port, likeliest first; empty when it says nothing.
fn ports_of_name(name: &str) -> Vec<u16> {
    let upper = name.to_ascii_uppercase();
    let known: &[(&str, &[u16])] = &[
        ("POSTGRES", &[5432]),
        ("PGHOST", &[5432]),
        ("MYSQL", &[3306]),
        ("MARIADB", &[3306]),
        ("REDIS", &[6379]),
        ("MONGO", &[27017]),
        ("RABBIT", &[5672]),
        ("AMQP", &[5672]),
        ("KAFKA", &[9092]),
        ("ELASTIC", &[9200]),
        ("OPENSEARCH", &[9200]),
        ("MEMCACHE", &[11211]),
        ("NATS", &[4222]),
        ("MQTT", &[1883]),
        ("ETCD", &[2379]),
        ("ZOOKEEPER", &[2181]),
        ("CASSANDRA", &[9042]),
        ("CLICKHOUSE", &[8123, 9000]),
        ("SMTP", &[25, 587, 1025]),
        ("VAULT", &[8200]),
        ("CONSUL", &[8500]),
        ("DATABASE", &[5432, 3306, 1433, 27017, 1521]),
        ("DB", &[5432, 3306, 1433, 27017, 1521]),
    ];
    known
        .iter()
        .find(|(word, _)| upper.contains(word))
        .map_or_else(Vec::new, |(_, ports)| ports.to_vec())
}

#[cfg(test)]
mod tests;
