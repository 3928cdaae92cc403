//! `--deep` on a real engine with a firewall of its own: the very rule that takes packets is named, with
//! every kind of packet filter, the printed command heals, and what no rule does is blamed on none.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]
#![expect(unreachable_pub, reason = "modules are shared between test programs")]

mod private;
mod world;

use netcheck_diagnose::report::Outcome;
use netcheck_testkit::tcp;
use private::{NEIGHBOUR, inside, inside_with, listen_on_lan, on_podman, own_chain, sh};
use world::{World, roots, show};

/// Names exactly this, from the host's own namespace and by a helper; then runs the fix, and it works.
#[track_caller]
fn named_and_healed(world: &World, from: &str, target: &str, code: &str, rule: &str) {
    let rule = &own_chain(rule);
    let mut commands = Vec::new();
    for way in ["helper", "netns"] {
        let report = world.pair(&["--deep", "--probe", way], from, target);
        assert_eq!(roots(&report), [code], "{way}: {}", show(&report));
        let finding = &report.findings[0];
        assert!(
            finding.evidence.iter().any(|line| line.contains(rule)),
            "{way}: {}",
            show(&report)
        );
        commands.clone_from(&finding.fixes[0].commands);
    }
    let words = rule.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    world.record(code, &words.join("-").to_lowercase());
    world.paste(&commands);
    works(world, from, target);
}

#[track_caller]
fn works(world: &World, from: &str, target: &str) {
    for flags in [&[][..], &["--deep"]] {
        let report = world.pair(flags, from, target);
        assert_eq!(report.outcome, Outcome::Healthy, "{}", show(&report));
    }
}

/// `app` and `web` on one network, and `web`'s port 80.
fn two(world: &World) -> (String, String, String) {
    let net = world.network("net");
    let app = world.run("app", |n| n.on(&net));
    let web = world.run("web", |n| n.on(&net).tcp(80).udp(53));
    let address = world.address("web");
    (app, web, address)
}

/// The rules that a test makes go with it, also where it fails.
struct Undo(&'static str);

impl Drop for Undo {
    fn drop(&mut self) {
        let _ = std::process::Command::new("sh")
            .args(["-c", self.0])
            .status();
    }
}

const FLUSH: &str =
    "if iptables-nft -F DOCKER-USER; then iptables-nft -A DOCKER-USER -j RETURN; else iptables-nft -F FORWARD; fi
    iptables-nft -F INPUT
    iptables-nft -t raw -F; iptables-nft -t mangle -F
    [ -s /proc/net/ip_tables_names ] && iptables-legacy -F && iptables-legacy -P FORWARD ACCEPT
    for t in mine; do nft delete table inet $t; nft delete table bridge $t; done";

#[test]
fn a_drop_in_docker_user() {
    inside("a_drop_in_docker_user", || {
        let world = World::new();
        let (app, web, address) = two(&world);
        let _undo = Undo(FLUSH);
        sh(&own_chain(&format!(
            "iptables-nft -I DOCKER-USER -d {address} -p tcp --dport 80 -j DROP"
        )));
        let target = format!("{web}:80");
        // Without more rights it is said how to get them.
        let report = world.pair(&[], &app, &target);
        assert_eq!(report.outcome, Outcome::Undecided, "{}", show(&report));
        assert!(
            report.undecided[0].needs.contains("--deep"),
            "{}",
            show(&report)
        );
        named_and_healed(
            &world,
            &app,
            &target,
            "firewall-drops",
            "rule 1 of DOCKER-USER (iptables-nft)",
        );
    });
}

#[test]
fn a_drop_of_udp() {
    inside("a_drop_of_udp", || {
        let world = World::new();
        let (app, web, address) = two(&world);
        let _undo = Undo(FLUSH);
        sh(&own_chain(&format!(
            "iptables-nft -I DOCKER-USER -d {address} -p udp -j DROP"
        )));
        let target = format!("{web}:53/udp");
        let report = world.pair(&[], &app, &target);
        assert_eq!(report.outcome, Outcome::Healthy, "{}", show(&report));
        named_and_healed(&world, &app, &target, "firewall-drops", "-p udp");
    });
}

#[test]
fn drops_of_legacy_and_native_rules() {
    inside("drops_of_legacy_and_native_rules", || {
        let world = World::new();
        let (app, web, address) = two(&world);
        let _undo = Undo(FLUSH);
        let target = format!("{web}:80");
        sh(&format!("iptables-legacy -A FORWARD -d {address} -j DROP"));
        named_and_healed(
            &world,
            &app,
            &target,
            "firewall-drops",
            "rule 1 of FORWARD (iptables-legacy)",
        );
        sh(&format!(
            "nft add table inet mine
             nft 'add chain inet mine c {{ type filter hook forward priority -10; policy accept; }}'
             nft add rule inet mine c ip daddr {address} tcp dport 80 drop"
        ));
        named_and_healed(
            &world,
            &app,
            &target,
            "firewall-drops",
            "in chain c of nftables table inet mine",
        );
        // A set is not read, but it counts just these packets.
        sh(&format!(
            "nft add rule inet mine c ip daddr {address} tcp dport '{{ 80, 81 }}' counter drop"
        ));
        named_and_healed(
            &world,
            &app,
            &target,
            "firewall-drops",
            "in chain c of nftables table inet mine",
        );
    });
}

#[test]
fn refusals() {
    inside("refusals", || {
        let world = World::new();
        let (app, web, address) = two(&world);
        let _undo = Undo(FLUSH);
        let target = format!("{web}:80");
        for with in [
            "icmp-port-unreachable",
            "tcp-reset",
            "icmp-admin-prohibited",
        ] {
            sh(&own_chain(&format!(
                "iptables-nft -I DOCKER-USER -d {address} -p tcp --dport 80 -j REJECT --reject-with {with}"
            )));
            named_and_healed(
                &world,
                &app,
                &target,
                "firewall-rejects",
                "rule 1 of DOCKER-USER",
            );
        }
    });
}

#[test]
fn a_drop_inside_a_container() {
    inside("a_drop_inside_a_container", || {
        let world = World::new();
        let (app, web, _) = two(&world);
        let target = format!("{web}:80");
        for (name, rule) in [
            (&web, "-A INPUT -p tcp --dport 80 -j DROP"),
            (&app, "-A OUTPUT -p tcp --dport 80 -j DROP"),
        ] {
            let pid = world.docker(&["inspect", "-f", "{{.State.Pid}}", name]);
            sh(&format!("nsenter -t {pid} -n iptables-nft {rule}"));
            named_and_healed(&world, &app, &target, "firewall-drops", "inside `");
        }
    });
}

#[test]
fn answers_from_outside() {
    inside("answers_from_outside", || {
        let world = World::new();
        let (app, ..) = two(&world);
        let _undo = Undo(FLUSH);
        let _service = listen_on_lan(9000);
        let target = format!("{NEIGHBOUR}:9000");
        works(&world, &app, &target);
        sh(&own_chain(
            "iptables-nft -I DOCKER-USER -i lan0 ! -s 10.221.0.200 -j DROP",
        ));
        named_and_healed(
            &world,
            &app,
            &target,
            "docker-user-drops-replies",
            "rule 1 of DOCKER-USER",
        );
    });
}

#[test]
fn a_flushed_forward_chain() {
    inside("a_flushed_forward_chain", || {
        let world = World::new();
        let (app, web, _) = two(&world);
        sh("iptables-nft -P FORWARD DROP; iptables-nft -F FORWARD");
        let target = format!("{web}:80");
        let report = world.pair(&["--deep"], &app, &target);
        let code = if on_podman() {
            // It has no rules there that could be missing.
            "firewall-drops"
        } else {
            "forward-rules-missing"
        };
        assert_eq!(roots(&report), [code], "{}", show(&report));
        world.record(code, "flushed");
        world.paste(&report.findings[0].fixes[0].commands);
        // A restart of the engine ends its containers.
        world.docker(&["start", &app, &web]);
        works(&world, &app, &target);
    });
}

#[test]
fn the_firewall_of_the_host() {
    inside("the_firewall_of_the_host", || {
        let world = World::new();
        let net = world.network("net");
        let app = world.run("app", |n| n.on(&net).host_access());
        let _undo = Undo(FLUSH);
        let _service = std::net::TcpListener::bind("0.0.0.0:8080").unwrap();
        let target = "host.docker.internal:8080";
        works(&world, &app, target);
        sh("iptables-nft -A INPUT ! -i lo -p tcp --dport 8080 -j DROP");
        named_and_healed(
            &world,
            &app,
            target,
            "host-firewall-blocks-containers",
            "rule 1 of INPUT",
        );
    });
}

#[test]
fn a_drop_and_a_wrong_port() {
    inside("a_drop_and_a_wrong_port", || {
        let world = World::new();
        let (app, web, address) = two(&world);
        let _undo = Undo(FLUSH);
        sh(&own_chain(&format!(
            "iptables-nft -I DOCKER-USER -d {address} -j DROP"
        )));
        let report = world.pair(&["--deep"], &app, &format!("{web}:81"));
        assert_eq!(
            roots(&report),
            ["firewall-drops", "wrong-port"],
            "{}",
            show(&report)
        );
    });
}

/// One container, looked at with these flags: exactly this; then the fix, and nothing is left of it.
#[track_caller]
fn one_is_named_and_healed(world: &World, subject: &str, flags: &[&str], code: &str) {
    let evidence = world.folder().join("evidence.json");
    let mut words = vec!["--save-evidence", evidence.to_str().unwrap()];
    words.extend(flags);
    let report = world.report(subject, &words);
    assert_eq!(roots(&report), [code], "{}", show(&report));
    world.record(code, "alone");
    world.paste(&report.findings[0].fixes[0].commands);
    let healed = world.report(subject, flags);
    assert_eq!(healed.outcome, Outcome::Healthy, "{}", show(&healed));
}

#[test]
fn a_host_that_does_not_forward() {
    inside("a_host_that_does_not_forward", || {
        let world = World::new();
        let (app, web, _) = two(&world);
        let _service = listen_on_lan(9000);
        let _undo = Undo("sysctl -qw net.ipv4.ip_forward=1");
        let target = format!("{NEIGHBOUR}:9000");
        works(&world, &app, &target);
        sh("sysctl -w net.ipv4.ip_forward=0");
        // Within one network nobody needs it.
        works(&world, &app, &format!("{web}:80"));
        let report = world.pair(&[], &app, &target);
        assert_eq!(roots(&report), ["ip-forwarding-off"], "{}", show(&report));
        one_is_named_and_healed(&world, &app, &[], "ip-forwarding-off");
        works(&world, &app, &target);
    });
}

#[test]
fn chains_that_are_gone() {
    inside("chains_that_are_gone", || {
        let world = World::new();
        let net = world.network("net");
        let web = world.run("web", |n| n.on(&net).tcp(80).publish(tcp(80)));
        world.docker(&["stop", "-t", "0", &web]);
        sh("iptables-nft -t nat -F; iptables-nft -t nat -X DOCKER");
        assert_ne!(world.docker_said(&["start", &web]).code, Some(0));
        one_is_named_and_healed(&world, &web, &[], "docker-chains-missing");
    });
}

#[test]
fn a_bridge_that_is_not_filtered() {
    inside("a_bridge_that_is_not_filtered", || {
        let world = World::new();
        let option = ("com.docker.network.bridge.enable_icc", "false");
        let net = world.network_with("net", |n| n.driver_option(option.0, option.1));
        let web = world.run("web", |n| n.on(&net).tcp(80));
        let _undo = Undo("sysctl -qw net.bridge.bridge-nf-call-iptables=1");
        let healthy = world.report(&web, &[]);
        assert_eq!(healthy.outcome, Outcome::Healthy, "{}", show(&healthy));
        sh("sysctl -w net.bridge.bridge-nf-call-iptables=0");
        one_is_named_and_healed(&world, &web, &[], "bridge-netfilter-off");
    });
}

#[test]
fn a_private_address_outside() {
    inside("a_private_address_outside", || {
        let world = World::new();
        let (app, ..) = two(&world);
        let _service = listen_on_lan(9000);
        let target = format!("{NEIGHBOUR}:9000");
        works(&world, &app, &target);
        let mut flush = "iptables-nft -t nat -F POSTROUTING".to_owned();
        if on_podman() {
            flush += "; nft flush chain inet netavark POSTROUTING";
        }
        sh(&flush);
        let report = world.pair(&["--deep"], &app, &target);
        assert_eq!(roots(&report), ["masquerade-missing"], "{}", show(&report));
        world.record("masquerade-missing", "flushed");
        // By hand, and by a new start of the engine.
        world.paste(&report.findings[0].fixes[1].commands);
        works(&world, &app, &target);
        sh(&flush);
        world.paste(&report.findings[0].fixes[0].commands);
        world.docker(&["start", &app]);
        works(&world, &app, &target);
    });
}

#[test]
fn an_engine_that_writes_no_rules() {
    inside_with("--iptables=false", "an_engine_that_writes_no_rules", || {
        let world = World::new();
        let (app, web, _) = two(&world);
        let _service = listen_on_lan(9000);
        works(&world, &app, &format!("{web}:80"));
        let target = format!("{NEIGHBOUR}:9000");
        let report = world.pair(&["--deep"], &app, &target);
        assert_eq!(roots(&report), ["engine-iptables-off"], "{}", show(&report));
        world.record("engine-iptables-off", "flag");
        world.paste(&report.findings[0].fixes[0].commands);
        works(&world, &app, &target);
    });
}

#[test]
fn rules_for_a_port_that_no_packet_has() {
    inside("rules_for_a_port_that_no_packet_has", || {
        let world = World::new();
        let net = world.network("net");
        let web = world.run("web", |n| n.on(&net).tcp(80).publish(tcp(80)));
        let port = world.docker(&["port", &web, "80/tcp"]);
        let port = port
            .lines()
            .next()
            .unwrap()
            .rsplit(':')
            .next()
            .unwrap()
            .to_owned();
        let healthy = world.report(&web, &["--deep"]);
        assert_eq!(healthy.outcome, Outcome::Healthy, "{}", show(&healthy));
        let _undo = Undo(FLUSH);
        sh(&format!(
            "iptables-nft -A INPUT -i lan0 -p tcp --dport {port} -j DROP"
        ));
        let code = "published-port-bypasses-host-firewall";
        one_is_named_and_healed(&world, &web, &["--deep"], code);
        sh(&own_chain(
            "iptables-nft -F INPUT; iptables-nft -F DOCKER-USER; iptables-nft -A DOCKER-USER -j RETURN",
        ));
        sh(&own_chain(&format!(
            "iptables-nft -I DOCKER-USER -i lan0 -p tcp --dport {port} -j DROP"
        )));
        let code = "firewall-rule-never-matches";
        one_is_named_and_healed(&world, &web, &["--deep"], code);
    });
}

#[test]
fn what_is_no_firewall() {
    inside("what_is_no_firewall", || {
        let world = World::new();
        let (app, web, address) = two(&world);
        let _undo = Undo(FLUSH);
        // Rules for others, and counters that rise for others.
        sh(&own_chain(&format!(
            "iptables-nft -I DOCKER-USER -d {address} -p tcp --dport 82 -j DROP
             iptables-nft -I DOCKER-USER -s {address} -p udp -j REJECT"
        )));
        works(&world, &app, &format!("{web}:80"));
        let report = world.pair(&["--deep"], &app, &format!("{web}:81"));
        assert_eq!(roots(&report), ["wrong-port"], "{}", show(&report));
        // A hole that no rule makes: it is said where the packets were last seen.
        let pid = world.docker(&["inspect", "-f", "{{.State.Pid}}", &web]);
        sh(&format!(
            "nsenter -t {pid} -n ip route add blackhole {}/32",
            world.address("app")
        ));
        let report = world.pair(&["--deep"], &app, &format!("{web}:80"));
        assert_eq!(report.outcome, Outcome::Undecided, "{}", show(&report));
        let needs: Vec<&str> = report
            .undecided
            .iter()
            .map(|one| one.needs.as_str())
            .collect();
        assert!(
            needs.iter().any(|text| text.contains("went out by")),
            "{}",
            show(&report)
        );
    });
}
