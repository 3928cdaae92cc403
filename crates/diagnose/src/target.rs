//! Reads what a user types as a target: `mysql-db`, `mysql-db:3306/udp`, a URL from a configuration,
//! a list of brokers. Which container a name means is not its business.
//!
//! It must never let a secret out: neither what it returns nor its sentences hold any part of a text
//! but hosts, schemes and port numbers.

mod ports;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use netcheck_probe::Protocol;

pub use ports::{Ports, ports};

use crate::redact::MASK;
use crate::reference::{self, Place};
use crate::request::{self, Talk};

/// The most hosts in one text: a longer list is no target but a mistake.
pub const MOST_HOSTS: usize = 32;

/// The longest text, in bytes.
const LONGEST: usize = 4096;

/// The longest name (RFC 1035, 2.3.4).
const LONGEST_NAME: usize = 253;

/// A place somebody wants to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Name or address; an IPv6 address without brackets; or `project/service`.
    pub host: String,
    /// None stands for every port there is.
    pub port: Option<u16>,
    /// TCP, if nothing else was written.
    pub protocol: Protocol,
    /// What a scheme says about the first words there.
    pub talk: Option<Talk>,
}

impl fmt::Display for Wanted {
    /// As it would be typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            None => f.write_str(&self.host),
            Some(port) => {
                write!(f, "{}", request::place(&self.host, port))?;
                match self.protocol {
                    Protocol::Tcp => Ok(()),
                    Protocol::Udp => f.write_str("/udp"),
                }
            }
        }
    }
}

/// The places that a text names, in its order, each once.
///
/// # Errors
///
/// What is wrong, to follow "`TEXT`: ", without the text's secrets.
pub fn parse(text: &str) -> Result<Vec<Wanted>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("it is empty; write a container, NAME:PORT or a URL".into());
    }
    if text.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    let mut found = Vec::new();
    for wanted in places(text)? {
        if !found.contains(&wanted) {
            found.push(wanted);
        }
    }
    Ok(found)
}

/// The text as it may be shown where it could not be read: whole if nothing in it can be a secret.
pub fn shown(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return String::new();
    }
    if let Some((scheme, _)) = text.split_once("://") {
        let plain = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        let scheme = if scheme.len() <= 20 && scheme.chars().all(plain) {
            scheme
        } else {
            MASK
        };
        return format!("{scheme}://{MASK}");
    }
    let plain = |c: char| c.is_alphanumeric() || "-_.:,/[]".contains(c);
    if text.chars().count() <= LONGEST_NAME && text.chars().all(plain) && !has_odd_port(text) {
        text.to_owned()
    } else {
        MASK.to_owned()
    }
}

/// A colon with something behind it that is no number: `user:password`.
fn has_odd_port(text: &str) -> bool {
    text.split([',', '/']).any(|part| {
        let after = part.rsplit_once(':').map_or("", |(_, port)| port);
        part.parse::<Ipv6Addr>().is_err() && after.chars().any(|c| !c.is_ascii_digit() && c != ']')
    })
}

fn places(text: &str) -> Result<Vec<Wanted>, String> {
    if text.contains("://") {
        let urls: Vec<&str> = text.split(',').map(str::trim).collect();
        // `http://a:9200,http://b:9200`, `PLAINTEXT://a:9092,SSL://b:9093`.
        return if urls.len() > 1 && urls.iter().all(|url| url.contains("://")) {
            several(&urls, url)
        } else {
            url(text)
        };
    }
    if let Some(rest) = text.strip_prefix("jdbc:oracle:thin:") {
        return oracle(rest);
    }
    if let Some(found) = reference::in_dsn(Place::Asked, text) {
        let is_libpq = text
            .split_whitespace()
            .any(|word| word.starts_with("host="));
        let implied = if is_libpq || found.scheme.is_some() {
            found.certain_port()
        } else {
            found.port
        };
        return Ok(vec![tcp(found.host, implied)]);
    }
    if text.contains('@') {
        return Err(
            "it holds an `@` and no scheme; write the whole URL, or HOST:PORT alone".into(),
        );
    }
    let mut between = text.split(',').map(str::trim);
    if between.any(|part| part.contains([';', ' ', '\t', '\n'])) {
        return Err("it is no place; several have commas between them".into());
    }
    let brokers: Vec<&str> = text.split(',').map(str::trim).collect();
    if brokers.len() > 1 {
        return several(&brokers, broker);
    }
    single(text).map(|wanted| vec![wanted])
}

/// The places of all members of a list; a bad one is told by its place in the list.
fn several(
    members: &[&str],
    read: impl Fn(&str) -> Result<Vec<Wanted>, String>,
) -> Result<Vec<Wanted>, String> {
    if members.len() > MOST_HOSTS {
        return Err(format!("the list has more than {MOST_HOSTS} members"));
    }
    let mut found = Vec::new();
    for (index, member) in members.iter().enumerate() {
        let places = if member.is_empty() {
            Err("it is empty".to_owned())
        } else {
            read(member)
        };
        found.extend(places.map_err(|why| format!("member {} of the list: {why}", index + 1))?);
    }
    Ok(found)
}

fn broker(text: &str) -> Result<Vec<Wanted>, String> {
    let wanted = single(text)?;
    if wanted.port.is_none() {
        return Err("it has no port; each member of a list needs one".into());
    }
    Ok(vec![wanted])
}

fn url(text: &str) -> Result<Vec<Wanted>, String> {
    let Some((scheme, hosts)) = reference::authority(text) else {
        return Err("what stands before `://` is no scheme".into());
    };
    if !reference::is_on_a_network(&scheme) {
        return Err(format!(
            "a `{scheme}` URL names no place on a network; write HOST:PORT"
        ));
    }
    if scheme == "mongodb+srv" {
        return Err(
            "`mongodb+srv` leaves hosts and ports to DNS; write one of them, as in mongodb://HOST:27017"
                .into(),
        );
    }
    let hosts: Vec<&str> = hosts.split(',').map(str::trim).collect();
    if let [""] = hosts[..] {
        return Err("the URL has no host".into());
    }
    several_or_one(&hosts, |host| {
        let (host, port) = place(host)?;
        let Some(port) = port.or_else(|| reference::scheme_port(&scheme)) else {
            return Err(format!(
                "it is not known which port `{scheme}` means; write it, as in {scheme}://HOST:PORT"
            ));
        };
        Ok(vec![Wanted {
            protocol: protocol_of(&scheme),
            talk: talk_of(&scheme),
            ..tcp(host, Some(port))
        }])
    })
}

fn several_or_one(
    members: &[&str],
    read: impl Fn(&str) -> Result<Vec<Wanted>, String>,
) -> Result<Vec<Wanted>, String> {
    match members {
        [only] => read(only),
        _ => several(members, read),
    }
}

/// `@//db:1521/service`, `user/password@db:1521:SID` (Oracle JDBC Developer's Guide, "Database URLs
/// and Database Specifiers").
fn oracle(rest: &str) -> Result<Vec<Wanted>, String> {
    let bare = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    let bare = bare.trim_start_matches('/');
    let bare = bare.split(['/', '?']).next().unwrap_or_default();
    // A third part is the instance.
    let parts: Vec<&str> = bare.splitn(3, ':').collect();
    let (host, port) = match parts[..] {
        [host, port, ..] => place(&format!("{host}:{port}"))?,
        _ => place(bare)?,
    };
    let port = port.or_else(|| reference::scheme_port("oracle"));
    Ok(vec![tcp(host, port)])
}

/// One name or address, perhaps with a port: what has no scheme.
fn single(text: &str) -> Result<Wanted, String> {
    let (bare, protocol) = without_protocol(text)?;
    let (host, port) = if is_name(bare) {
        // Containers may be called `true` or `123`, which are no host names elsewhere.
        (bare.to_owned(), None)
    } else if let Some((project, service)) = bare.split_once('/') {
        if project.contains(':') {
            return Err("after the port only /tcp or /udp may stand".into());
        }
        let (service, port) = match service.split_once(':') {
            Some((service, port)) => (service, Some(number(port)?)),
            None => (service, None),
        };
        if !is_name(project) || !is_name(service) {
            return Err(
                "a path needs a scheme before it, as in http://HOST/PATH; a service of Compose is \
                 PROJECT/SERVICE"
                    .into(),
            );
        }
        (format!("{project}/{service}"), port)
    } else {
        place(bare)?
    };
    Ok(Wanted {
        protocol,
        ..tcp(host, port)
    })
}

/// `db:53/udp` without its end; what has no port has no protocol either (`shop/udp` is a service).
fn without_protocol(text: &str) -> Result<(&str, Protocol), String> {
    let text = text.trim_start_matches('/');
    let Some((before, protocol)) = text.rsplit_once('/') else {
        return Ok((text, Protocol::Tcp));
    };
    let has_port = before
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.chars().all(|c| c.is_ascii_digit()));
    match protocol.to_ascii_lowercase().as_str() {
        "tcp" if has_port => Ok((before, Protocol::Tcp)),
        "udp" if has_port => Ok((before, Protocol::Udp)),
        "sctp" if has_port => Err("SCTP is not looked at; only /tcp and /udp are".into()),
        _ => Ok((text, Protocol::Tcp)),
    }
}

/// Host and port, or what is wrong with them.
fn place(text: &str) -> Result<(String, Option<u16>), String> {
    if let Some(found) = reference::host_and_port(text).filter(|(host, _)| !host.starts_with('-')) {
        return Ok(found);
    }
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, rest)) = rest.split_once(']') else {
            return Err("the `]` after the address is missing".into());
        };
        if address.parse::<Ipv6Addr>().is_err() {
            return Err("what stands between `[` and `]` is no IPv6 address".into());
        }
        let port = rest
            .strip_prefix(':')
            .ok_or("after the `]` only a port may stand")?;
        return Ok((address.to_owned(), Some(number(port)?)));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    if host.is_empty() {
        return Err("there is no host before the port".into());
    }
    if port.is_some_and(|port| port.contains(':')) {
        return Err("it is no IPv6 address, and holds more than one colon".into());
    }
    if !is_name(host) {
        return Err(if host.is_ascii() {
            "it holds no host name, address or container name".into()
        } else {
            "a name outside ASCII has to be written as DNS knows it (xn--…)".into()
        });
    }
    let port = port.map(number).transpose()?;
    Ok((host.to_owned(), port))
}

/// A port, or what is wrong with it. What is no number is not repeated: it may be a password.
fn number(text: &str) -> Result<u16, String> {
    if text.is_empty() {
        return Err("there is no port after the colon".into());
    }
    if !text.chars().all(|c| c.is_ascii_digit()) {
        return Err("what stands after the colon is no port number".into());
    }
    match text.parse::<u16>() {
        Ok(port) if port != 0 => Ok(port),
        _ if text.len() <= 5 => Err(format!("port {text} is not between 1 and 65535")),
        _ => Err("the port is not between 1 and 65535".into()),
    }
}

/// What containers, services and hosts are called.
fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !text.is_empty()
        && text.len() <= LONGEST_NAME
        && text.chars().all(plain)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
}

fn protocol_of(scheme: &str) -> Protocol {
    if reference::is_udp(scheme) {
        Protocol::Udp
    } else {
        Protocol::Tcp
    }
}

/// Schemes whose servers greet (MySQL client/server protocol, "Connection Phase"; RFC 4253 4.2; RFC
/// 5321 3.1; RFC 959 5.4), and those that are TLS from the first byte.
fn talk_of(scheme: &str) -> Option<Talk> {
    let last = scheme.rsplit(':').next().unwrap_or(scheme);
    match last.split('+').next().unwrap_or(last) {
        "mysql" | "mariadb" | "ssh" | "sftp" | "smtp" | "ftp" => Some(Talk::ServerFirst),
        "https" | "wss" | "rediss" | "amqps" | "mqtts" | "ldaps" | "smtps" | "ssl" | "tls" => {
            Some(Talk::Tls)
        }
        _ => None,
    }
}

fn tcp(host: String, port: Option<u16>) -> Wanted {
    // `::0001` and `::1` are one place.
    let host = match host.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => host,
    };
    Wanted {
        host,
        port,
        protocol: Protocol::Tcp,
        talk: None,
    }
}
