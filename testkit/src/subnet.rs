//! Subnets of throwaway networks: small ones, from a range of the kit's own, arbitrated by the
//! engine. It must not hand out what the host has a route to: the engine does not check that for
//! subnets it is given, and the host would lose its way.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::error::{Error, Result};

/// The subnet of a network, of one family.
///
/// ```
/// use netcheck_testkit::Subnet;
///
/// let exact: Subnet = "10.9.0.0/24".parse()?;
/// assert_eq!(Subnet::USUAL, Subnet::auto(26));
/// # Ok::<(), netcheck_testkit::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subnet {
    /// An IPv4 subnet with a prefix of this length, free at that moment.
    Auto(u8),
    /// An IPv6 subnet (/64, unique local addresses, RFC 4193), free at that moment.
    AutoV6,
    /// This one.
    Exact(IpNet),
}

impl Subnet {
    /// The kit's usual choice: 61 containers fit in, and 1024 such networks into the range. (The
    /// engine's own pools hold about 31 networks, and nothing of them is used.)
    ///
    /// ```
    /// assert_eq!(netcheck_testkit::Subnet::USUAL, netcheck_testkit::Subnet::Auto(26));
    /// ```
    pub const USUAL: Self = Self::Auto(26);

    /// `Auto(LENGTH)`: 16 to 29 make sense.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Subnet};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let small = lab.network("small").subnet(Subnet::auto(28)).create().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub const fn auto(prefix_length: u8) -> Self {
        Self::Auto(prefix_length)
    }
}

impl From<IpNet> for Subnet {
    fn from(net: IpNet) -> Self {
        Self::Exact(net)
    }
}

impl FromStr for Subnet {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.parse().map(Self::Exact).map_err(|_| {
            Error::invalid(format!("`{text}` is no subnet (10.9.0.0/24, fd00:1::/64)"))
        })
    }
}

/// The ranges that automatic subnets are taken from, in order of preference: seldom used parts of
/// RFC 1918. A range that the host reaches by a route of its own is left out.
const RANGES: [&str; 3] = ["10.213.0.0/16", "172.29.0.0/16", "192.168.192.0/18"];

/// Says another one: `NETCHECK_TESTKIT_SUBNETS=10.80.0.0/16`.
pub(crate) const VARIABLE: &str = "NETCHECK_TESTKIT_SUBNETS";

/// How many candidates are tried before the network is given up: with a tenth of the range in use
/// even 10 refusals in a row are one case in 10^10.
const TRIES: usize = 64;

/// Candidates for an automatic subnet of this length, in random order, so that processes do not
/// race for the same one.
pub(crate) fn candidates(prefix_length: u8, remote: bool) -> Result<Vec<Ipv4Net>> {
    let ranges = match std::env::var(VARIABLE) {
        Ok(text) if !text.trim().is_empty() => vec![text.trim().parse().map_err(|_| {
            Error::invalid(format!(
                "{VARIABLE}=`{text}` is no IPv4 subnet (10.80.0.0/16)"
            ))
        })?],
        _ => RANGES
            .iter()
            .filter_map(|range| range.parse().ok())
            .collect(),
    };
    // A remote host's routes cannot be read; its engine at least refuses its own subnets.
    let routes = if remote { Vec::new() } else { routes() };
    let found = choose(&ranges, prefix_length, &routes);
    if found.is_empty() {
        return Err(Error::invalid(format!(
            "no free /{prefix_length} in {}: the host has routes there; say another range in {VARIABLE}",
            ranges
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        )));
    }
    Ok(found)
}

fn choose(ranges: &[Ipv4Net], prefix_length: u8, routes: &[Ipv4Net]) -> Vec<Ipv4Net> {
    for range in ranges {
        if prefix_length < range.prefix_len() || prefix_length > 30 {
            continue;
        }
        let count = 1_u32 << u32::from(prefix_length - range.prefix_len());
        let size = 1_u32 << (32 - u32::from(prefix_length));
        let start = random() as u32 % count;
        // An odd step visits every one of a power of two before it repeats itself.
        let step = (random() as u32) | 1;
        let free: Vec<Ipv4Net> = (0..count)
            .filter_map(|turn| {
                let index = start.wrapping_add(turn.wrapping_mul(step)) % count;
                let address = u32::from(range.network()).checked_add(index.checked_mul(size)?)?;
                Ipv4Net::new(Ipv4Addr::from(address), prefix_length).ok()
            })
            .filter(|net| !routes.iter().any(|route| overlap(route, net)))
            .take(TRIES)
            .collect();
        if !free.is_empty() {
            return free;
        }
    }
    Vec::new()
}

fn overlap(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(b) || b.contains(a)
}

/// The host's routes but the default one, from /proc/net/route (proc(5)); none where there is no
/// such file.
fn routes() -> Vec<Ipv4Net> {
    read_routes(&fs::read_to_string("/proc/net/route").unwrap_or_default())
}

fn read_routes(text: &str) -> Vec<Ipv4Net> {
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            // Hexadecimal, in the byte order of the host.
            let number = |field: &str| {
                Some(Ipv4Addr::from(
                    u32::from_str_radix(field, 16).ok()?.to_ne_bytes(),
                ))
            };
            let destination = number(fields.nth(1)?)?;
            let mask = number(fields.nth(5)?)?;
            let net = Ipv4Net::with_netmask(destination, mask).ok()?;
            (net.prefix_len() > 0).then_some(net)
        })
        .collect()
}

/// A /64 of unique local addresses: 40 random bits (RFC 4193, 3.2.2) make a clash as unlikely as
/// they are meant to; the engine would refuse it.
pub(crate) fn random_v6() -> Ipv6Net {
    let bits = random();
    let part = |shift: u32| (bits >> shift) as u16;
    let address = Ipv6Addr::new(
        0xfd00 | (part(0) & 0xff),
        part(8),
        part(24),
        part(40),
        0,
        0,
        0,
        0,
    );
    // 64 is a valid length.
    Ipv6Net::new(address, 64).unwrap_or_default()
}

fn random() -> u64 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    RandomState::new().hash_one((std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_avoid_the_hosts_routes() {
        let range = ["10.213.0.0/24".parse().unwrap()];
        let route = ["10.213.0.64/26".parse().unwrap()];
        let mut found = choose(&range, 26, &route);
        found.sort();
        let expected = ["10.213.0.0/26", "10.213.0.128/26", "10.213.0.192/26"];
        assert_eq!(found, expected.map(|net| net.parse::<Ipv4Net>().unwrap()));
    }

    #[test]
    fn a_range_with_a_route_to_it_is_left_for_the_next() {
        let ranges = ["10.213.0.0/16", "172.29.0.0/16"].map(|range| range.parse().unwrap());
        let found = choose(&ranges, 28, &["10.0.0.0/8".parse().unwrap()]);
        assert_eq!(found.len(), TRIES);
        assert!(found.iter().all(|net| ranges[1].contains(net)));
        assert!(
            choose(
                &ranges,
                28,
                &["0.0.0.0/1".parse().unwrap(), "128.0.0.0/1".parse().unwrap()]
            )
            .is_empty()
        );
        assert!(choose(&ranges, 12, &[]).is_empty(), "larger than the range");
    }

    #[test]
    fn routes_are_read_as_the_kernel_writes_them() {
        let text = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                    eth0\t00000000\t0102000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                    docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        if cfg!(target_endian = "little") {
            assert_eq!(
                read_routes(text),
                ["172.17.0.0/16".parse::<Ipv4Net>().unwrap()]
            );
        }
        assert!(read_routes("nonsense\nmore nonsense").is_empty());
    }

    #[test]
    fn automatic_ipv6_is_unique_local() {
        let net = random_v6();
        assert_eq!(net.prefix_len(), 64);
        assert_eq!(net.network().segments()[0] & 0xff00, 0xfd00);
        assert_ne!(net, random_v6());
    }
}
