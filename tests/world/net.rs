//! A network of the kit on which containers have the names that `docker run` would give them: the
//! alias that the kit gives besides would be one more in every report.

use std::net::IpAddr;
use std::ops::Deref;

use netcheck_testkit::{Container, Doing, Endpoint, Network};

/// What the kit made; a test whose world cannot be made ends here.
#[track_caller]
pub fn made<T>(doing: Doing<T>) -> T {
    doing.wait().unwrap_or_else(|error| panic!("{error:?}"))
}

/// See the module.
pub struct Net(Network);

impl Net {
    /// An endpoint with this alias, to be adjusted further.
    pub fn alias(&self, alias: impl Into<String>) -> Endpoint {
        Endpoint::from(self).alias(alias)
    }

    /// An endpoint with the address of this number, to be adjusted further.
    pub fn host(&self, number: u32) -> Endpoint {
        Endpoint::from(self).host(number)
    }

    /// The address of this number.
    #[track_caller]
    pub fn numbered(&self, number: u32) -> IpAddr {
        self.0.host(number).unwrap()
    }

    /// Connects a container while it runs.
    #[track_caller]
    pub fn join(&self, container: &Container, endpoint: Endpoint) {
        made(self.0.connect_as(container, endpoint));
    }
}

impl From<Network> for Net {
    fn from(network: Network) -> Self {
        Self(network)
    }
}

impl From<&Net> for Endpoint {
    fn from(net: &Net) -> Self {
        Self::from(&net.0).without_own_name()
    }
}

impl Deref for Net {
    type Target = Network;

    fn deref(&self) -> &Network {
        &self.0
    }
}
