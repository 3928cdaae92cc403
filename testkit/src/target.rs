//! Ports, as tests write them. Data only.

use std::fmt;
use std::str::FromStr;

use netcheck_diagnose::probe::Protocol;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A port of a container, with its transport protocol. See [`tcp`] and [`udp`].
///
/// ```
/// # use netcheck_testkit::{Port, tcp, udp};
/// assert_eq!(tcp(3306).to_string(), "3306/tcp");
/// assert_eq!("53/udp".parse::<Port>().unwrap(), udp(53));
/// assert_eq!("80".parse::<Port>().unwrap(), tcp(80));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Port {
    /// 1 to 65535.
    pub number: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

/// A TCP port.
///
/// ```
/// assert_eq!(netcheck_testkit::tcp(3306).to_string(), "3306/tcp");
/// ```
pub const fn tcp(number: u16) -> Port {
    Port {
        number,
        protocol: Protocol::Tcp,
    }
}

/// A UDP port.
///
/// ```
/// assert_eq!(netcheck_testkit::udp(53).to_string(), "53/udp");
/// ```
pub const fn udp(number: u16) -> Port {
    Port {
        number,
        protocol: Protocol::Udp,
    }
}

impl Port {
    pub(crate) fn is_tcp(self) -> bool {
        self.protocol == Protocol::Tcp
    }
}

/// As Docker writes it: `3306/tcp`.
impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = if self.is_tcp() { "tcp" } else { "udp" };
        write!(f, "{}/{protocol}", self.number)
    }
}

impl FromStr for Port {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let wrong = || Error::invalid(format!("`{text}` is no port (3306, 3306/tcp, 53/udp)"));
        let number: u16 = number.parse().map_err(|_| wrong())?;
        match (number, protocol) {
            (0, _) => Err(wrong()),
            (_, "tcp") => Ok(tcp(number)),
            (_, "udp") => Ok(udp(number)),
            _ => Err(wrong()),
        }
    }
}

/// From testcontainers' type; SCTP, which the kit does not know, is refused.
impl TryFrom<testcontainers::core::ContainerPort> for Port {
    type Error = Error;

    fn try_from(port: testcontainers::core::ContainerPort) -> Result<Self, Error> {
        port.to_string().parse()
    }
}
