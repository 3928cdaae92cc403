//! The many tries of a pair, sorted by how they went.
//!
//! It counts what was seen and judges nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use netcheck_probe::{
    Attempt, Came, Connected, Delivered, DnsQuery, Errno, Protocol, Resolved, Then,
};

use super::{Case, outcome_words};
use crate::evidence::Repetition;
use crate::report::{Latency, PerAddress, Repeated, Times};
use crate::request::Target;

/// From here on a handshake had its SYN sent again, in microseconds: the kernel waits 1 s for the
/// answer to the first one (RFC 6298 2.1), and nothing between containers takes as long.
const SENT_AGAIN_US: u32 = 1_000_000;

/// How one try at an address went.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Went {
    /// Connected or answered, with the first packet.
    Through,
    /// Connected, with a packet that had to be sent again.
    Late,
    /// No answer at all to a SYN.
    Unanswered,
    /// No reply to a datagram, which need not mean anything.
    Silent,
    /// Refused, reset, closed: in a few words.
    Failed(String),
}

impl Went {
    fn of(came: &Came, took_us: u32) -> Self {
        match came {
            Came::Tcp(Connected::Open { then, .. }) => match then {
                Then::Closed => Self::Failed("connected, and closed at once".into()),
                Then::Reset => Self::Failed("connected, and reset at once".into()),
                Then::Silent | Then::Spoke(_) if took_us >= SENT_AGAIN_US => Self::Late,
                Then::Silent | Then::Spoke(_) => Self::Through,
            },
            Came::Tcp(Connected::Failed {
                errno: Errno::TimedOut,
                ..
            }) => Self::Unanswered,
            Came::Tcp(Connected::Failed { errno, .. }) | Came::Udp(Delivered::Failed { errno }) => {
                Self::Failed(errno.words().into())
            }
            Came::Udp(Delivered::Reply { .. }) => Self::Through,
            Came::Udp(Delivered::Neighbour { .. } | Delivered::Silent) => Self::Silent,
        }
    }

    /// Whether a program would have got through.
    pub fn is_through(&self) -> bool {
        matches!(self, Self::Through | Self::Late)
    }

    fn words(&self) -> &str {
        match self {
            Self::Through => "connected",
            Self::Late => "connected late",
            Self::Unanswered => "no answer",
            Self::Silent => "no reply",
            Self::Failed(words) => words,
        }
    }
}

/// All tries of the pair that is looked at.
#[derive(Debug, Clone)]
pub struct Tries<'a> {
    /// As they were recorded.
    pub repetition: &'a Repetition,
    /// What was tried.
    pub target: &'a Target,
    /// How those went that had an address, in their order.
    pub went: Vec<(SocketAddr, Went)>,
}

impl<'a> Case<'a> {
    /// The tries of the request's own target; none if it was not tried again and again.
    pub fn repetition(&self) -> Option<Tries<'a>> {
        let target = self.evidence.request.target.as_ref()?;
        let is_it = |one: &&Repetition| one.is_of(target);
        let repetition = self.evidence.repetitions.iter().find(is_it)?;
        let went = |attempt: &Attempt| {
            let tried = attempt.tried.as_ref()?;
            Some((tried.to, Went::of(&tried.came, tried.took_us)))
        };
        Some(Tries {
            repetition,
            target,
            went: repetition.attempts.iter().filter_map(went).collect(),
        })
    }
}

impl<'a> Tries<'a> {
    /// How many there were.
    pub fn total(&self) -> usize {
        self.repetition.attempts.len()
    }

    /// The last query of each try whose name came to nothing.
    pub fn unresolved(&self) -> Vec<Option<&'a DnsQuery>> {
        let of = |attempt: &'a Attempt| match &attempt.resolved {
            Resolved::Addresses(_) => None,
            Resolved::Not(query) => Some(query.as_ref()),
        };
        self.repetition.attempts.iter().filter_map(of).collect()
    }

    /// How often each answer was given where the name came to nothing.
    pub fn unresolved_words(&self) -> BTreeMap<String, usize> {
        counted(self.unresolved().into_iter().map(|query| match query {
            Some(query) => format!(
                "{} from {}",
                outcome_words(&query.outcome),
                query.server.ip()
            ),
            None => "no server was asked".to_owned(),
        }))
    }

    /// How many tries went so.
    pub fn count(&self, is: impl Fn(&Went) -> bool) -> usize {
        self.went.iter().filter(|(_, went)| is(went)).count()
    }

    /// The tries at each address.
    pub fn by_address(&self) -> BTreeMap<SocketAddr, Vec<&Went>> {
        let mut all: BTreeMap<SocketAddr, Vec<&Went>> = BTreeMap::new();
        for (to, went) in &self.went {
            all.entry(*to).or_default().push(went);
        }
        all
    }

    /// The numbers for a report.
    pub fn numbers(&self) -> Repeated {
        let attempts = &self.repetition.attempts;
        let lookups = attempts
            .iter()
            .filter(|attempt| matches!(attempt.resolved, Resolved::Addresses(_)))
            .map(|attempt| attempt.lookup_us)
            .collect();
        let tried = attempts.iter().filter_map(|attempt| attempt.tried.as_ref());
        let connects = tried
            .filter(|tried| Went::of(&tried.came, tried.took_us).is_through())
            .map(|tried| tried.took_us)
            .collect();
        let failed = self.went.iter().map(|(_, went)| went);
        let failures = failed
            .filter(|went| !went.is_through())
            .map(|went| went.words().to_owned());
        Repeated {
            wanted: self.repetition.wanted,
            attempts: self.total(),
            resolved: self.total() - self.unresolved().len(),
            connected: self.count(Went::is_through),
            resolve: latency(lookups),
            connect: latency(connects),
            failures: times(counted(failures).into_iter().chain(self.unresolved_words())),
            addresses: self
                .by_address()
                .into_iter()
                .map(|(to, went)| PerAddress {
                    address: to.to_string(),
                    tried: went.len(),
                    connected: went.iter().filter(|went| went.is_through()).count(),
                })
                .collect(),
            ended_early: self.repetition.ended_early.clone(),
        }
    }

    /// The protocol's word for getting through.
    pub fn through(&self) -> &'static str {
        match self.target.protocol {
            Protocol::Tcp => "connected",
            Protocol::Udp => "answered",
        }
    }
}

/// How often each stands there.
pub fn counted(words: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for word in words {
        *all.entry(word).or_default() += 1;
    }
    all
}

fn times(counted: impl Iterator<Item = (String, usize)>) -> Vec<Times> {
    let mut all: Vec<Times> = counted.map(|(what, times)| Times { what, times }).collect();
    all.sort_by_key(|one| std::cmp::Reverse(one.times));
    all
}

/// None without a value. A percentile is the smallest value that so many are not above (nearest
/// rank), so that it is always one that was seen.
fn latency(mut all: Vec<u32>) -> Option<Latency> {
    all.sort_unstable();
    let at = |hundredths: usize| {
        let rank = (all.len() * hundredths).div_ceil(100).max(1);
        all.get(rank - 1).copied()
    };
    Some(Latency {
        median_us: at(50)?,
        p95_us: at(95)?,
        p99_us: at(99)?,
        max_us: at(100)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        assert_eq!(latency(Vec::new()), None);
        let one = latency(vec![7]).unwrap();
        assert_eq!((one.median_us, one.p99_us, one.max_us), (7, 7, 7));
        let hundred = latency((1..=100).rev().collect()).unwrap();
        let expected = Latency {
            median_us: 50,
            p95_us: 95,
            p99_us: 99,
            max_us: 100,
        };
        assert_eq!(hundred, expected);
        assert_eq!(latency(vec![1, 2, 3, 4]).unwrap().median_us, 2);
    }

    #[test]
    fn a_second_is_what_tells_a_packet_that_was_sent_again() {
        let open = |then| {
            Came::Tcp(Connected::Open {
                from: "10.0.0.1:9".parse().unwrap(),
                took_ms: 0,
                then,
            })
        };
        assert_eq!(Went::of(&open(Then::Silent), 999_999), Went::Through);
        assert_eq!(Went::of(&open(Then::Silent), 1_000_000), Went::Late);
        assert!(!Went::of(&open(Then::Closed), 5).is_through());
        let refused = Came::Udp(Delivered::Failed {
            errno: Errno::Refused,
        });
        assert_eq!(
            Went::of(&refused, 5),
            Went::Failed("connection refused".into())
        );
        let silent = Came::Udp(Delivered::Silent);
        assert_eq!(Went::of(&silent, 5), Went::Silent);
    }
}
