//! `cargo xtask bench`: the plugin against what people do by hand, on one engine, in one run. All
//! that is compared is measured in turns, so that a machine that gets slower is slower for each.

mod asked;
mod measure;
mod table;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::engine::Engine;
use crate::failure::{Failure, Result, told};
use crate::process::{self, Patience};
use crate::world::World;
use crate::{build, busybox, complain, node_image, say};

use measure::Series;
use table::{Machine, Numbers, Pair, Row, Size};

const LABEL: &str = "io.netcheck.bench=1";

/// Of a program that ends at once: the floor under everything that starts a container.
const NODE: &str = "netcheck-bench:node";

/// Of the tools that people use by hand.
const TOOLS: &str = "netcheck-bench:busybox";

/// Containers on the subject's network, the subject among them.
const WORLDS: [usize; 3] = [1, 10, 50];

/// The main table's: whether others find the subject by name is asked from another container.
const PAIR: usize = 2;

/// It is so quick that fewer would say little.
const METADATA_RUNS: usize = 50;

/// Where the engine has removed a helper, it still has a little to do.
const SETTLE: Duration = Duration::from_millis(50);

/// Who is still there after this is not ours.
const SETTLE_LIMIT: Duration = Duration::from_secs(3);

/// What the plugin's helpers carry.
const HELPERS: &str = "label=io.netcheck.role=helper";

/// Modes that are measured.
const MODES: [&str; 3] = ["helper", "netns", "auto"];

pub(crate) fn run(runs: usize, write: bool) -> Result<()> {
    let engine = Engine::ensure()?;
    let plugin = build::plugin(true)?;
    // Built before anything is measured.
    lab(&engine, &["--no-run"])?;
    let machine = Machine::look(&engine)?;
    let numbers = {
        let _clean_up = CleanUp {
            engine: &engine,
            plugin: plugin.clone(),
        };
        Bench::set_up(&engine, plugin, runs)?.measure()?
    };
    complain("measuring the testkit…");
    let lab = lab(&engine, &["--", &runs.to_string()])?;
    let page = table::page(&machine, &numbers, &lab, runs);
    say(&page);
    if write {
        let place = build::workspace().join("docs").join("benchmarks.md");
        fs::write(&place, page).map_err(|error| {
            Failure::Told(format!("writing the table to {}: {error}", place.display()))
        })?;
        complain("written to docs/benchmarks.md");
    }
    Ok(())
}

/// The testkit's own benchmark, which compares it with testcontainers and prints tables. Nearly all
/// of its time is the engine's, so it is not built a second time for speed.
fn lab(engine: &Engine, words: &[&str]) -> Result<String> {
    let mut command = build::cargo();
    command
        .args(["bench", "--locked", "--package", "netcheck-testkit"])
        .args(["--bench", "lab", "--profile", "dev"])
        .args(words);
    engine.aim(&mut command);
    process::output(
        "measuring the testkit with `cargo bench`",
        &mut command,
        Patience::ENDLESS,
    )
}

/// Removes the helper's image, after the world.
struct CleanUp<'a> {
    engine: &'a Engine,
    plugin: PathBuf,
}

impl Drop for CleanUp<'_> {
    fn drop(&mut self) {
        let mut command = Command::new(&self.plugin);
        self.engine.aim(command.arg("cleanup"));
        let doing = "cleaning up after the benchmark with `docker-netcheck cleanup`";
        if let Err(failure) = process::output(doing, &mut command, Patience::TIDYING) {
            complain(&failure.to_string());
        }
    }
}

/// The world that is measured in.
struct Bench<'a> {
    engine: &'a Engine,
    plugin: PathBuf,
    world: World<'a>,
    runs: usize,
    prefix: String,
    /// On the subject's network, the subject among them.
    containers: usize,
    network: String,
    subject: String,
    notes: Vec<String>,
    /// There is an image of the tools that people use by hand.
    has_tools: bool,
}

impl<'a> Bench<'a> {
    fn set_up(engine: &'a Engine, plugin: PathBuf, runs: usize) -> Result<Self> {
        complain("making the world…");
        let prefix = format!("netcheck-bench-{}", std::process::id());
        let mut bench = Self {
            engine,
            plugin,
            world: World::new(engine, LABEL),
            runs,
            network: format!("{prefix}-net"),
            subject: format!("{prefix}-subject"),
            prefix,
            containers: 0,
            notes: Vec::new(),
            has_tools: false,
        };
        bench.world.image(
            NODE,
            "netcheck-node",
            node_image::node()?,
            r#"["/netcheck-node"]"#,
        )?;
        bench.world.network(&bench.network)?;
        let (network, subject) = (bench.network.clone(), bench.subject.clone());
        bench.world.container(
            &subject,
            &[
                "--network",
                &network,
                "--publish",
                "127.0.0.1::80",
                NODE,
                "tcp=0.0.0.0:80",
            ],
        )?;
        bench.containers = 1;
        Ok(bench)
    }

    fn measure(mut self) -> Result<Numbers> {
        let mut sizes = Vec::new();
        let mut pair = None;
        let mut asked = Vec::new();
        for size in WORLDS {
            // The rows of the main table are measured on the way from one to many.
            if pair.is_none() && size > PAIR {
                self.grow(PAIR)?;
                let modes = self.modes()?;
                pair = Some(self.pair(&modes)?);
                // Only tools can do by hand what is asked then.
                if self.has_tools {
                    asked = self.asked(&modes, TOOLS)?;
                }
            }
            self.grow(size)?;
            let modes = self.modes()?;
            sizes.push(self.size(&modes)?);
        }
        let Some(pair) = pair else {
            return told("measuring: no world is larger than a pair");
        };
        let mut metadata = Series::default();
        for _ in 0..METADATA_RUNS {
            let mut command = Command::new(&self.plugin);
            metadata.add(measure::time(command.arg("docker-cli-plugin-metadata"))?);
        }
        Ok(Numbers {
            pair,
            asked,
            metadata,
            sizes,
            notes: self.notes,
        })
    }

    /// The plugin, what people do by hand, and the floor, in turns.
    fn pair(&mut self, modes: &[&'static str]) -> Result<Pair> {
        let by_hand = self.by_hand()?;
        let mut pair = Pair {
            bare: Series::default(),
            hand: Series::default(),
            hand_commands: by_hand.len(),
            rows: modes.iter().map(|mode| Row::new(mode)).collect(),
        };
        // One more than is counted: the first has cold caches.
        for run in 0..=self.runs {
            let one = measure::time(&mut self.bare())?;
            let mut all = Duration::ZERO;
            for words in &by_hand {
                all += measure::time(self.engine.docker().args(words))?;
            }
            if run > 0 {
                pair.bare.add(one);
                pair.hand.add(all);
            }
            for row in &mut pair.rows {
                let time = measure::time(&mut self.check(&row.mode))?;
                self.settle()?;
                if run > 0 {
                    row.series.add(time);
                }
            }
            complain(&format!("  {run} of {}", self.runs));
        }
        Ok(pair)
    }

    /// `docker run` of a program that ends at once, beside the subject.
    fn bare(&self) -> Command {
        let mut command = self.engine.docker();
        command
            .args(["run", "--rm", "--label", LABEL, "--network"])
            .arg(format!("container:{}", self.subject))
            .args([NODE, "exit=0"]);
        command
    }

    /// The plugin itself, without the docker command in front.
    fn check(&self, mode: &str) -> Command {
        let mut command = Command::new(&self.plugin);
        self.engine.aim(&mut command);
        command.args(["--probe", mode, &self.subject]);
        command
    }

    /// The modes that work here. A run that does not look the way its mode says, or finds a problem
    /// where there is none, is not worth measuring or has to be noted.
    fn modes(&mut self) -> Result<Vec<&'static str>> {
        let mut modes = Vec::new();
        for mode in MODES {
            let mut command = self.check(mode);
            command.args(["--format", "json"]);
            let doing = format!("trying the plugin with --probe {mode}");
            let done = process::capture(&doing, &mut command, Patience::seconds(60))?;
            let report: Value = serde_json::from_str(&done.stdout).map_err(|error| {
                Failure::Told(format!(
                    "{doing}: it printed no JSON: {error}: {}",
                    done.stderr.trim()
                ))
            })?;
            let ways: Vec<&str> = report["visits"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|visit| visit["how"].as_str())
                .collect();
            let as_said =
                !ways.is_empty() && (mode == "auto" || ways.iter().all(|way| *way == mode));
            if !as_said {
                self.note(format!(
                    "`--probe {mode}` is not measured: it does not work here (on this engine, with these rights)."
                ));
                continue;
            }
            if mode == "auto" {
                let mut used: Vec<String> = ways.iter().map(|way| format!("`{way}`")).collect();
                used.sort();
                used.dedup();
                self.note(format!(
                    "With {} on the network, `--probe auto` looked by {}.",
                    self.count(),
                    used.join(" and ")
                ));
            }
            if done.status.code() != Some(0) {
                let codes: Vec<&str> = ["findings", "undecided"]
                    .iter()
                    .flat_map(|list| report[list].as_array().into_iter().flatten())
                    .filter_map(|entry| entry["code"].as_str())
                    .collect();
                self.note(format!(
                    "With {} on the network and `--probe {mode}` the subject, which is healthy, was called `{}` ({}).",
                    self.count(),
                    report["outcome"].as_str().unwrap_or("?"),
                    codes.join(", ")
                ));
            }
            modes.push(mode);
            self.settle()?;
        }
        if modes.is_empty() {
            return told("measuring the plugin: it cannot look from inside in any way here");
        }
        Ok(modes)
    }

    /// What a person types for the eight answers, one command after the other.
    fn by_hand(&mut self) -> Result<Vec<Vec<String>>> {
        let subject = self.subject.clone();
        let address = |field: &str| {
            format!(
                "{{{{(index .NetworkSettings.Networks \"{}\").{field}}}}}",
                self.network
            )
        };
        let gateway = self.world.docker(&[
            "container",
            "inspect",
            "--format",
            &address("Gateway"),
            &subject,
        ])?;
        let published = self.world.docker(&["port", &subject, "80/tcp"])?;
        let port = published
            .lines()
            .next()
            .and_then(|line| line.rsplit(':').next())
            .unwrap_or_default()
            .to_owned();
        let (network, beside) = (self.network.clone(), format!("container:{subject}"));
        let questions: [(&str, &[&str]); 6] = [
            // Can others find it by name?
            (&network, &["nslookup", &subject]),
            // Does the gateway answer?
            (&beside, &["ping", "-c", "1", "-W", "1", &gateway]),
            // What listens?
            (&beside, &["netstat", "-tuln"]),
            // Does the published port lead anywhere?
            ("host", &["nc", "-w", "1", "127.0.0.1", &port]),
            // Is host.docker.internal known?
            (&beside, &["cat", "/etc/hosts"]),
            // Which resolvers are asked for names outside?
            (&beside, &["cat", "/etc/resolv.conf"]),
        ];
        let found = busybox::find()?;
        let image = match &found {
            Ok((program, from)) => {
                self.world
                    .image(TOOLS, "busybox", program, r#"["/busybox"]"#)?;
                self.note(format!("By hand: busybox is from {from}."));
                self.has_tools = true;
                TOOLS
            }
            Err(why) => {
                // Not into the page: it may name paths and servers.
                complain(&format!("no busybox could be had: {why}"));
                self.note(
                    "By hand: no busybox could be had; the same number of starts of a program that ends at \
                     once stands for it."
                        .to_owned(),
                );
                NODE
            }
        };
        let mut commands: Vec<Vec<String>> =
            ["{{json .State}}", "{{json .NetworkSettings.Networks}}"]
                .map(|format| {
                    ["inspect", "--format", format, &subject]
                        .map(str::to_owned)
                        .to_vec()
                })
                .to_vec();
        for (network, words) in questions {
            let mut command = ["run", "--rm", "--label", LABEL, "--network", network, image]
                .map(str::to_owned)
                .to_vec();
            if image == NODE {
                command.push("exit=0".into());
            } else {
                command.extend(words.iter().map(|word| (*word).to_owned()));
            }
            commands.push(command);
        }
        for command in &commands {
            let mut docker = self.engine.docker();
            docker.args(command);
            // A question that fails would not be the answer that the plugin gives.
            process::output(
                "trying what people do by hand",
                &mut docker,
                Patience::seconds(60),
            )?;
        }
        Ok(commands)
    }

    /// Adds containers until there are so many.
    fn grow(&mut self, size: usize) -> Result<()> {
        complain(&format!("a world of {size}…"));
        while self.containers < size {
            let name = format!("{}-peer-{}", self.prefix, self.containers);
            let network = self.network.clone();
            let words = ["--network", &network, NODE, "tcp=0.0.0.0:80"];
            self.world.container(&name, &words)?;
            self.containers += 1;
        }
        Ok(())
    }

    /// Times and memory of the check, at the size that the world has now.
    fn size(&mut self, modes: &[&'static str]) -> Result<Size> {
        let mut rows: Vec<Row> = Vec::new();
        for mode in modes.iter().filter(|mode| **mode != "auto") {
            rows.push(Row::new(mode));
        }
        for run in 0..=self.runs {
            for row in &mut rows {
                let time = measure::time(&mut self.check(&row.mode))?;
                self.settle()?;
                if run > 0 {
                    row.series.add(time);
                }
            }
        }
        for row in &mut rows {
            row.peak = measure::peak_memory(&mut self.check(&row.mode))?;
            self.settle()?;
        }
        Ok(Size {
            containers: self.containers,
            rows,
        })
    }

    fn count(&self) -> String {
        match self.containers {
            1 => "1 container".to_owned(),
            many => format!("{many} containers"),
        }
    }

    /// Something that a reader of the numbers has to know; once.
    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Waits until the engine has removed the helpers of the run before, which would slow the next.
    fn settle(&mut self) -> Result<()> {
        let helpers = ["container", "ls", "--all", "--quiet", "--filter", HELPERS];
        let started = Instant::now();
        while started.elapsed() < SETTLE_LIMIT {
            if self.world.docker(&helpers)?.is_empty() {
                std::thread::sleep(SETTLE);
                return Ok(());
            }
        }
        self.note(
            "Somebody else's helpers were on the engine meanwhile: the numbers are too high."
                .into(),
        );
        Ok(())
    }
}
