//! Owns standard input and output: one request a line in, one response a line out. Whatever ends
//! the session (the end of input, SIGTERM, an output that is gone) heals the fault first.

use std::io::{self, BufRead, Read as _, Write as _};
use std::process::ExitCode;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::{mem, thread};

use netcheck_fault::{
    Answer, Applied, Counters, Fault, MAX_LINE, Order, Request, Response, VERSION,
};
use serde::Deserialize;

use super::dns::Misnaming;
use super::filter::Dropping;
use super::link::Emulating;
use super::refuse::Refusing;
use super::trouble::{Result, Trouble};
use super::{capability, complain};

/// Requests that may wait; a caller waits for each answer.
const MOST_WAITING: usize = 4;

/// What came in.
#[derive(Debug)]
enum Input {
    Line(Vec<u8>),
    TooLong,
    End,
}

/// A fault that is in force.
#[derive(Debug)]
pub(super) enum Active {
    Dropping(Dropping),
    Refusing(Refusing),
    Misnaming(Misnaming),
    Emulating(Emulating),
}

impl Active {
    /// Makes a fault.
    pub(super) fn make(fault: &Fault) -> Result<(Self, Applied)> {
        Ok(match fault {
            Fault::Drop(fault) => {
                let (active, applied) = Dropping::make(fault)?;
                (Self::Dropping(active), applied)
            }
            Fault::Refuse(fault) => {
                let (active, applied) = Refusing::make(fault)?;
                (Self::Refusing(active), applied)
            }
            Fault::Dns(fault) => {
                let (active, applied) = Misnaming::make(fault)?;
                (Self::Misnaming(active), applied)
            }
            Fault::Link(fault) => {
                let (active, applied) = Emulating::make(fault)?;
                (Self::Emulating(active), applied)
            }
        })
    }

    fn counters(&self) -> Result<Counters> {
        match self {
            Self::Dropping(active) => active.counters(),
            Self::Refusing(active) => Ok(active.counters()),
            Self::Misnaming(active) => Ok(active.counters()),
            Self::Emulating(active) => Ok(active.counters()),
        }
    }

    /// Undoes it.
    pub(super) fn heal(self) -> Result<Counters> {
        match self {
            Self::Dropping(active) => active.heal(),
            Self::Refusing(active) => active.heal(),
            Self::Misnaming(active) => active.heal(),
            Self::Emulating(active) => active.heal(),
        }
    }
}

/// Serves requests until there will be no more; 0 unless a fault could not be healed.
pub(super) fn serve() -> ExitCode {
    let (send, inputs) = sync_channel(MOST_WAITING);
    let signals = match Signals::block() {
        Ok(signals) => signals,
        Err(error) => {
            complain(&format!("blocking signals: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let told = send.clone();
    let started = thread::Builder::new()
        .spawn(move || {
            signals.wait();
            let _ = told.send(Input::End);
        })
        .and_then(|_| {
            thread::Builder::new().spawn(move || {
                read(&mut io::stdin().lock(), &send);
                let _ = send.send(Input::End);
            })
        });
    if let Err(error) = started {
        complain(&format!("starting a thread: {error}"));
        return ExitCode::FAILURE;
    }
    let mut active = None;
    for input in inputs {
        let answer = match input {
            Input::End => break,
            Input::TooLong => {
                Trouble::request(format!("it is longer than {MAX_LINE} bytes")).into()
            }
            Input::Line(line) => respond(&line, &mut active).unwrap_or_else(Answer::from),
        };
        if write(answer).is_err() {
            break;
        }
    }
    match active.map(Active::heal) {
        Some(Err(trouble)) => {
            complain(&format!("healing at the end: {trouble:?}"));
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Hands on each line, and returns at the end of input. A last line without its end is dropped:
/// its sender is gone.
fn read(input: &mut impl BufRead, send: &SyncSender<Input>) {
    loop {
        let mut line = Vec::new();
        let limit = MAX_LINE as u64 + 1;
        match input.by_ref().take(limit).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let item = if line.last() == Some(&b'\n') {
            Input::Line(line)
        } else if line.len() as u64 == limit {
            drop(line);
            if input.skip_until(b'\n').is_err() {
                return;
            }
            Input::TooLong
        } else {
            return;
        };
        if send.send(item).is_err() {
            return;
        }
    }
}

/// All versions of the protocol have this in common.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

fn respond(line: &[u8], active: &mut Option<Active>) -> Result<Answer> {
    let versioned: Versioned = serde_json::from_slice(line).map_err(Trouble::request)?;
    if versioned.version != VERSION {
        return Err(Trouble::request(format!(
            "it is in version {} of the protocol, this program speaks {VERSION}",
            versioned.version
        )));
    }
    let request: Request = serde_json::from_slice(line).map_err(Trouble::request)?;
    match request.order {
        Order::Make(_) if active.is_some() => {
            Err(Trouble::request("this program has made a fault already"))
        }
        Order::Make(fault) => {
            let (made, applied) = Active::make(&fault)?;
            *active = Some(made);
            Ok(Answer::Applied(applied))
        }
        Order::Counters => match active {
            Some(active) => Ok(Answer::Counters(active.counters()?)),
            None => Err(Trouble::request("there is no fault to count of")),
        },
        Order::Heal => match active.take() {
            Some(active) => Ok(Answer::Healed(active.heal()?)),
            None => Err(Trouble::request("there is no fault to heal")),
        },
        Order::Capabilities => Ok(Answer::Capabilities(capability::find()?)),
    }
}

fn write(answer: Answer) -> io::Result<()> {
    let response = Response {
        version: VERSION,
        answer,
    };
    let mut line = serde_json::to_vec(&response)?;
    line.push(b'\n');
    let mut output = io::stdout().lock();
    output.write_all(&line)?;
    output.flush()
}

/// SIGTERM and SIGINT, which are waited for. As PID 1 of a container the program would not even be
/// ended by them otherwise.
struct Signals(libc::sigset_t);

impl Signals {
    /// Called before any thread is started: they inherit it.
    fn block() -> io::Result<Self> {
        // SAFETY: sigset_t is plain data, and sigemptyset(3) initialises it; the signal numbers
        // are valid; the pointers live until the calls return.
        unsafe {
            let mut set: libc::sigset_t = mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, libc::SIGTERM);
            libc::sigaddset(&raw mut set, libc::SIGINT);
            match libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) {
                0 => Ok(Self(set)),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        }
    }

    /// Returns when one of them came.
    fn wait(&self) {
        let mut signal = 0;
        // SAFETY: both pointers live until the call returns.
        unsafe { libc::sigwait(&raw const self.0, &raw mut signal) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn lines_are_bounded_and_the_next_one_is_still_read() {
        let mut text = vec![b'x'; MAX_LINE + 5];
        text.extend(b"\nshort\nunfinished");
        let (send, receive) = sync_channel(9);
        read(&mut Cursor::new(text), &send);
        drop(send);
        let got: Vec<Input> = receive.iter().collect();
        assert_eq!(got.len(), 2);
        assert!(matches!(got[0], Input::TooLong));
        assert!(matches!(&got[1], Input::Line(line) if line == b"short\n"));
    }

    #[test]
    fn what_is_no_request_is_told_so() {
        let mut active = None;
        for line in [
            "",
            "nonsense",
            "{}",
            r#"{"version":2,"order":"heal"}"#,
            r#"{"version":1,"order":"dance"}"#,
            r#"{"version":1,"order":"heal"}"#,
            r#"{"version":1,"order":"counters"}"#,
            r#"{"version":1,"order":{"make":{"fault":"drop","from":[]}}}"#,
            r#"{"version":1,"order":{"make":{"fault":"drop","from":["db"]}}}"#,
        ] {
            let answer = respond(line.as_bytes(), &mut active);
            assert!(matches!(answer, Err(Trouble::Failed { .. })), "{line}");
            assert!(active.is_none());
        }
    }
}
