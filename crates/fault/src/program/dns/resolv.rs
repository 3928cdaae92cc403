//! Reads `/etc/resolv.conf`, resolv.conf(5), for the two things that matter here. A container
//! controls that file: what is read of it is bounded.

use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr};

use super::super::trouble::{Result, Trouble};

const PATH: &str = "/etc/resolv.conf";

/// No honest file has more.
const MOST_BYTES: u64 = 64 * 1024;

/// Resolvers, or search domains, that are kept; glibc uses 3 and musl 3 servers.
const MOST_WORDS: usize = 32;

/// What an application asks, and with which endings.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Conf {
    pub(super) servers: Vec<IpAddr>,
    pub(super) search: Vec<String>,
}

/// The file; with these servers instead of its own, if there are any.
pub(super) fn read(servers: &[IpAddr]) -> Result<Conf> {
    let mut bytes = Vec::new();
    let read = File::open(PATH).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
    let mut conf = match read {
        Ok(_) => parse(&String::from_utf8_lossy(&bytes)),
        // As libc does without the file, and no matter if the caller knows the servers.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => parse(""),
        Err(error) => return Err(Trouble::failed(format!("reading {PATH}"), error)),
    };
    if !servers.is_empty() {
        conf.servers = servers.iter().map(IpAddr::to_canonical).collect();
    }
    conf.servers.sort_unstable();
    conf.servers.dedup();
    Ok(conf)
}

fn parse(text: &str) -> Conf {
    let mut servers = Vec::new();
    let mut search = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            // A keyword must start the line; libc takes " nameserver" for nothing.
            Some(_) if line.starts_with([' ', '\t']) => {}
            Some("nameserver") if servers.len() < MOST_WORDS => {
                // A link-local one has a zone and does not parse: it would need it to be reached.
                servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok()));
            }
            // The last of both counts.
            Some("search") => search = words.take(MOST_WORDS).map(str::to_owned).collect(),
            Some("domain") => search = words.take(1).map(str::to_owned).collect(),
            _ => {}
        }
    }
    if servers.is_empty() {
        // What libc asks then.
        servers.push(Ipv4Addr::LOCALHOST.into());
    }
    Conf { servers, search }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_writes() {
        let conf = parse(
            "search corp.example example\nnameserver 127.0.0.11\nnameserver fd00::53\n\
             nameserver fe80::1%eth0\noptions ndots:0\n# nameserver 9.9.9.9\n",
        );
        let servers: [IpAddr; 2] = ["127.0.0.11".parse().unwrap(), "fd00::53".parse().unwrap()];
        assert_eq!(conf.servers, servers);
        assert_eq!(conf.search, ["corp.example", "example"]);
    }

    #[test]
    fn an_empty_file_means_this_host() {
        assert_eq!(parse("").servers, [IpAddr::from([127, 0, 0, 1])]);
    }
}
