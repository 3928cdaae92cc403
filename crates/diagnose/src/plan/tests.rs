//! What is asked of made-up evidence, and what never is.

use super::*;
use crate::evidence::Mode;
use crate::rules::testing::{container, ip, servers, snapshot, world};
use netcheck_probe::ResolvConf;

fn lookups(plan: &Plan, evidence: &Evidence) -> Vec<String> {
    let subject = Viewpoint::Container(evidence.request.container.clone());
    plan.get(&subject)
        .into_iter()
        .flatten()
        .filter_map(|question| match question {
            Question::Lookup { name } | Question::Query { name, .. } => Some(name.clone()),
            _ => None,
        })
        .collect()
}

/// An application whose names go to this server.
fn app(server: &str) -> Evidence {
    let env = [
        "A_HOST=db",
        "B_HOST=nobody",
        "C_URL=https://api.example.com/",
        "D_URL=http://host.docker.internal/",
    ];
    let seen = netcheck_probe::Snapshot {
        resolv_conf: Ok(ResolvConf {
            nameservers: vec![ip("127.0.0.11")],
            upstreams: vec![format!("host({server})")],
            ..ResolvConf::default()
        }),
        ..snapshot()
    };
    world(container("app").env(&env))
        .and(container("db").on("my_network", "172.18.0.2"))
        .sees(seen)
}

#[test]
fn the_first_round_asks_only_for_names_the_engine_knows_itself() {
    let evidence = app("8.8.8.8");
    assert_eq!(lookups(&first(&evidence), &evidence), ["app.", "db."]);
}

#[test]
fn nothing_is_asked_of_a_server_on_the_internet() {
    let evidence = app("8.8.8.8");
    assert_eq!(lookups(&second(&evidence), &evidence), [""; 0]);
}

/// podman's DNS is near, and hands on to the host's servers what it does not know.
#[test]
fn podmans_dns_is_asked_only_where_the_servers_behind_it_are_near() {
    for (server, asked) in [("8.8.8.8", false), ("192.168.1.1", true)] {
        let vpn = container("vpn");
        let shares = Mode::Container(vpn.id.clone());
        let env = ["A_HOST=nobody:80"];
        for app in [
            container("app").env(&env),
            container("app").env(&env).alone().mode(shares),
        ] {
            let seen = servers::through_podman(app).and(vpn.clone());
            let evidence = servers::host_has(seen, &[server]);
            let mut unlisted = evidence.clone();
            unlisted.networks = crate::evidence::Fact::Failed("no answer".into());
            for evidence in [evidence, unlisted] {
                let questions = lookups(&second(&evidence), &evidence);
                for name in ["netcheck.invalid", "nobody"] {
                    let found = questions.iter().any(|one| one == name);
                    assert_eq!(found, asked, "{server}: {questions:?}");
                }
            }
        }
    }
}

#[test]
fn a_near_server_is_asked_for_what_it_could_know_and_for_nothing_outside() {
    let evidence = app("192.168.1.1");
    assert_eq!(
        lookups(&second(&evidence), &evidence),
        ["netcheck.invalid", "nobody", "host.docker.internal"]
    );
}

/// `ndots` above the dots of a name: a program would ask for `db.corp.example` first.
#[test]
fn search_domains_are_tried_only_where_near_servers_hear_of_it() {
    for (server, asked) in [("8.8.8.8", false), ("192.168.1.1", true)] {
        let mut evidence = app(server);
        let Ok(netcheck_probe::Answer::Snapshot(seen)) = &mut evidence.visits[0].answers[0].answer
        else {
            panic!("no snapshot");
        };
        let conf = seen.resolv_conf.as_mut().unwrap();
        conf.search = vec!["corp.example".into()];
        conf.options = vec!["ndots:5".into()];
        assert_eq!(lookups(&first(&evidence), &evidence), ["app.", "db."]);
        let second = lookups(&second(&evidence), &evidence);
        assert_eq!(second.contains(&"db".into()), asked, "{server}: {second:?}");
    }
}

#[test]
fn with_outbound_every_server_may_be_asked() {
    let mut evidence = app("8.8.8.8");
    evidence.request.outbound = Some(crate::request::Outbound {
        host: "example.com".into(),
        port: 443,
    });
    let asked = lookups(&first(&evidence), &evidence);
    assert_eq!(asked, ["app.", "db.", "example.com"]);
    assert!(lookups(&second(&evidence), &evidence).contains(&"netcheck.invalid".into()));
}

#[test]
fn the_number_of_questions_is_bounded() {
    let env: Vec<String> = (0..500)
        .map(|n| format!("V{n}_HOST=peer{n}:{}", n + 1))
        .collect();
    let env: Vec<&str> = env.iter().map(String::as_str).collect();
    let mut evidence = world(container("app").env(&env)).sees(snapshot());
    for n in 0..500 {
        evidence = evidence.and(container(&format!("peer{n}")));
    }
    for plan in [first(&evidence), second(&evidence)] {
        let all: usize = plan.values().map(Vec::len).sum();
        assert!(all <= 8 * MOST, "{all} questions");
    }
}

#[test]
fn a_service_is_asked_for_where_the_engine_knows_it_and_its_tasks_are_tried() {
    use crate::rules::service_without_tasks::tests::{asks, task};
    let far = || netcheck_probe::Snapshot {
        resolv_conf: Ok(ResolvConf {
            nameservers: vec![ip("127.0.0.11")],
            upstreams: vec!["host(8.8.8.8)".into()],
            ..ResolvConf::default()
        }),
        ..snapshot()
    };
    let asked = |evidence: &Evidence| {
        let from = Viewpoint::of(&evidence.request.container);
        pair(evidence).remove(&from).unwrap_or_default()
    };
    // The final dot keeps search domains away.
    let lookup = Question::Lookup {
        name: "api.".into(),
    };
    let here = container("api.1").alone().on("back", "10.0.1.3");
    let running = asks("api", 1, vec![task("running", Some(&here), "")]).and(here);
    let questions = asked(&running.sees(far()));
    assert!(questions.contains(&lookup), "{questions:?}");
    let to = "10.0.1.3:80".parse().unwrap();
    let connect = Question::Connect {
        to,
        listen_ms: DIRECT_LISTEN_MS,
    };
    assert!(questions.contains(&connect), "{questions:?}");
    // Nobody near knows the name of one that has none.
    let none = asks("api", 1, Vec::new()).sees(far());
    assert!(!asked(&none).contains(&lookup));
}
