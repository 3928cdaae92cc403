//! Which published ports to try from the machine where the user sits.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use netcheck_probe::Protocol;

use super::MOST;
use crate::evidence::{Binding, Evidence};

/// Where to connect to from this machine, each place once. UDP is left out: from a distance its silence says
/// nothing at all.
pub fn here(evidence: &Evidence, engine: IpAddr) -> Vec<SocketAddr> {
    let subject = evidence.container(&evidence.request.container);
    let published = subject.map(|subject| &subject.published);
    let places: BTreeSet<SocketAddr> = published
        .into_iter()
        .flatten()
        .filter(|binding| binding.container.protocol == Protocol::Tcp)
        .filter_map(|binding| place(binding, engine))
        .collect();
    places.into_iter().take(MOST).collect()
}

/// How a published port is reached from another machine; nowhere if it is for the host alone. An engine at
/// the loopback address is in a virtual machine of this one, which passes its ports on to just there.
pub(crate) fn place(binding: &Binding, engine: IpAddr) -> Option<SocketAddr> {
    let bound = binding.host_address?;
    let all = bound.is_unspecified() && bound.is_ipv4() == engine.is_ipv4();
    let to = if all || bound == engine {
        engine
    } else if bound.is_unspecified() || bound.is_loopback() || engine.is_loopback() {
        return None;
    } else {
        bound
    };
    Some(SocketAddr::new(to, binding.host_port?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{binding, container, ip, tcp, udp, world};

    #[test]
    fn what_is_for_other_machines_is_tried_at_the_engines_address() {
        let mut web = container("web");
        web.published = vec![
            binding("0.0.0.0", 8080, tcp(80)),
            binding("::", 8080, tcp(80)),
            binding("127.0.0.1", 9000, tcp(90)),
            binding("10.9.9.9", 9001, tcp(91)),
            binding("0.0.0.0", 5353, udp(53)),
        ];
        let evidence = world(web);
        let far: Vec<SocketAddr> = ["10.1.1.1:8080", "10.9.9.9:9001"]
            .map(|a| a.parse().unwrap())
            .into();
        assert_eq!(here(&evidence, ip("10.1.1.1")), far);
        // A virtual machine passes on what is for everybody and what is for its own loopback.
        let inside: Vec<SocketAddr> = ["127.0.0.1:8080", "127.0.0.1:9000"]
            .map(|a| a.parse().unwrap())
            .into();
        assert_eq!(here(&evidence, ip("127.0.0.1")), inside);
    }
}
