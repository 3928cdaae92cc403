//! The form of what is printed: formats, colours, width, files, closed pipes.

use std::io::Read as _;
use std::process::{Command, Stdio};

use netcheck_diagnose::report::Report;
use netcheck_testkit::tcp;

use super::call::{Ended, netcheck, no_control_characters, run};
use super::created;
use super::world::{BINARY, World, free_port};

/// A problem with long words, several checks and fixes.
fn troubled(world: &World) -> String {
    let net = world.network("net");
    let url = format!(
        "postgres://u:p@{}.example.internal:5432/app",
        "a-long-name-of-a-host-".repeat(3)
    );
    world.run("web", |n| {
        n.on(net.alias("the-web-service"))
            .publish_as(tcp(8080), free_port())
            .env("DATABASE_URL", url)
            .tcp(80)
            .tcp(([127, 0, 0, 1], 9000))
    })
}

/// The evidence of one run, so that several reports are about the same.
fn saved(world: &World, container: &str) -> String {
    let file = world.folder().join("evidence.json");
    let file = file.to_str().unwrap().to_owned();
    let said = run(&mut netcheck(&["-q", container, "--save-evidence", &file]));
    assert_eq!(said.code, Some(2), "{said:#?}");
    file
}

#[test]
fn quiet_is_the_verdict_and_verbose_is_everything() {
    let world = World::new();
    let web = troubled(&world);
    let file = saved(&world, &web);
    let call = |words: &[&str]| run(netcheck(&["--evidence", &file]).args(words));
    let commands = commands(&call(&["--format", "json"]).report());
    let (usual, quiet, verbose) = (call(&[]), call(&["-q"]), call(&["-v"]));
    for said in [&usual, &quiet, &verbose] {
        assert_eq!(
            (said.code, said.stderr.as_str()),
            (Some(2), ""),
            "{said:#?}"
        );
        no_control_characters(&said.stdout);
        fits(&said.stdout, &commands);
    }
    assert_eq!(quiet.stdout.lines().count(), 1, "{}", quiet.stdout);
    assert_eq!(quiet.stdout, call(&["--quiet"]).stdout);
    assert!(usual.stdout.starts_with(quiet.stdout.trim_end()));
    let lines = |said: &Ended| said.stdout.lines().count();
    assert!(lines(&verbose) > lines(&usual) + 8, "{}", verbose.stdout);
    assert!(verbose.stdout.contains("looked from") && verbose.stdout.contains(" ms ("));
    assert!(!usual.stdout.contains("looked from"));
    for (mode, other) in [("helper", "(netns)"), ("netns", "(helper)")] {
        let said = run(&mut netcheck(&["-v", "--probe", mode, &web]));
        assert!(
            said.stdout.contains(&format!(" ms ({mode})")),
            "{}",
            said.stdout
        );
        assert!(!said.stdout.contains(other), "{}", said.stdout);
    }
}

/// Prose fits 80 columns; a command is never wrapped, however long.
#[track_caller]
fn fits(text: &str, commands: &[String]) {
    for line in text.lines() {
        let is_command = commands.iter().any(|command| line.trim() == command);
        assert!(
            is_command || line.chars().count() <= 80,
            "{line}\nin\n{text}"
        );
    }
}

/// The commands of all fixes.
fn commands(report: &Report) -> Vec<String> {
    let fixes = report.findings.iter().flat_map(|found| &found.fixes);
    fixes.flat_map(|fix| fix.commands.clone()).collect()
}

#[test]
fn commands_are_whole_whatever_the_width() {
    let world = World::new();
    let web = troubled(&world);
    let file = saved(&world, &web);
    let report = run(&mut netcheck(&["--format", "json", "--evidence", &file])).report();
    let commands = commands(&report);
    assert!(
        commands.iter().any(|command| command.len() > 80),
        "{commands:#?}"
    );
    let text = run(&mut netcheck(&["--evidence", &file])).stdout;
    for command in commands {
        assert!(
            text.lines().any(|line| line.trim() == command.as_str()),
            "{command}\nin\n{text}"
        );
    }
}

#[test]
fn colour_is_for_terminals_and_those_who_ask() {
    let world = World::new();
    let never = created(&world, "never");
    let escapes = |call: &mut Command| run(call).stdout.matches('\u{1b}').count();
    assert_eq!(escapes(&mut netcheck(&[&never])), 0);
    assert_eq!(escapes(&mut netcheck(&["--color", "auto", &never])), 0);
    assert_eq!(escapes(&mut netcheck(&["--color", "never", &never])), 0);
    assert!(escapes(&mut netcheck(&["--color", "always", &never])) > 2);
    assert!(escapes(netcheck(&["--color=always", &never]).env("NO_COLOR", "1")) > 2);
    for format in ["json", "markdown"] {
        let words = ["--color", "always", "--format", format, &never];
        assert_eq!(escapes(&mut netcheck(&words)), 0, "{format}");
    }
    // On a terminal, made by script(1).
    let on_terminal = |set: &str, words: &str| {
        let line =
            format!("env {set} TERM=xterm DOCKER_CONFIG=/nonexistent {BINARY} {words} {never}");
        let output = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .env_remove("NO_COLOR")
            .env_remove("DOCKER_HOST")
            .stdin(Stdio::null())
            .output()
            .expect("script(1), of util-linux, is installed");
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(on_terminal("NO_COLOR=", "").contains("\u{1b}[1;31m"));
    assert!(!on_terminal("NO_COLOR=1", "").contains('\u{1b}'));
    assert!(!on_terminal("X=", "--color never").contains('\u{1b}'));
}

#[test]
fn the_report_goes_to_a_file() {
    let world = World::new();
    let never = created(&world, "never");
    let file = world.folder().join("report.md");
    let path = file.to_str().unwrap();
    let printed = run(&mut netcheck(&["--format", "markdown", &never]));
    for output in ["--output", "-o"] {
        let said = run(&mut netcheck(&[
            "--format", "markdown", output, path, &never,
        ]));
        assert_eq!(
            (said.code, said.stdout.as_str(), said.stderr.as_str()),
            (Some(2), "", "")
        );
        assert_eq!(std::fs::read_to_string(&file).unwrap(), printed.stdout);
        std::fs::remove_file(&file).unwrap();
    }
    run(&mut netcheck(&["--output", "/nonexistent/r.txt", &never]))
        .refused(&["cannot write the report to /nonexistent/r.txt: No such file"]);
    run(&mut netcheck(&["--output", "/dev/full", &never]))
        .refused(&["cannot write the report to /dev/full: No space left on device"]);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let world = World::new();
    let web = troubled(&world);
    let line = format!("{BINARY} -v {web} | head -1; echo ${{PIPESTATUS[0]}}");
    let said = run(super::command("bash").args(["-c", &line]));
    assert_eq!(said.stderr, "");
    assert_eq!(said.stdout.lines().count(), 2, "{said:#?}");
    assert_eq!(said.stdout.lines().last(), Some("2"));
    // Nobody reads at all: the pipe is closed before the first byte.
    for words in [
        &[web.as_str()][..],
        &["--format", "json", &web],
        &["explain"],
        &["--help"],
    ] {
        let mut child = netcheck(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut errors = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut errors)
            .unwrap();
        let expected = if words.contains(&web.as_str()) { 2 } else { 0 };
        assert_eq!(
            (child.wait().unwrap().code(), errors.as_str()),
            (Some(expected), "")
        );
    }
    // A disk that is full is one.
    let full = || {
        Stdio::from(
            std::fs::File::options()
                .write(true)
                .open("/dev/full")
                .unwrap(),
        )
    };
    let output = netcheck(&[&web]).stdout(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write the report: No space"));
}

#[test]
fn json_is_the_whole_report() {
    let world = World::new();
    let web = troubled(&world);
    let schema = include_str!("../../docs/report.schema.json");
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
    for container in [&web, &created(&world, "never")] {
        let said = run(&mut netcheck(&["--format", "json", container]));
        let report: Report = said.report();
        assert_eq!(
            report.schema_version,
            netcheck_diagnose::report::SCHEMA_VERSION
        );
        assert_eq!(report.subject.name, *container);
        let value: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        assert_eq!(
            serde_json::to_value(&report).unwrap(),
            value,
            "a field is lost"
        );
        let required = schema["required"].as_array().unwrap();
        assert!(required.len() >= 8, "{required:?}");
        for name in required {
            assert!(value.get(name.as_str().unwrap()).is_some(), "{name}");
        }
        for name in value.as_object().unwrap().keys() {
            assert!(
                schema["properties"].get(name).is_some(),
                "{name} is not in the schema"
            );
        }
        assert!(!report.findings.is_empty());
    }
}

#[test]
fn without_a_look_inside_much_stays_open_with_the_reason() {
    let world = World::new();
    let net = world.network("net");
    let web = world.run("web", |n| {
        n.on(&net).publish_as(tcp(80), free_port()).tcp(80)
    });
    let said = run(&mut netcheck(&[
        "--probe", "none", "--format", "json", &web,
    ]));
    assert_eq!(said.code, Some(3), "{said:#?}");
    let report = said.report();
    assert!(report.visits.is_empty());
    assert!(!report.undecided.is_empty());
    for open in &report.undecided {
        assert!(open.needs.contains("--probe none was given"), "{open:?}");
    }
    let text = run(&mut netcheck(&["--probe", "none", &web])).stdout;
    assert!(
        text.contains("undecided[") && text.contains("--probe none was given"),
        "{text}"
    );
    fits(&text, &[]);
}
