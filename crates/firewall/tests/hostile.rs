//! The decoders are fed with whatever a kernel, a proxy or a file could hand them: no panic, no
//! endless loop, and what they return is no larger than what they were given.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use netcheck_firewall::{Part, Verdict, chain, rule, table};
use proptest::prelude::*;

/// An attribute: its length, its type, its value, and padding to four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = u16::try_from(value.len() + 4)
        .unwrap()
        .to_ne_bytes()
        .to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn expression(name: &str, data: &[u8]) -> Vec<u8> {
    let inner = [attribute(1, name.as_bytes()), attribute(2, data)].concat();
    attribute(1, &inner)
}

/// A rule of one comparison, a counter and a drop, as the kernel lists it.
fn good() -> Vec<u8> {
    let number = |kind: u16, value: u32| attribute(kind, &value.to_be_bytes());
    let meta = [number(1, 1), number(2, 16)].concat();
    let value = attribute(3, &attribute(1, &[6]));
    let compare = [number(1, 1), number(2, 0), value].concat();
    let counter = attribute(2, &7_u64.to_be_bytes());
    let drop = attribute(2, &attribute(2, &number(1, 0)));
    let expressions = [
        expression("meta", &meta),
        expression("cmp", &compare),
        expression("counter", &counter),
        expression("immediate", &drop),
    ]
    .concat();
    let mut body = vec![2, 0, 0, 0];
    body.extend(attribute(1, b"filter\0"));
    body.extend(attribute(2, b"FORWARD\0"));
    body.extend(attribute(3, &5_u64.to_be_bytes()));
    body.extend(attribute(4, &expressions));
    body
}

#[test]
fn the_rule_that_is_changed_is_a_good_one() {
    let (family, table, name, rule) = rule(&good()).unwrap();
    assert_eq!((family, &*table, &*name), (2, "filter", "FORWARD"));
    assert_eq!(rule.handle, 5);
    assert!(matches!(rule.parts[0], Part::Compare { .. }), "{rule:?}");
    assert_eq!(
        rule.parts[1..],
        [Part::Counter(7), Part::Verdict(Verdict::Drop)]
    );
}

fn names() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "meta",
        "payload",
        "ct",
        "bitwise",
        "cmp",
        "counter",
        "immediate",
        "reject",
        "match",
        "target",
        "lookup",
        "",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(1000)))]

    #[test]
    fn a_rule_that_was_changed(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
        whole in any::<bool>(),
    ) {
        let mut bytes = good();
        for (at, byte) in changes {
            let length = bytes.len();
            bytes[at.index(length)] = byte;
        }
        if !whole {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Some((.., rule)) = rule(&bytes) {
            prop_assert!(rule.parts.len() <= bytes.len());
        }
        let _ = chain(&bytes);
    }

    #[test]
    fn expressions_of_every_name_with_any_data(
        them in prop::collection::vec((names(), prop::collection::vec(any::<u8>(), 0..200)), 0..200),
    ) {
        let expressions: Vec<u8> = them
            .iter()
            .flat_map(|(name, data)| expression(name, data))
            .collect();
        prop_assume!(expressions.len() < 60_000);
        let mut body = vec![2, 0, 0, 0];
        body.extend(attribute(1, b"t\0"));
        body.extend(attribute(2, b"c\0"));
        body.extend(attribute(3, &1_u64.to_be_bytes()));
        body.extend(attribute(4, &expressions));
        let (.., rule) = rule(&body).unwrap();
        // The last one says that there were too many.
        prop_assert!(rule.parts.len() <= 129);
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = (rule(&bytes), chain(&bytes));
    }
}

/// An entry of ip_tables: any TCP to port 80 in a standard table is dropped.
fn entry(target: &str, verdict: i32) -> Vec<u8> {
    let half = |value: u16| value.to_ne_bytes();
    let mut bytes = vec![0; 112];
    bytes[80..82].copy_from_slice(&half(6));
    let mut tail = half(40).to_vec();
    tail.extend(target.as_bytes());
    tail.resize(32, 0);
    tail.extend(verdict.to_ne_bytes());
    tail.resize(40, 0);
    bytes[88..90].copy_from_slice(&half(112));
    bytes[90..92].copy_from_slice(&half(152));
    bytes.extend(tail);
    bytes
}

fn hooks() -> [Option<(u32, u32)>; 5] {
    [None, None, Some((0, 152)), None, None]
}

#[test]
fn a_table_of_one_rule_is_a_good_one() {
    let bytes = [entry("", -1), entry("", -2), entry("ERROR", 0)].concat();
    let chains = table(2, "filter", hooks(), &bytes).unwrap();
    assert_eq!(chains.len(), 1);
    assert_eq!(
        chains[0].rules[0].parts[1..],
        [Part::Counter(0), Part::Verdict(Verdict::Drop)]
    );
    assert!(!chains[0].hook.as_ref().unwrap().drops);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(2000)))]

    #[test]
    fn tables_that_were_changed(
        at in 0_usize..456,
        to in any::<u8>(),
        cut in 0_usize..456,
        family in prop_oneof![Just(2_u8), Just(10)],
    ) {
        let mut bytes = [entry("", -1), entry("", 152), entry("ERROR", 0)].concat();
        bytes[at] = to;
        for bytes in [&bytes[..], &bytes[..cut]] {
            let rules = table(family, "filter", hooks(), bytes)
                .into_iter()
                .flatten()
                .map(|chain| chain.rules.len());
            prop_assert!(rules.sum::<usize>() <= 2 * 456 / 144);
        }
    }
}
