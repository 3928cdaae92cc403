//! Runs a scenario in a process of its own, signals it, and tells how it ended.

use std::fmt;
use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

/// Its presence makes a test a scenario.
pub const VARIABLE: &str = "NETCHECK_SCENARIO";

/// What any one step of a scenario may take on a loaded machine.
pub const STEP: Duration = Duration::from_secs(60);

/// A scenario that is going on. It is killed when it is dropped.
pub struct Process {
    child: Child,
    pub pid: u32,
    scenario: String,
    pub folder: Arc<TempDir>,
    lines: Receiver<String>,
    said: String,
    errors: Option<JoinHandle<String>>,
    reaper: Option<Reaper>,
    over: bool,
}

/// The process that removes what another leaves.
#[derive(Debug, Clone)]
pub struct Reaper {
    pub pid: u32,
    run: String,
}

/// How a scenario ended.
pub struct Ended {
    pub scenario: String,
    pub pid: u32,
    pub at: Instant,
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    pub run: Option<String>,
    pub folder: Arc<TempDir>,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} (process {}): {}",
            self.scenario, self.pid, self.status
        )?;
        write!(
            f,
            "--- stdout\n{}--- stderr\n{}---",
            self.stdout, self.stderr
        )
    }
}

impl Process {
    pub fn start(scenario: &str) -> Self {
        Self::start_with(scenario, |_| ())
    }

    /// With environment variables, or other words for the test harness.
    pub fn start_with(scenario: &str, adjust: impl FnOnce(&mut Command)) -> Self {
        Self::start_in(Arc::new(TempDir::new().unwrap()), scenario, adjust)
    }

    /// In a temporary folder that may be another's too.
    pub fn start_in(
        folder: Arc<TempDir>,
        scenario: &str,
        adjust: impl FnOnce(&mut Command),
    ) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", &format!("scenarios::{scenario}"), "--ignored"])
            .env(VARIABLE, "1")
            .env("TMPDIR", folder.path())
            .env_remove("NETCHECK_TESTKIT_KEEP")
            .env_remove("NETCHECK_TESTKIT_REPORTS")
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // As nextest does.
            .process_group(0);
        command.arg("--nocapture");
        adjust(&mut command);
        let mut child = command.spawn().unwrap();
        let (tell, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    break;
                }
            }
        });
        let errors = child.stderr.take().map(|mut stderr| {
            thread::spawn(move || {
                let mut text = Vec::new();
                let _ = stderr.read_to_end(&mut text);
                String::from_utf8_lossy(&text).into_owned()
            })
        });
        Self {
            pid: child.id(),
            child,
            scenario: scenario.into(),
            folder,
            lines,
            said: String::new(),
            errors,
            reaper: None,
            over: false,
        }
    }

    /// Waits for a line that begins so; the rest of it.
    #[track_caller]
    pub fn says(&mut self, word: &str) -> String {
        let begun = Instant::now();
        loop {
            // The reaper is seen while the process is there, or not at all.
            let line = match self.lines.recv_timeout(Duration::from_millis(20)) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) if begun.elapsed() < STEP => {
                    self.look_for_reaper();
                    continue;
                }
                Err(_) => {
                    let _ = self.child.kill();
                    let errors = self.errors.take().map(|errors| errors.join().unwrap());
                    panic!(
                        "{} did not say {word}, but\n{}\n{}",
                        self.scenario,
                        self.said,
                        errors.unwrap_or_default()
                    );
                }
            };
            self.note(&line);
            // The harness writes before it, on the same line.
            if let Some((_, rest)) = line.split_once(word) {
                return rest.trim().to_owned();
            }
        }
    }

    fn note(&mut self, line: &str) {
        self.said += line;
        self.said.push('\n');
    }

    fn look_for_reaper(&mut self) {
        if self.reaper.is_none() {
            self.reaper = reaper_of(self.pid);
        }
    }

    /// Its reaper, which has to be there.
    #[track_caller]
    pub fn reaper(&mut self) -> Reaper {
        self.look_for_reaper();
        self.reaper.clone().expect("a reaper")
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(pid(self.pid), signal).unwrap();
    }

    /// To its whole process group.
    pub fn signal_group(&self, signal: Signal) {
        kill_process_group(pid(self.pid), signal).unwrap();
    }

    /// Closes its standard input, which is what some scenarios wait for.
    pub fn go_on(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            self.look_for_reaper();
            assert!(begun.elapsed() < STEP, "{} goes on", self.scenario);
            thread::sleep(Duration::from_millis(2));
        };
        let at = Instant::now();
        self.over = true;
        // Whatever still holds the pipes (a reaper must not) would keep this from ending.
        loop {
            match self.lines.recv_timeout(Duration::from_secs(1)) {
                Ok(line) => self.note(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("standard output of {} is held by somebody", self.scenario)
                }
            }
        }
        let errors = self.errors.take().map(|errors| errors.join().unwrap());
        self.look_for_reaper();
        Ended {
            scenario: std::mem::take(&mut self.scenario),
            pid: self.pid,
            at,
            status,
            stdout: std::mem::take(&mut self.said),
            stderr: errors.unwrap_or_default(),
            run: self.reaper.as_ref().map(|reaper| reaper.run.clone()),
            folder: Arc::clone(&self.folder),
        }
    }

    /// Takes its standard error away, as a terminal that was closed does.
    pub fn lose_stderr(command: &mut Command) {
        let (read, write) = std::io::pipe().unwrap();
        drop(read);
        command.stderr(write);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.over {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Ended {
    /// It ended by itself, with this code.
    #[track_caller]
    pub fn with_code(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{self}");
        self
    }

    /// It was ended by this signal.
    #[track_caller]
    pub fn by(self, signal: Signal) -> Self {
        assert_eq!(self.status.signal(), Some(signal.as_raw()), "{self}");
        self
    }

    /// Files that say who owns what.
    pub fn leases(&self) -> Vec<String> {
        let user = rustix::process::getuid().as_raw();
        let folder = self.folder.path().join(format!("netcheck-testkit-{user}"));
        let Ok(files) = fs::read_dir(folder) else {
            return Vec::new();
        };
        files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "reports")
            .collect()
    }
}

impl Reaper {
    pub fn signal(&self, signal: Signal) {
        kill_process(pid(self.pid), signal).unwrap();
    }

    pub fn lives(&self) -> bool {
        read_reaper(Path::new(&format!("/proc/{}", self.pid)))
            .is_some_and(|(run, _)| run == self.run)
    }
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(i32::try_from(number).unwrap()).unwrap()
}

/// The reaper of a process, found by what it was told: the lease begins with the process's id.
pub fn reaper_of(owner: u32) -> Option<Reaper> {
    let begins = format!("{owner:x}");
    fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let (run, lease) = read_reaper(&entry.path())?;
        let its = lease.len() == begins.len() + 8 && lease.starts_with(&begins);
        its.then_some(Reaper { pid, run })
    })
}

/// Run and lease, if this is a reaper; a zombie has no environment any more.
fn read_reaper(process: &Path) -> Option<(String, String)> {
    let environment = fs::read(process.join("environ")).ok()?;
    let environment = String::from_utf8_lossy(&environment);
    let words = environment
        .split('\0')
        .find_map(|pair| pair.strip_prefix("NETCHECK_TESTKIT_REAPER="))?;
    let mut words = words.lines().skip(1);
    let lease = words.next()?.rsplit('.').next()?.to_owned();
    Some((words.next()?.to_owned(), lease))
}
