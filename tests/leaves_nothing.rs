//! Whatever ends a run, and at whatever moment: two seconds later no helper of it is left. And what
//! a helper may do while it is there.
//!
//! Other programs may use the same engine at the same time, with helpers of their own: a test here
//! looks only at those of its own runs, whose ids (`io.netcheck.run`) it saw go by in a proxy.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]
#![expect(unreachable_pub, reason = "modules are shared between test programs")]
#![expect(
    clippy::print_stdout,
    reason = "what a test prints is shown when it fails"
)]

mod call;
mod proxy;
mod world;

#[path = "leaves_nothing/image.rs"]
mod image;
#[path = "leaves_nothing/stop.rs"]
mod stop;

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use call::{netcheck_at, run};
use netcheck_testkit::tcp;
use proxy::{Act, Proxy};
use serde_json::Value;
use world::{World, free_port};

/// What a run may take to leave nothing behind.
const GONE: Duration = Duration::from_secs(2);

/// The tests here measure moments: side by side they would measure each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A container with a network and a published port, and a proxy that sees which helpers are made.
struct Watched {
    world: World,
    web: String,
    proxy: Proxy,
    runs: Arc<Mutex<BTreeSet<String>>>,
    image: Arc<Mutex<String>>,
}

impl Watched {
    /// With a rule for what is not the making of a helper.
    fn new(rule: impl Fn(&proxy::Asked) -> Act + Send + Sync + 'static) -> Self {
        let world = World::new();
        let net = world.network("net");
        let web = world.run("web", |n| {
            n.on(&net).publish_as(tcp(80), free_port()).tcp(80)
        });
        let runs = Arc::new(Mutex::new(BTreeSet::new()));
        let image = Arc::new(Mutex::new(String::new()));
        let (seen, used) = (runs.clone(), image.clone());
        let proxy = Proxy::new(move |asked| {
            if let Some(run) = asked.run() {
                let body: Value = serde_json::from_slice(&asked.body).unwrap();
                seen.lock().unwrap().insert(run);
                *used.lock().unwrap() = body["Image"].as_str().unwrap().to_owned();
            }
            rule(asked)
        });
        Self {
            world,
            web,
            proxy,
            runs,
            image,
        }
    }

    fn call(&self, words: &[&str]) -> Command {
        let mut call = netcheck_at(&self.proxy.host(), &["--probe", "helper", &self.web]);
        call.args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        call
    }

    /// Helpers of the runs seen so far, in whatever state.
    fn helpers(&self) -> Vec<String> {
        let list = self.world.docker(&[
            "ps",
            "-a",
            "--no-trunc",
            "--filter",
            "label=io.netcheck.role=helper",
            "--format",
            "{{.ID}} {{.State}} {{.Label \"io.netcheck.run\"}}",
        ]);
        let runs = self.runs.lock().unwrap();
        list.lines()
            .filter(|line| runs.contains(line.rsplit(' ').next().unwrap()))
            .map(str::to_owned)
            .collect()
    }

    /// The image of the helpers seen so far.
    fn image(&self) -> String {
        self.image.lock().unwrap().clone()
    }

    fn made(&self) -> usize {
        self.runs.lock().unwrap().len()
    }

    /// Waits until a helper of a run that is going on runs itself.
    fn until_a_helper_runs(&self) {
        let started = Instant::now();
        while !self.helpers().iter().any(|line| line.contains(" running ")) {
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "no helper came up"
            );
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A simple generator (xorshift32), for moments that are the same in every run of the test.
struct Moments(u32);

impl Moments {
    fn next(&mut self, below: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % below
    }
}

#[test]
fn killed_at_thirty_moments() {
    let _alone = alone();
    const SEED: u32 = 0x2545_f491;
    println!("seed {SEED:#x}");
    let watched = Watched::new(|_| Act::Forward);
    let mut moments = Moments(SEED);
    let mut cut = 0;
    // One moment in each of 30 equal parts of 600 ms.
    for part in 0..30 {
        let after = Duration::from_millis(u64::from(part * 20 + moments.next(20)));
        let mut child = watched.call(&[]).spawn().unwrap();
        thread::sleep(after);
        // It may have ended by itself: the engine was quick.
        cut += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let last = Instant::now();
    thread::sleep(GONE - last.elapsed());
    let left = watched.helpers();
    assert!(left.is_empty(), "{left:#?}");
    // The kills came while helpers were made, or they prove nothing.
    println!("{cut} were cut short, {} had made helpers", watched.made());
    assert!(cut >= 5, "only {cut} were cut short");
    assert!(
        watched.made() >= 5,
        "only {} had made helpers",
        watched.made()
    );
    assert!(
        cut + watched.made() > 30,
        "no run was cut short that had made helpers"
    );
}

#[test]
fn killed_with_its_whole_process_group() {
    use std::os::unix::process::CommandExt as _;
    let _alone = alone();
    let watched = Watched::new(|asked| match asked.path.ends_with("/start") {
        // Helpers that are made and never started do not end by themselves.
        true => Act::Hang,
        false => Act::Forward,
    });
    let mut child = watched.call(&[]).process_group(0).spawn().unwrap();
    let started = Instant::now();
    while watched.helpers().is_empty() {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "no helper was made"
        );
    }
    let group = format!("-{}", child.id());
    let done = Command::new("kill")
        .args(["-KILL", "--", &group])
        .status()
        .unwrap();
    assert!(done.success());
    child.wait().unwrap();
    thread::sleep(GONE);
    let left = watched.helpers();
    assert!(left.is_empty(), "{left:#?}");
}

#[test]
fn a_run_that_goes_well_leaves_nothing() {
    let _alone = alone();
    let watched = Watched::new(|_| Act::Forward);
    for _ in 0..3 {
        let ended = watched.call(&[]).status().unwrap();
        assert_eq!(ended.code(), Some(0));
    }
    thread::sleep(GONE);
    assert_eq!(watched.made(), 3);
    let left = watched.helpers();
    assert!(left.is_empty(), "{left:#?}");
}

#[test]
fn a_run_whose_helpers_never_start_leaves_nothing() {
    let _alone = alone();
    for step in ["/attach", "/start"] {
        for hangs in [true, false] {
            let watched = Watched::new(move |asked| match asked.path.ends_with(step) {
                true if hangs => Act::Hang,
                true => Act::error(500, "it is being tested"),
                false => Act::Forward,
            });
            let said = run(&mut netcheck_at(
                &watched.proxy.host(),
                &["--timeout", "1500ms", "--probe", "helper", &watched.web],
            ));
            assert_eq!(said.code, Some(3), "{said:#?}");
            assert_eq!(watched.made(), 1, "{step}");
            thread::sleep(GONE);
            let left = watched.helpers();
            assert!(left.is_empty(), "{step} hangs: {hangs}: {left:#?}");
        }
    }
}

#[test]
fn a_helper_that_the_engine_makes_too_late_is_removed() {
    let _alone = alone();
    // The engine makes it a second after the run gave up.
    let watched = Watched::new(|asked| {
        if asked.is("POST", "/containers/create") {
            thread::sleep(Duration::from_millis(1800));
        }
        Act::Forward
    });
    let said = run(&mut netcheck_at(
        &watched.proxy.host(),
        &["--timeout", "1s", "--probe", "helper", &watched.web],
    ));
    assert_eq!(said.code, Some(3), "{said:#?}");
    let ended = Instant::now();
    // 0.9 s later it is there; the reaper's last look is about three seconds after the end.
    thread::sleep(Duration::from_millis(4500).saturating_sub(ended.elapsed()));
    assert_eq!(watched.made(), 1);
    let left = watched.helpers();
    assert!(left.is_empty(), "{left:#?}");
}

#[test]
fn a_helper_has_no_rights() {
    let _alone = alone();
    let watched = Watched::new(|_| Act::Forward);
    // A service that does not accept keeps the helper busy for a second.
    let hang = watched.world.run("hang", |n| n.hang(80).hang(81));
    watched.world.docker(&["kill", "-s", "STOP", &hang]);
    let mut call = netcheck_at(&watched.proxy.host(), &["--probe", "helper", &hang]);
    let mut child = call
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    watched.until_a_helper_runs();
    let ids: Vec<String> = watched
        .helpers()
        .iter()
        .filter(|line| line.contains(" running "))
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    let mut words = vec!["inspect"];
    words.extend(ids.iter().map(String::as_str));
    let inspected: Vec<Value> = serde_json::from_str(&watched.world.docker(&words)).unwrap();
    child.wait().unwrap();
    assert!(!inspected.is_empty());
    for helper in inspected {
        let (host, config) = (&helper["HostConfig"], &helper["Config"]);
        assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]));
        assert_eq!(host["CapAdd"], Value::Null);
        assert_eq!(host["Privileged"], false);
        assert_eq!(host["ReadonlyRootfs"], true);
        assert_eq!(
            host["SecurityOpt"],
            serde_json::json!(["no-new-privileges"])
        );
        assert_eq!(host["AutoRemove"], true);
        assert_eq!(host["Binds"], Value::Null);
        assert_eq!(host["PidMode"], "");
        assert_eq!(host["LogConfig"]["Type"], "none");
        assert_eq!(helper["Mounts"], serde_json::json!([]));
        assert_eq!(config["User"], "65534:65534");
        assert_eq!(config["Labels"]["io.netcheck.role"], "helper");
        assert!(config["Labels"]["io.netcheck.run"].as_str().unwrap().len() >= 16);
        assert!(config["Labels"]["io.netcheck.expires"].as_str().is_some());
        assert!(
            config["Image"]
                .as_str()
                .unwrap()
                .starts_with("netcheck-probe:")
        );
    }
}

#[test]
fn a_helper_of_a_deep_look_has_two_capabilities_and_leaves_nothing() {
    let _alone = alone();
    let watched = Watched::new(|_| Act::Forward);
    let net = watched.world.network("other");
    let app = watched.world.run("near", |n| n.on(&net));
    let web = watched.world.run("far", |n| n.on(&net));
    // A refused connection is tried again, for three seconds.
    let target = format!("{web}:80");
    let words = ["--deep", "--probe", "helper", &app, &target];
    let mut child = netcheck_at(&watched.proxy.host(), &words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut deep = Vec::new();
    while child.try_wait().unwrap().is_none() {
        let running = watched.helpers();
        let ids = running
            .iter()
            .filter(|line| line.contains(" running "))
            .map(|line| line.split(' ').next().unwrap());
        for id in ids {
            // It may have ended meanwhile.
            let said = watched.world.docker_said(&["inspect", id]);
            let Ok(all) = serde_json::from_str::<Vec<Value>>(&said.stdout) else {
                continue;
            };
            deep.extend(
                all.into_iter()
                    .filter(|one| one["HostConfig"]["CapAdd"] != Value::Null),
            );
        }
    }
    assert!(!deep.is_empty());
    for helper in deep {
        let host = &helper["HostConfig"];
        let mut added: Vec<&str> = host["CapAdd"]
            .as_array()
            .unwrap()
            .iter()
            .map(|cap| cap.as_str().unwrap())
            .collect();
        added.sort_unstable();
        assert_eq!(
            added
                .iter()
                .map(|cap| cap.trim_start_matches("CAP_"))
                .collect::<Vec<_>>(),
            ["NET_ADMIN", "NET_RAW"]
        );
        assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]));
        assert_eq!(host["Privileged"], false);
        assert_eq!(host["ReadonlyRootfs"], true);
        assert_eq!(
            host["SecurityOpt"],
            serde_json::json!(["no-new-privileges"])
        );
        assert_eq!(host["Binds"], Value::Null);
        assert_eq!(host["PidMode"], "");
    }
    thread::sleep(GONE);
    let left = watched.helpers();
    assert!(left.is_empty(), "{left:#?}");
}
