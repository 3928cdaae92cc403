//! The program against a real kernel: a router and two hosts, each a network namespace of its own
//! that ends with the test. Needs root, as Docker's own tests do.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::process::Command;

use netcheck_firewall::{Backend, Culprit, Filter, Packet, Part, Verdict, Wave, culprit, rises};

/// Makes the router's rules, then reads, sends to port 6379 and reads again; the filters and whether
/// the connection opened or was refused in the end.
fn world(rules: &str) -> (Filter, Filter) {
    let script = r#"
        set -e
        unshare -n sleep 30 & a=$!
        unshare -n sleep 30 & b=$!
        trap 'kill $a $b' EXIT
        for p in $a $b; do
            until [ "$(readlink /proc/$p/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
        done
        ip link add left type veth peer name eth0 netns $a
        ip link add right type veth peer name eth0 netns $b
        ip addr add 10.1.0.1/24 dev left; ip addr add 10.2.0.1/24 dev right
        ip link set left up; ip link set right up
        for n in "$a 1" "$b 2"; do set -- $n
            nsenter -t $1 -n ip addr add 10.$2.0.2/24 dev eth0
            nsenter -t $1 -n ip link set eth0 up
            nsenter -t $1 -n ip route add default via 10.$2.0.1
        done
        echo 1 > /proc/sys/net/ipv4/ip_forward
        eval "$RULES"
        "$PROGRAM"
        nsenter -t $a -n timeout 0.5 bash -c '</dev/tcp/10.2.0.2/6379' 2> /dev/null || true
        "$PROGRAM"
    "#;
    let output = Command::new("unshare")
        .args(["-n", "sh", "-c", script])
        .env("RULES", rules)
        .env("PROGRAM", env!("CARGO_BIN_EXE_netcheck-firewall"))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let mut lines = said.lines().map(|line| serde_json::from_str(line).unwrap());
    (lines.next().unwrap(), lines.next().unwrap())
}

fn packet() -> Packet {
    Packet {
        hook: 2,
        interface_in: Some("left".to_owned()),
        interface_out: Some("right".to_owned()),
        from: [10, 1, 0, 2].into(),
        from_port: 40_000,
        to: [10, 2, 0, 2].into(),
        protocol: 6,
        port: 6379,
        original_port: 6379,
        state: 8,
        bridge_ports: None,
    }
}

/// Whoever took the one packet: its place, its words and its verdict, or what else is known.
fn taken(rules: &str) -> Result<(String, String, Verdict), String> {
    let (before, after) = world(rules);
    let rises = rises(&before, &after);
    let wave = Wave {
        lost: 1,
        rises: &rises,
    };
    match culprit(&before, &[packet()], &[wave]) {
        Culprit::Found { suspect, .. } => Ok((suspect.place(), suspect.words(), suspect.verdict)),
        Culprit::OneOf(some) => Err(format!("one of {}", some.len())),
        Culprit::Nobody => Err("nobody".into()),
    }
}

#[test]
fn a_drop_of_iptables_is_named() {
    let found = taken(
        "iptables -N DOCKER-USER; iptables -A FORWARD -j DOCKER-USER
         iptables -A DOCKER-USER -i other -j DROP
         iptables -A DOCKER-USER -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
         iptables -A DOCKER-USER -i left -o right -s 10.1.0.0/16 -d 10.2.0.2 -p tcp --dport 6379 \
            -m comment --comment 'not today' -j DROP",
    );
    let words = "-i left -o right -p tcp -s 10.1.0.0/16 -d 10.2.0.2 -m comment --comment not today \
                 --dport 6379 -j DROP";
    let place = "rule 3 of DOCKER-USER (iptables-nft)";
    assert_eq!(found, Ok((place.into(), words.into(), Verdict::Drop)));
}

#[test]
fn a_reject_of_iptables_is_named() {
    let found = taken("iptables -A FORWARD -p tcp -j REJECT --reject-with tcp-reset");
    let (_, words, verdict) = found.unwrap();
    assert_eq!(
        (words.as_str(), verdict),
        ("-p tcp -j REJECT", Verdict::Reject)
    );
}

#[test]
fn a_drop_of_native_nftables_is_named() {
    let found = taken(
        "nft add table inet mine
         nft 'add chain inet mine c { type filter hook forward priority -10; policy accept; }'
         nft add rule inet mine c ct state new ip daddr 10.2.0.2 tcp dport 6379 counter drop",
    );
    let (place, words, _) = found.unwrap();
    assert!(
        place.ends_with("in chain c of nftables table inet mine"),
        "{place}"
    );
    assert_eq!(
        words,
        "ct state new ip daddr 10.2.0.2 meta l4proto tcp dport 6379 drop"
    );
}

#[test]
fn a_rule_for_another_port_or_for_replies_is_not_named() {
    let found = taken(
        "iptables -A FORWARD -p tcp --dport 6380 -j DROP
         iptables -A FORWARD -p tcp ! --dport 6379 -j DROP
         iptables -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j DROP",
    );
    assert_eq!(found, Err("nobody".into()));
}

#[test]
fn without_a_counter_that_tells_it_must_be_the_only_one() {
    let found = taken(
        "nft add table inet mine
         nft 'add chain inet mine c { type filter hook forward priority -10; policy accept; }'
         nft add rule inet mine c counter tcp dport 6379 drop",
    );
    // It is named all the same where nothing else can have done it.
    assert!(found.is_ok(), "{found:?}");
}

#[test]
fn a_set_is_unreadable_and_never_named() {
    let (before, after) = world(
        "nft add table inet mine
         nft 'add chain inet mine c { type filter hook forward priority -10; policy accept; }'
         nft add rule inet mine c tcp dport '{ 6379, 80 }' counter drop",
    );
    let parts = &after.chains[0].rules[0].parts;
    assert!(
        parts.contains(&Part::Unreadable("lookup".to_owned())),
        "{parts:?}"
    );
    let rises = rises(&before, &after);
    let wave = Wave {
        lost: 1,
        rises: &rises,
    };
    // One packet, one count: not yet enough for a rule that is not understood.
    let found = culprit(&before, &[packet()], &[wave]);
    assert!(
        matches!(&found, Culprit::OneOf(some) if some.len() == 1),
        "{found:?}"
    );
    let more = rises.iter().cloned().map(|mut rise| {
        rise.packets *= 3;
        rise
    });
    let more: Vec<_> = more.collect();
    let second = Wave {
        lost: 3,
        rises: &more,
    };
    let found = culprit(&before, &[packet()], &[wave, second]);
    assert!(matches!(found, Culprit::Found { .. }), "{found:?}");
}

#[test]
fn iptables_legacy_is_read_beside_nftables() {
    let rules = "iptables-legacy -N MINE; iptables-legacy -A FORWARD -i other -j DROP
         iptables-legacy -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
         iptables-legacy -A FORWARD -d 10.2.0.0/24 -j MINE
         iptables-legacy -A MINE -p udp -j DROP
         iptables-legacy -A MINE ! -i right -p tcp --dport 6379 -j DROP";
    let place = "rule 2 of MINE (iptables-legacy)";
    let words = "! -i right -p tcp -m tcp --dport 6379 -j DROP";
    assert_eq!(
        taken(rules),
        Ok((place.into(), words.into(), Verdict::Drop))
    );
    let (before, _) = world(rules);
    let legacy = before
        .chains
        .iter()
        .filter(|c| c.backend == Backend::Legacy);
    assert!(legacy.count() >= 4 && !before.incomplete, "{before:?}");
    let (none, _) = world("");
    assert_eq!(none.chains, []);
}

#[test]
fn policies_drop_too() {
    for program in ["iptables-nft", "iptables-legacy"] {
        let found = taken(&format!(
            "{program} -A FORWARD -p tcp --dport 80 -j ACCEPT; {program} -P FORWARD DROP"
        ));
        let place = format!("the policy of FORWARD ({program})");
        assert_eq!(found, Ok((place, "DROP".into(), Verdict::Drop)));
    }
}

#[test]
fn the_parts_of_iptables_are_read() {
    let (_, after) = world(
        "iptables -P FORWARD DROP
         iptables -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
         iptables -A FORWARD -p tcp --dport 6379 -m comment --comment 'not today' -j DROP
         iptables -A FORWARD -m addrtype --dst-type LOCAL -j ACCEPT",
    );
    let chain = after
        .chains
        .iter()
        .find(|chain| chain.name == "FORWARD")
        .unwrap();
    let hook = chain.hook.as_ref().unwrap();
    assert!(hook.drops && hook.number == 2 && !after.incomplete);
    let state = Part::State {
        set: 6,
        inside: true,
    };
    assert!(chain.rules[0].parts.contains(&state), "{chain:?}");
    let comment = Part::Comment("not today".to_owned());
    assert!(chain.rules[1].parts.contains(&comment), "{chain:?}");
    let unreadable = chain.rules[2]
        .parts
        .iter()
        .any(|p| matches!(p, Part::Unreadable(_)));
    assert!(unreadable, "{chain:?}");
}
