//! Where the docker CLI finds the plugin, and what the plugin writes into its configuration.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use netcheck_testkit::tcp;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Cli;
use super::call::{Ended, command, run};
use super::proxy::{Act, Proxy};
use super::world::{BINARY, World, free_port};

/// The binary by itself, with this configuration.
fn call(config: &Path, words: &[&str]) -> Ended {
    run(command(BINARY).env("DOCKER_CONFIG", config).args(words))
}

fn uses(config: &Path) -> Value {
    let mut docker = command("docker");
    docker.env("DOCKER_CONFIG", config);
    let info = run(docker.args(["info", "-f", "{{json .ClientInfo.Plugins}}"]));
    let plugins: Vec<Value> = serde_json::from_str(&info.stdout).unwrap();
    let mut ours = plugins.into_iter().filter(|one| one["Name"] == "netcheck");
    ours.next().unwrap_or_default()
}

#[test]
fn a_link_that_the_docker_cli_finds_and_that_goes_again() {
    let config = TempDir::new().unwrap();
    let at = config.path().join("cli-plugins/docker-netcheck");
    let installed = call(config.path(), &["install"]);
    assert_eq!(installed.code, Some(0), "{installed:#?}");
    assert_eq!(
        fs::canonicalize(&at).unwrap(),
        fs::canonicalize(BINARY).unwrap()
    );
    assert_eq!(uses(config.path())["Path"], at.to_str().unwrap());
    let again = call(config.path(), &["install"]);
    assert!(
        again.stdout.contains("is this program already"),
        "{again:#?}"
    );
    let removed = call(config.path(), &["uninstall"]);
    assert_eq!(removed.code, Some(0), "{removed:#?}");
    assert!(at.symlink_metadata().is_err());
    let twice = call(config.path(), &["uninstall"]);
    assert_eq!(twice.code, Some(1), "{twice:#?}");
    assert!(twice.stderr.contains("is not there"), "{twice:#?}");
}

#[test]
fn a_program_of_somebody_elses_stays_and_a_dead_link_does_not() {
    let config = TempDir::new().unwrap();
    let at = config.path().join("cli-plugins/docker-netcheck");
    fs::create_dir(config.path().join("cli-plugins")).unwrap();
    symlink("/nonexistent", &at).unwrap();
    assert_eq!(call(config.path(), &["install"]).code, Some(0));
    fs::remove_file(&at).unwrap();
    fs::write(&at, "theirs").unwrap();
    for words in ["install", "uninstall"] {
        let said = call(config.path(), &[words]);
        assert_eq!(said.code, Some(1), "{said:#?}");
        assert!(said.stderr.contains("left alone"), "{said:#?}");
        assert_eq!(fs::read_to_string(&at).unwrap(), "theirs");
    }
}

#[test]
fn a_copy_that_comes_first_is_told() {
    let config = TempDir::new().unwrap();
    let extra = TempDir::new().unwrap();
    let first = extra.path().join("docker-netcheck");
    fs::copy(BINARY, &first).unwrap();
    let text = json!({ "cliPluginsExtraDirs": [extra.path()] }).to_string();
    fs::write(config.path().join("config.json"), text).unwrap();
    let said = call(config.path(), &["install"]);
    assert_eq!(said.code, Some(1), "{said:#?}");
    let told = format!("{} comes first", first.display());
    assert!(said.stdout.contains(&told), "{said:#?}");
    assert!(said.stdout.contains("not used, as another"), "{said:#?}");
    // As the docker CLI itself sees it.
    assert_eq!(uses(config.path())["Path"], first.to_str().unwrap());
}

#[test]
fn folders_that_this_user_may_not_use() {
    let config = TempDir::new().unwrap();
    let folder = config.path().join("cli-plugins");
    fs::create_dir(&folder).unwrap();
    let mode =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(config.path(), 0o755);
    mode(&folder, 0o700);
    // Root may do everything, so it is somebody else who tries; where the binary is, is no matter of theirs.
    let program = TempDir::new().unwrap();
    mode(program.path(), 0o755);
    let copy = program.path().join("docker-netcheck");
    fs::copy(BINARY, &copy).unwrap();
    let by_nobody = |words: &[&str]| {
        let mut command = command(&copy);
        command.uid(65534).gid(65534).current_dir("/");
        run(command.env("DOCKER_CONFIG", config.path()).args(words))
    };
    let shown = folder.display().to_string();
    by_nobody(&["install"]).refused(&[
        "cannot link ",
        &shown,
        "Permission denied",
        "may write there",
    ]);
    by_nobody(&["uninstall"]).refused(&["cannot look at ", &shown, "Permission denied"]);
    let version = by_nobody(&["version"]);
    let told = format!("not found: you may not read {shown}");
    assert!(version.stdout.contains(&told), "{version:#?}");
    mode(config.path(), 0o700);
    by_nobody(&["db"]).refused(&[
        "cannot read ",
        "config.json",
        "Permission denied",
        "--config",
    ]);
    mode(config.path(), 0o755);
}

/// What stands in the configuration.
fn config_of(cli: &Cli) -> Value {
    let text = fs::read_to_string(cli.path().join("config.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_configuration_keeps_what_is_not_ours() {
    let cli = Cli::new();
    let file = cli.path().join("config.json");
    let before = json!({
        "auths": { "example.com": { "auth": "dXNlcjpwYXNz" } },
        "currentContext": "default",
        "plugins": { "other": { "hooks": "pull" } },
    });
    fs::write(&file, before.to_string()).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let on = cli.run(&["netcheck", "hooks", "enable"]);
    assert_eq!(on.code, Some(0), "{on:#?}");
    let config = config_of(&cli);
    assert_eq!(config["auths"], before["auths"]);
    assert_eq!(config["plugins"]["other"], before["plugins"]["other"]);
    assert_eq!(config["features"]["hooks"], "true");
    let ours = config["plugins"]["netcheck"].as_object().unwrap();
    assert!(
        !ours.is_empty() && ours.values().all(Value::is_string),
        "{ours:?}"
    );
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    // The docker CLI can still read it.
    let show = cli.run(&["context", "show"]);
    assert_eq!(
        (show.stdout.trim(), show.stderr.as_str()),
        ("default", ""),
        "{show:#?}"
    );
    let status = cli.run(&["netcheck", "hooks", "status"]);
    assert!(status.stdout.starts_with("on, after: "), "{status:#?}");
    assert_eq!(cli.run(&["netcheck", "hooks", "disable"]).code, Some(0));
    let config = config_of(&cli);
    assert_eq!(config["plugins"], before["plugins"]);
    assert_eq!(config["auths"], before["auths"]);
    let status = cli.run(&["netcheck", "hooks", "status"]);
    assert!(status.stdout.starts_with("off"), "{status:#?}");
}

#[test]
fn a_configuration_that_cannot_be_read_is_not_touched() {
    let cli = Cli::new();
    let file = cli.path().join("config.json");
    for text in ["{ \"auths\": ", "[]"] {
        fs::write(&file, text).unwrap();
        for what in ["enable", "disable", "status"] {
            let said = call(cli.path(), &["hooks", what]);
            assert_eq!(said.code, Some(1), "{said:#?}");
            assert!(said.stderr.contains("config.json"), "{said:#?}");
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
    }
}

/// What the docker CLI would be told after a command.
fn hook(event: &Value) -> Ended {
    let event = event.to_string();
    run(command(BINARY).args(["netcheck", "docker-cli-plugin-hooks", &event]))
}

#[test]
fn a_hook_says_one_line_about_networks_and_else_nothing() {
    let event = |error: &str| json!({ "RootCmd": "run", "Flags": {}, "CommandError": error });
    let taken = hook(&event(
        "docker: Error response from daemon: driver failed programming external connectivity on endpoint \
         web{{x}} (6e67): Bind for 127.0.0.1:48123 failed: port is already allocated",
    ));
    assert_eq!(
        (taken.code, taken.stderr.as_str()),
        (Some(0), ""),
        "{taken:#?}"
    );
    let answer: Value = serde_json::from_str(&taken.stdout).unwrap();
    assert_eq!(answer["Type"], 0);
    let template = answer["Template"].as_str().unwrap();
    assert!(
        template.contains("Port 48123 of the host is held"),
        "{template}"
    );
    // Nothing of it is a template of its own.
    assert!(template.contains("{{\"{{\"}}x}}"), "{template}");
    // Also where there is no container.
    let pools =
        "Error response from daemon: all predefined address pools have been fully subnetted";
    let refused = hook(&json!({ "RootCmd": "network create", "Flags": {}, "CommandError": pools }));
    let answer: Value = serde_json::from_str(&refused.stdout).unwrap();
    let template = answer["Template"].as_str().unwrap();
    assert!(template.contains("no subnet left"), "{template}");
    for nothing in [
        event("exited with code 3"),
        event(""),
        json!({}),
        json!([1]),
    ] {
        let said = hook(&nothing);
        let quiet = (said.code, said.stdout.as_str(), said.stderr.as_str());
        assert_eq!(quiet, (Some(0), "", ""), "{nothing}");
    }
    let garbage = run(command(BINARY).args(["netcheck", "docker-cli-plugin-hooks", "{"]));
    assert_eq!((garbage.code, garbage.stdout.as_str()), (Some(0), ""));
}

#[test]
fn a_hook_of_compose_asks_the_engine_and_waits_for_nobody() {
    let world = World::new();
    let folder = world.folder().to_str().unwrap().to_owned();
    let port = free_port();
    let net = world.network("net");
    let holder = |n: netcheck_testkit::Builder<netcheck_testkit::Node>| {
        n.on(&net).publish_as(tcp(80), port).tcp(80)
    };
    world.run("holder", holder);
    let late = world.create("late", |n| {
        n.on(&net)
            .publish_as(tcp(80), port)
            .label("com.docker.compose.project.working_dir", folder.as_str())
            .tcp(80)
    });
    assert_ne!(world.docker_said(&["start", &late]).code, Some(0));
    let event = json!({ "RootCmd": "compose up", "Flags": { "d": "" }, "CommandError": "exited with code 1" });
    let event = event.to_string();
    let mut ask = command(BINARY);
    ask.args(["netcheck", "docker-cli-plugin-hooks", &event]);
    ask.current_dir(&folder);
    let said = run(&mut ask);
    assert!(
        said.stdout.contains(&format!("docker netcheck {late}")),
        "{said:#?}"
    );
    let proxy = Proxy::new(|_| Act::Hang);
    let said = run(ask.env("DOCKER_HOST", proxy.host()));
    assert_eq!(
        (said.code, said.stdout.as_str()),
        (Some(0), ""),
        "{said:#?}"
    );
    assert!(said.took.as_millis() < 1500, "{said:#?}");
}

#[test]
fn the_version_says_what_is_in_use() {
    let cli = Cli::new();
    let said = cli.run(&["netcheck", "version"]);
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (Some(0), ""),
        "{said:#?}"
    );
    let first = concat!("docker-netcheck ", env!("CARGO_PKG_VERSION"), " (probes: ");
    assert!(said.stdout.starts_with(first), "{said:#?}");
    let path = cli.path().join("cli-plugins/docker-netcheck");
    assert!(said.stdout.contains(path.to_str().unwrap()), "{said:#?}");
    let json = cli.run(&["netcheck", "version", "--format", "json"]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    let api = run(&mut cli.docker(&["version", "-f", "{{.Server.Version}} {{.Client.Version}}"]));
    let ours = format!(
        "{} {}\n",
        json["engine"]["version"].as_str().unwrap(),
        json["docker"].as_str().unwrap()
    );
    assert_eq!(ours, api.stdout);
    assert_eq!(json["context"], "default");
    let template = cli.run(&["netcheck", "version", "-f", "{{.engine.api}}"]);
    assert_eq!(
        template.stdout,
        format!("{}\n", json["engine"]["api"].as_str().unwrap())
    );
    let short = call(cli.path(), &["version", "--short"]);
    assert_eq!(short.stdout, concat!(env!("CARGO_PKG_VERSION"), "\n"));
    // Without an engine it is still a version, and says why there is no more.
    let dead = run(command(BINARY).args(["version", "-H", "unix:///nonexistent/d.sock"]));
    assert_eq!(dead.code, Some(0), "{dead:#?}");
    assert!(
        dead.stdout.starts_with(first) && dead.stdout.contains("/nonexistent/d.sock"),
        "{dead:#?}"
    );
    let wrong = cli.run(&["netcheck", "version", "-f", "junit"]);
    assert_eq!(wrong.code, Some(125), "{wrong:#?}");
}
