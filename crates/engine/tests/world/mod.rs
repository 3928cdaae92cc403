//! Throwaway containers and networks on the real engine, made with the testkit and gone with its lab.
//! Without an engine a test fails with one clear sentence. What a user does is done by the docker
//! command.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(
    unreachable_pub,
    reason = "a module of test programs has no other public"
)]

#[path = "../../../../tests/world/net.rs"]
mod net;
#[path = "../../../../tests/world/one_label.rs"]
mod one_label;
#[path = "../../../../tests/world/settled.rs"]
mod settled;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use net::{Net, made};
use netcheck_diagnose::evidence::{Evidence, Fact, Viewpoint};
use netcheck_diagnose::probe::{Answer, ResolvConf};
use netcheck_engine::{Client, DEFAULT_HOST, Deadline};
use netcheck_testkit::{Builder, Container, Lab, Node};
use one_label::with_one_label;

/// Runs `docker`; what it said on standard output, or on standard error if it failed.
fn docker_may(words: &[&str]) -> Result<String, String> {
    let output = Command::new("docker")
        .args(words)
        .stdin(Stdio::null())
        .output()
        .expect("the docker command is installed");
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Runs `docker`, which must succeed; its output.
#[track_caller]
pub fn docker(words: &[&str]) -> String {
    docker_may(words).unwrap_or_else(|why| panic!("docker {words:?}: {why}"))
}

/// Waits until what a pasted fix started listens.
pub fn settle(containers: &[&str]) {
    let containers: Vec<String> = containers.iter().map(ToString::to_string).collect();
    settled::settle(&containers, |words| docker_may(words).unwrap_or_default());
}

/// Networks and containers of one test.
pub struct World {
    lab: Lab,
}

impl World {
    #[track_caller]
    pub fn new() -> Self {
        Self {
            lab: made(Lab::start()),
        }
    }

    /// The name that the engine shows for something in this world.
    pub fn name(&self, short: &str) -> String {
        self.lab.real_name(short)
    }

    /// Makes a network.
    #[track_caller]
    pub fn network(&self, short: &str) -> Net {
        made(self.lab.network(short).create()).into()
    }

    /// Starts a container; the name that the engine shows.
    #[track_caller]
    pub fn run(&self, short: &str, build: impl FnOnce(Builder<Node>) -> Builder<Node>) -> String {
        let container = made(build(self.lab.node(short)).start());
        container.real_name().to_owned()
    }

    /// A container, by the name that the test gave it.
    #[track_caller]
    pub fn get(&self, short: &str) -> Container {
        self.lab.get(short).unwrap()
    }
}

/// With `NETCHECK_RECORD` set, keeps the evidence as a scenario, without what belongs to the machine
/// or to other worlds.
pub fn record(world: &World, evidence: &Evidence, code: &str, case: &str) {
    if std::env::var_os("NETCHECK_RECORD").is_none() {
        return;
    }
    let lab = world.lab.id();
    let mut evidence = evidence.clone();
    evidence
        .containers
        .retain(|container| container.name.contains(lab));
    for container in &mut evidence.containers {
        container.image = "netcheck-test:engine".into();
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
    let host = evidence
        .visits
        .iter_mut()
        .filter(|visit| visit.from == Viewpoint::Host);
    for answered in host.flat_map(|visit| &mut visit.answers) {
        if let Ok(Answer::Snapshot(snapshot)) = &mut answered.answer {
            snapshot.hosts = Ok(Vec::new());
            snapshot.sockets = Ok(Vec::new());
            snapshot.neighbours = Ok(Vec::new());
            snapshot.routes = Ok(Vec::new());
            if let Ok(interfaces) = &mut snapshot.interfaces {
                interfaces.retain(|one| ["lo", "docker0"].contains(&one.name.as_str()));
            }
            // RFC 5737: an address that is nobody's.
            snapshot.resolv_conf = Ok(ResolvConf {
                nameservers: vec![[192, 0, 2, 53].into()],
                ..ResolvConf::default()
            });
        }
    }
    let text = serde_json::to_string_pretty(&evidence).unwrap();
    let text = text.replace(&format!("-{lab}"), "");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/scenarios")
        .join(code)
        .join(case);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("evidence.json"), text + "\n").unwrap();
}

/// The full id of a container.
#[track_caller]
pub fn id(name: &str) -> String {
    docker(&["inspect", "-f", "{{.Id}}", name])
}

/// The address of a container on this network.
#[track_caller]
pub fn address(name: &str, network: &str) -> String {
    let format = format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}");
    docker(&["inspect", "-f", &format, name])
}

/// The engine of this machine.
pub async fn client() -> Client {
    Client::connect(DEFAULT_HOST, None, Deadline::after(Duration::from_secs(5)))
        .await
        .expect("these tests need a Docker Engine that answers (`docker version`)")
}
