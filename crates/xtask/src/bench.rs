//! `cargo xtask bench`: the plugin against what people do by hand, on one engine, in one run. All
//! that is compared is measured in turns, so that a machine that gets slower is slower for each.

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
use crate::{build, busybox, complain, node_image, say, stop};

use measure::Series;
use table::{Machine, Numbers, Row};

const LABEL: &str = "io.netcheck.bench=1";

/// Of a program that ends at once: the floor under everything that starts a container.
const NODE: &str = "netcheck-bench:node";

/// Of the tools that people use by hand.
const TOOLS: &str = "netcheck-bench:busybox";

/// Containers on the subject's network, the subject among them.
const WORLDS: [usize; 3] = [1, 10, 50];

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
    let machine = Machine::look(&engine)?;
    let numbers = {
        let _clean_up = CleanUp {
            engine: &engine,
            plugin: plugin.clone(),
        };
        Bench::set_up(&engine, plugin, runs)?.measure()?
    };
    let page = table::page(&machine, &numbers, runs);
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
    network: String,
    subject: String,
    notes: Vec<String>,
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
            notes: Vec::new(),
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
        Ok(bench)
    }

    fn measure(mut self) -> Result<Numbers> {
        let modes = self.modes()?;
        let by_hand = self.by_hand()?;
        complain("measuring…");
        let mut bare = Series::default();
        let mut hand = Series::default();
        let mut rows: Vec<(&str, Series)> = modes
            .iter()
            .map(|mode| (*mode, Series::default()))
            .collect();
        // One more than is counted: the first has cold caches.
        for run in 0..=self.runs {
            let one = measure::time(&mut self.bare())?;
            let all = by_hand
                .iter()
                .map(|words| measure::time(self.engine.docker().args(words)));
            let all = all.sum::<Result<Duration>>()?;
            let mut plugin = Vec::new();
            for mode in &modes {
                plugin.push(measure::time(&mut self.check(mode))?);
                self.settle()?;
            }
            if run > 0 {
                bare.add(one);
                hand.add(all);
                rows.iter_mut()
                    .zip(plugin)
                    .for_each(|((_, series), time)| series.add(time));
            }
            complain(&format!("  {run} of {}", self.runs));
        }
        let mut metadata = Series::default();
        for _ in 0..METADATA_RUNS {
            let mut command = Command::new(&self.plugin);
            metadata.add(measure::time(command.arg("docker-cli-plugin-metadata"))?);
        }
        let (worlds, memory) = self.worlds(&modes)?;
        Ok(Numbers {
            bare,
            hand,
            hand_commands: by_hand.len(),
            rows: rows
                .into_iter()
                .map(|(mode, series)| Row::new(mode, series))
                .collect(),
            metadata,
            worlds,
            memory,
            notes: self.notes,
        })
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
                self.notes.push(format!(
                    "`--probe {mode}` is not measured: it does not work here (on this engine, with these rights)."
                ));
                continue;
            }
            if mode == "auto" {
                self.notes.push(format!(
                    "`--probe auto` chose `{}` here.",
                    ways.first().unwrap_or(&"nothing")
                ));
            }
            if done.status.code() != Some(0) {
                let codes: Vec<&str> = ["findings", "undecided"]
                    .iter()
                    .flat_map(|list| report[list].as_array().into_iter().flatten())
                    .filter_map(|entry| entry["code"].as_str())
                    .collect();
                self.notes.push(format!(
                    "With `--probe {mode}` the subject, which is healthy, was called `{}` ({}).",
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
        let beside = format!("container:{subject}");
        let questions: [(&str, &[&str]); 6] = [
            // Can others find it by name?
            (&self.network, &["nslookup", &subject]),
            // Does the gateway answer?
            (&beside, &["ping", "-c", "1", "-W", "1", &gateway]),
            // What listens?
            (&beside, &["netstat", "-tuln"]),
            // Does the published port lead anywhere?
            ("host", &["nc", "-z", "-w", "1", "127.0.0.1", &port]),
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
                self.notes.push(format!("By hand: busybox is from {from}."));
                TOOLS
            }
            Err(why) => {
                self.notes.push(format!(
                    "By hand: no busybox could be had ({why}); the same number of starts of a program that \
                     ends at once stands for it."
                ));
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

    /// The same check in larger and larger worlds; and the memory in the smallest and the largest.
    fn worlds(&mut self, modes: &[&'static str]) -> Result<(Vec<table::Size>, Vec<table::Memory>)> {
        let modes: Vec<&str> = modes
            .iter()
            .copied()
            .filter(|mode| *mode != "auto")
            .collect();
        let mut worlds = Vec::new();
        let mut memory = Vec::new();
        let mut containers = 1;
        for size in WORLDS {
            complain(&format!("a world of {size}…"));
            while containers < size {
                let name = format!("{}-peer-{containers}", self.prefix);
                let network = self.network.clone();
                self.world
                    .container(&name, &["--network", &network, NODE, "tcp=0.0.0.0:80"])?;
                containers += 1;
                stop::check()?;
            }
            let mut rows: Vec<(&str, Series)> = modes
                .iter()
                .map(|mode| (*mode, Series::default()))
                .collect();
            for run in 0..=self.runs {
                for (mode, series) in &mut rows {
                    let time = measure::time(&mut self.check(mode))?;
                    self.settle()?;
                    if run > 0 {
                        series.add(time);
                    }
                }
            }
            worlds.push(table::Size {
                containers: size,
                rows: rows
                    .into_iter()
                    .map(|(mode, series)| Row::new(mode, series))
                    .collect(),
            });
            for mode in &modes {
                let peak = measure::peak_memory(&mut self.check(mode))?;
                memory.push(table::Memory {
                    mode: (*mode).to_owned(),
                    containers: size,
                    peak,
                });
                self.settle()?;
            }
        }
        Ok((worlds, memory))
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
        let note =
            "Somebody else's helpers were on the engine meanwhile: the numbers are too high.";
        if !self.notes.iter().any(|known| known == note) {
            self.notes.push(note.to_owned());
        }
        Ok(())
    }
}
