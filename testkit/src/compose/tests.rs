//! Files that are understood, and files of which it is told what is not. No engine is needed.

use std::path::Path;

use bollard::models::MountType;

use super::file::{File, understand};
use super::service::{Condition, Mode, Volume};
use super::variables::Variables;
use super::*;
use crate::error::Error;
use crate::{tcp, udp};

fn file(text: &str) -> Result<File> {
    let variables = Variables {
        given: [("NK_TAG".to_owned(), "11".to_owned())].into(),
        file: BTreeMap::new(),
    };
    let table = read::read(Path::new("here/compose.yaml"), text, &variables)?;
    understand(table, &BTreeMap::new())
}

/// The service, the key and the reason.
fn complaint(text: &str) -> (String, String, String) {
    match file(text) {
        Err(Error::Compose {
            service, key, why, ..
        }) => (service.unwrap_or_default(), key, why),
        other => panic!("{text}\n{other:?}"),
    }
}

#[test]
fn what_is_not_carried_out_is_named() {
    for (text, service, key, words) in [
        ("web: {build: .}", "web", "build", "builds no images"),
        ("web: {}", "web", "", "has no `image`"),
        (
            "web: {image: a, deploy: {replicas: 2}}",
            "web",
            "deploy",
            "not carry",
        ),
        ("web: {image: a, imgae: b}", "web", "imgae", "not carry"),
        (
            "web: {image: a, networks: {back: {mac_address: x}}}",
            "web",
            "networks.back.mac_address",
            "not carry",
        ),
        (
            "web: {image: a, networks: {back: {ipv4_address: x}}}",
            "web",
            "networks.back.ipv4_address",
            "no address",
        ),
        (
            "web: {image: a, networks: {back: {ipv4_address: '::1'}}}",
            "web",
            "networks.back.ipv4_address",
            "other family",
        ),
        (
            "web: {image: a, network_mode: bridge, networks: [b]}",
            "web",
            "network_mode",
            "takes one of them",
        ),
        (
            "web: {image: a, network_mode: weave}",
            "web",
            "network_mode",
            "`weave`",
        ),
        (
            "web: {image: a, healthcheck: {tset: x}}",
            "web",
            "healthcheck.tset",
            "not carry",
        ),
        (
            "web: {image: a, healthcheck: {test: [x]}}",
            "web",
            "healthcheck.test",
            "begins with",
        ),
        (
            "web: {image: a, healthcheck: {interval: 10}}",
            "web",
            "healthcheck.interval",
            "no time",
        ),
        (
            "web: {image: a, depends_on: {b: {condition: soon}}}",
            "web",
            "depends_on.b.condition",
            "`soon`",
        ),
        (
            "web: {image: a, depends_on: {b: {restart: true}}}",
            "web",
            "depends_on.b.restart",
            "restarts no",
        ),
        (
            "web: {image: a, ports: ['80:x']}",
            "web",
            "ports",
            "no port",
        ),
        (
            "web: {image: a, ports: [{published: 80}]}",
            "web",
            "ports",
            "needs a `target`",
        ),
        ("web: {image: a, expose: [web]}", "web", "expose", "no port"),
        (
            "web: {image: a, restart: sometimes}",
            "web",
            "restart",
            "`sometimes`",
        ),
        (
            "web: {image: a, shm_size: much}",
            "web",
            "shm_size",
            "no size",
        ),
        ("web: {image: a, init: yes}", "web", "init", "neither"),
        (
            "web: {image: a, command: 'a \"b'}",
            "web",
            "command",
            "open quote",
        ),
        (
            "web: {image: a, pull_policy: daily}",
            "web",
            "pull_policy",
            "`daily`",
        ),
        (
            "web: {image: a, volumes: [{type: npipe, target: /x}]}",
            "web",
            "volumes.type",
            "`npipe`",
        ),
        (
            "web: {image: a, volumes: [{type: bind, source: ., target: /x, bind: {propagation: shared}}]}",
            "web",
            "volumes.bind.propagation",
            "not carry",
        ),
        (
            "web: {image: 'a:${NK_NONE}'}",
            "web",
            "image",
            "`NK_NONE` is set nowhere",
        ),
        ("web: {image: a, image: b}", "", "", "duplicated"),
        (
            "web: {image: a, 'image': b}",
            "",
            "services.web.image",
            "given twice",
        ),
        ("web: {image: !secret a}", "", "services.web.image", "tag"),
    ] {
        let (in_service, at, why) = complaint(&format!("services: {{{text}}}"));
        assert_eq!((&*in_service, &*at), (service, key), "{text}: {why}");
        assert!(why.contains(words), "{text}: {why}");
    }
    for (text, key, words) in [
        ("services: {}", "services", "there is none"),
        (
            "services: {a: {image: a}}\nsecrets: {}",
            "secrets",
            "not carry",
        ),
        (
            "services: {a: {image: a}}\nnetworks: {b: {ipam: {config: [{ip_range: 10.0.0.0/8}]}}}",
            "networks.b.ipam.config.ip_range",
            "not carry",
        ),
        (
            "services: {a: {image: a}}\nnetworks: {b: {ipam: {driver: other}}}",
            "networks.b.ipam.driver",
            "`default` only",
        ),
        (
            "services: {a: {image: a}}\nvolumes: {b: {external: true}}",
            "volumes.b.external",
            "own volumes",
        ),
        ("- a", "", "a mapping is needed"),
        ("a: [", "", "no YAML"),
        ("services: *nobody", "", "no YAML"),
        ("---\na: b\n---\na: b", "", "one YAML document"),
        ("", "", "one YAML document"),
    ] {
        let (service, at, why) = complaint(text);
        assert_eq!((&*service, &*at), ("", key), "{text}: {why}");
        assert!(why.contains(words), "{text}: {why}");
    }
}

#[test]
fn an_error_names_file_service_and_key() {
    let error = file("services: {web: {build: .}}").unwrap_err();
    assert_eq!(
        error.to_string(),
        "here/compose.yaml: service `web`: `build`: the kit builds no images; build it before and \
         name it with `.image(service, image)`"
    );
}

#[test]
fn a_file_with_everything_is_understood() {
    let file = file(
        r#"
name: Shop
version: "3.9"
x-common: &common
  image: "shop:${NK_TAG}"
  restart: "no"
  labels: [team=shop, empty]
services:
  web:
    <<: *common
    restart: on-failure:3
    container_name: front
    command: serve "a b" $$HOME
    entrypoint: [/bin/web, --loud]
    ports: ["127.0.0.1:8080:80", 53/udp, {target: 443, published: "8443", host_ip: "::1"}]
    expose: [9000, "9001-9002/udp"]
    environment: {PLAIN: 1.10, FLAG: true, QUOTED: "x", FROM_OUTSIDE: }
    env_file: [a.env, {path: b.env, required: false}]
    depends_on: {db: {condition: service_healthy}, cache: {condition: service_started, required: false}}
    networks: {back: {priority: 1}, front: {aliases: [www], ipv4_address: 10.9.0.10, priority: 5}}
    extra_hosts: ["db.example=10.0.0.1", "v6.example:::1", "host.docker.internal:host-gateway"]
    dns: 10.0.0.53
    volumes: [./conf:/etc/web:ro, data:/data, /cache, {type: tmpfs, target: /run, tmpfs: {size: 1m}}]
    healthcheck: {test: curl -f http://localhost/, interval: 1m30s, retries: 3}
    x-note: nothing
  db:
    image: db
    network_mode: none
  side: {image: side, network_mode: "service:web"}
  debug: {image: tools, profiles: [debug], init: true, read_only: "false", shm_size: 64m}
networks:
  back: {internal: true}
  front: {ipam: {driver: default, config: [{subnet: 10.9.0.0/24, gateway: 10.9.0.1}]}, enable_ipv6: true}
volumes: {data: }
"#,
    )
    .unwrap();
    assert_eq!(file.name.as_deref(), Some("Shop"));
    let [web, db, side, debug] = &file.services[..] else {
        panic!("{:?}", file.services)
    };
    assert_eq!(web.image, "shop:11");
    let body = &web.body;
    let words = |words: &[&str]| Some(words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
    assert_eq!(body.cmd, words(&["serve", "a b", "$HOME"]));
    assert_eq!(body.entrypoint, words(&["/bin/web", "--loud"]));
    assert_eq!(body.labels.as_ref().unwrap()["team"], "shop");
    assert_eq!(body.labels.as_ref().unwrap()["empty"], "");
    let host = body.host_config.as_ref().unwrap();
    assert_eq!(
        host.extra_hosts,
        words(&[
            "db.example:10.0.0.1",
            "v6.example:::1",
            "host.docker.internal:host-gateway"
        ])
    );
    assert_eq!(host.dns, words(&["10.0.0.53"]));
    let restart = host.restart_policy.as_ref().unwrap();
    assert_eq!(
        restart.maximum_retry_count,
        Some(3),
        "the merged key is the older one"
    );
    let health = body.healthcheck.as_ref().unwrap();
    assert_eq!(health.interval, Some(90_000_000_000));
    assert_eq!(
        health.test,
        words(&["CMD-SHELL", "curl -f http://localhost/"])
    );
    let ports: Vec<_> = web
        .published
        .iter()
        .map(|p| (p.port, p.address.as_deref().unwrap_or(""), &*p.host))
        .collect();
    assert_eq!(
        ports,
        [
            (tcp(80), "127.0.0.1", "8080"),
            (udp(53), "", ""),
            (tcp(443), "::1", "8443")
        ]
    );
    assert_eq!(web.exposed, [tcp(9000), udp(9001), udp(9002)]);
    let env: Vec<_> = web.env.iter().map(|(k, v)| (&**k, v.as_deref())).collect();
    assert_eq!(
        env,
        [
            ("PLAIN", Some("1.10")),
            ("FLAG", Some("true")),
            ("QUOTED", Some("x")),
            ("FROM_OUTSIDE", None)
        ]
    );
    assert_eq!(
        web.env_files,
        [("a.env".to_owned(), true), ("b.env".to_owned(), false)]
    );
    let after: Vec<_> = web
        .after
        .iter()
        .map(|d| (&*d.service, d.condition, d.required))
        .collect();
    assert_eq!(
        after,
        [
            ("db", Condition::Healthy, true),
            ("cache", Condition::Started, false)
        ]
    );
    let Mode::Networks(endpoints) = &web.mode else {
        panic!("{:?}", web.mode)
    };
    assert_eq!(endpoints[0].0, "front", "the higher priority first");
    assert_eq!(endpoints[0].1.aliases, ["www"]);
    assert_eq!(
        endpoints[0].1.addresses,
        ["10.9.0.10".parse::<std::net::IpAddr>().unwrap()]
    );
    let kinds: Vec<String> = web
        .volumes
        .iter()
        .map(|volume| match volume {
            Volume::Bind(_, source, target) => format!("bind {source} {target}"),
            Volume::Named(_, name, target) => format!("named {name} {target}"),
            Volume::Long(_, mount) if mount.typ == Some(MountType::TMPFS) => "tmpfs".into(),
            Volume::Long(..) => "long".into(),
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "bind ./conf /etc/web:ro",
            "named data /data",
            "named  /cache",
            "tmpfs"
        ]
    );
    assert!(matches!(db.mode, Mode::None));
    assert!(matches!(&side.mode, Mode::Service(name) if name == "web"));
    assert_eq!(side.after[0].service, "web", "it lives in its namespace");
    assert_eq!(debug.profiles, ["debug"]);
    let host = debug.body.host_config.as_ref().unwrap();
    assert_eq!((host.init, host.readonly_rootfs), (Some(true), Some(false)));
    assert_eq!(host.shm_size, Some(64 << 20));
    assert!(file.networks["back"].internal && file.networks.contains_key("default"));
    assert_eq!(file.networks["front"].subnets, ["10.9.0.0/24"]);
    assert!(file.networks["front"].ipv6);
    assert!(file.volumes.contains_key("data"));
}

#[test]
fn an_image_given_by_the_test_takes_the_place_of_a_build() {
    let text = "services: {web: {build: .}}";
    let table = read::read(Path::new("c.yaml"), text, &Variables::default()).unwrap();
    let given = [("web".to_owned(), "mine:1".to_owned())].into();
    assert_eq!(
        understand(table, &given).unwrap().services[0].image,
        "mine:1"
    );
    let table = read::read(Path::new("c.yaml"), text, &Variables::default()).unwrap();
    let given = [("wbe".to_owned(), "mine:1".to_owned())].into();
    assert!(understand(table, &given).is_err());
}

#[test]
fn a_file_that_nests_for_ever_is_refused() {
    let deep = format!("x: {}{}", "[".repeat(200), "]".repeat(200));
    let error = file(&deep).unwrap_err().to_string();
    assert!(
        error.contains("levels deep") || error.contains("no YAML"),
        "{error}"
    );
}
