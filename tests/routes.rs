//! Routes, links and translations of the engine's host, in an engine of its own: what keeps a container from
//! a place outside, or from a machine of the LAN, is named, and the printed command heals it.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]
#![expect(unreachable_pub, reason = "modules are shared between test programs")]

mod private;
mod world;

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use netcheck_diagnose::report::{Finding, Outcome};
use netcheck_testkit::tcp;
use private::{
    NEIGHBOUR, inside, inside_of, inside_with, lan, listen_on_lan, listen_on_lan_at, on_lan,
    on_podman, sh, sh_on_lan,
};
use world::{World, roots, show};

/// A pair with exactly this cause, from the host's own namespace and by a helper.
#[track_caller]
fn named(
    world: &World,
    flags: &[&str],
    (from, target): (&str, &str),
    (code, case): (&str, &str),
) -> Finding {
    let mut found = None;
    for way in ["helper", "netns"] {
        let report = world.pair(&[flags, &["--probe", way]].concat(), from, target);
        assert_eq!(roots(&report), [code], "{way}: {}", show(&report));
        found = report.findings.into_iter().next();
    }
    world.record(code, case);
    found.unwrap()
}

/// One container with exactly this cause, both ways.
#[track_caller]
fn one_named(world: &World, flags: &[&str], subject: &str, (code, case): (&str, &str)) -> Finding {
    let evidence = world.folder().join("evidence.json");
    let mut found = None;
    for way in ["helper", "netns"] {
        let words = [
            flags,
            &[
                "--probe",
                way,
                "--save-evidence",
                evidence.to_str().unwrap(),
            ],
        ]
        .concat();
        let report = world.report(subject, &words);
        assert_eq!(roots(&report), [code], "{way}: {}", show(&report));
        found = report.findings.into_iter().next();
    }
    world.record(code, case);
    found.unwrap()
}

#[track_caller]
fn works(world: &World, from: &str, target: &str) {
    let report = world.pair(&[], from, target);
    assert_eq!(report.outcome, Outcome::Healthy, "{}", show(&report));
}

#[track_caller]
fn is_healthy(world: &World, subject: &str, flags: &[&str]) {
    let report = world.report(subject, flags);
    assert_eq!(report.outcome, Outcome::Healthy, "{}", show(&report));
}

/// What a test changes on the host or the LAN is undone with it, also where it fails.
struct Undo(String);

impl Undo {
    /// These commands, on the host; `$LAN` is a process of the other machine.
    fn with(script: &str) -> Self {
        Self(script.replace("$LAN", &lan()))
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        let _ = std::process::Command::new("sh")
            .args(["-c", &self.0])
            .status();
    }
}

#[test]
fn a_host_that_bars_the_way() {
    inside("a_host_that_bars_the_way", || {
        let world = World::new();
        let net = world.network("net");
        let app = world.run("app", |n| n.on(&net));
        let _undo = Undo::with("nsenter -t $LAN -n ip addr del 10.230.0.1/32 dev eth0");
        sh_on_lan("ip addr add 10.230.0.1/32 dev eth0");
        let _service = listen_on_lan_at("10.230.0.1:9000");
        let target = "10.230.0.1:9000";
        works(&world, &app, target);
        for kind in ["unreachable", "prohibit", "blackhole"] {
            sh(&format!("ip route add {kind} 10.230.0.0/24"));
            let finding = named(&world, &[], (&app, target), ("host-has-no-route", kind));
            // Other places are reached.
            let _other = listen_on_lan(9001);
            works(&world, &app, &format!("{NEIGHBOUR}:9001"));
            world.paste(&finding.fixes[0].commands);
            works(&world, &app, target);
        }
    });
}

#[test]
fn a_host_without_a_default_route() {
    inside("a_host_without_a_default_route", || {
        let world = World::new();
        let net = world.network("net");
        let app = world.run("app", |n| n.on(&net));
        let _undo = Undo::with(
            "nsenter -t $LAN -n ip addr del 10.230.0.1/32 dev eth0; ip route replace default via 10.221.0.9",
        );
        sh_on_lan("ip addr add 10.230.0.1/32 dev eth0");
        let _service = listen_on_lan_at("10.230.0.1:9000");
        let target = "10.230.0.1:9000";
        sh("ip route del default");
        named(&world, &[], (&app, target), ("host-has-no-route", "none"));
        let flags = ["--outbound", target];
        let case = ("host-has-no-route", "outbound");
        let finding = one_named(&world, &flags, &app, case);
        // Nobody here knows the router.
        assert!(finding.fixes[0].commands.is_empty());
        sh("ip route add default via 10.221.0.9");
        works(&world, &app, target);
        is_healthy(&world, &app, &flags);
    });
}

/// A VPN of the host: the other machine is 10.214.5.50 there.
const VPN: &str = "ip link add vp0 type veth peer name vp1 netns $LAN
    ip addr add 10.214.5.1/24 dev vp0; ip link set vp0 up
    nsenter -t $LAN -n ip addr add 10.214.5.50/24 dev vp1
    nsenter -t $LAN -n ip link set vp1 up";

#[test]
fn a_vpn_that_lies_in_a_docker_network() {
    inside("a_vpn_that_lies_in_a_docker_network", || {
        let world = World::new();
        let net = world.network_with("net", |n| n.subnet_of("10.214.0.0/16"));
        let place = "ldap://10.214.5.50:9000";
        let app = world.run("app", |n| n.on(&net).env("DIRECTORY", place));
        let web = world.run("web", |n| n.on(&net).tcp(80));
        let _undo = Undo::with("ip link del vp0");
        sh(&VPN.replace("$LAN", &lan()));
        let _service = listen_on_lan_at("10.214.5.50:9000");
        // Containers are reached all the same.
        works(&world, &app, &format!("{web}:80"));
        let code = "subnet-overlaps-host-route";
        let target = "10.214.5.50:9000";
        named(&world, &[], (&app, target), (code, "pair"));
        let finding = one_named(&world, &[], &app, (code, "configured"));
        world.paste(&finding.fixes[0].commands);
        works(&world, &app, target);
        works(&world, &app, &format!("{web}:80"));
        is_healthy(&world, &app, &[]);
    });
}

#[test]
fn a_way_out_that_takes_smaller_packets() {
    inside("a_way_out_that_takes_smaller_packets", || {
        let world = World::new();
        let net = world.network("net");
        let app = world.run("app", |n| n.on(&net));
        let _service = listen_on_lan(9000);
        let _undo =
            Undo::with("ip link set lan0 mtu 1500; iptables-nft -F OUTPUT; ip route flush cache");
        let target = format!("{NEIGHBOUR}:9000");
        let flags = ["--outbound", &target];
        is_healthy(&world, &app, &flags);
        sh("ip link set lan0 mtu 1300");
        // It works, and nobody asked about the way out.
        works(&world, &app, &target);
        is_healthy(&world, &app, &[]);
        let case = ("bridge-mtu-exceeds-uplink", "outbound");
        one_named(&world, &flags, &app, case);
        // In a namespace that has not learned of it.
        world.docker(&["restart", "-t", "0", &app]);
        sh("iptables-nft -I OUTPUT -p icmp --icmp-type fragmentation-needed -j DROP");
        let case = ("path-mtu-black-hole", "pair");
        named(&world, &[], (&app, &target), case);
        let case = ("path-mtu-black-hole", "outbound");
        let finding = one_named(&world, &flags, &app, case);
        world.paste(&finding.fixes[0].commands);
        works(&world, &app, &target);
        is_healthy(&world, &app, &flags);
    });
}

#[test]
fn a_warning_about_the_way_out_is_healed() {
    inside("a_warning_about_the_way_out_is_healed", || {
        let world = World::new();
        let net = world.network("net");
        let app = world.run("app", |n| n.on(&net));
        let _service = listen_on_lan(9000);
        let _undo = Undo::with("ip link set lan0 mtu 1500");
        let target = format!("{NEIGHBOUR}:9000");
        let flags = ["--outbound", &target];
        sh("ip link set lan0 mtu 1400");
        let case = ("bridge-mtu-exceeds-uplink", "larger");
        let finding = one_named(&world, &flags, &app, case);
        world.paste(&finding.fixes[0].commands);
        is_healthy(&world, &app, &flags);
    });
}

#[test]
fn a_published_port_without_its_rule() {
    let test = "a_published_port_without_its_rule";
    inside_with("--userland-proxy=false", test, || {
        let world = World::new();
        let net = world.network("net");
        let web = world.run("web", |n| n.on(&net).tcp(80).publish(tcp(80)));
        is_healthy(&world, &web, &[]);
        sh(if on_podman() {
            "nft flush table inet netavark"
        } else {
            "iptables-nft -t nat -F"
        });
        let finding = one_named(&world, &[], &web, ("nat-rules-missing", "flushed"));
        world.paste(&finding.fixes[0].commands);
        world.docker(&["start", &web]);
        is_healthy(&world, &web, &[]);
    });
}

#[test]
fn a_published_port_without_its_rule_but_with_a_proxy() {
    let test = "a_published_port_without_its_rule_but_with_a_proxy";
    inside(test, || {
        let world = World::new();
        let net = world.network("net");
        let web = world.run("web", |n| n.on(&net).tcp(80).publish(tcp(80)));
        let saved = sh("iptables-nft-save -t nat");
        let file = world.folder().join("rules");
        std::fs::write(&file, saved + "\n").unwrap();
        let _undo = Undo(format!("iptables-nft-restore < {}", file.display()));
        sh("iptables-nft -t nat -F DOCKER");
        is_healthy(&world, &web, &[]);
    });
}

/// A second link to the other machine, which is 10.217.0.250 there; the host is 10.217.0.1.
const SECOND: &str = "ip link add mp0 type veth peer name mp1 netns $LAN
    ip addr add 10.217.0.1/24 dev mp0; ip link set mp0 up
    nsenter -t $LAN -n ip addr add 10.217.0.250/24 dev mp1
    nsenter -t $LAN -n ip link set mp1 up";

/// A macvlan network on it, with a router that is there.
fn macvlan(world: &World) -> world::Net {
    sh(&SECOND.replace("$LAN", &lan()));
    world.network_with("lan", |n| {
        n.driver("macvlan")
            .subnet_of("10.217.0.0/24")
            .gateway([10, 217, 0, 250])
            .driver_option("parent", "mp0")
    })
}

#[test]
fn a_macvlan_and_its_host() {
    inside("a_macvlan_and_its_host", || {
        let _undo = Undo::with("ip link del shim; ip link del mp0");
        let world = World::new();
        let net = macvlan(&world);
        let web = world.run("web", |n| n.on(net.host(128)).tcp(80));
        let _service = TcpListener::bind("10.217.0.1:9000").unwrap();
        let (there, back) = ("10.217.0.128:80", "10.217.0.1:9000");
        // Every other machine reaches it.
        on_lan(move || TcpStream::connect(there).unwrap());
        is_healthy(&world, &web, &[]);
        let code = "macvlan-host-barrier";
        named(&world, &[], ("host", there), (code, "from-the-host"));
        let case = (code, "to-the-host");
        let finding = named(&world, &[], (&web, back), case);
        world.paste(&finding.fixes[0].commands);
        works(&world, "host", there);
        works(&world, &web, back);
    });
}

#[test]
fn a_macvlan_with_an_address_of_the_lan() {
    inside("a_macvlan_with_an_address_of_the_lan", || {
        let _undo = Undo::with("ip link del mp0");
        let world = World::new();
        let net = macvlan(&world);
        let web = world.run("web", |n| n.on(net.host(131)).tcp(80));
        is_healthy(&world, &web, &[]);
        sh_on_lan("ip addr add 10.217.0.131/24 dev mp1");
        let case = ("macvlan-address-collision", "lan");
        let finding = one_named(&world, &[], &web, case);
        world.paste(&finding.fixes[0].commands);
        is_healthy(&world, &web, &[]);
    });
}

#[test]
fn a_macvlan_without_its_link() {
    inside("a_macvlan_without_its_link", || {
        let _undo = Undo::with("ip link del mp0");
        let world = World::new();
        let net = macvlan(&world);
        let web = world.run("web", |n| n.on(net.host(140)).tcp(80));
        world.docker(&["stop", "-t", "0", &web]);
        sh("ip link del mp0");
        assert_ne!(world.docker_said(&["start", &web]).code, Some(0));
        let case = ("parent-interface-missing", "gone");
        let finding = one_named(&world, &[], &web, case);
        // Nobody but its owner can bring it back.
        sh(&SECOND.replace("$LAN", &lan()));
        world.paste(&finding.fixes[0].commands);
        is_healthy(&world, &web, &[]);
    });
}

#[test]
fn no_local_port_left() {
    inside("no_local_port_left", || {
        let world = World::new();
        let net = world.network("net");
        let range = "net.ipv4.ip_local_port_range";
        let app = world.run("app", |n| {
            n.on(&net).host_config(move |config| {
                config.sysctls = Some(HashMap::from([(range.into(), "40000 40015".into())]));
            })
        });
        let web = world.run("web", |n| n.on(&net).tcp(80).tcp(81));
        let place: SocketAddr = format!("{}:80", world.address("web")).parse().unwrap();
        let target = format!("{web}:80");
        works(&world, &app, &target);
        let process = world.docker(&["inspect", "-f", "{{.State.Pid}}", &app]);
        let held = inside_of(process, move || {
            let connect = |_| TcpStream::connect_timeout(&place, Duration::from_secs(5));
            (0..16).map_while(|n| connect(n).ok()).collect::<Vec<_>>()
        });
        assert!(held.len() > 8, "{held:?}");
        let case = ("ephemeral-ports-exhausted", "sixteen");
        let finding = named(&world, &[], (&app, &target), case);
        // Another port is another place.
        works(&world, &app, &format!("{web}:81"));
        world.paste(&finding.fixes[0].commands);
        works(&world, &app, &target);
    });
}

/// The other machine over IPv6, by the LAN and further away.
const SIX: &str = "ip addr replace fd00:1a::1/64 dev lan0 nodad
    nsenter -t $LAN -n ip addr replace fd00:1a::9/64 dev eth0 nodad
    nsenter -t $LAN -n ip addr replace 2001:db8::1/128 dev eth0 nodad";

#[test]
fn no_way_over_ipv6() {
    inside("no_way_over_ipv6", || {
        let world = World::new();
        let net = world.network_with("net", |n| n.ipv6().subnet_of("fd00:fc::/64"));
        let app = world.run("app", |n| n.on(&net));
        let _undo = Undo::with(
            "ip -6 route del default via fd00:1a::9
             nsenter -t $LAN -n ip -6 route del fd00:fc::/64",
        );
        sh(&SIX.replace("$LAN", &lan()));
        sh_on_lan("ip -6 route replace fd00:fc::/64 via fd00:1a::1");
        let _service = listen_on_lan_at("[2001:db8::1]:9000");
        let target = "[2001:db8::1]:9000";
        let case = ("host-has-no-ipv6-route", "none");
        let finding = named(&world, &[], (&app, target), case);
        // Nobody here knows the router.
        assert!(finding.fixes[0].commands.is_empty());
        sh("ip -6 route add default via fd00:1a::9");
        works(&world, &app, target);
    });
}

#[test]
fn an_ipv6_network_that_nobody_routes() {
    let test = "an_ipv6_network_that_nobody_routes";
    inside_with("--ip6tables=false", test, || {
        let world = World::new();
        let net = world.network_with("net", |n| n.ipv6().subnet_of("fd00:fd::/64"));
        let app = world.run("app", |n| n.on(&net));
        sh(&SIX.replace("$LAN", &lan()));
        let _undo = Undo::with("ip6tables-nft -t nat -F POSTROUTING");
        let _service = listen_on_lan_at("[fd00:1a::9]:9000");
        let target = "[fd00:1a::9]:9000";
        let case = ("ipv6-network-not-routed", "no-rule");
        let finding = named(&world, &["--deep"], (&app, target), case);
        world.paste(&finding.fixes[0].commands);
        works(&world, &app, target);
    });
}
