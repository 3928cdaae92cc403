//! The session with its caller, and what is left of a fault when it ends: nothing, however it
//! ends.

mod world;

use std::time::Instant;

use netcheck_fault::{
    Answer, Applied, Capabilities, Dns, DnsOutcome, Drop, Fault, Link, MAX_LINE, Order, Refuse,
    RefuseWith,
};
use world::{B, PATIENCE, Program, World, addresses, echoed};

fn faults() -> [Fault; 4] {
    [
        Fault::Drop(Drop {
            from: addresses(B),
            protocol: None,
            port: None,
        }),
        Fault::Refuse(Refuse {
            to: addresses(B),
            protocol: None,
            port: None,
            with: RefuseWith::HostUnreachable,
        }),
        Fault::Dns(Dns {
            name: "db".to_owned(),
            outcome: DnsOutcome::Nxdomain,
            servers: addresses(B),
        }),
        Fault::Link(Link::to(addresses(B))),
    ]
}

#[test]
fn nothing_is_left_however_it_ends() {
    type End = fn(&mut Program) -> Option<i32>;
    let ends: [(&str, End, Option<i32>); 4] = [
        (
            "told",
            |program| {
                program.heal();
                program.end()
            },
            Some(0),
        ),
        ("end of input", Program::end, Some(0)),
        ("SIGTERM", |program| program.signal(libc::SIGTERM), Some(0)),
        ("SIGKILL", |program| program.signal(libc::SIGKILL), None),
    ];
    let world = World::new();
    for to in B {
        world.connect(to).unwrap();
    }
    let neighbours = || {
        // Without the states, which change with time alone.
        let shown = world.ip("a", "neigh show");
        let mut lines: Vec<_> = shown
            .lines()
            .map(|line| line.rsplit_once(' ').unwrap().0.to_owned())
            .collect();
        lines.sort();
        lines
    };
    let before = (world.ruleset(), neighbours());
    assert_eq!(before.0, "");
    for fault in faults() {
        for (name, end, code) in ends {
            let mut program = world.make(fault.clone());
            assert_ne!(world.ruleset(), "", "{fault:?}");
            assert_eq!(end(&mut program), code, "{fault:?} ended by {name}");
            // A killed program's socket is closed just after its parent was told.
            let start = Instant::now();
            while (world.ruleset(), neighbours()) != before {
                assert!(
                    start.elapsed() < PATIENCE,
                    "left by {name}: {}",
                    world.ruleset()
                );
            }
            for to in B {
                echoed(&world.connect(to).unwrap(), b"as before");
            }
        }
    }
}

#[test]
fn one_program_makes_one_fault_at_a_time() {
    let world = World::new();
    let [first, second, ..] = faults();
    let mut program = world.make(first);
    assert!(matches!(
        program.ask(Order::Make(second.clone())),
        Answer::Error { .. }
    ));
    program.heal();
    assert!(matches!(program.ask(Order::Heal), Answer::Error { .. }));
    assert!(matches!(
        program.ask(Order::Make(second)),
        Answer::Applied(_)
    ));
}

#[test]
fn capabilities_are_tried_and_leave_nothing() {
    let world = World::new();
    let yes = Ok(Applied {
        healed_when_killed: true,
    });
    let expected = Capabilities {
        drop: yes.clone(),
        refuse: yes.clone(),
        dns: yes.clone(),
        link: yes,
    };
    let answer = world.program("a").ask(Order::Capabilities);
    assert_eq!(answer, Answer::Capabilities(expected));
    assert_eq!(world.ruleset(), "");
}

#[test]
fn without_rights_every_fault_says_which_it_needs() {
    let world = World::new();
    let program = env!("CARGO_BIN_EXE_netcheck-fault");
    for (rights, missing) in [("-net_admin", "CAP_NET_ADMIN"), ("-net_raw", "CAP_NET_RAW")] {
        let Answer::Capabilities(found) = world.inside("a", || {
            let mut command = std::process::Command::new("setpriv");
            command.args(["--bounding-set", rights, "--inh-caps", rights, program]);
            Program::start(&mut command).ask(Order::Capabilities)
        }) else {
            panic!("another answer");
        };
        for (name, needs_raw, found) in [
            ("drop", false, found.drop),
            ("refuse", true, found.refuse),
            ("dns", false, found.dns),
            ("link", true, found.link),
        ] {
            if missing == "CAP_NET_RAW" && !needs_raw {
                assert!(found.is_ok(), "{name}: {found:?}");
            } else {
                assert_eq!(found.unwrap_err().needs, missing, "{name}");
            }
        }
    }
}

#[test]
fn bad_lines_are_answered_and_the_next_one_is_read() {
    let world = World::new();
    let mut program = world.program("a");
    let long = vec![b'x'; MAX_LINE + 9];
    for line in [b"nonsense".as_slice(), b"", b"{\"version\":9}", &long] {
        program.say(line);
        program.say(b"\n");
        assert!(matches!(program.hear(), Answer::Error { .. }));
    }
    assert!(matches!(program.ask(Order::Counters), Answer::Error { .. }));
    assert_eq!(program.end(), Some(0));
}
