//! The link fault in real namespaces: delay, loss, rate, both families, and what offload frames
//! and established connections make of it.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test")]

mod world;

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use netcheck_fault::{Answer, Fault, Link, Order};
use world::{B, World, addresses, echoed};

fn link(change: impl FnOnce(&mut Link)) -> Fault {
    let mut link = Link::to(addresses(B));
    change(&mut link);
    Fault::Link(link)
}

#[test]
fn delay_is_added_in_one_direction_and_gone_when_healed() {
    for to in B {
        let world = World::new();
        let established = world.connect(to).unwrap();
        echoed(&established, b"before");
        let mut program = world.make(link(|link| link.delay_ms = 80.0));
        let first = echoed(&established, b"during");
        let second = echoed(&established, b"during");
        let took = first.min(second);
        // Earlier would be wrong, and 160 ms would be a delay in both directions.
        let range = Duration::from_millis(80)..Duration::from_millis(160);
        assert!(range.contains(&took), "{to}: {took:?}");
        let start = Instant::now();
        world.connect(to).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(80));
        let udp = world.udp(to);
        let start = Instant::now();
        udp.send(b"x").unwrap();
        udp.recv(&mut [0; 9]).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(80));
        let counters = program.heal();
        assert!(counters.passed >= 6, "{counters:?}");
        assert_eq!(counters.failed, 0);
        assert!(echoed(&established, b"after") < Duration::from_millis(80));
    }
}

#[test]
fn what_waits_at_the_healing_is_sent() {
    let world = World::new();
    let udp = world.udp(B[0]);
    let mut program = world.make(link(|link| link.delay_ms = 30_000.0));
    udp.send(b"x").unwrap();
    // Diverted within the call: there is nothing to wait for.
    assert_eq!(program.heal().passed, 1);
    assert_eq!(udp.recv(&mut [0; 9]).unwrap(), 1);
}

#[test]
fn loss_loses_the_same_packets_for_the_same_seed() {
    let fates = |seed| {
        let world = World::new();
        let udp = world.udp(B[0]);
        let mut program = world.make(link(|link| {
            link.loss = 0.4;
            link.duplicate = 0.3;
            link.seed = seed;
        }));
        for number in 0..100_u8 {
            udp.send(&[number]).unwrap();
        }
        let counters = loop {
            let counters = program.counters();
            if counters.dropped + counters.passed >= 100 + counters.duplicated {
                break counters;
            }
            thread::yield_now();
        };
        let count = counters.passed as usize;
        let mut arrived = vec![[0; 1]; count];
        for byte in &mut arrived {
            udp.recv(byte).unwrap();
        }
        assert!((20..60).contains(&counters.dropped), "{counters:?}");
        arrived.concat()
    };
    assert_eq!(fates(5), fates(5));
}

/// Bytes through one connection to the echo server, in that direction only; bytes a second.
fn throughput(world: &World, to: &str, bytes: usize) -> f64 {
    let stream = world.connect(to).unwrap();
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            let block = vec![0x5a; 65_536];
            let mut left = bytes;
            while left > 0 {
                let length = left.min(block.len());
                (&stream).write_all(&block[..length]).unwrap();
                left -= length;
            }
            stream.shutdown(Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        (&stream).read_to_end(&mut back).unwrap();
        assert_eq!(back.len(), bytes);
        assert!(back.iter().all(|byte| *byte == 0x5a));
    });
    bytes as f64 / start.elapsed().as_secs_f64()
}

#[test]
#[expect(
    clippy::print_stderr,
    reason = "the throughput is for whoever reads the output"
)]
fn offload_frames_pass_whole_and_as_fast_as_it_goes() {
    let world = World::new();
    for to in B {
        let without = throughput(&world, to, 64 << 20);
        let mut program = world.make(link(|_| {}));
        let with = throughput(&world, to, 64 << 20);
        let counters = program.heal();
        // Not asserted: it is the machine's.
        eprintln!("{to}: {without:.2e} B/s without, {with:.2e} B/s through the program");
        assert!(
            counters.passed < (64 << 20) / 1448,
            "frames were larger than segments: {counters:?}"
        );
    }
}

#[test]
fn the_rate_is_kept() {
    let world = World::new();
    let rate = 500_000;
    let mut program = world.make(link(|link| link.rate_bytes_per_s = Some(rate)));
    let seen = throughput(&world, B[0], 500_000);
    // Headers take their part. Slower is the machine's fault, but not by half.
    let range = 0.5 * rate as f64..1.05 * rate as f64;
    assert!(range.contains(&seen), "{seen} bytes/s");
    assert_eq!(program.heal().failed, 0);
}

#[test]
fn one_fault_for_one_peer_and_several_for_several() {
    let world = World::new();
    let four = |delay_ms| {
        let mut link = Link::to(addresses(B)[..1].to_vec());
        link.delay_ms = delay_ms;
        Fault::Link(link)
    };
    let mut first = world.make(four(80.0));
    let mut second = world.program("a");
    let answer = second.ask(Order::Make(four(1.0)));
    assert!(
        matches!(&answer, Answer::Error { why, .. } if why.contains("another link fault")),
        "{answer:?}"
    );
    let six = Fault::Link(Link::to(addresses(B)[1..].to_vec()));
    assert!(matches!(second.ask(Order::Make(six)), Answer::Applied(_)));
    let start = Instant::now();
    world.connect(B[0]).unwrap();
    world.connect(B[1]).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(80));
    assert!(second.heal().passed > 0);
    assert!(first.heal().passed > 0);
    // Free again.
    assert!(matches!(
        second.ask(Order::Make(four(1.0))),
        Answer::Applied(_)
    ));
}
