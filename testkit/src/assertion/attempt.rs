//! What an attempt to connect came to, and what may be expected of it. Asks nobody.

use std::fmt;

use netcheck_diagnose::probe::{Connected, Delivered, DnsOutcome, Errno, Lookup, Then};
use serde::{Deserialize, Serialize};

/// What came of an attempt to connect.
///
/// ```no_run
/// # use netcheck_testkit::{Attempt, Lab, tcp};
/// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
/// let attempt = lab.from("app").to("mysql-db", tcp(1)).attempt().await?;
/// assert_eq!(attempt, Attempt::Refused);
/// assert_eq!(attempt.to_string(), "refused");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Attempt {
    /// TCP: the handshake was completed (by the kernel: a paused process connects too). UDP:
    /// something came back.
    Connected,
    /// The connection was opened and closed at once, as docker-proxy does when nobody is behind.
    Closed,
    /// `ECONNREFUSED`.
    Refused,
    /// Silence. For UDP that may mean "delivered": the service did not answer.
    TimedOut,
    /// `EHOSTUNREACH`, `ENETUNREACH`.
    Unreachable,
    /// `EACCES`, `EPERM`.
    NotPermitted,
    /// The name does not exist (`NXDOMAIN`), or has no address.
    NameUnknown,
    /// The resolver failed (`SERVFAIL`, `REFUSED`), or did not answer.
    NameFailed,
    /// Something else, in words.
    Other(String),
}

/// The kind of refusal that is expected.
///
/// ```no_run
/// # use netcheck_testkit::{Refusal, Lab, tcp};
/// # async fn test(lab: &Lab) {
/// let app = lab.from("app");
/// app.to("mysql-db", tcp(1)).must_not_connect(Refusal::Refused).await;
/// app.to("nobody", tcp(80)).must_not_connect(Refusal::NoName).await;
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// Any that is one.
    Any,
    /// [`Attempt::Refused`].
    Refused,
    /// [`Attempt::TimedOut`].
    TimedOut,
    /// [`Attempt::Unreachable`].
    Unreachable,
    /// [`Attempt::NotPermitted`].
    NotPermitted,
    /// [`Attempt::NameUnknown`].
    NameUnknown,
    /// [`Attempt::NameFailed`].
    NameFailed,
    /// Either of the two: a name that the engine does not know goes on to the name servers of the
    /// machine, and what they say of it, or whether they answer at all, is theirs.
    NoName,
    /// [`Attempt::Closed`].
    Closed,
}

impl Refusal {
    pub(super) fn is(self, attempt: &Attempt) -> bool {
        match self {
            Self::Any => *attempt != Attempt::Connected,
            Self::Refused => *attempt == Attempt::Refused,
            Self::TimedOut => *attempt == Attempt::TimedOut,
            Self::Unreachable => *attempt == Attempt::Unreachable,
            Self::NotPermitted => *attempt == Attempt::NotPermitted,
            Self::NameUnknown => *attempt == Attempt::NameUnknown,
            Self::NameFailed => *attempt == Attempt::NameFailed,
            Self::NoName => matches!(attempt, Attempt::NameUnknown | Attempt::NameFailed),
            Self::Closed => *attempt == Attempt::Closed,
        }
    }
}

impl Attempt {
    pub(crate) fn of_errno(errno: Errno) -> Self {
        match errno {
            Errno::Refused => Self::Refused,
            Errno::TimedOut => Self::TimedOut,
            Errno::HostUnreachable | Errno::NetworkUnreachable | Errno::Invalid => {
                Self::Unreachable
            }
            Errno::NotPermitted => Self::NotPermitted,
            other => Self::Other(other.words().to_owned()),
        }
    }

    pub(crate) fn of_connect(connected: &Connected) -> Self {
        match connected {
            Connected::Open {
                then: Then::Closed | Then::Reset,
                ..
            } => Self::Closed,
            Connected::Open { .. } => Self::Connected,
            Connected::Failed { errno, .. } => Self::of_errno(*errno),
        }
    }

    pub(crate) fn of_datagram(delivered: &Delivered) -> Self {
        match delivered {
            Delivered::Reply { .. } => Self::Connected,
            Delivered::Neighbour { .. } | Delivered::Silent => Self::TimedOut,
            Delivered::Failed { errno } => Self::of_errno(*errno),
        }
    }

    /// What a name that has no address came to.
    pub(crate) fn of_lookup(lookup: &Lookup) -> Self {
        let failed = lookup.queries.iter().any(|query| {
            !matches!(
                query.outcome,
                DnsOutcome::NxDomain | DnsOutcome::NoData | DnsOutcome::Addresses(_)
            )
        });
        if failed || lookup.queries.is_empty() {
            Self::NameFailed
        } else {
            Self::NameUnknown
        }
    }
}

/// As a person would say it: `timed out`.
impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connected => "ok",
            Self::Closed => "closed at once",
            Self::Refused => "refused",
            Self::TimedOut => "timed out",
            Self::Unreachable => "unreachable",
            Self::NotPermitted => "not permitted",
            Self::NameUnknown => "no such name",
            Self::NameFailed => "name server failed",
            Self::Other(words) => words,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_refusal_is_none_that_connects() {
        let all = [
            (Attempt::Closed, Refusal::Closed),
            (Attempt::Refused, Refusal::Refused),
            (Attempt::TimedOut, Refusal::TimedOut),
            (Attempt::Unreachable, Refusal::Unreachable),
            (Attempt::NotPermitted, Refusal::NotPermitted),
            (Attempt::NameUnknown, Refusal::NameUnknown),
            (Attempt::NameFailed, Refusal::NameFailed),
        ];
        for (attempt, refusal) in &all {
            assert!(
                refusal.is(attempt) && Refusal::Any.is(attempt),
                "{attempt:?}"
            );
            assert!(!refusal.is(&Attempt::Connected), "{refusal:?}");
            let others = all.iter().filter(|(other, _)| other != attempt);
            assert!(
                others.into_iter().all(|(other, _)| !refusal.is(other)),
                "{refusal:?}"
            );
        }
        assert!(!Refusal::Any.is(&Attempt::Connected));
        assert!(
            Refusal::NoName.is(&Attempt::NameUnknown) && Refusal::NoName.is(&Attempt::NameFailed)
        );
        assert!(!Refusal::NoName.is(&Attempt::Refused));
    }
}
