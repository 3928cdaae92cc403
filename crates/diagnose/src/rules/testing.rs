//! Small worlds for the tests of rules, and the one function that runs a rule in a test.
//! Only what a test says differs from a healthy `running` container on `my_network`.

pub(crate) mod deep;
pub(crate) mod servers;
pub(crate) mod talks;
pub(crate) mod tries;
pub(crate) mod ways;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use netcheck_probe::{
    Answer, Answered, HostsEntry, Interface, Protocol, Question, ResolvConf, Route, RouteKind,
    Snapshot, Socket,
};

use crate::case::Case;
use crate::evidence::{
    Binding, Container, Detail, Endpoint, Engine, EngineKind, Evidence, Fact, How, Ipam, Mode,
    Network, Port, SCHEMA_VERSION, State, Status, Viewpoint, Visit,
};
use crate::recreate::Run;
use crate::reference;
use crate::request::Request;
use crate::rule::{Rule, Verdict};

/// The moment of every test, in seconds since 1970.
pub(crate) const NOW: i64 = 1_800_000_000;

/// A parsed address.
pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A TCP port.
pub(crate) fn tcp(number: u16) -> Port {
    Port {
        number,
        protocol: Protocol::Tcp,
    }
}

/// A UDP port.
pub(crate) fn udp(number: u16) -> Port {
    Port {
        number,
        protocol: Protocol::Udp,
    }
}

/// A published port on an address of the host.
pub(crate) fn binding(host: &str, host_port: u16, container: Port) -> Binding {
    Binding {
        container,
        host_address: Some(ip(host)),
        host_port: Some(host_port),
    }
}

/// A running container on `my_network` with the address 172.18.0.9, details known.
pub(crate) fn container(name: &str) -> Container {
    let id = id_of(name);
    Container {
        id: id.clone(),
        name: name.into(),
        image: "app:1".into(),
        status: Status::Running,
        endpoints: Vec::new(),
        published: Vec::new(),
        compose: BTreeMap::new(),
        detail: Fact::Known(Box::new(Detail {
            state: State {
                exit_code: 0,
                oom_killed: false,
                error: String::new(),
                started_at: Some(NOW - 3600),
                finished_at: None,
                restarts: 0,
                health: None,
                refused_bind: None,
            },
            mode: Mode::Networks,
            network_mode: String::new(),
            links: Vec::new(),
            exposed: Vec::new(),
            wanted: Vec::new(),
            publish_all: false,
            extra_hosts: Vec::new(),
            dns: Vec::new(),
            dns_options: Vec::new(),
            dns_search: Vec::new(),
            references: Vec::new(),
            unjudged: Vec::new(),
            env_names: Vec::new(),
            proxies: Vec::new(),
            proxy_exceptions: BTreeMap::new(),
            health_test: Vec::new(),
            user: String::new(),
            sysctls: BTreeMap::new(),
            pid: 4242,
            sandbox_key: String::new(),
            hostname: id[..12].to_owned(),
            run: Run::default(),
        })),
    }
    .on("my_network", "172.18.0.9")
}

/// 64 hex digits that stand for a name.
pub(crate) fn id_of(name: &str) -> String {
    let mut id: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    id.truncate(64);
    format!("{id:0<64}")
}

impl Container {
    pub(crate) fn detail_mut(&mut self) -> &mut Detail {
        match &mut self.detail {
            Fact::Known(detail) => detail,
            other => panic!("no details: {other:?}"),
        }
    }

    pub(crate) fn status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// On this network with this address, instead of the default one (first call) or in addition.
    pub(crate) fn on(mut self, network: &str, address: &str) -> Self {
        self.endpoints
            .retain(|endpoint| endpoint.network_name != network);
        let mut dns_names = vec![self.name.clone(), self.id[..12].to_owned()];
        if network == "bridge" {
            dns_names.clear();
        }
        self.endpoints.push(Endpoint {
            network_id: id_of(network),
            network_name: network.into(),
            addresses: vec![ip(address)],
            static_addresses: Vec::new(),
            gateways: Vec::new(),
            mac: None,
            aliases: Vec::new(),
            dns_names,
            gateway_priority: None,
        });
        self
    }

    /// Off every network.
    pub(crate) fn alone(mut self) -> Self {
        self.endpoints.clear();
        self
    }

    /// With one more name on every one of its networks.
    pub(crate) fn alias(mut self, alias: &str) -> Self {
        for endpoint in &mut self.endpoints {
            endpoint.aliases.push(alias.into());
            endpoint.dns_names.push(alias.into());
        }
        self
    }

    pub(crate) fn mode(mut self, mode: Mode) -> Self {
        self.detail_mut().mode = mode;
        self
    }

    pub(crate) fn exposes(mut self, port: Port) -> Self {
        self.detail_mut().exposed.push(port);
        self
    }

    /// Asked for and in force.
    pub(crate) fn publishes(mut self, binding: Binding) -> Self {
        self.published.push(binding.clone());
        self.detail_mut().wanted.push(binding);
        self
    }

    /// `NAME=value` lines, as `docker run -e` takes them.
    pub(crate) fn env(mut self, lines: &[&str]) -> Self {
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        let detail = self.detail_mut();
        detail.references = reference::find(&lines, &[], []);
        detail.env_names = lines
            .iter()
            .filter_map(|l| Some(l.split_once('=')?.0.to_owned()))
            .collect();
        detail.proxies = reference::proxies(&lines);
        detail.run.env_names.clone_from(&detail.env_names);
        self
    }

    pub(crate) fn command(mut self, words: &[&str]) -> Self {
        self.detail_mut().run.command = words.iter().map(ToString::to_string).collect();
        self
    }
}

/// A bridge network `name` with the /16 around `address`.
pub(crate) fn network(name: &str, subnet: &str) -> Network {
    Network {
        id: id_of(name),
        name: name.into(),
        driver: "bridge".into(),
        internal: false,
        ipv6: false,
        attachable: false,
        ipam: vec![Ipam {
            subnet: subnet.parse().unwrap(),
            gateway: None,
        }],
        options: BTreeMap::new(),
        compose: BTreeMap::new(),
    }
}

/// The same world, as podman would tell it.
pub(crate) fn on_podman(mut evidence: Evidence) -> Evidence {
    let Fact::Known(engine) = &mut evidence.engine else {
        panic!("the engine is known");
    };
    engine.kind = EngineKind::Podman;
    if let Fact::Known(networks) = &mut evidence.networks {
        for ipam in networks.iter_mut().flat_map(|network| &mut network.ipam) {
            ipam.gateway = ipam.gateway.or(ipam.subnet.hosts().next());
        }
    }
    evidence
}

/// An engine with `bridge` (172.17/16), `my_network` (172.18/16), `other` (172.19/16), and this
/// subject; nothing was seen from inside yet.
pub(crate) fn world(subject: Container) -> Evidence {
    let mut bridge = network("bridge", "172.17.0.0/16");
    bridge.options.insert(
        "com.docker.network.bridge.default_bridge".into(),
        "true".into(),
    );
    Evidence {
        schema_version: SCHEMA_VERSION,
        collected_by: "test".into(),
        collected_at: NOW,
        request: Request {
            container: subject.id.clone(),
            outbound: None,
            target: None,
            more: Vec::new(),
            refused: Vec::new(),
            notes: Vec::new(),
            said: None,
        },
        engine: Fact::Known(Engine {
            kind: EngineKind::Docker,
            version: "20.10.24".into(),
            api_version: "1.41".into(),
            os: "linux".into(),
            arch: "amd64".into(),
            operating_system: "Debian".into(),
            rootless: false,
            ipv4_forwarding: Some(true),
            address_pools: Vec::new(),
            swarm: None,
        }),
        networks: Fact::Known(vec![
            bridge,
            network("my_network", "172.18.0.0/16"),
            network("other", "172.19.0.0/16"),
        ]),
        containers: vec![subject],
        services: Fact::NotCollected,
        visits: Vec::new(),
        missed: Vec::new(),
        here: None,
        repetitions: Vec::new(),
        deep: None,
    }
}

/// A namespace with `lo` and `eth0`, a default route, the embedded DNS, and no listener.
pub(crate) fn snapshot() -> Snapshot {
    let interface = |name: &str, index, address: &str, prefix| Interface {
        name: name.into(),
        index,
        up: true,
        carrier: true,
        mtu: 1500,
        mac: None,
        addresses: vec![(ip(address), prefix)],
    };
    let route = |destination: &str, prefix, gateway: Option<&str>| Route {
        destination: (ip(destination), prefix),
        gateway: gateway.map(ip),
        interface: Some("eth0".into()),
        source: None,
        metric: 0,
        kind: RouteKind::Unicast,
    };
    Snapshot {
        namespace: Ok(4026531840),
        interfaces: Ok(vec![
            interface("lo", 1, "127.0.0.1", 8),
            interface("eth0", 2, "172.18.0.9", 16),
        ]),
        routes: Ok(vec![
            route("0.0.0.0", 0, Some("172.18.0.1")),
            route("172.18.0.0", 16, None),
        ]),
        neighbours: Ok(Vec::new()),
        sockets: Ok(Vec::new()),
        resolv_conf: Ok(ResolvConf {
            nameservers: vec![ip("127.0.0.11")],
            options: vec!["ndots:0".into()],
            ..ResolvConf::default()
        }),
        hosts: Ok(vec![HostsEntry {
            address: ip("127.0.0.1"),
            names: vec!["localhost".into()],
        }]),
        sysctls: BTreeMap::from([("net.ipv4.ip_forward".into(), "1".into())]),
    }
}

/// A listening TCP socket (or a UDP one) on an address.
pub(crate) fn socket(protocol: Protocol, local: &str) -> Socket {
    let local: SocketAddr = local.parse().unwrap();
    Socket {
        protocol,
        local,
        v6_only: local.is_ipv6().then_some(false),
        waiting: 0,
        backlog: 128,
        inode: 1,
        owner: None,
    }
}

impl Evidence {
    /// With one more container.
    pub(crate) fn and(mut self, other: Container) -> Self {
        self.containers.push(other);
        self
    }

    /// With one more network.
    pub(crate) fn with_network(mut self, network: Network) -> Self {
        match &mut self.networks {
            Fact::Known(networks) => networks.push(network),
            other => panic!("no networks: {other:?}"),
        }
        self
    }

    fn answers(&mut self, from: Viewpoint) -> &mut Vec<Answered> {
        let at = self
            .visits
            .iter()
            .position(|visit| visit.from == from)
            .unwrap_or_else(|| {
                self.visits.push(Visit {
                    from,
                    how: How::Netns,
                    took_ms: 5,
                    answers: Vec::new(),
                });
                self.visits.len() - 1
            });
        &mut self.visits[at].answers
    }

    fn subject_view(&self) -> Viewpoint {
        Viewpoint::Container(self.request.container.clone())
    }

    /// Seen from the subject: this snapshot.
    pub(crate) fn sees(mut self, snapshot: Snapshot) -> Self {
        let from = self.subject_view();
        self.answers(from).push(Answered {
            question: Question::Snapshot,
            answer: Ok(Answer::Snapshot(snapshot)),
        });
        self
    }

    /// Seen from the subject: a healthy snapshot with these listeners.
    pub(crate) fn listens(self, sockets: Vec<Socket>) -> Self {
        self.sees(Snapshot {
            sockets: Ok(sockets),
            ..snapshot()
        })
    }

    /// Seen from the engine's host: TCP listeners on these addresses.
    pub(crate) fn host_listens(self, on: &[&str]) -> Self {
        let mut host = snapshot();
        host.sockets = Ok(on.iter().map(|at| socket(Protocol::Tcp, at)).collect());
        self.answered_from(Viewpoint::Host, Question::Snapshot, Answer::Snapshot(host))
    }

    /// Asked from the subject.
    pub(crate) fn answered(self, question: Question, answer: Answer) -> Self {
        let from = self.subject_view();
        self.answered_from(from, question, answer)
    }

    /// Asked from somewhere.
    pub(crate) fn answered_from(
        mut self,
        from: Viewpoint,
        question: Question,
        answer: Answer,
    ) -> Self {
        self.answers(from).push(Answered {
            question,
            answer: Ok(answer),
        });
        self
    }
}

/// What a test expects of a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Passes,
    NotApplicable,
    /// The reason contains this.
    Unknown(&'static str),
    /// The problem sentences.
    Fails(Vec<&'static str>),
}

pub(crate) fn passes() -> Expected {
    Expected::Passes
}

pub(crate) fn not_applicable() -> Expected {
    Expected::NotApplicable
}

pub(crate) fn unknown(part: &'static str) -> Expected {
    Expected::Unknown(part)
}

pub(crate) fn fails(problem: &'static str) -> Expected {
    Expected::Fails(vec![problem])
}

/// Runs one rule; the only place that knows how.
#[track_caller]
pub(crate) fn check_rule(rule: &Rule, evidence: &Evidence, expected: Expected) {
    let case = Case::new(evidence).expect("a subject with details");
    let verdict = (rule.judge)(&case);
    let same = match (&verdict, &expected) {
        (Verdict::Pass, Expected::Passes) | (Verdict::NotApplicable, Expected::NotApplicable) => {
            true
        }
        (Verdict::Unknown(reason), Expected::Unknown(part)) => reason.contains(part),
        (Verdict::Fail(faults), Expected::Fails(problems)) => {
            faults
                .iter()
                .all(|fault| !fault.evidence.is_empty() && !fault.fixes.is_empty())
                && faults
                    .iter()
                    .map(|fault| fault.problem.as_str())
                    .eq(problems.iter().copied())
        }
        _ => false,
    };
    assert!(
        same,
        "`{}` said {verdict:#?}, expected {expected:?} (a fault needs proof and fix)",
        rule.code
    );
}

/// The commands of the first fault's fixes, for looking at them.
#[track_caller]
pub(crate) fn commands(rule: &Rule, evidence: &Evidence) -> Vec<String> {
    let case = Case::new(evidence).expect("a subject with details");
    match (rule.judge)(&case) {
        Verdict::Fail(faults) => faults[0]
            .fixes
            .iter()
            .flat_map(|fix| fix.commands.clone())
            .collect(),
        other => panic!("`{}` said {other:?}", rule.code),
    }
}

impl Container {
    /// A service of a Compose project, with the labels only.
    pub(crate) fn of_service(mut self, project: &str, service: &str) -> Self {
        self.compose.insert("project".into(), project.into());
        self.compose.insert("service".into(), service.into());
        self
    }

    /// With a health check of this status, which goes to `localhost`.
    pub(crate) fn health(mut self, status: &str) -> Self {
        let detail = self.detail_mut();
        detail.state.health = Some(crate::evidence::Health {
            status: status.into(),
            failing_streak: u32::from(status == "unhealthy") * 4,
            last_output: "wget: can't connect to remote host".into(),
        });
        detail.health_test = vec!["CMD-SHELL".into(), "wget -qO- http://localhost/".into()];
        self
    }

    /// Started this many seconds ago.
    pub(crate) fn started(mut self, seconds_ago: i64) -> Self {
        self.detail_mut().state.started_at = Some(NOW - seconds_ago);
        self
    }
}

impl Evidence {
    /// The subject looked a name up in DNS and got these addresses, or `NXDOMAIN` for none.
    pub(crate) fn resolves(self, name: &str, addresses: &[&str]) -> Self {
        let from = self.subject_view();
        self.resolves_from(from, name, addresses)
    }

    /// The same from somewhere else.
    pub(crate) fn resolves_from(self, from: Viewpoint, name: &str, addresses: &[&str]) -> Self {
        use netcheck_probe::{DnsOutcome, DnsQuery, Lookup, RecordType, Source};
        let addresses: Vec<IpAddr> = addresses.iter().map(|address| ip(address)).collect();
        let (source, outcome) = if addresses.is_empty() {
            (Source::Nobody, DnsOutcome::NxDomain)
        } else {
            (Source::Dns, DnsOutcome::Addresses(addresses.clone()))
        };
        let lookup = Lookup {
            source,
            addresses,
            queries: vec![DnsQuery {
                name: name.into(),
                record: RecordType::A,
                server: "127.0.0.11:53".parse().unwrap(),
                outcome,
                took_ms: 1,
            }],
            took_ms: 1,
        };
        self.answered_from(
            from,
            Question::Lookup { name: name.into() },
            Answer::Lookup(lookup),
        )
    }
}

/// A snapshot of a namespace with nothing but `lo`.
pub(crate) fn only_lo() -> Snapshot {
    let mut snapshot = snapshot();
    if let Ok(interfaces) = &mut snapshot.interfaces {
        interfaces.truncate(1);
    }
    snapshot.routes = Ok(Vec::new());
    snapshot
}

/// The texts of the fixes of all faults, for looking at them.
#[track_caller]
pub(crate) fn fix_texts(rule: &Rule, evidence: &Evidence) -> Vec<String> {
    let case = Case::new(evidence).expect("a subject with details");
    match (rule.judge)(&case) {
        Verdict::Fail(faults) => faults
            .iter()
            .flat_map(|fault| fault.fixes.iter().map(|fix| fix.text.clone()))
            .collect(),
        other => panic!("`{}` said {other:?}", rule.code),
    }
}
