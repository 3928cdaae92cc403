//! Evidence from a file: the same report without an engine, or a sentence that says what is wrong
//! with the file.

use netcheck_testkit::tcp;

use super::call::{netcheck, netcheck_at, run};
use super::world::{World, free_port};

const NOWHERE: &str = "unix:///nonexistent/docker.sock";

#[test]
fn a_saved_run_gives_the_same_report_without_an_engine() {
    let world = World::new();
    let net = world.network("net");
    let web = world.run("web", |n| {
        n.on(&net).publish_as(tcp(8080), free_port()).tcp(80)
    });
    let file = world.folder().join("evidence.json");
    let file = file.to_str().unwrap();
    for more in [
        &[][..],
        &["-v"],
        &["--format", "json"],
        &["--format", "markdown"],
    ] {
        let live = run(netcheck(&[&web, "--save-evidence", file]).args(more));
        assert_eq!(live.code, Some(2), "{live:#?}");
        assert!(live.stdout.contains("published-to-wrong-container-port"));
        let again = run(netcheck_at(NOWHERE, &["--evidence", file]).args(more));
        assert_eq!(again.stdout, live.stdout);
        assert_eq!((again.code, again.stderr.as_str()), (Some(2), ""));
    }
}

#[test]
fn evidence_that_is_none() {
    let world = World::new();
    let name = world.create("db", |n| n);
    let path = world.folder().join("evidence.json");
    let file = path.to_str().unwrap();
    let saved = run(&mut netcheck(&[
        "--format",
        "json",
        &name,
        "--save-evidence",
        file,
    ]));
    assert_eq!(saved.code, Some(2), "{saved:#?}");
    let good = std::fs::read_to_string(&path).unwrap();
    let newer = good.replacen("\"schema_version\": 1", "\"schema_version\": 99", 1);
    assert_ne!(newer, good);
    let other_subject = good.replacen("\"container\": \"", "\"container\": \"x", 1);
    assert_ne!(other_subject, good);
    let cases = [
        (good[..good.len() / 2].to_owned(), "it is not JSON"),
        (String::new(), "it is not JSON"),
        ("not\u{1b}[31m JSON".to_owned(), "it is not JSON"),
        ("[1, 2]".to_owned(), "it is no netcheck evidence"),
        ("{\"name\": \"x\"}".to_owned(), "it is no netcheck evidence"),
        ("{\"schema_version\": 1}".to_owned(), "missing field"),
        (
            newer,
            "it has version 99 of the layout, and this tool knows 1",
        ),
        (saved.stdout.clone(), "it is a report"),
        ("[".repeat(100_000), "it is not JSON"),
    ];
    let broken = world.folder().join("broken.json");
    let shown = broken.to_str().unwrap();
    let about = format!("cannot read the evidence {shown}: ");
    for (text, why) in cases {
        std::fs::write(&broken, text).unwrap();
        run(&mut netcheck(&["--evidence", shown])).refused(&[&about, why]);
    }
    std::fs::write(&broken, other_subject).unwrap();
    run(&mut netcheck(&["--evidence", shown]))
        .refused(&["the evidence does not hold the container it is about"]);
    std::fs::remove_file(&broken).unwrap();
    run(&mut netcheck(&["--evidence", shown])).refused(&[&about, "No such file"]);
    let folder = world.folder().to_str().unwrap();
    run(&mut netcheck(&["--evidence", folder])).refused(&["cannot read the evidence", "directory"]);
    run(&mut netcheck(&["--evidence", file, &name])).was_misused(&["--evidence"]);
}

#[test]
fn a_place_where_evidence_cannot_be_written() {
    let world = World::new();
    let name = world.create("db", |n| n);
    run(&mut netcheck(&[
        &name,
        "--save-evidence",
        "/nonexistent/e.json",
    ]))
    .refused(&["cannot write the evidence to /nonexistent/e.json: No such file"]);
}
