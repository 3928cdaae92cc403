//! Services of a swarm on a real engine of its own: a service without tasks and one whose virtual address is
//! dead are named from a container beside them, and the printed command heals.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]
#![expect(unreachable_pub, reason = "modules are shared between test programs")]

mod private;
mod world;

use std::thread;
use std::time::{Duration, Instant};

use netcheck_diagnose::report::{Outcome, Report};
use private::{inside_with, sh};
use world::{World, roots, show};

/// A swarm of one with an overlay network, and a container there that connects.
struct Swarm {
    world: World,
    overlay: String,
    app: String,
    image: String,
}

impl Swarm {
    fn new() -> Self {
        let world = World::new();
        world.run("any", |n| n);
        let image = world.inspect("any").config.unwrap().image.unwrap();
        world.docker(&["swarm", "init"]);
        let overlay = world.name("overlay");
        let create = ["network", "create", "--driver", "overlay", "--attachable"];
        world.docker(&[&create[..], &[&overlay]].concat());
        let app = world.name("app");
        let label = format!("{}={}", netcheck_testkit::LABEL_LAB, world.lab().id());
        let mut run = vec!["run", "-d", "--name", &app, "--label", &label];
        run.extend(["--network", &overlay, &image, "tcp=0.0.0.0:80"]);
        world.docker(&run);
        Self {
            world,
            overlay,
            app,
            image,
        }
    }

    /// Makes a service; its name.
    fn service(&self, short: &str, flags: &[&str]) -> String {
        let name = self.world.name(short);
        let mut words = vec!["service", "create", "--no-resolve-image", "--name", &name];
        words.extend(["--network", &self.overlay]);
        words.extend(flags);
        words.extend([&self.image as &str, "tcp=0.0.0.0:80"]);
        self.world.docker(&words);
        name
    }

    /// The pair of the container and this place.
    fn ask(&self, target: &str, way: &str) -> Report {
        let target = format!("{target}:80");
        self.world.pair(&["--probe", way], &self.app, &target)
    }

    /// Names exactly this, by both ways of looking in.
    fn named(&self, target: &str, code: &str, case: &str) -> Report {
        let by_helper = self.ask(target, "helper");
        assert_eq!(roots(&by_helper), [code], "{}", show(&by_helper));
        let report = self.ask(target, "netns");
        assert_eq!(roots(&report), [code], "{}", show(&report));
        self.world.record(code, case);
        report
    }

    fn works(&self, target: &str) {
        let report = self.ask(target, "netns");
        assert_eq!(report.outcome, Outcome::Healthy, "{}", show(&report));
    }

    fn end(self, services: &[&str]) {
        for service in services {
            self.world.docker(&["service", "rm", service]);
        }
        self.world.docker(&["rm", "--force", &self.app]);
        self.world.docker(&["swarm", "leave", "--force"]);
    }
}

#[test]
fn a_service_without_tasks() {
    inside_with("", "a_service_without_tasks", || {
        let swarm = Swarm::new();
        let code = "service-without-tasks";
        // Without virtual addresses, so that nothing but the tasks is missing.
        let direct = ["--endpoint-mode", "dnsrr"];
        let none = swarm.service("none", &[&direct[..], &["--replicas", "0"]].concat());
        let report = swarm.named(&none, code, "scaled-to-0");
        swarm.world.paste(&report.findings[0].fixes[0].commands);
        swarm.works(&none);
        swarm.works(&format!("tasks.{none}"));
        let nowhere = ["--detach", "--constraint", "node.labels.zone==nowhere"];
        let nowhere = swarm.service("nowhere", &[&direct[..], &nowhere].concat());
        let started = Instant::now();
        let list = [
            "service",
            "ps",
            "--no-trunc",
            "--format",
            "{{.Error}}",
            &nowhere as &str,
        ];
        while !swarm.world.docker(&list).contains("no suitable node") {
            assert!(started.elapsed() < Duration::from_secs(60));
            thread::sleep(Duration::from_millis(100));
        }
        let report = swarm.named(&nowhere, code, "constraint");
        swarm.world.paste(&report.findings[0].fixes[0].commands);
        swarm.works(&nowhere);
        // With a virtual address, which stays whether anybody serves or not.
        let vip = swarm.service("vip", &[]);
        swarm.works(&format!("tasks.{vip}"));
        swarm
            .world
            .docker(&["service", "scale", &format!("{vip}=0")]);
        swarm.named(&vip, code, "virtual-address");
        swarm.end(&[&none, &nowhere, &vip]);
    });
}

#[test]
fn a_virtual_address_that_is_dead() {
    inside_with("", "a_virtual_address_that_is_dead", || {
        let swarm = Swarm::new();
        let code = "service-vip-dead";
        let web = swarm.service("web", &[]);
        swarm.works(&format!("tasks.{web}"));
        let format = "{{range .Endpoint.VirtualIPs}}{{.Addr}}{{end}}";
        let address = swarm
            .world
            .docker(&["service", "inspect", "--format", format, &web]);
        let address = address.split('/').next().unwrap().to_owned();
        // A kernel without IPVS loses the packets; where there is one, they are lost before it.
        let pid = swarm
            .world
            .docker(&["inspect", "--format", "{{.State.Pid}}", &swarm.app]);
        sh(&format!(
            "nsenter -t {pid} -n iptables-nft -A OUTPUT -d {address} -j DROP"
        ));
        swarm.named(&address, code, "by-address");
        let report = swarm.named(&web, code, "by-name");
        swarm.world.paste(&report.findings[0].fixes[0].commands);
        swarm.works(&web);
        swarm.end(&[&web]);
    });
}
