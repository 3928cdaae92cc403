//! Runs other programs. Each gets a process group of its own, so that a Ctrl-C reaches us alone and
//! we decide what it ends; and no standard input, so that nothing waits for an answer.

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::failure::{Failure, Result, told};
use crate::stop;

/// How long a program that was told to end may take.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// What a program left behind.
pub(crate) struct Done {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// How long to wait for a program.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    limit: Option<Duration>,
    heeds_stop: bool,
}

impl Patience {
    /// As long as it takes; ended by Ctrl-C.
    pub(crate) const ENDLESS: Self = Self {
        limit: None,
        heeds_stop: true,
    };

    /// For removing things, which has to go on after a Ctrl-C.
    pub(crate) const TIDYING: Self = Self {
        limit: Some(Duration::from_secs(60)),
        heeds_stop: false,
    };

    /// At most this long; ended by Ctrl-C.
    pub(crate) const fn seconds(seconds: u64) -> Self {
        Self {
            limit: Some(Duration::from_secs(seconds)),
            heeds_stop: true,
        }
    }
}

/// Runs it and keeps what it wrote, however it ends.
pub(crate) fn capture(doing: &str, command: &mut Command, patience: Patience) -> Result<Done> {
    command.stdin(Stdio::null());
    collect(doing, command, &[], patience)
}

/// Runs it with this as its standard input, and keeps what it wrote.
pub(crate) fn feed(
    doing: &str,
    command: &mut Command,
    input: &[u8],
    patience: Patience,
) -> Result<String> {
    command.stdin(Stdio::piped());
    let done = collect(doing, command, input, patience)?;
    succeeded(doing, command, done)
}

/// Runs it; what it wrote to standard output if it succeeded, else what it complained about.
pub(crate) fn output(doing: &str, command: &mut Command, patience: Patience) -> Result<String> {
    let done = capture(doing, command, patience)?;
    succeeded(doing, command, done)
}

/// Runs it with our standard output and error.
pub(crate) fn show(doing: &str, command: &mut Command) -> Result<ExitStatus> {
    command.stdin(Stdio::null());
    let mut child = spawn(doing, command)?;
    wait(doing, &mut child, Patience::ENDLESS)
}

/// Runs it with our standard error, passes its standard output on and shows each line to `see`.
pub(crate) fn watch(
    doing: &str,
    command: &mut Command,
    mut see: impl FnMut(&str) + Send,
) -> Result<ExitStatus> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = spawn(doing, command)?;
    let lines = child.stdout.take();
    thread::scope(|scope| {
        scope.spawn(move || {
            let Some(lines) = lines else { return };
            let mut lines = BufReader::new(lines);
            let mut line = Vec::new();
            while matches!(lines.read_until(b'\n', &mut line), Ok(1..)) {
                // Bytes as they came: a test may print anything.
                let _ = io::stdout().write_all(&line);
                see(String::from_utf8_lossy(&line).trim_end());
                line.clear();
            }
        });
        wait(doing, &mut child, Patience::ENDLESS)
    })
}

/// Starts it in a process group of its own.
pub(crate) fn spawn(doing: &str, command: &mut Command) -> Result<Child> {
    command
        .process_group(0)
        .spawn()
        .map_err(|error| Failure::Told(format!("{doing}: cannot start {}: {error}", name(command))))
}

/// Waits for a program; a program that takes too long, or is not wanted any more, is ended.
pub(crate) fn wait(doing: &str, child: &mut Child, patience: Patience) -> Result<ExitStatus> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        let ended = child
            .try_wait()
            .map_err(|error| Failure::Told(format!("{doing}: waiting for it: {error}")))?;
        if let Some(status) = ended {
            // The program may have ended because of the signal that we got, too.
            if patience.heeds_stop {
                stop::check()?;
            }
            return Ok(status);
        }
        if patience.heeds_stop
            && let Err(stopped) = stop::check()
        {
            end(child, LAST_WORDS);
            return Err(stopped);
        }
        if let Some(limit) = patience.limit
            && started.elapsed() > limit
        {
            end(child, LAST_WORDS);
            return told(format!(
                "{doing}: it was not done within {} s",
                limit.as_secs()
            ));
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Ends a program and all it has started: first it is asked, then it is made to.
pub(crate) fn end(child: &mut Child, patience: Duration) {
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(0));
    for (signal, patience) in [(Signal::TERM, patience), (Signal::KILL, LAST_WORDS)] {
        // It fails only if there is nobody left in the group.
        let _ = group.map(|group| kill_process_group(group, signal));
        let asked = Instant::now();
        while asked.elapsed() < patience {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn collect(doing: &str, command: &mut Command, input: &[u8], patience: Patience) -> Result<Done> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn(doing, command)?;
    let stdout = reader(child.stdout.take());
    let stderr = reader(child.stderr.take());
    let status = thread::scope(|scope| {
        if let Some(mut pipe) = child.stdin.take() {
            // A program that does not want it all says why on its standard error.
            scope.spawn(move || drop(pipe.write_all(input)));
        }
        wait(doing, &mut child, patience)
    })?;
    Ok(Done {
        status,
        stdout: text(stdout),
        stderr: text(stderr),
    })
}

fn succeeded(doing: &str, command: &Command, done: Done) -> Result<String> {
    if done.status.success() {
        return Ok(done.stdout);
    }
    let said = done.stderr.trim();
    let said = if said.is_empty() {
        done.stdout.trim()
    } else {
        said
    };
    told(format!(
        "{doing}: {} failed ({}): {said}",
        name(command),
        done.status
    ))
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read until then is better than nothing.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn text(reader: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
}

fn name(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let shown = program.file_name().unwrap_or(program.as_os_str());
    shown.to_string_lossy().into_owned()
}
