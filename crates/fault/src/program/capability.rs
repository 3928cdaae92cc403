//! Finds out which faults can be made here, by making each for a moment, in full, for addresses
//! that are nobody's. Asking the kernel for versions and modules would be a guess.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netcheck_fault::{
    Applied, Capabilities, Dns, DnsOutcome, Drop, Fault, Link, Refuse, RefuseWith, Unsupported,
};

use super::session::Active;
use super::trouble::{Result, Trouble};

/// RFC 5737 and RFC 3849: for documentation.
const NOBODY: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// What can be done; an error is one that says nothing about the kernel.
pub(super) fn find() -> Result<Capabilities> {
    Ok(Capabilities {
        drop: try_out(&Fault::Drop(Drop {
            from: NOBODY.to_vec(),
            protocol: None,
            port: None,
        }))?,
        refuse: try_out(&Fault::Refuse(Refuse {
            to: NOBODY.to_vec(),
            protocol: None,
            port: None,
            with: RefuseWith::PortUnreachable,
        }))?,
        dns: try_out(&Fault::Dns(Dns {
            name: "netcheck.invalid".to_owned(),
            outcome: DnsOutcome::Nxdomain,
            servers: NOBODY[..1].to_vec(),
        }))?,
        link: try_out(&Fault::Link(Link::to(NOBODY.to_vec())))?,
    })
}

fn try_out(fault: &Fault) -> Result<std::result::Result<Applied, Unsupported>> {
    match Active::make(fault) {
        Ok((active, applied)) => {
            active.heal()?;
            Ok(Ok(applied))
        }
        Err(Trouble::Unsupported(unsupported)) => Ok(Err(unsupported)),
        Err(failed @ Trouble::Failed { .. }) => Err(failed),
    }
}
