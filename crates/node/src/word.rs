//! The language of the command line. Reading a word does nothing else.
//!
//! | word | does |
//! |---|---|
//! | `tcp=ADDR:PORT` | TCP, sends back what it gets |
//! | `udp=ADDR:PORT` | UDP, sends back what it gets |
//! | `sink=ADDR:PORT` | UDP, takes what it gets and never answers |
//! | `http=ADDR:PORT` | answers any request with 200 and the peer's address |
//! | `banner=ADDR:PORT` | speaks first, then sends back what it gets |
//! | `hang=ADDR:PORT` | listens with a backlog of 4 and never accepts |
//! | `close=ADDR:PORT` | accepts and closes at once |
//! | `some=ADDR:PORT` | TCP like `tcp`, and closes every second connection at once |
//! | `slow=ADDR:PORT` | listens with a backlog of 1 and accepts two connections a second |
//! | `v6only=[ADDR]:PORT` | TCP like `tcp`, with `IPV6_V6ONLY` set |
//! | `dns=ADDR:PORT` | a name server for which every name is 192.0.2.53 |
//! | `dns-some=ADDR:PORT` | the same, and fails with SERVFAIL in every second half of a second |
//! | `keep-tcp=ADDR:PORT` | keeps a connection to an echo server, sends a number every 20 ms, and writes `NUMBER MICROSECONDS` when it is back; ends with code 1 when the connection fails |
//! | `keep-udp=ADDR:PORT` | the same with datagrams, which it does not wait for |
//! | `transfer=BYTES@ADDR:PORT` | sends so many bytes to an echo server, reads them back, and writes how many microseconds that took |
//! | `after=DUR` | waits before what follows |
//! | `exit=N` | exits with that code |
//! | `exit-after=DUR` | exits with code 0 after that time, while the rest goes on |
//! | `until=PATH` | exits with code 0 as soon as the path exists, while the rest goes on |
//! | `needs=PATH` | exits with code 7 unless the path exists |
//! | `second-start=PATH` | creates the path and idles, or goes on if it exists already |
//! | `check=ADDR:PORT` | connects; exits with code 0 or 1 |
//! | `check=localhost:PORT` | the same with the first address of that name, and no other, as musl gives it: `::1` where it is in /etc/hosts and on the loopback |
//! | `health=PATH` | exits with code 0 if the path exists, else 1 |
//! | `idle` | waits for ever |
//!
//! After the last word the program waits for ever if there is a service, and ends otherwise.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// One thing to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Serve(Service, SocketAddr),
    After(Duration),
    Exit(u8),
    ExitAfter(Duration),
    Until(PathBuf),
    Needs(PathBuf),
    SecondStart(PathBuf),
    Check(SocketAddr),
    CheckLocalhost(u16),
    KeepTcp(SocketAddr),
    KeepUdp(SocketAddr),
    Transfer(SocketAddr, u64),
    Health(PathBuf),
    Idle,
}

/// What is done with those who come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Tcp,
    Udp,
    Sink,
    Http,
    Banner,
    Hang,
    Close,
    Some,
    Slow,
    V6Only,
    Dns,
    DnsSome,
}

impl Word {
    /// One argument.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        if text == "idle" {
            return Ok(Self::Idle);
        }
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| format!("unknown word {text:?}"))?;
        let wrong = |what: &str| format!("{text:?}: {value:?} is not {what}");
        let address = || {
            value
                .parse::<SocketAddr>()
                .map_err(|_| wrong("an address with a port"))
        };
        let serve = |service| Ok(Self::Serve(service, address()?));
        let length = || duration(value).ok_or_else(|| wrong("a time like 500ms or 3s"));
        let path = || PathBuf::from(value);
        match key {
            "tcp" => serve(Service::Tcp),
            "udp" => serve(Service::Udp),
            "sink" => serve(Service::Sink),
            "http" => serve(Service::Http),
            "banner" => serve(Service::Banner),
            "hang" => serve(Service::Hang),
            "close" => serve(Service::Close),
            "some" => serve(Service::Some),
            "slow" => serve(Service::Slow),
            "v6only" if value.starts_with('[') => serve(Service::V6Only),
            "v6only" => Err(wrong("an IPv6 address with a port")),
            "after" => Ok(Self::After(length()?)),
            "exit" => Ok(Self::Exit(
                value.parse().map_err(|_| wrong("a code from 0 to 255"))?,
            )),
            "exit-after" => Ok(Self::ExitAfter(length()?)),
            "until" => Ok(Self::Until(path())),
            "needs" => Ok(Self::Needs(path())),
            "second-start" => Ok(Self::SecondStart(path())),
            "dns" => serve(Service::Dns),
            "dns-some" => serve(Service::DnsSome),
            "keep-tcp" => Ok(Self::KeepTcp(address()?)),
            "keep-udp" => Ok(Self::KeepUdp(address()?)),
            "transfer" => value
                .split_once('@')
                .and_then(|(bytes, to)| Some(Self::Transfer(to.parse().ok()?, bytes.parse().ok()?)))
                .ok_or_else(|| wrong("a number of bytes, @, and an address with a port")),
            "check" => match value.strip_prefix("localhost:") {
                Some(port) => Ok(Self::CheckLocalhost(
                    port.parse().map_err(|_| wrong("a place with a port"))?,
                )),
                None => Ok(Self::Check(address()?)),
            },
            "health" => Ok(Self::Health(path())),
            _ => Err(format!("unknown word {text:?}")),
        }
    }
}

/// `500ms`, `3s`, `2m`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: u32 = digits.parse().ok()?;
    match text.get(digits.len()..)? {
        "ms" => Some(Duration::from_millis(number.into())),
        "s" => Some(Duration::from_secs(number.into())),
        "m" => Some(Duration::from_secs(u64::from(number) * 60)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let address = "[::]:8080".parse().unwrap();
        assert_eq!(
            Word::read("http=[::]:8080"),
            Ok(Word::Serve(Service::Http, address))
        );
        assert_eq!(
            Word::read("after=5s"),
            Ok(Word::After(Duration::from_secs(5)))
        );
        assert_eq!(
            Word::read("exit-after=1500ms"),
            Ok(Word::ExitAfter(Duration::from_millis(1500)))
        );
        assert_eq!(
            Word::read("transfer=5@[::]:8080"),
            Ok(Word::Transfer(address, 5))
        );
        assert_eq!(Word::read("exit=7"), Ok(Word::Exit(7)));
        assert_eq!(Word::read("check=[::]:8080"), Ok(Word::Check(address)));
        assert_eq!(
            Word::read("check=localhost:80"),
            Ok(Word::CheckLocalhost(80))
        );
        assert_eq!(Word::read("idle"), Ok(Word::Idle));
        for wrong in [
            "",
            "tcp",
            "tcp=80",
            "tcp=web:80",
            "check=localhost",
            "check=web:80",
            "exit=256",
            "after=5",
            "after=s",
            "after=5h",
            "idle=1",
            "v6only=0.0.0.0:1",
            "transfer=[::]:8080",
            "transfer=x@[::]:8080",
            "TCP=0.0.0.0:1",
        ] {
            assert!(Word::read(wrong).is_err(), "{wrong:?}");
        }
    }
}
