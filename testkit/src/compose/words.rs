//! The small languages inside a Compose file: times, sizes, ports, command lines. Each reader says
//! what it did not understand; none guesses.

use std::time::Duration;

use crate::target::Port;

/// Go's form of a time, `1m30s` or `500ms`: https://pkg.go.dev/time#ParseDuration; units from `us`
/// to `h`, whole numbers.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let nanos: u64 = match &rest[..letters] {
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_nanos(number.checked_mul(nanos)?))?;
        rest = &rest[letters..];
    }
    (!text.is_empty()).then_some(total)
}

/// Bytes: `64m`, `1gb`, `512`; the units are powers of 1024.
pub(super) fn bytes(text: &str) -> Option<i64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let factor: i64 = match text[digits..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        _ => return None,
    };
    text[..digits].parse::<i64>().ok()?.checked_mul(factor)
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Published {
    pub(super) port: Port,
    /// As given; none for every address of the host.
    pub(super) address: Option<String>,
    /// A number or a range; empty for any free one.
    pub(super) host: String,
}

/// The short form: `[[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]`, where numbers may be ranges.
pub(super) fn published(text: &str) -> Result<Vec<Published>, String> {
    let wrong = || format!("`{text}` is no port (`80`, `8080:80`, `127.0.0.1:8080:80/tcp`)");
    let (numbers, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    let (before, container) = match numbers.rsplit_once(':') {
        Some((before, container)) => (Some(before), container),
        None => (None, numbers),
    };
    let (address, host) = match before {
        None => (None, ""),
        Some(before) => match before.rsplit_once(':') {
            Some((address, host)) => {
                let address = address.trim_start_matches('[').trim_end_matches(']');
                address.parse::<std::net::IpAddr>().map_err(|_| wrong())?;
                (Some(address.to_owned()), host)
            }
            None => (None, before),
        },
    };
    let containers = ports(container, protocol).ok_or_else(wrong)?;
    let hosts: Vec<String> = match (host, containers.len()) {
        ("", many) => vec![String::new(); many],
        // The engine takes a free one of the range.
        (host, 1) => {
            range(host).ok_or_else(wrong)?;
            vec![host.to_owned()]
        }
        (host, many) => {
            let (first, last) = range(host).ok_or_else(wrong)?;
            let numbers: Vec<String> = (first..=last).map(|number| number.to_string()).collect();
            if numbers.len() != many {
                return Err(format!("`{text}`: the two ranges are not of one length"));
            }
            numbers
        }
    };
    Ok(containers
        .into_iter()
        .zip(hosts)
        .map(|(port, host)| Published {
            port,
            address: address.clone(),
            host,
        })
        .collect())
}

/// `80`, `80-82`, each with its protocol.
pub(super) fn ports(numbers: &str, protocol: &str) -> Option<Vec<Port>> {
    let port = match protocol {
        "tcp" => crate::tcp,
        "udp" => crate::udp,
        _ => return None,
    };
    let (first, last) = range(numbers)?;
    Some((first..=last).map(port).collect())
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first > 0 && first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{tcp, udp};

    #[test]
    fn times_are_gos() {
        for (text, millis) in [
            ("10s", Some(10_000)),
            ("1m30s", Some(90_000)),
            ("500ms", Some(500)),
            ("1h", Some(3_600_000)),
            ("0s", Some(0)),
            ("", None),
            ("10", None),
            ("s", None),
            ("1d", None),
            ("-1s", None),
        ] {
            assert_eq!(duration(text), millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn sizes_are_powers_of_two() {
        for (text, size) in [
            ("64m", Some(64 << 20)),
            ("1GB", Some(1 << 30)),
            ("2kb", Some(2048)),
            ("512", Some(512)),
            ("m", None),
            ("1t", None),
            ("9999999999g", None),
        ] {
            assert_eq!(bytes(text), size, "{text}");
        }
    }

    #[test]
    fn ports_in_every_form() {
        let one = |port, address: Option<&str>, host: &str| Published {
            port,
            address: address.map(str::to_owned),
            host: host.to_owned(),
        };
        for (text, expected) in [
            ("80", vec![one(tcp(80), None, "")]),
            ("8080:80", vec![one(tcp(80), None, "8080")]),
            ("53:53/udp", vec![one(udp(53), None, "53")]),
            (
                "127.0.0.1:8080:80",
                vec![one(tcp(80), Some("127.0.0.1"), "8080")],
            ),
            ("127.0.0.1::80", vec![one(tcp(80), Some("127.0.0.1"), "")]),
            ("[::1]:8080:80", vec![one(tcp(80), Some("::1"), "8080")]),
            ("8000-8010:80", vec![one(tcp(80), None, "8000-8010")]),
            (
                "8000-8001:80-81",
                vec![one(tcp(80), None, "8000"), one(tcp(81), None, "8001")],
            ),
        ] {
            assert_eq!(published(text), Ok(expected), "{text}");
        }
        for text in [
            "", "0", "80/sctp", "x:80", "a.b:1:2", "1-2:3-5", "70000", "2-1",
        ] {
            assert!(published(text).is_err(), "{text}");
        }
    }
}
