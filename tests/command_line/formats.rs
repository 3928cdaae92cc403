//! Formats for other programs, and which outcomes have an exit code of their own.

use std::process::{Command, Stdio};

use super::call::{netcheck, run};
use super::created;
use super::world::World;

/// A finding of one container, saved, so that several formats are of the same.
fn saved(world: &World) -> (String, String) {
    let never = created(world, "never");
    let file = world.folder().join("evidence.json");
    let file = file.to_str().unwrap().to_owned();
    let said = run(&mut netcheck(&["-q", &never, "--save-evidence", &file]));
    assert_eq!(said.code, Some(2), "{said:#?}");
    (never, file)
}

#[test]
fn go_templates_over_the_names_of_the_json_report() {
    let world = World::new();
    let (never, file) = saved(&world);
    let with = |template: &str| run(&mut netcheck(&["--evidence", &file, "-f", template]));
    for (template, text) in [
        ("{{.subject.name}}", never.clone()),
        (
            "{{range .findings}}{{.code}}{{end}}",
            "container-never-started".into(),
        ),
        ("{{json .outcome}}", "\"problems\"".into()),
        ("{{len .undecided}} {{upper .outcome}}", "0 PROBLEMS".into()),
    ] {
        let said = with(template);
        assert_eq!(said.stdout, format!("{text}\n"), "{said:#?}");
        assert_eq!(
            (said.code, said.stderr.as_str()),
            (Some(2), ""),
            "{said:#?}"
        );
    }
    let fixes = with("{{range (index .findings 0).fixes}}{{join .commands \" && \"}}{{end}}");
    assert_eq!(fixes.stdout, format!("docker start {never}\n"));
    // What a template asks for and is not there, and what is no template.
    for missing in ["nothing", "nosuch"] {
        let said = with(&format!("{{{{.{missing}}}}}").replace(".nosuch", "nosuch"));
        assert_eq!(
            (said.code, said.stdout.as_str()),
            (Some(1), ""),
            "{said:#?}"
        );
        assert!(said.stderr.contains(missing), "{said:#?}");
    }
    for wrong in ["{{.summary", "xml"] {
        let said = with(wrong);
        assert_eq!(
            (said.code, said.stdout.as_str()),
            (Some(125), ""),
            "{said:#?}"
        );
    }
}

#[test]
fn a_line_of_a_template_for_each_pair() {
    let world = World::new();
    let net = world.network("net");
    let app = world.run("app", |n| n.on(&net));
    let db = world.run("db", |n| n.on(&net).tcp(80).tcp(81));
    let said = run(&mut netcheck(&["-f", "{{.outcome}}", &app, &db]));
    assert_eq!(
        (said.code, said.stdout.as_str()),
        (Some(0), "healthy\nhealthy\n"),
        "{said:#?}"
    );
}

#[test]
fn junit_is_xml_with_a_failure_for_a_finding() {
    let world = World::new();
    let (never, file) = saved(&world);
    let xml = world.folder().join("report.xml");
    let xml = xml.to_str().unwrap();
    let said = run(&mut netcheck(&[
        "--evidence",
        &file,
        "-f",
        "junit",
        "-o",
        xml,
    ]));
    assert_eq!(
        (said.code, said.stdout.as_str()),
        (Some(2), ""),
        "{said:#?}"
    );
    let text = std::fs::read_to_string(xml).unwrap();
    assert!(text.starts_with("<?xml"), "{text}");
    let failure = format!("<testcase name=\"container-never-started\" classname=\"{never}\"");
    assert!(text.contains(&failure), "{text}");
    assert!(text.contains("<failure message="), "{text}");
    assert!(text.contains(&format!("docker start {never}")), "{text}");
    assert_eq!(text.matches("<failure").count(), 1, "{text}");
    assert!(text.contains("failures=\"1\""), "{text}");
}

#[test]
fn annotations_are_one_command_a_line() {
    let world = World::new();
    let (never, file) = saved(&world);
    let said = run(&mut netcheck(&["--evidence", &file, "-f", "github"]));
    assert_eq!(said.code, Some(2), "{said:#?}");
    let [line] = said.stdout.lines().collect::<Vec<_>>()[..] else {
        panic!("{said:#?}");
    };
    let title = "::error title=the container was never started (container-never-started)::";
    assert!(line.starts_with(title), "{line}");
    assert!(
        line.contains(&format!("%0A  docker start {never}")),
        "{line}"
    );
}

#[test]
fn what_has_an_exit_code_of_its_own() {
    let world = World::new();
    let (_, file) = saved(&world);
    let net = world.network("net");
    let web = world.run("web", |n| n.on(&net).tcp(80));
    for (fail_on, problem, undecided) in [("undecided", 2, 3), ("problem", 2, 0), ("never", 0, 0)] {
        let code = |words: &[&str]| {
            let mut all = vec!["-q", "--fail-on", fail_on];
            all.extend(words);
            run(&mut netcheck(&all)).code
        };
        assert_eq!(code(&["--evidence", &file]), Some(problem), "{fail_on}");
        assert_eq!(
            code(&["--probe", "none", &web]),
            Some(undecided),
            "{fail_on}"
        );
        // What could not run is always told.
        assert_eq!(code(&["no-such-container"]), Some(1), "{fail_on}");
    }
    let said = run(&mut netcheck(&["--fail-on", "warning", "x"]));
    assert_eq!(said.code, Some(125), "{said:#?}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let world = World::new();
    let (_, file) = saved(&world);
    for format in ["junit", "github", "{{json .}}"] {
        let script = "\"$0\" --evidence \"$1\" -f \"$2\" | true; echo ${PIPESTATUS[0]}";
        let output = Command::new("bash")
            .args(["-c", script, super::BINARY, &file, format])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.trim(), "2", "{format}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{format}");
    }
}
