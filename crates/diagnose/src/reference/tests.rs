//! Places found in values as people write them, and values that are none.

use super::*;

fn lines(env: &[&str], arguments: &[&str]) -> Vec<String> {
    let owned = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    find(&owned(env), &owned(arguments), [])
        .iter()
        .map(|r| {
            format!(
                "{}: {} {:?} {:?} [{}]",
                r.place, r.host, r.port, r.likely_ports, r.shown
            )
        })
        .collect()
}

#[track_caller]
fn check(env: &[&str], expected: &[&str]) {
    assert_eq!(lines(env, &[]), expected);
}

#[test]
fn reads_urls_without_their_secrets() {
    check(
        &["DB=mysql://u:p@172.17.0.2:3306/some?x=1"],
        &["DB: 172.17.0.2 Some(3306) [3306] [mysql://***@172.17.0.2:3306/some?***]"],
    );
    check(
        &["X=jdbc:postgresql://db/app"],
        &["X: db None [5432] [jdbc:postgresql://db/app]"],
    );
    check(
        &["M=mongodb://a:1,b:2/x"],
        &[
            "M: a Some(1) [27017] [mongodb://a:1,b:2/x]",
            "M: b Some(2) [27017] [mongodb://a:1,b:2/x]",
        ],
    );
    check(
        &["X=http://[::1]:80/"],
        &["X: ::1 Some(80) [80] [http://[::1]:80/]"],
    );
}

/// Rules try a port by TCP.
#[test]
fn the_port_of_a_udp_url_is_no_port_for_tcp() {
    check(
        &[
            "DNS_URL=udp://dns:53",
            "STATS=statsd://stats:8125",
            "LOG=syslog+udp://log:514",
        ],
        &[
            "DNS_URL: dns None [] [udp://dns:53]",
            "STATS: stats None [] [statsd://stats:8125]",
            "LOG: log None [] [syslog+udp://log:514]",
        ],
    );
    check(
        &["DNS_URL=udp://localhost:53"],
        &["DNS_URL: localhost Some(53) [] [udp://localhost:53]"],
    );
}

#[test]
fn a_database_url_is_no_base_url() {
    check(
        &[
            "DATABASE_URL=postgres://u:secret@localhost:5432/app",
            "BASE_URL=http://localhost:80",
        ],
        &["DATABASE_URL: localhost Some(5432) [5432] [postgres://***@localhost:5432/app]"],
    );
}

#[test]
fn pairs_host_and_port_variables() {
    check(
        &["DB_HOST=localhost", "DB_PORT=5432"],
        &["DB_HOST: localhost Some(5432) [5432, 3306, 1433, 27017, 1521] [localhost]"],
    );
    check(
        &["REDIS_HOST=cache"],
        &["REDIS_HOST: cache None [6379] [cache]"],
    );
    check(
        &["KAFKA_BROKERS=k1:9092,k2:9093"],
        &[
            "KAFKA_BROKERS: k1 Some(9092) [9092] [k1:9092,k2:9093]",
            "KAFKA_BROKERS: k2 Some(9093) [9092] [k1:9092,k2:9093]",
        ],
    );
}

#[test]
fn leaves_alone_what_is_no_peer() {
    check(
        &[
            "HOST=0.0.0.0",
            "BIND_ADDR=127.0.0.1",
            "PUBLIC_URL=http://localhost:80",
            "PATH=/bin:/usr/bin",
            "PORT=80",
            "DB_HOST=",
            "X=file:///etc/x",
            "NO_PROXY=localhost",
            "CORS_ORIGIN=http://localhost:3000",
            "DB_HOST=0.0.0.0",
            "DB_PASSWORD_HOST=abc",
            "A_HOST=12",
            "A_URL=http://a:99999/",
            "A_HOST=a b",
            "HOSTNAME=x",
            "KAFKA_LISTENERS=PLAINTEXT://0.0.0.0:9092",
            "ASPNETCORE_URLS=http://localhost:5000",
        ],
        &[],
    );
}

#[test]
fn reads_dsns() {
    check(
        &["D=host=db port=5433 password=x"],
        &["D: db Some(5433) [5432] [host=db ***]"],
    );
    check(
        &["D=u:p@tcp(db:3306)/x"],
        &["D: db Some(3306) [3306] [***@tcp(db:3306)]"],
    );
}

#[test]
fn reads_the_command_line() {
    assert_eq!(
        lines(
            &[],
            &["serve", "--db=postgres://u:p@localhost/x", "http://a/b c"]
        ),
        ["word 2 of the command line: localhost None [5432] [--db=postgres://***@localhost/x]"]
    );
}

#[test]
fn labels_are_for_others_to_read() {
    let labels = [
        ("dashboard.url", "http://u:sekret@172.18.0.3:8080/"),
        ("docs", "https://example.com/"),
        ("probe", "http://localhost:9090/"),
        ("proxy.url", "http://db:5432/"),
        ("rule", "Host(`172.18.0.3`)"),
        ("api.token", "http://172.18.0.3/"),
        ("public", "http://9.9.9.9:80/"),
    ];
    let found = find(&[], &[], labels);
    let [only] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(only.place, Place::Label("dashboard.url".into()));
    assert_eq!((only.host.as_str(), only.port), ("172.18.0.3", Some(8080)));
    assert!(!only.shown.contains("sekret"), "{only:?}");
}

#[test]
fn labels_with_localhost_or_a_name_are_kept_apart() {
    let labels = [
        ("dashboard.url", "http://172.18.0.3:8080/"),
        ("docs", "https://example.com/"),
        ("probe", "http://u:sekret@localhost:9090/"),
        ("probe6", "http://[::1]/"),
        ("proxy.url", "http://db:5432/"),
        ("host", "http://host.docker.internal/"),
        ("file", "unix:///var/run/docker.sock"),
        ("api.token", "http://localhost/"),
        ("words", "see http://localhost/ or ask"),
    ];
    let found = find_unjudged(labels);
    let shown: Vec<_> = found
        .iter()
        .map(|one| format!("{}: {} {:?}", one.place, one.host, one.port))
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    the label probe: localhost Some(9090)
    the label probe6: ::1 None
    the label proxy.url: db Some(5432)
    the label host: host.docker.internal None
    ");
    assert!(found.iter().all(|one| !one.shown.contains("sekret")));
}
