//! One answer of an otherwise good engine is missing or broken. If the diagnosis stands on it, that
//! is the end (exit code 1); otherwise what hangs on it is unknown, with the reason, and never "no".

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use netcheck_diagnose::report::{Outcome, Report};

use super::call::{Ended, engine_api, netcheck_at, run};
use super::proxy::{Act, Asked, Proxy};
use super::world::{World, roots, show};

/// A healthy pair on a network: the subject `app`, and its neighbour `db` that it is configured for.
pub struct Pair {
    pub world: World,
    pub app: String,
    pub db: String,
}

impl Pair {
    pub fn new() -> Self {
        let world = World::new();
        let net = world.network("net");
        let db = world.run("db", |n| n.on(&net).tcp(5432));
        let url = format!("postgres://u:pw@{db}:5432/app");
        let app = world.run("app", |n| n.on(&net).env("DB_URL", url).tcp(80));
        Self { world, app, db }
    }

    pub fn id(&self, name: &str) -> String {
        self.world.docker(&["inspect", "-f", "{{.Id}}", name])
    }

    /// The run on `app` for an engine that does this.
    #[track_caller]
    pub fn with(
        &self,
        mode: &str,
        rule: impl Fn(&Asked) -> Act + Send + Sync + 'static,
    ) -> (Ended, Proxy) {
        let proxy = Proxy::new(rule);
        let words = ["--format", "json", "-v", "--probe", mode, &self.app];
        (run(&mut netcheck_at(&proxy.host(), &words)), proxy)
    }
}

/// Once, and only once, true.
pub fn once() -> impl Fn() -> bool {
    let done = AtomicBool::new(false);
    move || !done.swap(true, Ordering::SeqCst)
}

/// The report holds no problem, and says with these words what it does not know.
#[track_caller]
pub fn unknown(report: &Report, words: &[&str]) {
    assert_eq!(report.outcome, Outcome::Undecided, "{}", show(report));
    assert!(report.findings.is_empty());
    let needs: Vec<_> = report.undecided.iter().map(|open| &open.needs).collect();
    for word in words {
        assert!(
            needs.iter().any(|needs| needs.contains(word)),
            "no `{word}` in {needs:#?}"
        );
    }
}

#[test]
fn the_list_of_containers_is_essential() {
    let pair = Pair::new();
    let list = |asked: &Asked| asked.is("GET", "/containers/json");
    let doing = "the Docker Engine failed while listing the containers: ";
    let next = "See whether `docker ps` answers";
    let (said, proxy) = pair.with("auto", move |asked| match list(asked) {
        true => Act::error(500, "database is locked"),
        false => Act::Forward,
    });
    said.refused(&[
        doing,
        "database is locked (status 500)",
        &proxy.host(),
        next,
    ]);
    let (said, _) = pair.with("auto", move |asked| match list(asked) {
        true => Act::Change(Box::new(|body| body[..body.len() / 2].to_owned())),
        false => Act::Forward,
    });
    said.refused(&[doing, "its answer is not the JSON it should be", next]);
    let (said, _) = pair.with("auto", move |asked| match list(asked) {
        true => Act::Cut(400),
        false => Act::Forward,
    });
    said.refused(&[doing, next]);
    let (said, _) = pair.with("auto", move |asked| match list(asked) {
        true => Act::Answer(200, "{}".into()),
        false => Act::Forward,
    });
    said.refused(&[doing, next]);
}

#[test]
fn the_inspect_of_the_subject_is_essential() {
    let pair = Pair::new();
    let id = pair.id(&pair.app);
    let subject = id.clone();
    let (said, _) = pair.with("auto", move |asked| match asked.inspects(&subject) {
        true => Act::error(500, "no such file or directory"),
        false => Act::Forward,
    });
    let doing = format!("the Docker Engine failed while inspecting `{}`: ", pair.app);
    said.refused(&[&doing, "no such file or directory (status 500)"]);
    let subject = id.clone();
    let (said, _) = pair.with("auto", move |asked| match asked.inspects(&subject) {
        true => Act::error(404, "No such container: x"),
        false => Act::Forward,
    });
    said.refused(&[
        &format!(
            "the container `{}` was removed while it was being diagnosed",
            pair.app
        ),
        "`docker ps -a`",
    ]);
    let (said, _) = pair.with("auto", move |asked| match asked.inspects(&id) {
        true => Act::Change(Box::new(|body| body[..body.len() / 2].to_owned())),
        false => Act::Forward,
    });
    said.refused(&[&doing, "its answer is not the JSON it should be"]);
}

#[test]
fn without_the_engines_settings_the_rest_is_known() {
    let pair = Pair::new();
    let proxy = |mode| {
        pair.with(mode, |asked| match asked.is("GET", "/info") {
            true => Act::error(500, "out of memory"),
            false => Act::Forward,
        })
    };
    for mode in ["helper", "netns"] {
        let (said, proxy) = proxy(mode);
        assert!(proxy.saw("/info"));
        let report = said.report();
        assert!(report.findings.is_empty(), "{}", show(&report));
        assert_eq!(report.visits.len(), 3, "{}", show(&report));
    }
}

#[test]
fn without_the_networks_what_hangs_on_them_is_unknown() {
    let pair = Pair::new();
    for answer in ["{\"message\":\"store is closed\"}", "[{\"Id\":"] {
        let (said, _) = pair.with("auto", move |asked| match asked.is("GET", "/networks") {
            true if answer.starts_with('[') => Act::Answer(200, answer.into()),
            true => Act::Answer(500, answer.into()),
            false => Act::Forward,
        });
        let why = match answer.starts_with('[') {
            true => "not the JSON it should be",
            false => "store is closed (status 500)",
        };
        unknown(&said.report(), &["listing the networks", why]);
    }
}

#[test]
fn a_neighbour_that_cannot_be_inspected_does_not_end_the_run() {
    let pair = Pair::new();
    let db = pair.id(&pair.db);
    for status in [500, 404] {
        let id = db.clone();
        let (said, proxy) = pair.with("auto", move |asked| match asked.inspects(&id) {
            true => Act::error(status, "No such container: it is being tested"),
            false => Act::Forward,
        });
        assert!(proxy.saw(&format!("/containers/{db}/json")));
        let report = said.report();
        // 404: the neighbour is gone as far as anybody knows, and its name resolves all the same.
        assert_eq!(roots(&report), Vec::<&str>::new(), "{}", show(&report));
    }
}

#[test]
fn a_helper_that_cannot_be_made_leaves_what_it_would_have_seen_unknown() {
    let pair = Pair::new();
    for (status, why) in [
        (409, "Conflict. The name is taken"),
        (500, "no space left on device"),
    ] {
        let (said, proxy) = pair.with("helper", move |asked| {
            match asked.is("POST", "/containers/create") {
                true => Act::error(status, why),
                false => Act::Forward,
            }
        });
        assert!(proxy.saw("/containers/create"));
        unknown(&said.report(), &["making a helper container", why]);
    }
    let (said, _) = pair.with("helper", |asked| match asked.attaches() {
        true => Act::Close,
        false => Act::Forward,
    });
    unknown(&said.report(), &["attaching to a helper container"]);
    // The attached stream breaks off as soon as it is open.
    let (said, _) = pair.with("helper", |asked| match asked.attaches() {
        true => Act::Cut(0),
        false => Act::Forward,
    });
    unknown(&said.report(), &["the probe ended without an answer"]);
    // No image, and none can be loaded.
    let (said, proxy) = pair.with("helper", |asked| {
        match (asked.method.as_str(), asked.path.as_str()) {
            ("POST", "/containers/create") => Act::error(404, "No such image: netcheck-probe:x"),
            ("POST", "/images/load") => Act::error(500, "no space left on device"),
            _ => Act::Forward,
        }
    });
    unknown(
        &said.report(),
        &[
            "loading the image netcheck-probe:",
            "no space left on device (status 500)",
        ],
    );
    let loads = proxy
        .log()
        .iter()
        .filter(|line| line.contains("/images/load"))
        .count();
    assert_eq!(loads, 1, "{:#?}", proxy.log());
}

#[test]
fn the_image_is_loaded_where_it_is_missing() {
    let pair = Pair::new();
    let first = once();
    let (said, proxy) = pair.with("helper", move |asked| {
        match asked.is("POST", "/containers/create") && first() {
            true => Act::error(404, "No such image: netcheck-probe:x"),
            false => Act::Forward,
        }
    });
    assert_eq!(said.code, Some(0), "{said:#?}");
    let load = format!("POST /v{}/images/load", engine_api().0);
    assert!(proxy.saw(&load), "{:#?}", proxy.log());
}

// The container goes away during the run.

fn docker(words: &[&str]) {
    let done = Command::new("docker").args(words).output().unwrap();
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn removed_while_it_is_being_diagnosed() {
    for (mode, moment) in [
        ("auto", "inspect"),
        ("netns", "inspect"),
        ("helper", "create"),
        ("helper", "attach"),
    ] {
        let pair = Pair::new();
        let (app, id, first) = (pair.app.clone(), pair.id(&pair.app), once());
        // The run is promised to be quick; the removal of a container is the engine's.
        let removing = Arc::new(Mutex::new(Duration::ZERO));
        let took = Arc::clone(&removing);
        let (mut said, proxy) = pair.with(mode, move |asked| {
            let now = match moment {
                // The neighbour's: the subject's is answered before it, or at the same time.
                "inspect" => asked.path.contains("/networks"),
                "create" => asked.is("POST", "/containers/create"),
                _ => asked.attaches(),
            };
            if now && first() {
                let started = Instant::now();
                if moment == "inspect" {
                    // After the subject was inspected, before anybody looks from inside.
                    std::thread::sleep(Duration::from_millis(500));
                }
                docker(&["rm", "-f", &app]);
                *took.lock().unwrap() = started.elapsed();
            }
            Act::Forward
        });
        said.took = said.took.saturating_sub(*removing.lock().unwrap());
        said.refused(&[&format!(
            "the container `{}` was removed while it was being diagnosed",
            pair.app
        )]);
        let looks = proxy.log().iter().filter(|line| line.contains(&id)).count();
        assert!(looks >= 2, "{mode} {moment}: {:#?}", proxy.log());
    }
}

#[test]
fn stopped_while_it_is_being_diagnosed() {
    let pair = Pair::new();
    let (app, first) = (pair.app.clone(), once());
    let (said, _) = pair.with("helper", move |asked| {
        if asked.attaches() && first() {
            docker(&["kill", &app]);
        }
        Act::Forward
    });
    let report = said.report();
    assert_eq!(
        roots(&report),
        ["container-not-running"],
        "{}",
        show(&report)
    );
}
