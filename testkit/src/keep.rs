//! Keeping a lab for people to look at, and what is told of a test that failed. It must never fail
//! itself: whatever cannot be told is left out.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use crate::lab::Inner;

/// Whether a lab stays at its end; `NETCHECK_TESTKIT_KEEP` says it for all that do not say it
/// themselves: `1` (or `always`), `on-failure`, anything else or nothing for never.
///
/// ```no_run
/// # use netcheck_testkit::{Keep, Lab};
/// # async fn test() -> netcheck_testkit::Result<()> {
/// let lab = Lab::builder().keep(Keep::OnFailure).start().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// It is removed.
    #[default]
    Never,
    /// It stays if the test panicked or returned an error.
    OnFailure,
    /// It stays.
    Always,
}

impl Keep {
    pub(crate) fn from_environment() -> Self {
        Self::read(&std::env::var("NETCHECK_TESTKIT_KEEP").unwrap_or_default())
    }

    fn read(word: &str) -> Self {
        match word.trim() {
            "1" | "always" | "true" => Self::Always,
            "on-failure" => Self::OnFailure,
            _ => Self::Never,
        }
    }

    pub(crate) fn keeps(self, failed: bool) -> bool {
        match self {
            Self::Never => false,
            Self::OnFailure => failed,
            Self::Always => true,
        }
    }
}

/// Says something to whoever runs the tests: on standard error, which the test harness shows for
/// tests that failed.
#[expect(clippy::print_stderr, reason = "Drop has no other way to speak")]
pub(crate) fn tell(words: &str) {
    // Not written to the stream directly: the harness captures only what the macro prints, and
    // only from the test's own thread. The macro panics where the stream is broken, which would end
    // the process in the Drop of a test that panicked.
    let _ = std::panic::catch_unwind(|| eprintln!("{}", words.trim_end()));
}

/// Says it also for a test that passed, whose captured output nobody sees.
pub(crate) fn tell_in_any_case(words: &str) {
    let words = format!("{}\n", words.trim_end());
    // In one piece, between the lines of others; a broken stream is nobody's failure.
    let _ = std::io::stderr().write_all(words.as_bytes());
}

/// The commands to look at what was kept, and to remove it.
pub(crate) fn how_to_look(lab: &Inner) -> String {
    let label = format!("label={}={}", crate::owner::LABEL_LAB, lab.id);
    let mut words = format!("netcheck-testkit: the lab of `{}` is kept.\n", lab.test);
    let names: Vec<String> = lab
        .state()
        .containers
        .values()
        .map(|container| container.real_name.clone())
        .collect();
    let docker = docker_command(lab.engine.client.host());
    let _ = writeln!(words, "  look:    {docker} ps -a --filter {label}");
    for name in names.iter().take(8) {
        let _ = writeln!(words, "           {docker} netcheck {name}");
    }
    let _ = write!(
        words,
        "  remove:  {docker} ps -aq --filter {label} | xargs -r {docker} rm -fv"
    );
    for kind in ["network", "volume"] {
        let _ = write!(
            words,
            "; {docker} {kind} ls -q --filter {label} | xargs -r {docker} {kind} rm"
        );
    }
    let mark = crate::owner::kept_path(&lab.id);
    let _ = writeln!(words, "; rm -f {}", quoted(&mark.display().to_string()));
    words
}

/// `docker`, with the engine's address where the command would not find it by itself.
fn docker_command(host: &str) -> String {
    let by_itself = std::env::var("DOCKER_HOST").map_or_else(
        |_| host == netcheck_engine::DEFAULT_HOST,
        |usual| usual == host,
    );
    if by_itself {
        return "docker".into();
    }
    format!("docker -H {}", quoted(host))
}

/// As one word of a POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._:-@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

impl Inner {
    /// What a failed test leaves behind for its reader: state, addresses and output of every
    /// container, written to a file. A sentence that names the file.
    pub(crate) async fn last_words(self: &Arc<Self>) -> Option<String> {
        let told = crate::failure::describe(self).await?;
        let folder = std::env::var_os("NETCHECK_TESTKIT_REPORTS")
            .map_or_else(|| crate::owner::folder().join("reports"), Into::into);
        let path = folder.join(format!("{}.txt", self.real_name(&self.test)));
        // What cannot be written is still told in short.
        let place = match write(&path, &told.whole) {
            Ok(()) => path.display().to_string(),
            Err(error) => format!("not written to {}: {error}", path.display()),
        };
        Some(format!(
            "netcheck-testkit: what `{}` had when it failed:\n{}  whole story: {place}",
            self.test, told.short,
        ))
    }
}

/// A new file: its name holds the lab's random id, so one that is there already is not ours.
fn write(path: &Path, words: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = std::fs::File::create_new(path)?;
    file.write_all(words.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_word_survives_the_shell() {
        assert_eq!(quoted("tcp://127.0.0.1:2375"), "tcp://127.0.0.1:2375");
        assert_eq!(quoted("/tmp/it's me"), r"'/tmp/it'\''s me'");
    }

    #[test]
    fn the_variable_has_three_meanings() {
        for (word, keep) in [
            ("", Keep::Never),
            ("0", Keep::Never),
            ("1", Keep::Always),
            ("always", Keep::Always),
            ("on-failure", Keep::OnFailure),
        ] {
            assert_eq!(Keep::read(word), keep, "{word}");
        }
        assert!(Keep::OnFailure.keeps(true) && !Keep::OnFailure.keeps(false));
    }
}
