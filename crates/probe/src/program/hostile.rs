//! Everything that is read here may have been written by somebody hostile: whatever the bytes, no
//! parser panics, and what it returns is bounded.

use netcheck_probe::{DnsOutcome, Protocol, RecordType};
use proptest::prelude::*;

use super::dns::outcome_of;
use super::parse::{hosts, proc_sockets, resolv_conf, stat};
use super::session;

/// Lines made of the words that the formats know, and of whatever else.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        prop::sample::select(vec![
            "nameserver",
            "search",
            "domain",
            "options",
            "ndots:5",
            "# ExtServers: [",
            "]",
            "#",
            ";",
            "127.0.0.11",
            "fe80::1%eth0",
            "host(10.0.0.2)",
            "0:",
            "0100007F:1F90",
            "0A",
            "07",
            "00000000:00000001",
            "4294967296",
            "FFFFFFFF:FFFFFFFF",
            "42",
            "(a) b)",
            "(",
            ")",
        ])
        .prop_map(|word: &str| word.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..12),
    ];
    let glue = prop::sample::select(vec![" ", "\t", "\n", "\r\n", "", "\0"]);
    prop::collection::vec((word, glue), 0..60).prop_map(|words| {
        words.into_iter().fold(Vec::new(), |mut all, (word, glue)| {
            all.extend(word);
            all.extend(glue.as_bytes());
            all
        })
    })
}

/// Question web.example A; two answers: an alias by a pointer, and an address.
const GOOD: &[u8] = b"\0\x07\x81\x80\0\x01\0\x02\0\0\0\0\x03web\x07example\0\0\x01\0\x01\
    \xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x08\x05other\xc0\x10\
    \xc0\x29\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x02";

/// A reply to a question, with bytes of it changed, cut off or added.
fn reply() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((0..GOOD.len(), any::<u8>()), 0..6);
    let tail = prop::collection::vec(any::<u8>(), 0..40);
    (changes, 0..=GOOD.len(), tail).prop_map(|(changes, cut, tail)| {
        let mut bytes = GOOD.to_vec();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        bytes.truncate(cut);
        bytes.extend(tail);
        bytes
    })
}

/// A line of the protocol, as the engine's side sends it.
const REQUEST: &[u8] = br#"{"version":1,"deadline_ms":500,"questions":[{"ask":"snapshot"},{"ask":"connect","to":"127.0.0.1:1","listen_ms":30}]}"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(4000)))]

    #[test]
    fn files_of_a_container(bytes in lines()) {
        let conf = resolv_conf(&bytes);
        prop_assert!(conf.nameservers.len() <= 100 && conf.search.len() <= 100);
        prop_assert!(conf.options.len() <= 100 && conf.upstreams.len() <= 100);
        prop_assert!(hosts(&bytes).iter().all(|entry| !entry.names.is_empty()));
        let text = String::from_utf8_lossy(&bytes);
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let _ = proc_sockets(&text, protocol);
        }
        let _ = stat(&text);
    }

    #[test]
    fn any_bytes_as_files(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = (resolv_conf(&bytes), hosts(&bytes));
        let text = String::from_utf8_lossy(&bytes);
        let _ = (proc_sockets(&text, Protocol::Tcp), stat(&text));
    }

    #[test]
    fn replies_of_a_name_server(bytes in reply()) {
        for record in [RecordType::A, RecordType::Aaaa] {
            if let Some(DnsOutcome::Addresses(found)) = outcome_of(&bytes, "web.example", record) {
                prop_assert!(!found.is_empty() && found.len() <= 64);
            }
        }
    }

    #[test]
    fn any_bytes_as_a_reply(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = outcome_of(&bytes, "web.example", RecordType::A);
    }

    #[test]
    fn a_request_that_was_changed(
        changes in prop::collection::vec((0..REQUEST.len(), any::<u8>()), 0..6),
        cut in 0..=REQUEST.len(),
    ) {
        let mut line = REQUEST.to_vec();
        changes.iter().for_each(|(at, byte)| line[*at] = *byte);
        line.truncate(cut);
        if let Err(why) = session::request_of(&line) {
            prop_assert!(why.starts_with("the request "));
        }
    }
}

#[test]
fn the_reply_that_is_changed_is_a_good_one() {
    // Otherwise the changes would be made to something that is refused at once.
    let found = outcome_of(GOOD, "web.example", RecordType::A);
    assert_eq!(
        found,
        Some(DnsOutcome::Addresses(vec!["10.0.0.2".parse().unwrap()]))
    );
}

#[test]
fn the_request_that_is_changed_is_a_good_one() {
    let request = session::request_of(REQUEST).unwrap();
    assert_eq!(request.questions.len(), 2);
}
