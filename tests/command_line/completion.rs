//! What the shell gets when somebody presses TAB, through the docker CLI and directly.

use std::time::{Duration, Instant};

use netcheck_diagnose::rules::RULES;
use netcheck_testkit::tcp;

use super::call::{Ended, command, run};
use super::proxy::{Act, Proxy};
use super::world::{BINARY, World, free_port};
use super::{Cli, context, created};

/// The candidates, without descriptions; the end is checked.
#[track_caller]
fn values(said: &Ended) -> Vec<&str> {
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (Some(0), ""),
        "{said:#?}"
    );
    let mut lines: Vec<&str> = said.stdout.lines().collect();
    assert_eq!(lines.pop(), Some(":4"), "{said:#?}");
    lines
        .into_iter()
        .map(|line| line.split('\t').next().unwrap())
        .collect()
}

#[test]
fn containers_those_that_run_first() {
    let cli = Cli::new();
    let world = World::new();
    let net = world.network("net");
    let never = created(&world, "a-never");
    let web = world.run("b-web", |n| {
        n.on(&net)
            .publish_as(tcp(80), free_port())
            .label("com.docker.compose.project", "shop")
            .label("com.docker.compose.service", "web")
            .tcp(80)
    });
    let said = cli.run(&["__complete", "netcheck", ""]);
    let all = values(&said);
    let at = |name: &str| all.iter().position(|one| *one == name);
    assert!(at(&web) < at(&never) && at(&web).is_some(), "{said:#?}");
    for other in ["shop/web", "host", "explain", "cleanup"] {
        assert!(all.contains(&other), "{other}: {said:#?}");
    }
    let line = said
        .stdout
        .lines()
        .find(|line| line.starts_with(&web))
        .unwrap();
    assert!(line.ends_with(", running"), "{line}");
    // What was begun is kept to.
    assert_eq!(
        values(&cli.run(&["__complete", "netcheck", &web])),
        [web.as_str()]
    );
    // The old script of bash calls without the name, and wants no descriptions.
    let bare = run(command(BINARY).args(["__completeNoDesc", &web]));
    assert_eq!(values(&bare), [web.as_str()]);
    assert!(!bare.stdout.contains('\t'), "{bare:#?}");
    let told = run(cli
        .docker(&["__complete", "netcheck", &web])
        .env("DOCKER_CLI_DISABLE_COMPLETION_DESCRIPTION", "1"));
    assert!(!told.stdout.contains('\t'), "{told:#?}");
    // The ports of the target.
    let target = format!("{web}:");
    let ports = cli.run(&["__complete", "netcheck", &never, &target]);
    assert_eq!(values(&ports), [format!("{web}:80")]);
    // The engine's list has no ports of what does not run.
    let shy = world.create("c-shy", |n| {
        n.image(|image| image.exposed_ports = Some(vec!["3306/tcp".into()]))
    });
    let ports = cli.run(&["__complete", "netcheck", &never, &format!("{shy}:")]);
    assert_eq!(values(&ports), [format!("{shy}:3306")]);
}

#[test]
fn flags_values_and_codes() {
    let cli = Cli::new();
    context(cli.path(), "far", "unix:///nonexistent");
    let ask = |words: &[&str]| {
        let mut all = vec!["__complete", "netcheck"];
        all.extend(words);
        cli.run(&all)
    };
    let flags = ask(&["--"]);
    for flag in ["--format", "--deep", "--timeout", "--context", "--help"] {
        assert!(values(&flags).contains(&flag), "{flag}: {flags:#?}");
    }
    let formats = ["text", "json", "markdown", "junit", "github"];
    assert_eq!(values(&ask(&["--format", ""])), formats);
    assert_eq!(
        values(&ask(&["--format=j"])),
        ["--format=json", "--format=junit"]
    );
    assert_eq!(values(&ask(&["--color", "a"])), ["auto", "always"]);
    assert_eq!(
        values(&ask(&["--fail-on", ""])),
        ["problem", "undecided", "never"]
    );
    assert_eq!(values(&ask(&["--context", ""])), ["default", "far"]);
    let codes = ask(&["explain", ""]);
    assert_eq!(values(&codes).len(), RULES.len());
    assert!(
        codes
            .stdout
            .contains("packet-loss\tpackets are lost on the way")
    );
    assert_eq!(values(&ask(&["explain", "packet-"])), ["packet-loss"]);
    // Names of files are the shell's business.
    assert_eq!(ask(&["--evidence", ""]).stdout, ":0\n");
}

#[test]
fn an_engine_that_does_not_answer_keeps_nobody_waiting() {
    let cli = Cli::new();
    let proxy = Proxy::new(|_| Act::Hang);
    for host in [proxy.host(), "unix:///nonexistent/docker.sock".to_owned()] {
        let started = Instant::now();
        let said = run(cli
            .docker(&["__complete", "netcheck", ""])
            .env("DOCKER_HOST", host));
        assert!(started.elapsed() < Duration::from_millis(1500), "{said:#?}");
        assert!(values(&said).contains(&"explain"), "{said:#?}");
    }
}

#[test]
fn the_engine_is_the_one_that_the_words_name() {
    let cli = Cli::new();
    let proxy = Proxy::new(|_| Act::Forward);
    context(cli.path(), "mine", &proxy.host());
    let before = proxy.log().len();
    // The CLI takes the flag out; its command line still has it.
    values(&cli.run(&["__complete", "--context", "mine", "netcheck", ""]));
    assert!(proxy.log().len() > before);
    // This program is not docker, whatever a variable says.
    let said = run(command(BINARY)
        .args(["__complete", "netcheck", "expl"])
        .env("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", BINARY));
    assert_eq!(values(&said), ["explain"]);
}

#[test]
fn the_completion_of_the_other_name_for_bash() {
    let folder = tempfile::TempDir::new().unwrap();
    std::os::unix::fs::symlink(BINARY, folder.path().join("docker-netcheck")).unwrap();
    let path = std::env::var("PATH").unwrap();
    let complete = |line: &str| {
        let script = "eval \"$(docker-netcheck completion bash)\"; COMP_LINE=$0; COMP_POINT=${#COMP_LINE}; \
                      _docker_netcheck; printf '%s\\n' \"${COMPREPLY[@]}\"";
        let said = run(command("bash")
            .args(["-c", script, line])
            .env("PATH", format!("{}:{path}", folder.path().display())));
        assert_eq!(
            (said.code, said.stderr.as_str()),
            (Some(0), ""),
            "{said:#?}"
        );
        said.stdout
    };
    assert_eq!(complete("docker-netcheck explain packet-"), "packet-loss\n");
    assert_eq!(
        complete("docker-netcheck --color "),
        "auto\nalways\nnever\n"
    );
    // Bash itself has taken what stands before the sign.
    assert_eq!(complete("docker-netcheck --color=al"), "always\n");
    let world = World::new();
    let net = world.network("net");
    let web = world.run("web", |n| n.on(&net).expose(tcp(8080)));
    assert_eq!(
        complete(&format!("docker-netcheck {web} {web}:80")),
        "8080\n"
    );
}
