//! Takes secrets out of texts that come from users' configurations, before they become evidence.
//!
//! It must never let a password, a token, a query string or a URL path through that could be one.
//! The one exception is the database name of a database URL: it is part of the answer
//! (`mysql://mysql-db:3306/some`), and a plain word of at most 64 letters, digits, `_` and `-`.

mod clients;

use clients::Clients;

/// What stands in place of something secret.
pub const MASK: &str = "***";

/// Schemes whose URL path is a database, virtual host or collection name.
const DATABASE_SCHEMES: &[&str] = &[
    "amqp",
    "amqps",
    "clickhouse",
    "mariadb",
    "mongodb",
    "mysql",
    "postgres",
    "postgresql",
    "redis",
    "rediss",
    "sqlserver",
];

/// Whether the path of such a URL is a name that may be shown.
pub fn has_database_path(scheme: &str) -> bool {
    DATABASE_SCHEMES.contains(&scheme.rsplit([':', '+']).next().unwrap_or(scheme))
        || DATABASE_SCHEMES.contains(&scheme.split('+').next().unwrap_or(scheme))
}

/// A path that is a plain database name, without its slash.
pub fn database_name(path: &str) -> Option<&str> {
    let name = path.strip_prefix('/')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (!name.is_empty() && name.len() <= 64 && name.chars().all(plain)).then_some(name)
}

/// A name that says its value is secret.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [
        "pass",
        "pwd",
        "secret",
        "token",
        "key",
        "credential",
        "auth",
        "private",
        "cert",
        "salt",
        "signature",
        "cookie",
        "session",
    ]
    .iter()
    .any(|word| name.contains(word))
}

/// A command line with what may be secret masked, and whether anything was.
///
/// Masked: user and password of URLs, their query and their path (but for database names), the
/// value of `--password=…`-like flags, and the word after such a flag.
pub fn arguments(words: &[String]) -> (Vec<String>, bool) {
    let mut masked = false;
    let mut after_secret_flag = false;
    let mut clients = Clients::default();
    let shown = words
        .iter()
        .map(|word| {
            let of_client = clients.shown_of(word);
            let hide_all = after_secret_flag && !word.starts_with('-');
            after_secret_flag =
                word.starts_with('-') && !word.contains('=') && is_secret_name(word);
            let shown = if hide_all {
                MASK.to_owned()
            } else if let Some(kept) = of_client {
                format!("{}{MASK}", &word[..kept])
            } else if let Some((name, _)) = word
                .split_once('=')
                .filter(|(name, _)| is_secret_name(name))
            {
                format!("{name}={MASK}")
            } else {
                text(word)
            };
            masked |= shown != *word;
            shown
        })
        .collect();
    (shown, masked)
}

/// Free text (a health check's output, an error of the engine): the secrets of every URL in it are
/// masked, and the value of every `name=value` whose name is a secret's.
pub fn text(text: &str) -> String {
    let mut hide_next = false;
    // A quoted secret goes on to the closing quote, over blanks.
    let mut hide_until: Option<char> = None;
    let mut clients = Clients::default();
    let mut out = String::with_capacity(text.len());
    for (index, word) in text.split(' ').enumerate() {
        if index > 0 {
            out.push(' ');
        }
        if let Some(quote) = hide_until {
            out.push_str(MASK);
            if word.ends_with(quote) {
                hide_until = None;
            }
            continue;
        }
        let of_client = clients.shown_of(word);
        let is_value = hide_next && !word.is_empty() && !word.starts_with('-');
        hide_next = (hide_next && word.is_empty())
            || (word.starts_with('-') && !word.contains(['=', ':']) && is_secret_name(word));
        let shown = if is_value {
            MASK.to_owned()
        } else if let Some(kept) = of_client {
            format!("{}{MASK}", &word[..kept])
        } else {
            one_word(word)
        };
        if shown != word {
            hide_until = opened_quote(&word[of_client.unwrap_or_default()..]);
        }
        out.push_str(&shown);
    }
    out
}

/// The quote that a masked word opens and does not close.
fn opened_quote(word: &str) -> Option<char> {
    let value = word.split(['=', ':']).next_back().unwrap_or(word);
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let closed = value.len() > 1 && value.ends_with(quote);
    (!closed).then_some(quote)
}

fn one_word(word: &str) -> String {
    if let Some(at) = word.find("://") {
        let start = word[..at]
            .rfind(|c: char| !(c.is_ascii_alphanumeric() || "+-.:".contains(c)))
            .map_or(0, |found| {
                found + word[found..].chars().next().map_or(1, char::len_utf8)
            });
        let (before, url) = word.split_at(start);
        return format!("{before}{}", mask_url(url));
    }
    // `until=/--token=x`: the name that counts is the nearest one before the value.
    let mut rest = word;
    while let Some((name, value)) = rest.split_once(['=', ':']) {
        if !value.is_empty() && is_secret_name(name) {
            let kept = word.len() - value.len();
            return format!("{}{MASK}", &word[..kept]);
        }
        rest = value;
    }
    word.to_owned()
}

/// One URL without user, password, query, fragment and (but for a database name) path.
pub fn mask_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    // `;` begins the parameters of SQL Server's JDBC URLs.
    let ends = ['/', '?', '#', ';'];
    let end = rest.find(ends).unwrap_or(rest.len());
    // A password may hold a slash: the last `@` decides where the host begins. But what follows the
    // host and port may hold an `@` too (`db:1433;password=p@ss`).
    let (authority, path) = match rest.rfind('@') {
        Some(at) if at > end && !is_parameter(&rest[..end], &rest[end..at]) => {
            let tail = &rest[at..];
            let end = at + tail.find(ends).unwrap_or(tail.len());
            rest.split_at(end)
        }
        _ => rest.split_at(end),
    };
    let authority = match authority.rsplit_once('@') {
        Some((_, host)) => format!("{MASK}@{host}"),
        None => authority.to_owned(),
    };
    let plain_path = path.split(['?', '#']).next().unwrap_or_default();
    let path = if has_database_path(scheme) {
        match database_name(plain_path) {
            Some(name) if path.len() == name.len() + 1 => format!("/{name}"),
            Some(name) => format!("/{name}?{MASK}"),
            None if plain_path.len() > 1 => format!("/{MASK}"),
            None => plain_path.to_owned(),
        }
    } else if plain_path.len() > 1 || path.len() > plain_path.len() {
        format!("/{MASK}")
    } else {
        plain_path.to_owned()
    };
    format!("{scheme}://{authority}{path}")
}

/// Whether what stands before an `@` is one host, perhaps with a port, and then parameters; and no
/// password. No list of hosts: `user:1,secret?` would pass for one.
fn is_parameter(head: &str, between: &str) -> bool {
    between.contains(['?', ';'])
        && !head.contains(',')
        && crate::reference::host_and_port(head).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_url(url: &str, expected: &str) {
        assert_eq!(mask_url(url), expected);
    }

    #[test]
    fn keeps_the_database_name_and_nothing_else_of_a_url() {
        check_url(
            "mysql://172.17.0.2:3306/some",
            "mysql://172.17.0.2:3306/some",
        );
        check_url(
            "mysql://u:p@db:3306/some?ssl=1",
            "mysql://***@db:3306/some?***",
        );
        check_url("postgres://u:a/b@c@db/app", "postgres://***@db/app");
        check_url(
            "https://hooks.example/T0/B0/xyz",
            "https://hooks.example/***",
        );
        check_url("http://db:80/", "http://db:80/");
        check_url("http://db?token=x", "http://db/***");
        check_url(
            "jdbc:sqlserver://db:1433;user=sa;password=p@ss",
            "jdbc:sqlserver://db:1433/***",
        );
        check_url("mysql://db/x?password=p@ss", "mysql://db/x?***");
        check_url("mysql://u:p?x@db/x", "mysql://***@db/x");
        check_url("redis://:secret@cache/0", "redis://***@cache/0");
    }

    #[test]
    fn masks_the_values_of_secret_flags() {
        let words = ["--password", "x", "--api-key=y", "-v", "u://a:b@c/"].map(String::from);
        let (shown, masked) = arguments(&words);
        assert_eq!(
            shown,
            ["--password", "***", "--api-key=***", "-v", "u://***@c/"]
        );
        assert!(masked);
        assert!(!arguments(&["httpd".into(), "-f".into()]).1);
    }

    #[test]
    fn masks_secrets_in_a_command_line_that_is_one_word() {
        assert_eq!(
            text("exec app --password hunter2 --user x"),
            "exec app --password *** --user x"
        );
        assert_eq!(text("until=/--token=x"), "until=/--token=***");
        assert_eq!(text("PASSWORD='a b c' d"), "PASSWORD=*** *** *** d");
        assert_eq!(
            text("--api-key  \"a b\" --port 80"),
            "--api-key  *** *** --port 80"
        );
        let long = "=:".repeat(200_000);
        assert_eq!(text(&long), long);
        let words = ["sh", "-c", "exec app --password hunter2"].map(String::from);
        assert!(arguments(&words).1);
    }

    #[test]
    fn masks_what_only_the_program_makes_a_password() {
        for (line, expected) in [
            (
                "mysqladmin ping -h db -uroot -pS3cret",
                "mysqladmin ping -h db -uroot -p***",
            ),
            (
                "CMD-SHELL exec /usr/bin/mariadb-admin -p'a b' ping",
                "CMD-SHELL exec /usr/bin/mariadb-admin -p*** *** ping",
            ),
            ("mysql -p -e x", "mysql -p -e x"),
            (
                "redis-cli -h cache -a S3cret ping || exit 1",
                "redis-cli -h cache -a *** ping || exit 1",
            ),
            (
                "curl -fsu admin:pw http://web/",
                "curl -fsu *** http://web/",
            ),
            (
                "curl --user admin:pw -f http://web/",
                "curl --user *** -f http://web/",
            ),
            (
                "mongosh -u root -p pw --eval 1",
                "mongosh -u root -p *** --eval 1",
            ),
            // For others these flags are none.
            ("httpd -f -p 8080", "httpd -f -p 8080"),
            ("nc -u db 53", "nc -u db 53"),
            (
                "redis-cli ping && app -a x -p 80",
                "redis-cli ping && app -a x -p 80",
            ),
        ] {
            assert_eq!(text(line), expected);
            let words: Vec<String> = line.split(' ').map(String::from).collect();
            if !line.contains('\'') {
                assert_eq!(arguments(&words).0.join(" "), expected);
            }
            assert_eq!(arguments(&[line.into()]).0, [expected]);
        }
    }

    #[test]
    fn masks_secrets_in_free_text() {
        assert_eq!(
            text("cannot open postgres://u:p@db/x: PASSWORD=abc é://@é"),
            "cannot open postgres://***@db/*** PASSWORD=*** é://***@é"
        );
    }
}
