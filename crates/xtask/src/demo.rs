//! `cargo xtask demo`: installs the plugin and shows it on a small world in which the oldest
//! mistake of all was made: an application that keeps the address of a database, not its name.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::engine::Engine;
use crate::failure::{Failure, Result, told};
use crate::process::{self, Patience};
use crate::world::World;
use crate::{build, complain, install, node_image, say};

const LABEL: &str = "io.netcheck.demo=1";
const IMAGE: &str = "netcheck-demo:1";

/// What the demo is about.
const CODE: &str = "stale-container-address";

/// How often another suffix is tried before the user is told that all names are taken.
const SUFFIXES: u32 = 9;

pub(crate) fn run() -> Result<()> {
    let engine = Engine::ensure()?;
    say(&format!("Docker Engine {} answers.", engine.version()));
    say("Building docker-netcheck…");
    let plugin = Plugin::prepare(&engine, build::plugin(true)?)?;
    {
        let _clean_up = CleanUp(&plugin);
        play(&engine, &plugin)?;
        say("\nThat was it. Removing the demo's containers, network and image…");
    }
    plugin.farewell();
    Ok(())
}

/// The plugin, as it is called here.
struct Plugin<'a> {
    engine: &'a Engine,
    program: PathBuf,
    installed: Option<PathBuf>,
    through_docker: bool,
}

impl<'a> Plugin<'a> {
    fn prepare(engine: &'a Engine, program: PathBuf) -> Result<Self> {
        let installed = match install::install(&program) {
            Ok(place) => Some(place),
            Err(Failure::Told(message)) => {
                complain(&message);
                None
            }
            Err(stopped) => return Err(stopped),
        };
        let through_docker = installed.is_some() && install::docker_runs_it(engine)?;
        match &installed {
            Some(place) => say(&format!("Installed it for you as {}.", place.display())),
            None => say("It is not installed; the demo runs it from where it was built."),
        }
        if installed.is_some() && !through_docker {
            say(
                "Your docker command does not run plugins (they came with 19.03); it is run directly.",
            );
        }
        Ok(Self {
            engine,
            program,
            installed,
            through_docker,
        })
    }

    /// How a person types it, and the command.
    fn command(&self, words: &[&str]) -> (String, Command) {
        let (shown, mut command) = if self.through_docker {
            let mut command = self.engine.docker();
            command.arg("netcheck");
            ("docker netcheck", command)
        } else {
            let mut command = Command::new(&self.program);
            self.engine.aim(&mut command);
            ("docker-netcheck", command)
        };
        command.args(words);
        (format!("{shown} {}", words.join(" ")), command)
    }

    /// Shows the command line and what it says; the exit code.
    fn show(&self, words: &[&str]) -> Result<Option<i32>> {
        let (shown, mut command) = self.command(words);
        say(&format!("\n$ {shown}"));
        let status = process::show(&format!("running {shown}"), &mut command)?;
        Ok(status.code())
    }

    /// The same where nothing is wrong. A machine may have a fault of its own, for instance a name
    /// server that does not answer: the demo goes on, and says so at its end.
    fn show_healthy(&self, words: &[&str]) -> Result<bool> {
        let healthy = self.show(words)? == Some(0);
        if !healthy {
            say("\nThe demo's world has no such fault: this machine has, or it is a false alarm.");
        }
        Ok(healthy)
    }

    fn farewell(&self) {
        match &self.installed {
            Some(place) => say(&format!(
                "Nothing of the demo is left. The plugin stays: try `docker netcheck CONTAINER` on a \
                 container of yours.\nTo remove it: rm {}",
                place.display()
            )),
            None => say("Nothing of the demo is left."),
        }
    }
}

/// Removes what the plugin itself put on the engine, however the demo ends.
struct CleanUp<'a>(&'a Plugin<'a>);

impl Drop for CleanUp<'_> {
    fn drop(&mut self) {
        let (shown, mut command) = self.0.command(&["cleanup"]);
        match process::output(&format!("running {shown}"), &mut command, Patience::TIDYING) {
            Ok(said) => say(&format!("$ {shown}\n{}", said.trim_end())),
            Err(failure) => complain(&failure.to_string()),
        }
    }
}

/// Names that nobody uses on this engine.
struct Names {
    database: String,
    application: String,
    cache: String,
    network: String,
}

impl Names {
    fn free(world: &World<'_>) -> Result<Self> {
        let suffixes = [String::new(), "-demo".into()].into_iter();
        for suffix in suffixes.chain((2..=SUFFIXES).map(|number| format!("-demo-{number}"))) {
            let [database, application, cache] =
                ["mysql-db", "app", "cache"].map(|name| format!("{name}{suffix}"));
            let network = format!("netcheck-demo-net{suffix}");
            if !world.taken(
                &[database.clone(), application.clone(), cache.clone()],
                &network,
            )? {
                return Ok(Self {
                    database,
                    application,
                    cache,
                    network,
                });
            }
        }
        told(
            "the demo finds no free names on this engine: earlier demos were cut off; remove what \
             `cargo xtask leftovers` lists, then try again",
        )
    }
}

fn play(engine: &Engine, plugin: &Plugin<'_>) -> Result<()> {
    let mut world = World::new(engine, LABEL);
    let names = Names::free(&world)?;
    say("\nMaking a small world: a database, and an application that keeps its address…");
    world.image(
        IMAGE,
        "netcheck-node",
        node_image::node()?,
        r#"["/netcheck-node"]"#,
    )?;
    world.network(&names.network)?;
    let stale = break_it(&mut world, &names)?;
    say(&format!(
        "Then the database is made anew, and meanwhile a cache has come up: the database has another \
         address, and {} still goes to {stale}.",
        names.application
    ));

    say("\nThe database itself is well:");
    let mut healthy = plugin.show_healthy(&[&names.database])?;
    say("\nThe application is not:");
    plugin.show(&[&names.application])?;

    say("\nNow the fix that it printed, word by word:");
    let commands = fix(plugin, &names.application)?;
    for command in &commands {
        say(&format!("$ {command}"));
    }
    let mut shell = Command::new("sh");
    engine.aim(&mut shell);
    shell.arg("-ec").arg(commands.join("\n"));
    process::output("running the printed fix", &mut shell, Patience::seconds(60))?;

    say("\nAnd again:");
    healthy &= plugin.show_healthy(&["--quiet", &names.application])?;
    if healthy {
        return Ok(());
    }
    told(
        "the demo ended well but for the faults that were found where it has none, see above; on \
         another engine, or with those repaired, it ends well",
    )
}

/// The story; the address that the application keeps.
fn break_it(world: &mut World<'_>, names: &Names) -> Result<String> {
    let database = [
        "--network",
        &names.network,
        "--expose",
        "3306",
        IMAGE,
        "banner=0.0.0.0:3306",
    ];
    world.container(&names.database, &database)?;
    let first = world.address(&names.database, &names.network)?;
    let url = format!("DB_URL=mysql://{first}:3306/shop");
    world.container(
        &names.application,
        &["--network", &names.network, "--env", &url, IMAGE, "idle"],
    )?;
    world.docker(&["container", "rm", "--force", &names.database])?;
    world.container(
        &names.cache,
        &[
            "--network",
            &names.network,
            "--expose",
            "6379",
            IMAGE,
            "banner=0.0.0.0:6379",
        ],
    )?;
    world.container(&names.database, &database)?;
    if world.address(&names.database, &names.network)? == first {
        return told(format!(
            "the demo does not work on this engine: {} got its old address {first} again",
            names.database
        ));
    }
    Ok(first)
}

/// The commands of the first fix for what the demo broke.
fn fix(plugin: &Plugin<'_>, container: &str) -> Result<Vec<String>> {
    let (shown, mut command) = plugin.command(&["--format", "json", container]);
    let done = process::capture(
        &format!("running {shown}"),
        &mut command,
        Patience::seconds(30),
    )?;
    let broken = |why: String| Failure::Told(format!("the demo is broken: `{shown}` {why}"));
    let report: Value = serde_json::from_str(&done.stdout)
        .map_err(|error| broken(format!("printed no JSON: {error}: {}", done.stderr.trim())))?;
    let findings = report["findings"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let finding = findings
        .iter()
        .find(|finding| finding["code"] == CODE)
        .ok_or_else(|| {
            let codes: Vec<&str> = findings
                .iter()
                .filter_map(|finding| finding["code"].as_str())
                .collect();
            broken(format!("found {codes:?}, and not {CODE}"))
        })?;
    let commands: Vec<String> = finding["fixes"][0]["commands"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|command| command.as_str().map(str::to_owned))
        .collect();
    if commands.is_empty() {
        return Err(broken(format!("prints no command as fix for {CODE}")));
    }
    Ok(commands)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::CODE;

    #[test]
    fn the_demo_is_about_a_rule_that_exists() {
        let rule = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../diagnose/src/rules")
            .join(format!("{}.rs", CODE.replace('-', "_")));
        assert!(rule.is_file(), "{}", rule.display());
    }
}
