//! Removes what this process made once the process is gone, however it went: a second process,
//! started from the same program, that waits for the end of a pipe.
//!
//! The program of a test is not ours to give a `reap` command to, so the second process is told by
//! an environment variable, and recognises it before `main` begins. It needs no image, no port and
//! no pull. It must survive signals to the test's process group (nextest, Ctrl-C), and it must
//! remove nothing but what this very process made.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use netcheck_engine::{Client, Deadline, LABEL_RUN};

use crate::owner::{LABEL_OWNER, Owner};
use crate::removal::{self, Which};

/// Its presence makes a process of this program a reaper; `HOST`, owner and run, one to a line.
const VARIABLE: &str = "NETCHECK_TESTKIT_REAPER";

/// The pipe to the second process; none where there is no such means (see [`is_possible`]).
pub(crate) struct Reaper(Mutex<Option<ChildStdin>>);

impl Reaper {
    /// Starts it. A process that cannot be started is no reason not to test: the next lab of any
    /// process sweeps then.
    pub(crate) fn start(host: &str, run: &str) -> Self {
        Self(Mutex::new(spawn(host, run)))
    }

    /// Whether there is one.
    pub(crate) fn works(&self) -> bool {
        self.0.lock().is_ok_and(|pipe| pipe.is_some())
    }

    /// A lab was begun: the end of the pipe means work.
    pub(crate) fn lab_begins(&self, lab: &str) {
        self.tell(&format!("+{lab}\n"));
    }

    /// It ended in order; nothing of it is left.
    pub(crate) fn lab_ended(&self, lab: &str) {
        self.tell(&format!("-{lab}\n"));
    }

    /// It is to stay.
    pub(crate) fn keep(&self, lab: &str) {
        self.tell(&format!("={lab}\n"));
    }

    fn tell(&self, line: &str) {
        if let Ok(mut pipe) = self.0.lock()
            && let Some(pipe) = pipe.as_mut()
        {
            // A reaper that is gone cannot be helped.
            let _ = pipe.write_all(line.as_bytes());
        }
    }
}

/// Whether this platform runs code before `main` in a way we know.
pub(crate) fn is_possible() -> bool {
    cfg!(any(target_os = "linux", target_os = "macos"))
}

fn spawn(host: &str, run: &str) -> Option<ChildStdin> {
    if !is_possible() {
        return None;
    }
    // The linker must not drop what is never called.
    std::hint::black_box(&BEFORE_MAIN);
    let program: OsString = if cfg!(target_os = "linux") {
        // Also when the file was replaced by a newer build meanwhile (proc(5)).
        "/proc/self/exe".into()
    } else {
        std::env::current_exe().ok()?.into()
    };
    let mut command = Command::new(program);
    command
        .env(VARIABLE, format!("{host}\n{}\n{run}", Owner::this().text()))
        // It must not hold a folder that the test removes, or a disk.
        .current_dir(if cfg!(unix) { "/" } else { "." })
        .stdin(Stdio::piped())
        // nextest takes an inherited pipe that stays open for a leak.
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        // A group of its own before it runs: no signal to the test's group reaches it.
        command.process_group(0);
        // For people who look; also, whoever ends processes by the test's path does not mean it.
        command.arg0("netcheck-testkit-reaper");
    }
    command.spawn().ok()?.stdin.take()
}

#[used]
#[cfg_attr(target_os = "linux", unsafe(link_section = ".init_array"))]
#[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__mod_init_func"))]
static BEFORE_MAIN: extern "C" fn() = before_main;

/// Called by the C library before `main`, in every process that links this crate; it does nothing
/// unless the variable is there.
extern "C" fn before_main() {
    let Some(words) = std::env::var_os(VARIABLE) else {
        return;
    };
    let words = words.to_string_lossy();
    let mut words = words.lines();
    if let (Some(host), Some(owner), Some(run)) = (words.next(), words.next(), words.next()) {
        wait_and_reap(host, owner, run);
    }
    std::process::exit(0);
}

fn wait_and_reap(host: &str, owner: &str, run: &str) {
    #[cfg(unix)]
    // Away from the terminal too; it fails only for a group leader, which has left it already.
    let _ = rustix::process::setsid();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    else {
        return;
    };
    #[cfg(unix)]
    runtime.block_on(async { outlive_signals() });
    let (open, kept) = listen();
    let owner = Owner::read(owner);
    let all_gone = open.is_empty() || {
        let text = owner.as_ref().map(Owner::text).unwrap_or_default();
        runtime.block_on(reap(host, &text, run, &kept))
    };
    // A lease without anything to prove is a file left behind.
    if let (true, true, Some(owner)) = (all_gone, kept.is_empty(), owner) {
        owner.bury();
    }
}

/// Whoever stops a whole tree of processes (a CI runner, a service manager) asks each of them to
/// end: the reaper ends after its work, which begins when the others have ended.
#[cfg(unix)]
fn outlive_signals() {
    use tokio::signal::unix::{SignalKind, signal};
    for kind in [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ] {
        // The handler stays when the stream is dropped (documentation of tokio).
        let _ = signal(kind);
    }
}

/// Waits for the end of the process: labs that are still there, and those that are to stay.
fn listen() -> (BTreeSet<String>, BTreeSet<String>) {
    let mut open = BTreeSet::new();
    let mut kept = BTreeSet::new();
    for line in BufReader::new(std::io::stdin()).lines() {
        let Ok(line) = line else { break };
        match line.split_at_checked(1) {
            Some(("+", lab)) => _ = open.insert(lab.to_owned()),
            Some(("-", lab)) => _ = open.remove(lab),
            Some(("=", lab)) => {
                open.remove(lab);
                kept.insert(lab.to_owned());
            }
            _ => {}
        }
    }
    (open, kept)
}

/// Pauses between the looks after the end of the process, in milliseconds: for what the engine was
/// just making. It makes a container in 20 to 300 ms, and two seconds are what the kit promises;
/// a look at nothing costs the engine about 5 ms. The last ones are for an engine under load, which
/// took 4 s.
const PAUSES_MS: [u64; 12] = [0, 100, 150, 250, 250, 250, 250, 250, 250, 1000, 2000, 4000];

/// How long a look may take, with its removals: one whose call hangs must not be the last.
const LOOK: Duration = Duration::from_secs(30);

/// Removes what is there, and what comes; whether nothing was left at the last look.
async fn reap(host: &str, owner: &str, run: &str, kept: &BTreeSet<String>) -> bool {
    let helpers = Which::label(LABEL_RUN, run);
    let ours = Which::label(LABEL_OWNER, owner)
        .but_not(kept.clone())
        .with_guests();
    let mut connected = None;
    let mut all_gone = false;
    for pause in PAUSES_MS {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let look = async {
            let client = match connected.take() {
                Some(client) => client,
                None => Client::connect(host, None, Deadline::after(CONNECT))
                    .await
                    .ok()?,
            };
            let (helpers, ours) = tokio::join!(
                removal::remove(&client, &helpers),
                removal::remove(&client, &ours)
            );
            let all_gone = helpers.is_empty() && ours.is_empty();
            if all_gone {
                connected = Some(client);
            }
            Some(all_gone)
        };
        // Nobody is left to tell of a failure; the next look tries again, with a new connection.
        let looked = tokio::time::timeout(LOOK, look).await;
        all_gone = looked.ok().flatten().unwrap_or(false);
    }
    all_gone
}

/// How long the engine may take to answer at all.
const CONNECT: Duration = Duration::from_secs(5);
