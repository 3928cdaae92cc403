//! Splits the words typed into Docker's global flags, which stand before the plugin's name, and our
//! own, which stand after it.
//!
//! The docker CLI hands over its whole command line untouched. Without our name as the first word
//! that is no flag, this is a standalone call (`docker-netcheck mysql-db`) and all words are ours.

use std::ffi::OsString;

/// Our name after `docker`.
const NAME: &str = "netcheck";

/// Docker's global flags, as far as they concern the connection.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Globals {
    /// `-H`, `--host`.
    pub(crate) host: Option<String>,
    /// `-c`, `--context`.
    pub(crate) context: Option<String>,
    /// `--config`.
    pub(crate) config: Option<String>,
    /// `--tls`, `--tlsverify` and their files, in a spelling for the docker CLI.
    pub(crate) tls: Vec<String>,
    /// Whether the docker CLI called us, and with that its name is known.
    pub(crate) as_plugin: bool,
}

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) globals: Globals,
    /// Called as `docker netcheck`.
    pub(crate) as_plugin: bool,
    /// Ours.
    pub(crate) own: Vec<OsString>,
}

/// Splits what was typed.
///
/// # Errors
///
/// A sentence, for a global flag without its value or given twice where that cannot be.
pub(crate) fn split(typed: Vec<OsString>) -> Result<Words, String> {
    let texts: Vec<String> = typed
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let standalone = |own| {
        Ok(Words {
            globals: Globals::default(),
            as_plugin: false,
            own,
        })
    };
    let mut globals = Globals::default();
    let mut at = 0;
    let mut help = false;
    while let Some(word) = texts.get(at) {
        if word == "--" {
            at += 1;
            break;
        }
        if !word.starts_with('-') || word == "-" {
            break;
        }
        match flag(word) {
            Some(Flag::Switch(name)) => {
                help |= matches!(name, "h" | "help");
                if name.starts_with("tls") {
                    globals.tls.push(word.clone());
                }
                at += 1;
            }
            Some(Flag::Valued(name, Some(value))) => {
                set(&mut globals, name, value)?;
                at += 1;
            }
            Some(Flag::Valued(name, None)) => {
                let value = texts
                    .get(at + 1)
                    .ok_or_else(|| format!("flag needs an argument: {word}"))?;
                set(&mut globals, name, value)?;
                at += 2;
            }
            // Not one of Docker's: the call is a standalone one.
            None => return standalone(typed),
        }
    }
    // `docker help netcheck [SUB]` and `docker --help netcheck` come as they were typed.
    let mut rest = typed.get(at..).unwrap_or_default();
    if texts.get(at).map(String::as_str) == Some("help")
        && texts.get(at + 1).map(String::as_str) == Some(NAME)
    {
        help = true;
        rest = &rest[1..];
    }
    match rest.split_first() {
        Some((name, own)) if name == NAME => {
            let mut own = own.to_vec();
            if help {
                own.push("--help".into());
            }
            globals.as_plugin = true;
            Ok(Words {
                globals,
                as_plugin: true,
                own,
            })
        }
        _ => standalone(typed),
    }
}

enum Flag<'a> {
    Switch(&'a str),
    Valued(&'a str, Option<&'a str>),
}

/// pflag's spellings of Docker's global flags: `--x v`, `--x=v`, `-Hv`, `-H=v`, clusters `-Dl v`.
fn flag(word: &str) -> Option<Flag<'_>> {
    if let Some(long) = word.strip_prefix("--") {
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        return match name {
            "debug" | "tls" | "tlsverify" | "help" | "version" => {
                // For Docker, to give `--tlsverify=false` is to ask for TLS, unverified.
                Some(Flag::Switch(
                    if value == Some("false") && name != "tlsverify" {
                        "off"
                    } else {
                        name
                    },
                ))
            }
            "config" | "host" | "context" | "log-level" | "tlscacert" | "tlscert" | "tlskey" => {
                Some(Flag::Valued(name, value))
            }
            _ => None,
        };
    }
    let mut letters = word.strip_prefix('-')?;
    loop {
        let first = letters.get(..1)?;
        let rest = &letters[1..];
        match first {
            "D" | "h" | "v" if rest.is_empty() => return Some(Flag::Switch(first)),
            "D" | "v" => letters = rest,
            "H" | "c" | "l" => {
                let name = match first {
                    "H" => "host",
                    "c" => "context",
                    _ => "log-level",
                };
                let value = (!rest.is_empty()).then(|| rest.strip_prefix('=').unwrap_or(rest));
                return Some(Flag::Valued(name, value));
            }
            _ => return None,
        }
    }
}

fn set(globals: &mut Globals, name: &str, value: &str) -> Result<(), String> {
    match name {
        "host" if globals.host.is_some() => return Err("specify only one -H".into()),
        "host" => globals.host = Some(value.to_owned()),
        // The last one counts, as with docker itself.
        "context" => globals.context = Some(value.to_owned()),
        "config" => globals.config = Some(value.to_owned()),
        "tlscacert" | "tlscert" | "tlskey" => globals.tls.push(format!("--{name}={value}")),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(typed: &str, plugin: bool, host: Option<&str>, context: Option<&str>, own: &[&str]) {
        let words = split(typed.split_whitespace().map(OsString::from).collect()).unwrap();
        assert_eq!(words.as_plugin, plugin, "{typed}");
        assert_eq!(words.globals.host.as_deref(), host, "{typed}");
        assert_eq!(words.globals.context.as_deref(), context, "{typed}");
        assert_eq!(words.own, own, "{typed}");
    }

    #[test]
    fn takes_every_spelling_of_the_global_flags() {
        check("netcheck db", true, None, None, &["db"]);
        check(
            "-H unix:///s netcheck db",
            true,
            Some("unix:///s"),
            None,
            &["db"],
        );
        check(
            "-Hunix:///s netcheck db",
            true,
            Some("unix:///s"),
            None,
            &["db"],
        );
        check(
            "--host=unix:///s netcheck",
            true,
            Some("unix:///s"),
            None,
            &[],
        );
        check(
            "-Dldebug --context a -c b netcheck x",
            true,
            None,
            Some("b"),
            &["x"],
        );
        check(
            "-c default -- netcheck a",
            true,
            None,
            Some("default"),
            &["a"],
        );
        check("--tlsverify=false netcheck a", true, None, None, &["a"]);
    }

    #[test]
    fn all_words_are_ours_without_our_name_in_front() {
        check("mysql-db", false, None, None, &["mysql-db"]);
        check(
            "-H unix:///s mysql-db",
            false,
            None,
            None,
            &["-H", "unix:///s", "mysql-db"],
        );
        check(
            "--format json db",
            false,
            None,
            None,
            &["--format", "json", "db"],
        );
        check("version", false, None, None, &["version"]);
    }

    #[test]
    fn every_way_to_ask_for_help_is_one() {
        for typed in ["help netcheck", "--help netcheck", "-h netcheck"] {
            check(typed, true, None, None, &["--help"]);
        }
        check(
            "help netcheck explain",
            true,
            None,
            None,
            &["explain", "--help"],
        );
        check("netcheck --help", true, None, None, &["--help"]);
    }

    #[test]
    fn refuses_two_hosts_and_a_missing_value() {
        let words = |typed: &str| split(typed.split_whitespace().map(OsString::from).collect());
        assert_eq!(
            words("-H a -H b netcheck x").unwrap_err(),
            "specify only one -H"
        );
        assert_eq!(
            words("--host").unwrap_err(),
            "flag needs an argument: --host"
        );
    }

    #[test]
    fn flags_after_the_name_are_ours() {
        check("netcheck -H x db", true, None, None, &["-H", "x", "db"]);
    }
}
