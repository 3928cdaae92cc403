//! The command line: what the docker CLI asks of a plugin, the words typed, the exit codes, and the
//! form of what is printed.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]
#![expect(unreachable_pub, reason = "modules are shared between test programs")]

mod call;
mod proxy;
mod world;

#[path = "command_line/completion.rs"]
mod completion;
#[path = "command_line/connection.rs"]
mod connection;
#[path = "command_line/far.rs"]
mod far;
#[path = "command_line/formats.rs"]
mod formats;
#[path = "command_line/install.rs"]
mod install;
#[path = "command_line/output.rs"]
mod output;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use call::{Ended, command, netcheck, run};
use netcheck_diagnose::rules::RULES;
use netcheck_testkit::tcp;
use serde_json::Value;
use tempfile::TempDir;
use world::{BINARY, World, free_port};

/// A configuration of the docker CLI in which the binary is installed.
pub(crate) struct Cli {
    folder: TempDir,
}

impl Cli {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let plugins = folder.path().join("cli-plugins");
        std::fs::create_dir(&plugins).unwrap();
        std::os::unix::fs::symlink(BINARY, plugins.join("docker-netcheck")).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `docker` with these words.
    pub(crate) fn docker(&self, words: &[&str]) -> Command {
        let mut docker = command("docker");
        docker.env("DOCKER_CONFIG", self.path()).args(words);
        docker
    }

    #[track_caller]
    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        run(&mut self.docker(words))
    }
}

/// A container that was never started: the quickest diagnosis there is (exit code 2).
#[track_caller]
pub(crate) fn created(world: &World, short: &str) -> String {
    world.create(short, |n| n)
}

// What the docker CLI asks.

#[test]
fn says_who_it_is_whatever_the_surroundings() {
    let broken = Command::new(BINARY)
        .arg("docker-cli-plugin-metadata")
        .env_clear()
        .env("HOME", "/dev/null/\u{1b}")
        .env("DOCKER_CONFIG", "/nonexistent")
        .env("DOCKER_HOST", "gopher://")
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let bare = Command::new("sh")
        .args([
            "-c",
            "exec env -i \"$0\" docker-cli-plugin-metadata <&-",
            BINARY,
        ])
        .output()
        .unwrap();
    for output in [broken, bare] {
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(output.stderr, b"");
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |name: &str| metadata[name].as_str().unwrap();
        assert_eq!(text("SchemaVersion"), "0.1.0");
        assert!(!text("Vendor").is_empty());
        assert_eq!(text("Version"), concat!("v", env!("CARGO_PKG_VERSION")));
        assert!(!text("ShortDescription").is_empty());
        assert!(!text("ShortDescription").contains('\n'));
    }
}

#[test]
fn the_docker_cli_accepts_and_lists_it() {
    let cli = Cli::new();
    let info = cli.run(&["info", "-f", "{{json .ClientInfo.Plugins}}"]);
    let plugins: Vec<Value> = serde_json::from_str(&info.stdout).unwrap();
    let ours = plugins
        .iter()
        .find(|plugin| plugin["Name"] == "netcheck")
        .unwrap_or_else(|| panic!("{info:#?}"));
    assert_eq!(ours.get("Err"), None, "{ours:#}");
    assert_eq!(
        ours["Path"],
        cli.path()
            .join("cli-plugins/docker-netcheck")
            .to_str()
            .unwrap()
    );
    let help = cli.run(&["--help"]);
    let line = help
        .stdout
        .lines()
        .find(|line| line.trim_start().starts_with("netcheck*"))
        .unwrap_or_else(|| panic!("{help:#?}"));
    assert_eq!(
        line.trim().split_once("  ").unwrap().1.trim(),
        ours["ShortDescription"].as_str().unwrap()
    );
}

#[test]
fn exit_codes_pass_through_the_docker_cli() {
    let cli = Cli::new();
    let world = World::new();
    let net = world.network("net");
    let web = world.run("web", |n| {
        n.on(&net).publish_as(tcp(80), free_port()).tcp(80)
    });
    let never = created(&world, "never");
    let said = |words: &[&str]| cli.run(words);
    let healthy = said(&["netcheck", &web]);
    assert_eq!(healthy.code, Some(0), "{healthy:#?}");
    assert!(healthy.stdout.contains("no problem found"));
    let problem = said(&["netcheck", &never]);
    assert_eq!(problem.code, Some(2), "{problem:#?}");
    assert!(problem.stdout.contains("error[container-never-started]"));
    let undecided = said(&["netcheck", "--probe", "none", &web]);
    assert_eq!(undecided.code, Some(3), "{undecided:#?}");
    assert!(
        undecided.stdout.contains("--probe none was given"),
        "{undecided:#?}"
    );
    for ended in [healthy, problem, undecided] {
        assert_eq!(ended.stderr, "");
    }
    said(&["netcheck", "zzzz-nothing-is-called-this"]).refused(&["no such container"]);
    said(&["netcheck", "--nosuch"]).was_misused(&["--nosuch"]);
}

#[test]
fn every_spelling_of_help_is_the_same_help() {
    let cli = Cli::new();
    let help = cli.run(&["netcheck", "--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    assert!(
        help.stdout.starts_with("Usage:  docker netcheck [OPTIONS]"),
        "{}",
        help.stdout
    );
    for part in [
        "Options:",
        "Commands:",
        "Exit codes:",
        "--timeout",
        "Run 'docker netcheck COMMAND --help' for more information on a command.",
    ] {
        assert!(help.stdout.contains(part), "no {part} in {}", help.stdout);
    }
    for words in [
        &["help", "netcheck"][..],
        &["--help", "netcheck"],
        &["netcheck", "-h"],
        &["netcheck", "help"],
        &["netcheck", "some-container", "--help"],
    ] {
        let same = cli.run(words);
        assert_eq!(same.stdout, help.stdout, "{words:?}");
        assert_eq!(
            (same.code, same.stderr.as_str()),
            (Some(0), ""),
            "{words:?}"
        );
    }
    let explain = cli.run(&["netcheck", "explain", "--help"]);
    assert!(
        explain
            .stdout
            .starts_with("Usage:  docker netcheck explain [OPTIONS] [CODE|WORDS]\n"),
        "{explain:#?}"
    );
    for words in [
        &["help", "netcheck", "explain"][..],
        &["netcheck", "help", "explain"],
    ] {
        let same = cli.run(words);
        assert_eq!(same.stdout, explain.stdout, "{words:?}");
    }
    // What clap takes for a terminal that is none.
    assert!(
        help.stdout.lines().all(|line| line.chars().count() <= 100),
        "{}",
        help.stdout
    );
}

#[test]
fn it_works_without_the_docker_cli() {
    let world = World::new();
    let never = created(&world, "never");
    let alone = run(&mut netcheck(&[&never]));
    assert_eq!(alone.code, Some(2), "{alone:#?}");
    let host = "unix:///var/run/docker.sock";
    for words in [
        &["--host", host, &never][..],
        &["-H", host, &never],
        &["--context", "default", &never],
        &["netcheck", &never],
    ] {
        let same = run(&mut netcheck(words));
        assert_eq!(
            (same.code, same.stdout),
            (Some(2), alone.stdout.clone()),
            "{words:?}"
        );
    }
    let version = run(&mut netcheck(&["version"]));
    assert_eq!(version.code, Some(0));
    let expected = concat!("docker-netcheck ", env!("CARGO_PKG_VERSION"), " (probes: ");
    assert!(version.stdout.starts_with(expected), "{version:#?}");
    let help = run(&mut netcheck(&["--help"]));
    assert!(
        help.stdout.starts_with("Usage:  docker-netcheck [OPTIONS]"),
        "{help:#?}"
    );
}

// Words.

#[test]
fn words_that_are_wrong_are_a_usage_error() {
    for (words, why) in [
        (&[][..], "CONTAINER"),
        (&["--nosuch", "db"], "--nosuch"),
        (&["--timeout", "db"], "`db` is no time"),
        (&["--timeout", "1h", "db"], "`1h` is no time"),
        (&["--timeout", "0s", "db"], "from 200ms to 10m"),
        (&["--timeout", "99m", "db"], "from 200ms to 10m"),
        (&["--timeout", "-1s", "db"], "'-1'"),
        (&["--timeout", "NaN", "db"], "`NaN` is no time"),
        (&["--outbound", "example.com:70000", "db"], "port 70000"),
        (&["--outbound", "example.com:0", "db"], "port 0"),
        (&["--outbound", "", "db"], "--outbound"),
        (&["--probe", "nonsense", "db"], "nonsense"),
        (&["--format", "yaml", "db"], "yaml"),
        (&["--color", "red", "db"], "red"),
        (&["-q", "-v", "db"], "--quiet"),
        (&["db", ":80"], "no host before the port"),
        (&["--outbound", "example.com", "db", "web"], "--outbound"),
        (&["explain", "a", "b"], "b"),
        (&["help", "nosuch"], "nosuch"),
        (
            &["-H", "a", "-H", "b", "netcheck", "db"],
            "specify only one -H",
        ),
        (
            &["-H", "a", "netcheck", "-H", "b", "db"],
            "specify only one -H",
        ),
        (&["--host"], "flag needs an argument: --host"),
        (&["--timeout", "\u{1b}[31m", "db"], "\\u{1b}[31m"),
    ] {
        let said = run(&mut netcheck(words));
        said.was_misused(&[why]);
        assert!(
            said.stderr.contains("\nUsage:  docker netcheck [OPTIONS]"),
            "{said:#?}"
        );
    }
}

#[test]
fn a_container_may_be_called_like_a_command() {
    let world = World::new();
    world.create("version", |n| n.real_name("version"));
    let cli = Cli::new();
    for words in [
        &["netcheck", "--", "version"][..],
        &["netcheck", "-q", "--", "version"],
    ] {
        let said = cli.run(words);
        assert_eq!(said.code, Some(2), "{said:#?}");
        assert!(said.stdout.contains("version: "), "{said:#?}");
    }
    assert_eq!(cli.run(&["netcheck", "version"]).code, Some(0));
}

#[test]
fn explains_every_finding() {
    let list = run(&mut netcheck(&["explain"]));
    assert_eq!((list.code, list.stderr.as_str()), (Some(0), ""));
    assert_eq!(list.stdout.lines().count(), RULES.len());
    assert!(RULES.len() >= 31);
    for rule in RULES {
        let line = list
            .stdout
            .lines()
            .find(|line| line.split_whitespace().next() == Some(rule.code));
        assert!(line.unwrap().ends_with(rule.title), "{}", rule.code);
        let plain = run(&mut netcheck(&["explain", rule.code]));
        assert_eq!((plain.code, plain.stderr.as_str()), (Some(0), ""));
        assert!(plain.stdout.contains(rule.title), "{}", rule.code);
        assert!(plain.stdout.len() > 300, "{}", plain.stdout);
        // As it stands in a report.
        for heading in ["error[", "warning["] {
            let heading = format!("{heading}{}]", rule.code);
            assert_eq!(
                run(&mut netcheck(&["explain", &heading])).stdout,
                plain.stdout
            );
        }
    }
    let nothing = [
        "no finding has the code `zzz\\u{1b}`",
        "`docker netcheck explain` lists them all",
    ];
    run(&mut netcheck(&["explain", "zzz\u{1b}"])).refused(&nothing);
    run(&mut netcheck(&["explain", "nothing-listen"])).refused(&["did you mean nothing-listens?"]);
}

/// Puts a Docker context into this configuration.
pub(crate) fn context(config: &Path, name: &str, host: &str) -> PathBuf {
    use sha2::{Digest as _, Sha256};
    let digest: String = Sha256::digest(name)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let folder = config.join("contexts/meta").join(&digest);
    std::fs::create_dir_all(&folder).unwrap();
    let meta = serde_json::json!({
        "Name": name,
        "Metadata": {},
        "Endpoints": { "docker": { "Host": host, "SkipTLSVerify": false } },
    });
    std::fs::write(folder.join("meta.json"), meta.to_string()).unwrap();
    config.join("contexts/tls").join(digest).join("docker")
}
