//! Every form a target is written in, every way to get it wrong, and texts that nobody thought of.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn reads(text: &str, expected: &[&str]) {
    let places = parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
    let places: Vec<String> = places.iter().map(ToString::to_string).collect();
    assert_eq!(places, expected, "{text}");
}

#[track_caller]
fn refuses(text: &str, why: &str) {
    match parse(text) {
        Ok(places) => panic!("{text} is {places:?}"),
        Err(said) => assert!(said.contains(why), "{text}: {said}"),
    }
}

#[test]
fn names_addresses_and_ports() {
    for same in [
        "mysql-db",
        "mysql-db:3306",
        "db:53/udp",
        "true",
        "123",
        "a_b.c",
        "localhost:9000",
        "host.docker.internal:8080",
        "172.18.0.2:3306",
        "172.18.0.2",
        "[fd00::2]:3306",
        "[fd00::2]:53/udp",
        "fd00::2",
        "example.com:443",
        "shop/db",
        "shop/db-2:5432",
        "shop/udp",
    ] {
        reads(same, &[same]);
    }
    reads("db:3306/tcp", &["db:3306"]);
    reads("db:53/UDP", &["db:53/udp"]);
    reads(" /mysql-db ", &["mysql-db"]);
    reads("[::0001]:80", &["[::1]:80"]);
}

#[test]
fn urls_with_the_ports_of_their_schemes() {
    for (url, place) in [
        ("mysql://user:secret@mysql-db:3306/some", "mysql-db:3306"),
        ("mysql://mysql-db/some?x=1", "mysql-db:3306"),
        ("mysql+pymysql://u:p@db/some", "db:3306"),
        ("mariadb://db", "db:3306"),
        ("postgres://u:p@db/x", "db:5432"),
        ("postgresql+asyncpg://u:p/w@db/x", "db:5432"),
        ("redis://:secret@cache/0", "cache:6379"),
        ("rediss://cache", "cache:6379"),
        ("amqp://guest:guest@rabbit/%2f", "rabbit:5672"),
        ("amqps://rabbit", "rabbit:5671"),
        ("mongodb://a:p@mongo/x?replicaSet=r", "mongo:27017"),
        ("jdbc:postgresql://db/app?user=u&password=p@x", "db:5432"),
        ("jdbc:mysql://db:3307/app", "db:3307"),
        (
            "jdbc:sqlserver://db;databaseName=x;password=p@ss",
            "db:1433",
        ),
        ("jdbc:oracle:thin:@//db:1522/s", "db:1522"),
        ("jdbc:oracle:thin:scott/tiger@db:1521:XE", "db:1521"),
        ("jdbc:oracle:thin:@db", "db:1521"),
        ("http://web", "web:80"),
        ("https://api.example.com/v1", "api.example.com:443"),
        ("HTTP://[fd00::2]:8080/", "[fd00::2]:8080"),
        ("nats://nats", "nats:4222"),
        ("mssql://sa:p@db", "db:1433"),
        ("memcached://m", "m:11211"),
        ("mqtt://broker", "broker:1883"),
        ("mqtts://broker", "broker:8883"),
        ("elasticsearch://es", "es:9200"),
        ("kafka://k", "k:9092"),
        ("tcp://docker:2375", "docker:2375"),
        ("udp://dns:53", "dns:53/udp"),
        ("dns://dns", "dns:53/udp"),
        ("host=db port=5433 password=x", "db:5433"),
        ("host=db user=x", "db:5432"),
        ("user:secret@tcp(db:3306)/some", "db:3306"),
    ] {
        reads(url, &[place]);
    }
}

#[test]
fn one_text_may_name_several() {
    reads("mongodb://u:p@a:1,b/x", &["a:1", "b:27017"]);
    reads("a:9092,b:9093", &["a:9092", "b:9093"]);
    reads("a:9092, b:9092 ,a:9092", &["a:9092", "b:9092"]);
    reads("kafka://a,b:9093", &["a:9092", "b:9093"]);
    reads("PLAINTEXT://a:9092,SSL://b:9093", &["a:9092", "b:9093"]);
    reads("http://u:p@a:9200,http://b:9201/x", &["a:9200", "b:9201"]);
    reads("[::1]:1,[::2]:2", &["[::1]:1", "[::2]:2"]);
}

#[test]
fn what_is_wrong_is_said_in_a_sentence() {
    for (text, why) in [
        ("", "it is empty"),
        ("  ", "it is empty"),
        ("db:70000", "port 70000 is not between 1 and 65535"),
        ("db:0", "port 0 is not between"),
        ("db:123456789", "the port is not between"),
        ("db:", "no port after the colon"),
        ("db:mysql", "is no port number"),
        ("db:-1", "is no port number"),
        (":3306", "no host before the port"),
        ("mysql://", "the URL has no host"),
        ("mysql:///some", "the URL has no host"),
        ("mysql://user:secret@/some", "the URL has no host"),
        ("mysql://u:p@:3306/x", "no host before the port"),
        ("http://db:70000/", "port 70000"),
        ("://db", "is no scheme"),
        ("a b://db", "is no scheme"),
        ("foo://db", "which port `foo` means"),
        ("unix:///run/x.sock", "no place on a network"),
        (
            "mongodb+srv://u:p@x.example",
            "leaves hosts and ports to DNS",
        ),
        ("mongodb://a:1,,b:2", "member 2 of the list: it is empty"),
        ("a:9092,", "member 2 of the list: it is empty"),
        (",", "member 1 of the list"),
        ("a:9092,b", "member 2 of the list: it has no port"),
        ("a:9092,b:99999", "member 2 of the list: port 99999"),
        ("a:9092;b:9092", "commas between"),
        ("a:9092 b:9092", "commas between"),
        ("u:p@db:3306", "write the whole URL"),
        ("db:3306/some", "only /tcp or /udp"),
        ("db:80/sctp", "SCTP"),
        ("a/b/c", "a path needs a scheme"),
        ("[::1", "`]`"),
        ("[zz]:1", "no IPv6 address"),
        ("[::1]x", "only a port"),
        ("1:2:3", "more than one colon"),
        ("bücher.example:80", "xn--"),
        ("--flag", "no host name"),
        ("a\u{1b}[31m", "no host name"),
    ] {
        refuses(text, why);
    }
    refuses(&"a".repeat(5000), "longer than");
    refuses(&"a:1,".repeat(100), "more than 32");
}

#[test]
fn nothing_that_may_be_secret_is_repeated() {
    for text in [
        "mysql://user:hunter2@:1/x",
        "mysql://user:hunter2@db:99999/x",
        "mysql://user:hunter2",
        "mysql://user:hunter2@",
        "mysql://user:hunter2/x@",
        "hunter2://db",
        "user:hunter2@db",
        "user:hunter2",
        "db:1?password=hunter2",
        "db:1/hunter2?x",
        "db:3306;password=hunter2",
        "Server=;Password=hunter2",
        "jdbc:oracle:thin:scott/hunter2@",
        "jdbc:sqlserver://;password=hunter2",
        "mongodb://u:hunter2@a:1,,b",
        "a:1,u:hunter2@b:2",
        "a:1,u:hunter2",
        "hunter2 hunter2",
        "https://db:70000/hunter2",
        "https://db:x/?token=hunter2",
        "foo://u:hunter2@db",
        "mysql://user:1,hunter2?@mysql-db:3306/some",
    ] {
        let said = match parse(text) {
            Ok(places) => places.iter().map(ToString::to_string).collect(),
            // A scheme is none.
            Err(why) if text.starts_with("hunter2:") => {
                why.replace("`hunter2`", "").replace("hunter2://HOST", "")
            }
            Err(why) => format!("{why} {}", shown(text)),
        };
        assert!(!said.contains("hunter2"), "{text}: {said}");
    }
    assert_eq!(shown("db:70000"), "db:70000");
    assert_eq!(shown("a:9092,,b:9092"), "a:9092,,b:9092");
    assert_eq!(shown("mysql://"), "mysql://***");
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z0-9:/@,;=?#.\\[\\]% -]{0,60}",
        "(jdbc:)?[a-z+]{1,9}://[a-z:@/,;?\\[\\]0-9.]{0,60}",
    ]
}

proptest! {
    #[test]
    fn whatever_is_typed_is_read_or_refused(text in text()) {
        if let Ok(places) = parse(&text) {
            prop_assert!(!places.is_empty());
            for place in places {
                prop_assert!(place.port != Some(0));
                prop_assert!(!place.host.is_empty());
                prop_assert!(!place.host.contains(['@', '?', '#', ' ', ',']));
                // What is shown of it is the same place.
                prop_assert_eq!(parse(&place.to_string()), Ok(vec![place]));
            }
        }
        let _ = shown(&text);
    }

    #[test]
    fn a_place_comes_back_as_it_was(
        host in "[a-z][a-z0-9_-]{0,20}(\\.[a-z]{2,5})?", port in 1u16.., udp: bool
    ) {
        let protocol = if udp { Protocol::Udp } else { Protocol::Tcp };
        let wanted = Wanted { host, port: Some(port), protocol, talk: None };
        prop_assert_eq!(parse(&wanted.to_string()), Ok(vec![wanted]));
    }

    #[test]
    fn a_password_never_comes_out(
        password in "[a-zA-Z0-9/?#;:,@=!$ -]{0,12}Zq9x[a-zA-Z0-9/?#;:,=!$-]{0,9}", scheme in "(jdbc:)?(mysql|http|amqp|foo)"
    ) {
        let text = format!("{scheme}://user:{password}@mysql-db:3306/some");
        let said = match parse(&text) {
            Ok(places) => places.iter().map(ToString::to_string).collect(),
            Err(why) => why,
        };
        prop_assert!(!said.contains("Zq9x"), "{} {}", said, shown(&text));
        prop_assert!(!shown(&text).contains("Zq9x"));
    }

    #[test]
    fn long_texts_take_no_time(piece in "[a-z:/@,\\[;?]{1,6}") {
        let started = std::time::Instant::now();
        let _ = parse(&piece.repeat(4096 / piece.len()));
        prop_assert!(started.elapsed() < std::time::Duration::from_millis(500));
    }
}
