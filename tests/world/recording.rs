//! Recording scenarios: `NETCHECK_RECORD=1 cargo test --test faults --test healthy`. What belongs
//! to the machine, to other worlds, or to the kit that made this one is left out, so that the same
//! fault is recorded in the same words again.

use std::path::{Path, PathBuf};

use netcheck_diagnose::evidence::{Container, Evidence, Fact, Viewpoint};
use netcheck_diagnose::probe::{Answer, Snapshot};

use super::World;
use super::one_label::with_one_label;

/// The image that recorded scenarios show; what its metadata says is its tag.
const IMAGE: &str = "netcheck-test";

/// Links that tests make on the host of an engine of their own.
const OF_TESTS: [&str; 4] = ["lan0", "mp0", "vp0", "shim"];

/// Where scenarios are kept.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios")
}

/// Keeps the evidence of a world, without what belongs to the machine or to other worlds.
pub fn write(world: &World, evidence: &Path, code: &str, case: &str) {
    let lab = world.lab().id();
    let text = std::fs::read_to_string(evidence).unwrap();
    let mut evidence: Evidence = serde_json::from_str(&text).unwrap();
    evidence
        .containers
        .retain(|container| container.name.contains(lab) || container.is_engine_host());
    let made = |container: &&mut Container| !container.is_engine_host();
    for container in evidence.containers.iter_mut().filter(made) {
        let images = world.images.borrow();
        let image = images.get(&container.image).unwrap_or(&"plain");
        container.image = format!("{IMAGE}:{image}");
        if let Fact::Known(detail) = &mut container.detail {
            detail.run.flags = with_one_label(&detail.run.flags, lab);
        }
    }
    if let Fact::Known(networks) = &mut evidence.networks {
        networks.retain(|network| {
            network.name.contains(lab)
                || ["bridge", "host", "none"].contains(&network.name.as_str())
        });
    }
    let bridges: Vec<String> = evidence
        .networks
        .known()
        .into_iter()
        .flatten()
        .map(|network| format!("br-{}", &network.id[..12]))
        .collect();
    let mut resolvers = Vec::new();
    for visit in &mut evidence.visits {
        for answered in &mut visit.answers {
            if let Ok(Answer::Snapshot(snapshot)) = &mut answered.answer {
                // A container in host mode sees the host too.
                let sees_bridges = snapshot
                    .interfaces
                    .iter()
                    .flatten()
                    .any(|i| i.name == "docker0");
                if visit.from == Viewpoint::Host || sees_bridges {
                    resolvers.extend(
                        snapshot
                            .resolv_conf
                            .iter()
                            .flat_map(|c| c.nameservers.clone()),
                    );
                    without_the_machine(snapshot, &bridges);
                }
            }
        }
    }
    let text = serde_json::to_string_pretty(&evidence).unwrap();
    let mut text = text.replace(&format!("-{lab}"), "");
    for resolver in resolvers
        .into_iter()
        .filter(|resolver| !resolver.is_loopback())
    {
        // RFC 5737: an address that is nobody's.
        text = text.replace(&resolver.to_string(), "192.0.2.53");
    }
    let folder = folder().join(code).join(case);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("evidence.json"), text + "\n").unwrap();
}

/// Its own links and those of this world's networks, given by name, stay.
fn without_the_machine(snapshot: &mut Snapshot, bridges: &[String]) {
    if let Ok(hosts) = &mut snapshot.hosts {
        hosts.truncate(1);
    }
    if let Ok(sockets) = &mut snapshot.sockets {
        sockets.retain(|socket| socket.local.port() > 1024);
    }
    if let Ok(conf) = &mut snapshot.resolv_conf {
        conf.search.clear();
    }
    if let Ok(neighbours) = &mut snapshot.neighbours {
        neighbours.clear();
    }
    if let Ok(interfaces) = &mut snapshot.interfaces {
        interfaces.retain(|interface| {
            ["lo", "eth0", "docker0"].contains(&interface.name.as_str())
                || OF_TESTS.contains(&interface.name.as_str())
                || bridges.contains(&interface.name)
        });
    }
}
