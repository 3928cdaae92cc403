//! Which engine is asked: flags before and after the name, variables, contexts, and what wins.

use super::call::{netcheck, run};
use super::proxy::{Act, Proxy};
use super::world::World;
use super::{Cli, context, created};

#[test]
fn global_flags_before_the_name() {
    let cli = Cli::new();
    let world = World::new();
    let never = created(&world, "never");
    let proxy = Proxy::new(|_| Act::Forward);
    let host = proxy.host();
    let joined = format!("-H{host}");
    let equals = format!("--host={host}");
    for (words, through) in [
        (&["-Dldebug", "--context=default", "netcheck"][..], false),
        (&["-c", "default", "--", "netcheck"], false),
        (&["--log-level", "error", "netcheck"], false),
        (
            &["--config", cli.path().to_str().unwrap(), "netcheck"],
            false,
        ),
        (&["-H", &host, "netcheck"], true),
        (&[&joined, "netcheck"], true),
        (&[&equals, "netcheck"], true),
        (&["netcheck", "-H", &host], true),
    ] {
        let before = proxy.log().len();
        let mut words = words.to_vec();
        words.extend(["-q", &never]);
        let said = cli.run(&words);
        assert_eq!(said.code, Some(2), "{words:?}: {said:#?}");
        assert_eq!(said.stderr, "", "{words:?}");
        assert_eq!(proxy.log().len() > before, through, "{words:?}");
    }
    cli.run(&["-H", &host, "-H", &host, "netcheck", "db"])
        .was_misused_or_docker_says("specify only one -H");
    cli.run(&["-H", &host, "netcheck", "-H", &host, "db"])
        .was_misused(&["specify only one -H"]);
}

impl super::Ended {
    /// Newer docker CLIs refuse this by themselves, in the same words.
    #[track_caller]
    fn was_misused_or_docker_says(&self, words: &str) {
        assert_eq!(self.code, Some(125), "{self:#?}");
        assert_eq!(self.stdout, "");
        assert!(self.stderr.contains(words), "{self:#?}");
    }
}

#[test]
fn the_engine_meant_is_the_engine_asked() {
    let cli = Cli::new();
    for name in ["current", "variable", "flag"] {
        context(
            cli.path(),
            name,
            &format!("unix:///nonexistent/{name}.sock"),
        );
    }
    std::fs::write(
        cli.path().join("config.json"),
        r#"{"currentContext": "current", "auths": {}}"#,
    )
    .unwrap();
    let config = format!("currentContext in {}/config.json", cli.path().display());
    let check = |variables: &[(&str, &str)], words: &[&str], asked: &str| {
        // Who was listened to is said, too.
        let by = match asked {
            "current" if !words.contains(&"-c") => config.as_str(),
            "variable" => "DOCKER_CONTEXT",
            "host" => "DOCKER_HOST",
            "given" => "-H",
            _ => "--context",
        };
        let mut words = words.to_vec();
        words.push("db");
        for mut call in [cli.docker(&words), {
            // The same without the docker CLI.
            let mut call = netcheck(&words);
            call.env("DOCKER_CONFIG", cli.path());
            call
        }] {
            run(call.envs(variables.iter().copied())).refused(&[
                &format!("cannot connect to the Docker Engine at unix:///nonexistent/{asked}.sock"),
                &format!("and that {by} names the right one"),
            ]);
        }
    };
    let host = ("DOCKER_HOST", "unix:///nonexistent/host.sock");
    let variable = ("DOCKER_CONTEXT", "variable");
    check(&[], &["netcheck"], "current");
    check(
        &[("DOCKER_HOST", ""), ("DOCKER_CONTEXT", "")],
        &["netcheck"],
        "current",
    );
    check(&[variable], &["netcheck"], "variable");
    check(&[variable, host], &["netcheck"], "host");
    check(
        &[variable, host],
        &["--context", "flag", "netcheck"],
        "flag",
    );
    check(
        &[variable, host],
        &["-c", "current", "-c", "flag", "netcheck"],
        "flag",
    );
    check(
        &[variable, host],
        &["netcheck", "--context", "flag"],
        "flag",
    );
    let given = "unix:///nonexistent/given.sock";
    check(&[variable, host], &["-H", given, "netcheck"], "given");
    check(&[variable, host], &["netcheck", "-H", given], "given");
}

#[test]
fn another_folder_of_configuration() {
    let world = World::new();
    let never = created(&world, "never");
    let proxy = Proxy::new(|_| Act::Forward);
    let cli = Cli::new();
    context(cli.path(), "through", &proxy.host());
    let config = r#"{"currentContext": "through"}"#;
    std::fs::write(cli.path().join("config.json"), config).unwrap();
    let folder = cli.path().to_str().unwrap();
    let mut docker = cli.docker(&["--config", folder, "netcheck", "-q", &never]);
    let said = run(docker.env("DOCKER_CONFIG", "/nonexistent"));
    assert_eq!(said.code, Some(2), "{said:#?}");
    assert!(proxy.saw("GET /version"));
    // After the name, and without the docker CLI.
    for words in [
        &["netcheck", "--config", folder, &never][..],
        &["--config", folder, &never],
    ] {
        let before = proxy.log().len();
        assert_eq!(run(&mut netcheck(words)).code, Some(2), "{words:?}");
        assert!(proxy.log().len() > before, "{words:?}");
    }
    std::fs::write(cli.path().join("config.json"), "{\"currentContext\": ").unwrap();
    run(&mut netcheck(&["--config", folder, &never])).refused(&[
        "cannot read ",
        "config.json",
        "EOF while parsing",
    ]);
}

#[test]
fn contexts_that_cannot_be_used() {
    let cli = Cli::new();
    let call = |words: &[&str]| {
        let mut call = netcheck(words);
        run(call.env("DOCKER_CONFIG", cli.path()))
    };
    cli.run(&["--context", "nope", "netcheck", "db"])
        .refused(&["context \"nope\": context not found"]);
    call(&["--context", "nope\u{1b}[3m", "db"]).refused(&["context not found"]);
    call(&["--context", "../../etc", "db"]).refused(&["context \"../../etc\": context not found"]);
    call(&["-H", "unix:///a", "--context", "nope", "db"])
        .refused(&["conflicting options: cannot specify both --host and --context"]);
    cli.run(&["-H", "unix:///a", "--context", "nope", "netcheck", "db"])
        .refused(&["conflicting options: cannot specify both --host and --context"]);
    context(cli.path(), "empty", "");
    call(&["--context", "empty", "db"])
        .refused(&["context \"empty\": ", "names no Docker endpoint"]);
}
