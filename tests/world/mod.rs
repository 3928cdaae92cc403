//! A throwaway world on the real engine: networks and containers that are removed whatever happens
//! to the test, and the real binary to look at them.
//!
//! Without an engine every test fails with one clear sentence; none is skipped. Names carry a tag
//! of their own world, so tests run side by side.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(
    unreachable_pub,
    reason = "a module of test programs has no other public"
)]

use std::cell::Cell;
use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::{Hash as _, Hasher as _};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use netcheck_diagnose::report::{Finding, Report};
use tempfile::TempDir;

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_docker-netcheck");

/// The label of everything a test makes; its value is the world's tag.
pub const LABEL: &str = "io.netcheck.test";

/// Fixes that make a network use names that are free at that moment: such tests take turns.
static MAKES_NETWORKS: Mutex<()> = Mutex::new(());

/// Held by tests whose fix makes a network.
pub fn in_turn() -> MutexGuard<'static, ()> {
    MAKES_NETWORKS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// One-file images of the node: plain, with `EXPOSE`d ports, with a health check.
pub struct Images {
    /// No metadata but the entrypoint.
    pub plain: String,
    /// `EXPOSE 3306 33060`.
    pub exposing: String,
    /// `HEALTHCHECK`: healthy once /healthy exists; checked every second.
    pub health: String,
}

static IMAGES: LazyLock<Images> = LazyLock::new(|| {
    let node = netcheck_testkit::node().expect("the node was built for this machine");
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(node.len() as u64);
    header.set_mode(0o755);
    archive
        .append_data(&mut header, "netcheck-node", node)
        .unwrap();
    let archive = archive.into_inner().unwrap();
    let entry = r#"ENTRYPOINT ["/netcheck-node"]"#;
    // Named after the program, so that it is made once: an image that loses its name stays behind.
    let version = image_version(node);
    let import = |tag: &str, changes: &[&str]| {
        let tag = format!("netcheck-test:{tag}{version}");
        let known = Command::new("docker")
            .args(["image", "inspect", &tag])
            .output()
            .expect("the docker command is installed");
        if known.status.success() {
            return tag;
        }
        let mut command = Command::new("docker");
        command.arg("import");
        for change in [entry].iter().chain(changes) {
            command.args(["--change", change]);
        }
        let label = format!("LABEL {LABEL}=image");
        command.args(["--change", &label, "-", &tag]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the docker command is installed");
        child.stdin.take().unwrap().write_all(&archive).unwrap();
        let status = child.wait().unwrap();
        assert!(
            status.success(),
            "these tests need a Docker Engine that answers (`docker version`); importing an image failed"
        );
        tag
    };
    Images {
        plain: import("plain", &[]),
        exposing: import("exposing", &["EXPOSE 3306 33060"]),
        health: import(
            "health",
            &[r#"HEALTHCHECK --interval=1s --retries=2 CMD ["/netcheck-node", "health=/healthy"]"#],
        ),
    }
});

/// `-` and eight hex digits that change with the program.
fn image_version(program: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    program.hash(&mut hasher);
    format!("-{:08x}", hasher.finish() as u32)
}

/// What a program said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Networks and containers of one test.
pub struct World {
    pub tag: String,
    pub images: &'static Images,
    folder: TempDir,
    networks: Cell<u32>,
}

impl World {
    #[track_caller]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let unique = u64::from(std::process::id()) << 20
            ^ u64::from(now.subsec_nanos()) << 8
            ^ u64::from(count);
        Self {
            tag: format!("{:06x}{:02x}", unique & 0xff_ffff, count & 0xff),
            images: &IMAGES,
            folder: TempDir::new().unwrap(),
            networks: Cell::new(0),
        }
    }

    /// The name of something in this world.
    pub fn name(&self, short: &str) -> String {
        format!("{short}-{}", self.tag)
    }

    /// A folder of this world's own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs `docker`, which must succeed; its output.
    #[track_caller]
    pub fn docker(&self, words: &[&str]) -> String {
        let said = self.docker_said(words);
        assert_eq!(said.code, Some(0), "docker {words:?}: {}", said.stderr);
        said.stdout.trim().to_owned()
    }

    /// Runs `docker`, whatever comes of it.
    pub fn docker_said(&self, words: &[&str]) -> Said {
        Command::new("docker")
            .args(words)
            .stdin(Stdio::null())
            .output()
            .expect("the docker command is installed")
            .into()
    }

    /// Makes a network of this world.
    #[track_caller]
    pub fn network(&self, short: &str, flags: &[&str]) -> String {
        self.networks.set(self.networks.get() + 1);
        let name = self.name(short);
        let label = format!("{LABEL}={}", self.tag);
        let mut words = vec!["network", "create", "--label", &label];
        words.extend(flags);
        words.push(&name);
        self.docker(&words);
        name
    }

    /// Starts a container of the plain image.
    #[track_caller]
    pub fn run(&self, short: &str, flags: &[&str], node: &[&str]) -> String {
        self.run_image(&self.images.plain, short, flags, node)
    }

    /// Starts a container of this image.
    #[track_caller]
    pub fn run_image(&self, image: &str, short: &str, flags: &[&str], node: &[&str]) -> String {
        let name = self.name(short);
        let said = self.make("run", image, &name, flags, node);
        assert_eq!(
            said.code,
            Some(0),
            "docker run {flags:?} {node:?}: {}",
            said.stderr
        );
        name
    }

    /// `docker run -d` or `docker create`.
    pub fn make(&self, verb: &str, image: &str, name: &str, flags: &[&str], node: &[&str]) -> Said {
        let label = format!("{LABEL}={}", self.tag);
        let mut words = vec![verb];
        if verb == "run" {
            words.push("-d");
        }
        words.extend(["--name", name, "--label", &label]);
        words.extend(flags);
        words.push(image);
        words.extend(node);
        self.docker_said(&words)
    }

    /// The container's address on its only network.
    #[track_caller]
    pub fn address(&self, name: &str) -> String {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
        let addresses = self.docker(&["inspect", "-f", format, name]);
        addresses
            .split_whitespace()
            .next()
            .expect("an address")
            .to_owned()
    }

    /// Runs the binary under test.
    pub fn netcheck(&self, words: &[&str]) -> Said {
        Command::new(BINARY)
            .args(words)
            .stdin(Stdio::null())
            .output()
            .unwrap()
            .into()
    }

    /// The report on a container, with the exit code checked against the outcome.
    #[track_caller]
    pub fn report(&self, container: &str, more: &[&str]) -> Report {
        let mut words = vec!["--format", "json", container];
        words.extend(more);
        let said = self.netcheck(&words);
        let report: Report = serde_json::from_str(&said.stdout)
            .unwrap_or_else(|error| panic!("no report: {error}\n{}\n{}", said.stdout, said.stderr));
        let expected = match report.outcome {
            netcheck_diagnose::report::Outcome::Healthy => 0,
            netcheck_diagnose::report::Outcome::Problems => 2,
            netcheck_diagnose::report::Outcome::Undecided => 3,
        };
        assert_eq!(said.code, Some(expected), "{}", said.stderr);
        report
    }

    /// Runs a fix as a user would paste it.
    #[track_caller]
    pub fn paste(&self, commands: &[String]) {
        let script = commands.join("\n");
        let output = Command::new("bash")
            .args(["-e", "-c", &script])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "the printed fix failed:\n{script}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let left: Vec<_> = std::fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name.to_string_lossy().ends_with(".env"))
            .collect();
        assert!(left.is_empty(), "the fix left {left:?} behind");
    }

    /// Whether it belongs to this world: it is labelled, or carries the tag in its name.
    fn ours(&self, kind: &[&str]) -> Vec<String> {
        let mut words = kind.to_vec();
        let by_name = format!("name={}", self.tag);
        words.extend(["--filter", &by_name]);
        let said = self.docker_said(&words);
        said.stdout.split_whitespace().map(str::to_owned).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let containers = self.ours(&["ps", "-aq"]);
        // Networks that a fix made, and that only our containers are on.
        let mut networks: Vec<String> = Vec::new();
        if !containers.is_empty() {
            let mut words = vec![
                "inspect",
                "-f",
                "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}",
            ];
            words.extend(containers.iter().map(String::as_str));
            let said = self.docker_said(&words);
            networks = said.stdout.split_whitespace().map(str::to_owned).collect();
            let mut words = vec!["rm", "-f", "-v"];
            words.extend(containers.iter().map(String::as_str));
            self.docker_said(&words);
        }
        networks.extend(self.ours(&["network", "ls", "--format", "{{.Name}}"]));
        networks.sort();
        networks.dedup();
        for network in networks {
            if !matches!(network.as_str(), "bridge" | "host" | "none") {
                self.docker_said(&["network", "rm", &network]);
            }
        }
    }
}

/// A port of the host that nobody uses just now.
pub fn free_port() -> u16 {
    TcpListener::bind("0.0.0.0:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// The codes of the root causes, sorted.
pub fn roots(report: &Report) -> Vec<&str> {
    let mut codes: Vec<_> = report
        .findings
        .iter()
        .map(|finding| finding.code.as_str())
        .collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// The whole report for the message of a failed test.
pub fn show(report: &Report) -> String {
    serde_json::to_string_pretty(report).unwrap()
}

/// A fault as a test makes it, and what the tool must make of it.
pub struct Fault<'a> {
    code: &'a str,
    case: &'a str,
    /// What only the user can do before the fix (mend a configuration file).
    users_part: Option<&'a dyn Fn(&World)>,
}

impl<'a> Fault<'a> {
    /// The code, and a name for the case among those of that code.
    pub fn new(code: &'a str, case: &'a str) -> Self {
        Self {
            code,
            case,
            users_part: None,
        }
    }

    /// See the field.
    pub fn after(mut self, users_part: &'a dyn Fn(&World)) -> Self {
        self.users_part = Some(users_part);
        self
    }

    /// Makes the fault, sees it named as the only root cause by both ways of looking from inside,
    /// runs each printed fix on a world of its own, and sees the next run find nothing.
    #[track_caller]
    pub fn is_named_and_healed(&self, make: impl Fn(&World) -> String) {
        let mut fix = 0;
        loop {
            let world = World::new();
            let subject = make(&world);
            let found = self.find(&world, &subject, fix == 0);
            let commands: Vec<_> = found
                .fixes
                .iter()
                .map(|fix| &fix.commands)
                .filter(|commands| !commands.is_empty())
                .collect();
            assert!(!commands.is_empty(), "no fix to run: {found:#?}");
            if let Some(users_part) = self.users_part {
                users_part(&world);
            }
            world.paste(commands[fix]);
            let again = world.report(&subject, &[]);
            assert!(
                again.findings.is_empty() && again.undecided.is_empty(),
                "still not healthy after\n{}\n{}",
                commands[fix].join("\n"),
                show(&again)
            );
            fix += 1;
            if fix == commands.len() {
                return;
            }
        }
    }

    #[track_caller]
    fn find(&self, world: &World, subject: &str, record: bool) -> Finding {
        let evidence = world.folder().join("evidence.json");
        let evidence = evidence.to_str().unwrap();
        let report = world.report(subject, &["--save-evidence", evidence]);
        assert_eq!(roots(&report), [self.code], "{}", show(&report));
        if record {
            let by_helper = world.report(subject, &["--probe", "helper"]);
            assert_eq!(
                roots(&by_helper),
                [self.code],
                "by helper: {}",
                show(&by_helper)
            );
            if std::env::var_os("NETCHECK_RECORD").is_some() {
                recording::write(world, Path::new(evidence), self.code, self.case);
            }
        }
        report.findings.into_iter().next().unwrap()
    }
}

/// Recording scenarios: `NETCHECK_RECORD=1 cargo test --test faults --test healthy`.
pub mod recording {
    use super::*;
    use netcheck_diagnose::evidence::{Evidence, Fact, Viewpoint};
    use netcheck_diagnose::probe::{Answer, Snapshot};

    /// Where scenarios are kept.
    pub fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios")
    }

    /// Keeps the evidence of a world, without what belongs to the machine or to other worlds.
    pub fn write(world: &World, evidence: &Path, code: &str, case: &str) {
        let text = std::fs::read_to_string(evidence).unwrap();
        let mut evidence: Evidence = serde_json::from_str(&text).unwrap();
        evidence
            .containers
            .retain(|container| container.name.contains(&world.tag));
        if let Fact::Known(networks) = &mut evidence.networks {
            networks.retain(|network| {
                network.name.contains(&world.tag)
                    || ["bridge", "host", "none"].contains(&network.name.as_str())
            });
        }
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
                        without_the_machine(snapshot);
                    }
                }
            }
        }
        let text = serde_json::to_string_pretty(&evidence).unwrap();
        let node = netcheck_testkit::node().unwrap();
        let mut text = text
            .replace(&format!("-{}", world.tag), "")
            .replace(&image_version(node), "");
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

    fn without_the_machine(snapshot: &mut Snapshot) {
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
            interfaces
                .retain(|interface| ["lo", "eth0", "docker0"].contains(&interface.name.as_str()));
        }
    }
}

/// One line per check, for the messages of failed tests.
pub fn checks(report: &Report) -> String {
    report.checks.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{:?} {:?} {}", line.check, line.status, line.saw);
        text
    })
}
