//! The page `docs/benchmarks.md`. It names the machine by what matters for speed, and by nothing
//! else: no host name, no path.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use crate::engine::Engine;
use crate::failure::{Failure, Result};
use crate::process::{self, Patience};

use super::asked::Asked;
use super::measure::Series;

/// What was aimed at, see the issue that asked for the benchmark.
const HELPER_AIM: f64 = 2.0;
const NETNS_AIM: f64 = 0.2;
const METADATA_AIM: Duration = Duration::from_millis(5);
const MEMORY_AIM_MB: f64 = 40.0;

/// What the engine runs on.
pub(crate) struct Machine {
    processor: Option<String>,
    described: String,
    load_before: Option<String>,
}

impl Machine {
    pub(crate) fn look(engine: &Engine) -> Result<Self> {
        let mut command = engine.docker();
        command.args([
            "info",
            "--format",
            "{{.NCPU}}|{{.MemTotal}}|{{.OSType}}|{{.KernelVersion}}|{{.Architecture}}|{{.Driver}}",
        ]);
        let said = process::output(
            "asking the engine about its machine",
            &mut command,
            Patience::seconds(30),
        )?;
        let [cores, memory, system, kernel, architecture, driver] =
            said.trim().split('|').collect::<Vec<_>>()[..]
        else {
            return Err(Failure::Told(format!(
                "asking the engine about its machine: it answered {:?}",
                said.trim()
            )));
        };
        let memory = memory.parse::<f64>().unwrap_or_default() / f64::from(1 << 30);
        Ok(Self {
            processor: processor(),
            described: format!(
                "{cores} cores, {memory:.0} GiB of memory, {system} {kernel} ({architecture}); Docker Engine {} \
                 with the storage driver {driver}, on the same machine",
                engine.version()
            ),
            load_before: load(),
        })
    }
}

fn processor() -> Option<String> {
    let all = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = all
        .lines()
        .find_map(|line| line.strip_prefix("model name"))?;
    Some(line.trim_start_matches([' ', '\t', ':']).to_owned())
}

fn load() -> Option<String> {
    let load = fs::read_to_string("/proc/loadavg").ok()?;
    load.split(' ').next().map(str::to_owned)
}

/// One mode of the plugin.
pub(crate) struct Row {
    pub(crate) mode: String,
    pub(crate) series: Series,
    /// Of its memory, in KiB, where that was measured.
    pub(crate) peak: Option<u64>,
}

impl Row {
    pub(crate) fn new(mode: &str) -> Self {
        Self {
            mode: mode.to_owned(),
            series: Series::default(),
            peak: None,
        }
    }
}

/// The plugin beside what people do, on a network of two.
pub(crate) struct Pair {
    pub(crate) bare: Series,
    pub(crate) hand: Series,
    pub(crate) hand_commands: usize,
    pub(crate) rows: Vec<Row>,
}

/// The modes on a network of that size.
pub(crate) struct Size {
    pub(crate) containers: usize,
    pub(crate) rows: Vec<Row>,
}

/// All that was measured.
pub(crate) struct Numbers {
    pub(crate) pair: Pair,
    pub(crate) asked: Vec<Asked>,
    pub(crate) metadata: Series,
    pub(crate) sizes: Vec<Size>,
    pub(crate) notes: Vec<String>,
}

/// The whole page.
pub(crate) fn page(machine: &Machine, numbers: &Numbers, lab: &str, runs: usize) -> String {
    let mut page = String::from(
        "# Benchmarks\n\n\
         Written by `cargo xtask bench --write`; everything was measured in one run on one machine, in turns.\n\n",
    );
    describe(machine, runs, &mut page);
    let bare = numbers.pair.bare.median();
    page.push_str(
        "\n## One healthy container, with one other on its network\n\n\
         | what | median | min – max | × bare | aim | |\n|---|--:|--:|--:|--:|---|\n",
    );
    line(
        &mut page,
        "bare: one `docker run --rm --network container:X IMAGE` of a program that ends at once",
        &numbers.pair.bare,
        bare,
        None,
    );
    let hand = format!(
        "by hand: the same eight answers, {} docker commands one after the other",
        numbers.pair.hand_commands
    );
    line(&mut page, &hand, &numbers.pair.hand, bare, None);
    for row in &numbers.pair.rows {
        let aim = match row.mode.as_str() {
            "helper" => Some(HELPER_AIM),
            "netns" => Some(NETNS_AIM),
            _ => None,
        };
        line(
            &mut page,
            &format!("`--probe {}`, image loaded before", row.mode),
            &row.series,
            bare,
            aim,
        );
    }
    let metadata = numbers.metadata.median();
    put(
        &mut page,
        &format!(
            "| `docker-cli-plugin-metadata` | {} | {} – {} | | ≤ {} | {} |\n",
            ms(metadata),
            ms(numbers.metadata.shortest()),
            ms(numbers.metadata.longest()),
            ms(METADATA_AIM),
            verdict(metadata <= METADATA_AIM)
        ),
    );
    for row in &numbers.pair.rows {
        put(
            &mut page,
            &format!(
                "\nBy hand takes {:.1} times as long as `--probe {}`.\n",
                ratio(numbers.pair.hand.median(), row.series.median()),
                row.mode
            ),
        );
    }
    pairs(&numbers.asked, &mut page);
    worlds(numbers, bare, &mut page);
    memory(numbers, &mut page);
    put(
        &mut page,
        &format!("\n## The testkit\n\n{}\n", lab.trim_end()),
    );
    how(numbers, &mut page);
    page
}

fn describe(machine: &Machine, runs: usize, page: &mut String) {
    put(page, &format!("Machine: {}.", machine.described));
    if let Some(processor) = &machine.processor {
        put(page, &format!(" Processor: {processor}."));
    }
    if let (Some(before), Some(after)) = (&machine.load_before, load()) {
        put(
            page,
            &format!(" Load average of one minute before and after: {before} and {after}."),
        );
    }
    put(
        page,
        &format!(" Medians of {runs} runs after one to warm up.\n"),
    );
}

/// `docker netcheck FROM TARGET`, where it works and where it does not.
fn pairs(asked: &[Asked], page: &mut String) {
    page.push_str(
        "\n## Can one container connect to the other?\n\n\
         | question | how | median | min – max | × by hand |\n|---|---|--:|--:|--:|\n",
    );
    for Asked {
        what,
        hand,
        hand_commands,
        rows,
    } in asked
    {
        let mut row = |how: &str, series: &Series| {
            let (shortest, longest) = (ms(series.shortest()), ms(series.longest()));
            let (median, times) = (series.median(), ratio(series.median(), hand.median()));
            put(
                page,
                &format!(
                    "| {what} | {how} | {} | {shortest} – {longest} | {times:.2} |\n",
                    ms(median)
                ),
            );
        };
        row(&format!("by hand, {hand_commands} docker commands"), hand);
        for one in rows {
            row(&format!("`--probe {}`", one.mode), &one.series);
        }
    }
}

fn worlds(numbers: &Numbers, bare: Duration, page: &mut String) {
    page.push_str(
        "\n## More containers on the subject's network\n\n\
         | containers | mode | median | min – max | × bare |\n|--:|---|--:|--:|--:|\n",
    );
    for Size { containers, rows } in &numbers.sizes {
        for row in rows {
            put(
                page,
                &format!(
                    "| {containers} | `{}` | {} | {} – {} | {:.2} |\n",
                    row.mode,
                    ms(row.series.median()),
                    ms(row.series.shortest()),
                    ms(row.series.longest()),
                    ratio(row.series.median(), bare)
                ),
            );
        }
    }
}

fn memory(numbers: &Numbers, page: &mut String) {
    page.push_str(
        "\n## Memory\n\n\
         | containers | mode | largest resident set | aim | |\n|--:|---|--:|--:|---|\n",
    );
    for Size { containers, rows } in &numbers.sizes {
        for Row { mode, peak, .. } in rows {
            let Some(peak) = peak else {
                put(
                    page,
                    &format!(
                        "| {containers} | `{mode}` | not measured: this system does not tell | ≤ {MEMORY_AIM_MB} MB | |\n"
                    ),
                );
                continue;
            };
            // The kernel counts in units of 1024 bytes.
            let megabytes = f64::from(u32::try_from(*peak).unwrap_or(u32::MAX)) * 1024.0 / 1e6;
            let verdict = verdict(megabytes <= MEMORY_AIM_MB);
            put(
                page,
                &format!(
                    "| {containers} | `{mode}` | {megabytes:.1} MB | ≤ {MEMORY_AIM_MB} MB | {verdict} |\n"
                ),
            );
        }
    }
}

fn how(numbers: &Numbers, page: &mut String) {
    page.push_str(
        "\n## How\n\n\
         - From the start of the program to its end; the plugin without the docker command in front, the rest \
         through the docker command line, as it is typed.\n\
         - The subject has one network, a server on one port, and that port published on the loopback address.\n\
         - By hand: `docker inspect` for state and networks; `docker run` of busybox for the name (nslookup), the \
         gateway (ping), what listens (netstat), the published port (nc), the host's name and the resolvers (cat). \
         For a pair: `docker inspect` for the networks of both, nslookup and nc from the one, netstat in the other. \
         Nobody's reading and typing is in it.\n\
         - Between two checks the engine is given time to remove the helpers.\n\
         - Memory is that of the plugin's process; with `helper`, a second process of the same program waits to \
         remove helpers if the first is killed, and is not in it.\n",
    );
    for note in &numbers.notes {
        put(page, &format!("- {note}\n"));
    }
}

fn line(page: &mut String, what: &str, series: &Series, bare: Duration, aim: Option<f64>) {
    let times = ratio(series.median(), bare);
    put(
        page,
        &format!(
            "| {what} | {} | {} – {} | {times:.2} | {} | {} |\n",
            ms(series.median()),
            ms(series.shortest()),
            ms(series.longest()),
            aim.map_or(String::new(), |aim| format!("≤ {aim} × bare")),
            aim.map_or("", |aim| verdict(times <= aim))
        ),
    );
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "**missed**" }
}

fn ratio(time: Duration, of: Duration) -> f64 {
    if of.is_zero() {
        f64::NAN
    } else {
        time.as_secs_f64() / of.as_secs_f64()
    }
}

fn ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1000.0;
    if ms < 20.0 {
        format!("{ms:.1} ms")
    } else {
        format!("{ms:.0} ms")
    }
}

/// Writing to a string cannot fail.
fn put(page: &mut String, text: &str) {
    let _ = page.write_str(text);
}
