//! A throwaway world on the real engine, made with the testkit and gone with its lab, and the real
//! binary to look at it.
//!
//! Without an engine every test fails with one clear sentence; none is skipped. What a user does
//! (pasting a fix, stopping, pausing, killing) is done as users do it, with the docker command;
//! nothing that has to be there before is made with it.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(
    unreachable_pub,
    reason = "a module of test programs has no other public"
)]

mod net;
mod one_label;
pub mod recording;
mod settled;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{self, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub use net::Net;
use net::made;
use netcheck_diagnose::report::{Finding, Outcome, Pairs, Report};
use netcheck_testkit::bollard::models::{
    ContainerInspectResponse, HealthConfig, HealthStatusEnum, ImageConfig,
};
use netcheck_testkit::{Builder, Container, LABEL_LAB, Lab, NetworkBuilder, Node, wait};
use tempfile::TempDir;

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_docker-netcheck");

/// Fixes that make a network use names that are free at that moment: such tests take turns.
static MAKES_NETWORKS: Mutex<()> = Mutex::new(());

/// Between two looks at what a test waits for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Nothing here takes longer; what does will never come.
const FOR_EVER: Duration = Duration::from_secs(60);

/// Held by tests whose fix makes a network.
pub fn in_turn() -> MutexGuard<'static, ()> {
    MAKES_NETWORKS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// What the image of a node says beside its program.
#[derive(Debug, Clone, Copy)]
pub enum Image {
    /// `EXPOSE 3306 33060`.
    Exposing,
    /// `HEALTHCHECK`: healthy once /healthy exists; checked every second.
    Health,
}

impl Image {
    /// As recorded scenarios call it.
    fn name(self) -> &'static str {
        match self {
            Self::Exposing => "exposing",
            Self::Health => "health",
        }
    }

    fn write(self, image: &mut ImageConfig) {
        match self {
            Self::Exposing => {
                image.exposed_ports = Some(vec!["3306/tcp".into(), "33060/tcp".into()]);
            }
            Self::Health => {
                image.healthcheck = Some(every_second(2, "health=/healthy"));
            }
        }
    }
}

/// A health check by the node with this word, once a second: unhealthy after so many failures.
pub fn every_second(retries: i64, word: &str) -> HealthConfig {
    HealthConfig {
        test: Some(vec!["CMD".into(), "/netcheck-node".into(), word.into()]),
        interval: Some(1_000_000_000),
        retries: Some(retries),
        ..HealthConfig::default()
    }
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
    /// There until the end.
    lab: Option<Lab>,
    folder: TempDir,
    /// Names of images other than the plain one, by their tags.
    images: RefCell<BTreeMap<String, &'static str>>,
    /// Whether a fix was run: it may have made what carries no label.
    pasted: Cell<bool>,
}

impl World {
    #[track_caller]
    pub fn new() -> Self {
        Self {
            lab: Some(made(Lab::start())),
            folder: TempDir::new().unwrap(),
            images: RefCell::default(),
            pasted: Cell::new(false),
        }
    }

    /// What it is made of.
    pub fn lab(&self) -> &Lab {
        self.lab.as_ref().unwrap()
    }

    /// The name that the engine shows for something in this world.
    pub fn name(&self, short: &str) -> String {
        self.lab().real_name(short)
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
    pub fn network(&self, short: &str) -> Net {
        self.network_with(short, |network| network)
    }

    /// Makes a network of this world that is not like others.
    #[track_caller]
    pub fn network_with(
        &self,
        short: &str,
        build: impl FnOnce(NetworkBuilder) -> NetworkBuilder,
    ) -> Net {
        made(build(self.lab().network(short)).create()).into()
    }

    /// Starts a container; the name that the engine shows.
    #[track_caller]
    pub fn run(&self, short: &str, build: impl FnOnce(Builder<Node>) -> Builder<Node>) -> String {
        let container = made(build(self.lab().node(short)).start());
        container.real_name().to_owned()
    }

    /// Starts a container of this image.
    #[track_caller]
    pub fn run_image(
        &self,
        image: Image,
        short: &str,
        build: impl FnOnce(Builder<Node>) -> Builder<Node>,
    ) -> String {
        let name = self.run(short, |node| {
            build(node.image(|config| image.write(config)))
        });
        let tag = self.inspect(short).config.and_then(|config| config.image);
        self.images.borrow_mut().insert(tag.unwrap(), image.name());
        name
    }

    /// Makes a container and does not start it: the quickest diagnosis there is (exit code 2).
    #[track_caller]
    pub fn create(
        &self,
        short: &str,
        build: impl FnOnce(Builder<Node>) -> Builder<Node>,
    ) -> String {
        let container = made(build(self.lab().node(short)).create());
        container.real_name().to_owned()
    }

    /// A container of this world.
    #[track_caller]
    pub fn get(&self, short: &str) -> Container {
        let found = self.lab().get(short);
        found.unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// What the engine says of a container of this world.
    #[track_caller]
    pub fn inspect(&self, short: &str) -> ContainerInspectResponse {
        made(self.get(short).inspect())
    }

    /// Waits until the engine says this of a container.
    #[track_caller]
    pub fn until(&self, short: &str, is_so: impl Fn(&ContainerInspectResponse) -> bool) {
        let started = Instant::now();
        loop {
            let now = self.inspect(short);
            if is_so(&now) {
                return;
            }
            assert!(started.elapsed() < FOR_EVER, "it never came: {now:#?}");
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until its health check says so.
    #[track_caller]
    pub fn until_health(&self, short: &str, health: HealthStatusEnum) {
        self.until(short, |now| {
            let state = now.state.as_ref().and_then(|state| state.health.as_ref());
            state.and_then(|now| now.status) == Some(health)
        });
    }

    /// Puts an empty file into a container.
    #[track_caller]
    pub fn touch(&self, short: &str, path: &str) {
        made(self.get(short).put_file(path, ""));
    }

    /// The container's address on its only network.
    #[track_caller]
    pub fn address(&self, short: &str) -> String {
        let settings = self.inspect(short).network_settings;
        let networks = settings.and_then(|settings| settings.networks);
        let mut endpoints = networks.unwrap_or_default().into_values();
        let address = endpoints.next().and_then(|endpoint| endpoint.ip_address);
        assert_eq!(endpoints.next(), None, "on several networks");
        address.filter(|text| !text.is_empty()).expect("an address")
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
        assert_eq!(said.code, Some(code(report.outcome)), "{}", said.stderr);
        report
    }

    /// The report on one pair, with the exit code checked against the outcome; what was seen is kept for
    /// [`World::record`].
    #[track_caller]
    pub fn pair(&self, flags: &[&str], from: &str, target: &str) -> Report {
        let evidence = self.evidence();
        let fixed = ["--format", "json", "--save-evidence", &evidence];
        let said = self.netcheck(&[&fixed, flags, &[from, target]].concat());
        let pairs: Pairs = serde_json::from_str(&said.stdout)
            .unwrap_or_else(|error| panic!("no report: {error}\n{}\n{}", said.stdout, said.stderr));
        let [report] = <[Report; 1]>::try_from(pairs.pairs).unwrap();
        assert_eq!(said.code, Some(code(report.outcome)), "{}", said.stderr);
        report
    }

    /// Where a test saves what it saw.
    pub fn evidence(&self) -> String {
        let file = self.folder.path().join("evidence.json");
        file.into_os_string().into_string().unwrap()
    }

    /// Keeps what was saved last as a scenario, where somebody asks for that.
    pub fn record(&self, code: &str, case: &str) {
        if std::env::var_os("NETCHECK_RECORD").is_some() {
            recording::write(self, Path::new(&self.evidence()), code, case);
        }
    }

    /// Runs a fix as a user would paste it, and waits until what it started listens.
    #[track_caller]
    pub fn paste(&self, commands: &[String]) {
        let script = commands.join("\n");
        self.pasted.set(true);
        // A fix that waits for what never comes ends with 124, so that the test says which it was.
        let output = Command::new("timeout")
            .args(["60", "bash", "-e", "-c", &script])
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
        let by_label = format!("label={LABEL_LAB}={}", self.lab().id());
        let running = self.docker_said(&["ps", "-q", "--filter", &by_label]);
        let running: Vec<String> = running
            .stdout
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        settled::settle(&running, |words| self.docker_said(words).stdout);
    }

    /// What a fix made and the lab does not know of: the kit's labels go from a container to the
    /// one that replaces it, but no fix puts labels on a network.
    fn made_by_fixes(&self) -> Vec<String> {
        let by_name = format!("name={}", self.lab().id());
        let by_label = format!("label={LABEL_LAB}={}", self.lab().id());
        let list = |words: &[&str]| -> Vec<String> {
            let said = self.docker_said(words);
            said.stdout.split_whitespace().map(str::to_owned).collect()
        };
        let containers = list(&["ps", "-aq", "--filter", &by_label]);
        let format = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}";
        let mut words = vec!["inspect", "-f", format];
        words.extend(containers.iter().map(String::as_str));
        let mut networks = list(&words);
        networks.extend(list(&[
            "network",
            "ls",
            "--format",
            "{{.Name}}",
            "--filter",
            &by_name,
        ]));
        let labelled = [
            "network",
            "ls",
            "--format",
            "{{.Name}}",
            "--filter",
            &by_label,
        ];
        let of_the_lab = list(&labelled);
        networks.retain(|name| {
            let usual = ["bridge", "host", "none"].contains(&name.as_str());
            !usual && !of_the_lab.contains(name)
        });
        networks.sort();
        networks.dedup();
        networks
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let networks = if self.pasted.get() {
            self.made_by_fixes()
        } else {
            Vec::new()
        };
        let left = match self.lab.take() {
            // With its last words, and without a second panic.
            Some(lab) if thread::panicking() => {
                drop(lab);
                Ok(())
            }
            Some(lab) => wait(lab.end()),
            None => Ok(()),
        };
        for network in networks {
            self.docker_said(&["network", "rm", &network]);
        }
        left.unwrap_or_else(|error| panic!("{error:?}"));
    }
}

/// A port of the host that nobody uses, and that no other test of this program is given.
///
/// One that the kernel picks would be picked again as soon as it is let go, by another test or by
/// the engine, before the container that is to have it has started.
pub fn free_port() -> u16 {
    /// Below those that the kernel and the engine pick from (from 32768 on, ip(7)).
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 22_000;
    /// More than a test program asks for: programs beside each other begin that far apart.
    const APART: u32 = 199;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    for _ in 0..COUNT {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed);
        let offset = (process::id() * APART + given) % COUNT;
        let port = u16::try_from(FIRST + offset).unwrap();
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return port;
        }
    }
    panic!("every port from {FIRST} on is in use");
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
    /// How many fixes have to be commands.
    runnable: usize,
}

impl<'a> Fault<'a> {
    /// The code, and a name for the case among those of that code.
    pub fn new(code: &'a str, case: &'a str) -> Self {
        Self {
            code,
            case,
            users_part: None,
            runnable: 1,
        }
    }

    /// See the field.
    pub fn after(mut self, users_part: &'a dyn Fn(&World)) -> Self {
        self.users_part = Some(users_part);
        self
    }

    /// See the field.
    pub fn with_fixes(mut self, runnable: usize) -> Self {
        self.runnable = runnable;
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
            assert!(
                commands.len() >= self.runnable,
                "a fix is not to run: {found:#?}"
            );
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
            world.record(self.code, self.case);
        }
        report.findings.into_iter().next().unwrap()
    }
}

/// The exit code for an outcome.
fn code(outcome: Outcome) -> i32 {
    match outcome {
        Outcome::Healthy => 0,
        Outcome::Problems => 2,
        Outcome::Undecided => 3,
    }
}

/// One line per check, for the messages of failed tests.
pub fn checks(report: &Report) -> String {
    report.checks.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{:?} {:?} {}", line.check, line.status, line.saw);
        text
    })
}
