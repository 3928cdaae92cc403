//! Reads the text formats of /etc and /proc/net. Pure functions over bytes that a container may
//! have written: they must never panic, and what they return is bounded.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netcheck_probe::{HostsEntry, Protocol, ResolvConf, Socket};

/// Entries of one file that are returned at most.
const MOST_ENTRIES: usize = 10_000;

/// Servers, search domains or options of a resolv.conf that are returned at most.
const MOST_WORDS: usize = 100;

/// resolv.conf(5), as libc reads it.
pub(crate) fn resolv_conf(bytes: &[u8]) -> ResolvConf {
    let text = String::from_utf8_lossy(bytes);
    let mut conf = ResolvConf::default();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix(['#', ';']) {
            if let Some(upstreams) = ext_servers(comment) {
                conf.upstreams = upstreams;
            }
            continue;
        }
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            // A keyword must start the line; libc takes " nameserver" for nothing.
            Some(_) if line.starts_with([' ', '\t']) => {}
            Some("nameserver") => {
                let address = words.next().and_then(address);
                if conf.nameservers.len() < MOST_WORDS {
                    conf.nameservers.extend(address);
                }
            }
            Some("search") => conf.search = owned(words.take(MOST_WORDS)),
            Some("domain") => conf.search = owned(words.take(1)),
            Some("options") => {
                let room = MOST_WORDS.saturating_sub(conf.options.len());
                conf.options.extend(owned(words.take(room)));
            }
            _ => {}
        }
    }
    conf.engine_defaults = has_engine_defaults(&text, &conf.nameservers);
    conf
}

/// What engines take where the host has no server that a container could ask (the first two suffice).
const ENGINE_DEFAULTS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)),
    IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4)),
];

/// Whether the engine put its default servers in: by the comment of newer ones, or by the empty line that
/// older ones write before them. A list that somebody chose stands after no such line.
fn has_engine_defaults(text: &str, nameservers: &[IpAddr]) -> bool {
    if text
        .lines()
        .any(|line| line.starts_with("# Used default nameservers"))
    {
        return true;
    }
    let mut before_first = "none";
    for line in text.lines() {
        if line.starts_with("nameserver") {
            return nameservers.starts_with(&ENGINE_DEFAULTS) && before_first.is_empty();
        }
        before_first = line;
    }
    false
}

/// ` ExtServers: [host(10.0.0.2) 10.0.0.3]`, the words as they are.
fn ext_servers(comment: &str) -> Option<Vec<String>> {
    let list = comment.trim_start().strip_prefix("ExtServers:")?.trim();
    let list = list.strip_prefix('[')?.strip_suffix(']')?;
    Some(owned(list.split_ascii_whitespace().take(MOST_WORDS)))
}

fn owned<'a>(words: impl Iterator<Item = &'a str>) -> Vec<String> {
    words.map(str::to_owned).collect()
}

/// hosts(5).
pub(crate) fn hosts(bytes: &[u8]) -> Vec<HostsEntry> {
    let text = String::from_utf8_lossy(bytes);
    let entry = |line: &str| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let address = address(words.next()?)?;
        let names = owned(words);
        (!names.is_empty()).then_some(HostsEntry { address, names })
    };
    text.lines().filter_map(entry).take(MOST_ENTRIES).collect()
}

/// An address, without the zone of a link-local one.
fn address(word: &str) -> Option<IpAddr> {
    word.split('%').next()?.parse().ok()
}

/// `/proc/net/{tcp,tcp6,udp,udp6}` (proc_net_tcp in the kernel's documentation): listening TCP
/// and unconnected UDP sockets.
pub(crate) fn proc_sockets(text: &str, protocol: Protocol) -> Vec<Socket> {
    let waiting_state = match protocol {
        Protocol::Tcp => "0A",
        Protocol::Udp => "07",
    };
    let socket = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().take(10).collect();
        let &[_, local, _, state, queues, _, _, _, _, inode] = words.as_slice() else {
            return None;
        };
        (state == waiting_state).then_some(())?;
        Some(Socket {
            protocol,
            local: hex_address(local)?,
            v6_only: None,
            waiting: u32::from_str_radix(queues.split_once(':')?.1, 16).ok()?,
            backlog: 0,
            inode: inode.parse().ok()?,
            owner: None,
        })
    };
    text.lines()
        .skip(1)
        .filter_map(socket)
        .take(MOST_ENTRIES)
        .collect()
}

/// Both ends of one line of `/proc/net/{tcp,tcp6}`; none of its heading.
pub(crate) fn proc_connection(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let mut words = line.split_ascii_whitespace().skip(1);
    Some((hex_address(words.next()?)?, hex_address(words.next()?)?))
}

/// `0100007F:1F90`: words of the machine's byte order, the port as a number.
fn hex_address(word: &str) -> Option<SocketAddr> {
    let (address, port) = word.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let quarter = |index: usize| {
        let digits = address.get(index * 8..index * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let address: IpAddr = match address.len() {
        8 => Ipv4Addr::from(quarter(0)?).into(),
        32 => {
            let mut octets = [0; 16];
            for index in 0..4 {
                octets[index * 4..index * 4 + 4].copy_from_slice(&quarter(index)?);
            }
            Ipv6Addr::from(octets).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

/// A counter of `/proc/net/netstat` or `snmp`: a line of names after the group, and one of values.
pub(crate) fn counter(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text
        .lines()
        .filter_map(|line| line.strip_prefix(group))
        .map(str::split_ascii_whitespace);
    let (mut names, mut values) = (lines.next()?, lines.next()?);
    values.nth(names.position(|one| one == name)?)?.parse().ok()
}

/// Name and state of `/proc/PID/stat`; the name stands in parentheses and may contain some.
pub(crate) fn stat(text: &str) -> Option<(String, char)> {
    let (start, end) = (text.find('(')?, text.rfind(')')?);
    let name = text.get(start + 1..end)?.to_owned();
    let state = text.get(end + 1..)?.trim_start().chars().next()?;
    Some((name, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_of_an_engine() {
        let conf = resolv_conf(
            b"# Generated by Docker Engine.\n\
              nameserver 127.0.0.11\nnameserver fe80::1%eth0\nnameserver nonsense\n \
              nameserver 9.9.9.9\nsearch a.example\nsearch b.example c.example\n\
              options edns0 trust-ad ndots:0\noptions timeout:1\n\
              # ExtServers: [host(10.0.0.2) 10.0.0.3]\n# Overrides: []\n",
        );
        let expected: Vec<IpAddr> = vec!["127.0.0.11".parse().unwrap(), "fe80::1".parse().unwrap()];
        assert_eq!(conf.nameservers, expected);
        assert_eq!(conf.search, ["b.example", "c.example"]);
        assert_eq!(conf.options, ["edns0", "trust-ad", "ndots:0", "timeout:1"]);
        assert_eq!(conf.upstreams, ["host(10.0.0.2)", "10.0.0.3"]);
        assert_eq!(conf.ndots(), 0);
        assert_eq!(
            resolv_conf(b"search a\ndomain b c").search,
            ["b"],
            "the last of search and domain counts"
        );
    }

    /// As Docker 20.10 was seen to write them.
    #[test]
    fn servers_that_an_engine_took_by_itself() {
        let by_itself = |text: &str| resolv_conf(text.as_bytes()).engine_defaults;
        assert!(by_itself("\nnameserver 8.8.8.8\nnameserver 8.8.4.4\n"));
        assert!(by_itself(
            "# hello\nsearch corp.example\noptions ndots:5\n\nnameserver 8.8.8.8\nnameserver 8.8.4.4\n"
        ));
        assert!(by_itself(
            "# Generated by Docker Engine.\nnameserver 8.8.8.8\nnameserver 8.8.4.4\n\n# Used default nameservers.\n"
        ));
        // Chosen in the engine's configuration; copied from the host; somebody else's servers.
        assert!(!by_itself(
            "search corp.example\nnameserver 8.8.8.8\nnameserver 8.8.4.4\n"
        ));
        assert!(!by_itself("nameserver 8.8.8.8\nnameserver 8.8.4.4\n"));
        assert!(!by_itself("\nnameserver 10.0.0.2\n"));
        assert!(!by_itself(""));
    }

    #[test]
    fn hosts_with_comments() {
        let entries =
            hosts(b"127.0.0.1\tlocalhost lo # x y\n#1.2.3.4 no\n::1%lo ip6\n5.6.7.8\nx y\n");
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].names, ["localhost", "lo"]);
        assert_eq!(entries[1].address, IpAddr::V6(Ipv6Addr::LOCALHOST));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn sockets_of_proc() {
        let head = "  sl  local_address rem_address   st tx_queue rx_queue\n";
        let tcp = format!(
            "{head}   0: 0100007F:1F90 00000000:0000 0A 00000000:00000003 00:00000000 00000000  0 0 4711 1\n   \
             1: 0100007F:1F90 0200007F:1234 01 00000000:00000000 00:00000000 00000000  0 0 4712 1\n"
        );
        let found = proc_sockets(&tcp, Protocol::Tcp);
        assert_eq!(found.len(), 1, "an established connection is no listener");
        assert_eq!(found[0].local, "127.0.0.1:8080".parse().unwrap());
        assert_eq!((found[0].waiting, found[0].inode), (3, 4711));
        let udp6 = format!(
            "{head} 0: 0000000000000000FFFF00000100007F:0035 {}:0000 07 00000000:00000010 00:0 0 0 0 7 2\n",
            "0".repeat(32)
        );
        let found = proc_sockets(&udp6, Protocol::Udp);
        assert_eq!(found[0].local, "[::ffff:127.0.0.1]:53".parse().unwrap());
        assert_eq!(found[0].waiting, 16);
    }

    #[test]
    fn a_counter_is_found_by_its_name() {
        let text = "TcpExt: A ListenOverflows B\nTcpExt: 1 2 3\nIpExt: C\nIpExt: 4\n";
        assert_eq!(counter(text, "TcpExt:", "ListenOverflows"), Some(2));
        assert_eq!(counter(text, "IpExt:", "C"), Some(4));
        for (group, name) in [("TcpExt:", "C"), ("UdpExt:", "A")] {
            assert_eq!(counter(text, group, name), None, "{group} {name}");
        }
        assert_eq!(counter("TcpExt: A B\nTcpExt: 1\n", "TcpExt:", "B"), None);
        assert_eq!(counter("TcpExt: A\n", "TcpExt:", "A"), None);
        assert_eq!(counter("TcpExt: A\nTcpExt: x\n", "TcpExt:", "A"), None);
    }

    #[test]
    fn stat_with_parentheses_in_the_name() {
        assert_eq!(stat("12 (a) b) T 1 2"), Some(("a) b".to_owned(), 'T')));
        assert_eq!(stat("12 )( T"), None);
        assert_eq!(stat(""), None);
    }

    #[test]
    fn hostile_files_are_bounded_and_do_not_panic() {
        let many = "nameserver 1.1.1.1\nsearch a\noptions a b c\n".repeat(5_000);
        let conf = resolv_conf(many.as_bytes());
        assert_eq!(conf.nameservers.len(), MOST_WORDS);
        assert_eq!(conf.options.len(), MOST_WORDS);
        assert_eq!(
            hosts("1.1.1.1 a\n".repeat(20_000).as_bytes()).len(),
            MOST_ENTRIES
        );
        let row = "0: \u{20ac}\u{20ac}00:1F90 0:0 0A 0:0 0 0 0 0 1\n";
        assert!(proc_sockets(&format!("\n{row}"), Protocol::Tcp).is_empty());
        // Every prefix and every single-byte change of a plausible file.
        let base = b"nameserver 1.2.3.4 \n# ExtServers: [a]\n0: 0100007F:1F90 0:0 0A 0:1 0 0 0 0 1 (x) S\n";
        for cut in 0..base.len() {
            for byte in [0, b'%', b':', b'[', b')', b'\n', 0xff, 0xc3] {
                let mut changed = base.to_vec();
                changed[cut] = byte;
                for sample in [&base[..cut], &changed] {
                    let text = String::from_utf8_lossy(sample);
                    let _ = (resolv_conf(sample), hosts(sample), stat(&text));
                    let _ = proc_sockets(&text, Protocol::Udp);
                }
            }
        }
    }
}
