//! Passwords behind flags of one letter, which only the program's name tells from harmless ones: `-p` is
//! a port for many and a password for `mysqladmin`.
//!
//! It must rather hide a word too many than show a password.

/// Where the value of a flag is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    /// Only in the same word (`-pSECRET`); alone the flag asks for it.
    Attached,
    /// In the same word or in the next one.
    Any,
}

/// The beginning of a program's name, its flag, and where the value is; after their manual pages.
const CLIENTS: &[(&str, &str, Value)] = &[
    ("mysql", "-p", Value::Attached),
    ("mariadb", "-p", Value::Attached),
    ("redis-cli", "-a", Value::Any),
    ("valkey-cli", "-a", Value::Any),
    ("keydb-cli", "-a", Value::Any),
    // `user:password`.
    ("curl", "-u", Value::Any),
    ("curl", "--user", Value::Any),
    ("mongo", "-p", Value::Any),
    ("cqlsh", "-p", Value::Any),
    ("rabbitmqadmin", "-p", Value::Any),
    ("sshpass", "-p", Value::Any),
    ("sqlcmd", "-P", Value::Any),
    ("ldap", "-w", Value::Any),
];

/// What the words of a command line so far say of the next one.
#[derive(Debug, Default)]
pub(super) struct Clients {
    program: Option<&'static str>,
    hides_next: bool,
}

impl Clients {
    /// How many bytes of this word may be shown, if it holds a password; the words are taken in their order.
    pub(super) fn shown_of(&mut self, word: &str) -> Option<usize> {
        if std::mem::take(&mut self.hides_next) && !word.starts_with('-') {
            return Some(0);
        }
        if matches!(word, "|" | "||" | "&&" | ";" | "&") {
            self.program = None;
            return None;
        }
        let bare = word.trim_start_matches(['"', '\'', '(', '`', '$', '{']);
        let name = bare.rsplit('/').next().unwrap_or(bare);
        let mut known = CLIENTS.iter().map(|(program, ..)| *program);
        if !word.starts_with('-')
            && let Some(program) = known.find(|program| name.starts_with(program))
        {
            self.program = Some(program);
            return None;
        }
        let program = self.program?;
        let flags = CLIENTS.iter().filter(|(owner, ..)| *owner == program);
        for (_, flag, value) in flags {
            // `-fsu user:password`: flags of one letter may stand together.
            let is_short = flag.len() == 2;
            let ends = is_short
                && word.starts_with('-')
                && !word.starts_with("--")
                && word.ends_with(&flag[1..]);
            if *word == **flag || (ends && *value == Value::Any) {
                self.hides_next = *value == Value::Any;
                return None;
            }
            if is_short && word.len() > flag.len() && word.starts_with(flag) {
                return Some(flag.len());
            }
        }
        None
    }
}
