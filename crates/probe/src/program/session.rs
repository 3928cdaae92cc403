//! Owns standard input and output: one request a line in, one response a line out, until the end
//! of input. Nothing else may print. Whoever goes away must not leave this program behind, so it
//! ends with its input, with its output, and after a silence.

use std::io::{BufRead, Read as _, Write as _};
use std::process;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use netcheck_probe::{MAX_LINE, Request, Response, VERSION};
use serde::Deserialize;

use super::files::Root;
use super::run;

/// The longest silence between requests, and the longest time to get rid of an answer.
const IDLE_LIMIT: Duration = Duration::from_secs(30);

/// Questions of one request; a caller that has more asks twice.
const MOST_QUESTIONS: usize = 4096;

/// Requests that may wait. While more than these do, the end of input is noticed late.
const MOST_WAITING: usize = 16;

/// What came in.
enum Input {
    Line(Vec<u8>),
    TooLong,
}

/// Serves requests until there will be no more.
pub(crate) fn serve(root: &Arc<Root>) {
    let (send, lines) = sync_channel(MOST_WAITING);
    let reader = thread::Builder::new()
        .stack_size(run::STACK)
        .spawn(move || {
            hand_on(&mut std::io::stdin().lock(), &send);
            // Nobody is left to read an answer, not even the one that is being worked on.
            process::exit(0);
        });
    if let Err(error) = reader {
        let error = format!("starting the thread that reads requests: {error}");
        let _ = write(&failure(error));
        return;
    }
    while let Some(input) = next(&lines) {
        let started = Instant::now();
        let response = match input {
            Input::Line(line) => respond(root, &line, started),
            Input::TooLong => failure(format!("the request is longer than {MAX_LINE} bytes")),
        };
        // A caller who holds the pipe open but does not read must not keep us for ever.
        let (done, over) = sync_channel::<()>(0);
        let guard = thread::Builder::new()
            .stack_size(run::STACK)
            .spawn(move || {
                if over.recv_timeout(IDLE_LIMIT) == Err(RecvTimeoutError::Timeout) {
                    process::exit(0);
                }
            });
        let written = write(&response);
        drop((done, guard));
        if written.is_err() {
            return;
        }
    }
}

fn next(lines: &Receiver<Input>) -> Option<Input> {
    lines.recv_timeout(IDLE_LIMIT).ok()
}

/// Hands on each line, and returns at the end of input. A last line without its end is dropped:
/// its sender is gone.
fn hand_on(input: &mut impl BufRead, send: &SyncSender<Input>) {
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

fn respond(root: &Arc<Root>, line: &[u8], started: Instant) -> Response {
    match request_of(line) {
        Ok(request) => run::run(root, request, started),
        Err(error) => failure(error),
    }
}

/// The request on a line; a sentence if it is none that can be taken.
pub(super) fn request_of(line: &[u8]) -> Result<Request, String> {
    let none = |error: serde_json::Error| format!("the request is not one: {error}");
    let Versioned { version } = serde_json::from_slice(line).map_err(none)?;
    if version != VERSION {
        return Err(format!(
            "the request is in version {version} of the protocol, this probe speaks {VERSION}"
        ));
    }
    let request: Request = serde_json::from_slice(line).map_err(none)?;
    match request.questions.len() {
        0..=MOST_QUESTIONS => Ok(request),
        many => Err(format!(
            "the request has {many} questions, at most {MOST_QUESTIONS} are taken"
        )),
    }
}

fn failure(error: String) -> Response {
    Response {
        version: VERSION,
        answers: Vec::new(),
        error: Some(error),
    }
}

fn write(response: &Response) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(response)?;
    if line.len() >= MAX_LINE {
        let error = format!("the answer would have {} bytes, too many", line.len());
        line = serde_json::to_vec(&failure(error))?;
    }
    line.push(b'\n');
    let mut output = std::io::stdout().lock();
    output.write_all(&line)?;
    output.flush()
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
        hand_on(&mut Cursor::new(text), &send);
        drop(send);
        let got: Vec<Input> = receive.iter().collect();
        assert_eq!(got.len(), 2);
        assert!(matches!(got[0], Input::TooLong));
        assert!(matches!(&got[1], Input::Line(line) if line == b"short\n"));
    }
}
