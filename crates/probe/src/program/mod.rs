//! Starts the probe: reads its arguments, enters the namespace, then serves requests. Entering
//! comes before the first thread, because a namespace belongs to a thread and is inherited only
//! by the threads it starts.

mod accept;
mod attempt;
mod connect;
mod dns;
mod files;
mod fits;
mod held;
#[cfg(test)]
mod hostile;
mod link;
mod lookup;
mod netlink;
mod owner;
mod parse;
mod ping;
mod run;
mod session;
mod socket;
mod take;
mod time;
mod watch;

use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use files::Root;

/// Why the probe could not even start, and the exit code that says so (sysexits(3) for usage).
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) message: String,
}

impl Failure {
    fn usage(message: String) -> Self {
        Self { code: 64, message }
    }

    fn setup(message: String) -> Self {
        Self { code: 1, message }
    }
}

/// Runs the program to its end.
pub(crate) fn start(arguments: impl Iterator<Item = OsString>) -> Result<(), Failure> {
    let Some(options) = Options::read(arguments)? else {
        // The only other owner of stdout is the session, which is not started here.
        let _ = writeln!(
            std::io::stdout(),
            "netcheck-probe {} (protocol {})",
            env!("CARGO_PKG_VERSION"),
            netcheck_probe::VERSION
        );
        return Ok(());
    };
    // Both paths are resolved in the caller's view, before anything changes.
    let root = Root::open(options.root.as_deref()).map_err(Failure::setup)?;
    if let Some(path) = &options.netns {
        let shown = path.display();
        let namespace = File::open(path).map_err(|error| {
            Failure::setup(format!("opening the network namespace {shown}: {error}"))
        })?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).map_err(
            |error| Failure::setup(format!("entering the network namespace {shown}: {error}")),
        )?;
    }
    session::serve(&Arc::new(root));
    Ok(())
}

/// The command line.
#[derive(Default)]
struct Options {
    netns: Option<PathBuf>,
    root: Option<PathBuf>,
}

impl Options {
    /// None when only the version was asked for.
    fn read(mut arguments: impl Iterator<Item = OsString>) -> Result<Option<Self>, Failure> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next() {
            let place = match argument.to_str() {
                Some("--version") => return Ok(None),
                Some("--netns") => &mut options.netns,
                Some("--root") => &mut options.root,
                _ => {
                    return Err(Failure::usage(format!(
                        "unknown argument {argument:?}; known are --netns PATH, --root DIR, --version"
                    )));
                }
            };
            let Some(value) = arguments.next() else {
                return Err(Failure::usage(format!(
                    "{argument:?} needs a path after it"
                )));
            };
            *place = Some(PathBuf::from(value));
        }
        Ok(Some(options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Option<Options>, u8> {
        Options::read(words.iter().map(OsString::from)).map_err(|failure| failure.code)
    }

    #[test]
    fn arguments() {
        let options = read(&["--root", "/r", "--netns", "/n"]).unwrap().unwrap();
        assert_eq!(options.root.unwrap(), PathBuf::from("/r"));
        assert_eq!(options.netns.unwrap(), PathBuf::from("/n"));
        assert!(read(&["--version"]).unwrap().is_none());
        assert_eq!(read(&["--netns"]).err(), Some(64));
        assert_eq!(read(&["--netns=/n"]).err(), Some(64));
    }
}
