//! What a health check connects to, as far as its words say it.

use super::Case;

impl Case<'_> {
    /// The port of `localhost` that the health check connects to; none where it does not go to `localhost`,
    /// where the port cannot be told, or where it goes to several.
    pub fn health_asks_localhost(&self) -> Option<u16> {
        localhost_port(&self.detail.health_test)
    }
}

/// See [`Case::health_asks_localhost`].
fn localhost_port(test: &[String]) -> Option<u16> {
    let text = test.join(" ");
    let mut ports = text.match_indices("localhost").map(|(at, word)| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        let part_of_a_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if before.ends_with(part_of_a_name) || after.starts_with(part_of_a_name) {
            return None;
        }
        let number = |text: &str| -> Option<u16> {
            let end = text
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(text.len());
            text[..end].parse().ok()
        };
        if let Some(after) = after.strip_prefix(':') {
            number(after)
        } else if before.ends_with("http://") {
            Some(80)
        } else if before.ends_with("https://") {
            Some(443)
        } else {
            // `nc -z localhost 80`
            number(after.strip_prefix(' ')?)
        }
    });
    let first = ports.next()??;
    ports.all(|other| other == Some(first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::localhost_port;

    #[test]
    fn ports_of_localhost() {
        for (test, port) in [
            ("wget -qO- http://localhost/", Some(80)),
            (
                "wget -q --spider http://localhost:8080/health || exit 1",
                Some(8080),
            ),
            ("wget -qO- https://localhost", Some(443)),
            ("nc -z localhost 5432", Some(5432)),
            ("/bin/check tcp=localhost:80", Some(80)),
            (
                "wget http://localhost:80/a && wget http://localhost/b",
                Some(80),
            ),
            (
                "wget http://localhost:80/a && wget http://localhost:81/b",
                None,
            ),
            ("pg_isready -h localhost", None),
            ("wget http://localhost.example:80/", None),
            ("wget http://my-localhost:80/", None),
            ("wget http://127.0.0.1:80/", None),
            ("wget http://localhost:99999/", None),
        ] {
            let words = ["CMD-SHELL".to_owned(), test.to_owned()];
            assert_eq!(localhost_port(&words), port, "{test}");
        }
    }
}
