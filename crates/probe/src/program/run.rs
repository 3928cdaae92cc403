//! Asks all questions of a request at once, on a bounded number of threads, and answers at the
//! deadline with what is there. An answer may be missing, but never late.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use netcheck_probe::{Answer, Answered, Question, Request, Response, VERSION};

use super::files::Root;
use super::time::Until;
use super::{accept, attempt, connect, dns, fits, held, lookup, ping, take, watch};

/// The deepest thing done on a thread is decoding JSON and DNS; buffers are on the heap.
pub(crate) const STACK: usize = 256 * 1024;

/// Waiting costs little, but 64 waiting threads are enough for a probe.
const MOST_THREADS: usize = 64;

/// The longest a request may take, whatever it says.
const LONGEST: Duration = Duration::from_secs(30);

/// Answers to all questions, at the latest at the deadline.
pub(crate) fn run(root: &Arc<Root>, request: Request, started: Instant) -> Response {
    let length = Duration::from_millis(request.deadline_ms.into()).min(LONGEST);
    let deadline = started + length;
    // Each operation ends a little earlier, so that "timed out" arrives as the answer it is.
    // On a loaded machine a thread may have to wait 50 ms for its turn.
    let margin = (length / 10).min(Duration::from_millis(100));
    let until = Until(deadline - margin);

    // The same question is asked once, however often it stands there.
    let mut distinct: Vec<Question> = Vec::new();
    let mut places: HashMap<Question, usize> = HashMap::new();
    for question in &request.questions {
        places.entry(question.clone()).or_insert_with(|| {
            distinct.push(question.clone());
            distinct.len() - 1
        });
    }
    let unfinished = format!("not finished within {} ms", length.as_millis());
    let mut answers: Vec<Result<Answer, String>> = vec![Err(unfinished); distinct.len()];

    let (send, receive) = channel();
    let queue = Arc::new((distinct, AtomicUsize::new(0)));
    let mut refused = None;
    for _ in 0..answers.len().min(MOST_THREADS) {
        let (queue, root, send) = (queue.clone(), root.clone(), send.clone());
        let work = move || {
            // What is begun in the last moment would "time out" without having had any time.
            while until.left().is_some_and(|left| left > margin) {
                let index = queue.1.fetch_add(1, Ordering::Relaxed);
                let Some(question) = queue.0.get(index) else {
                    return;
                };
                if send
                    .send((index, ask(&root, question, started, until)))
                    .is_err()
                {
                    return;
                }
            }
        };
        if let Err(error) = thread::Builder::new().stack_size(STACK).spawn(work) {
            // A limit on processes; those that did start take over.
            refused = Some(format!("starting a thread: {error}"));
            break;
        }
    }
    drop(send);
    let mut left = answers.len();
    while left > 0 {
        let wait = deadline.saturating_duration_since(Instant::now());
        // An error is the deadline, or no thread being left that could still answer.
        let Ok((index, answer)) = receive.recv_timeout(wait) else {
            break;
        };
        answers[index] = answer;
        left -= 1;
    }
    if let (Some(reason), true) = (refused, left == answers.len()) {
        answers.fill(Err(reason));
    }
    let answered = |question: Question| Answered {
        answer: answers[places[&question]].clone(),
        question,
    };
    Response {
        version: VERSION,
        answers: request.questions.into_iter().map(answered).collect(),
        error: None,
    }
}

fn ask(root: &Root, question: &Question, started: Instant, until: Until) -> Result<Answer, String> {
    match question {
        Question::Snapshot => Ok(Answer::Snapshot(take::snapshot(root, until))),
        Question::Lookup { name } => lookup::lookup(root, name, until).map(Answer::Lookup),
        Question::Query {
            name,
            record,
            server,
        } => dns::query(name, *record, *server, until.at_most(dns::ATTEMPT)).map(Answer::Query),
        Question::Connect { to, listen_ms } => {
            Ok(Answer::Connect(connect::connect(*to, *listen_ms, until)))
        }
        Question::Hello { to, wait_ms } => Ok(Answer::Hello(connect::hello(*to, *wait_ms, until))),
        Question::Accepts { to, patience_ms } => {
            accept::accepts(*to, *patience_ms, until).map(Answer::Accepts)
        }
        Question::Datagram { to, wait_ms } => {
            connect::datagram(*to, *wait_ms, until).map(Answer::Datagram)
        }
        Question::Ping { to, wait_ms } => ping::ping(*to, *wait_ms, until).map(Answer::Ping),
        Question::Owner { of, wait_ms } => ping::owner(*of, *wait_ms, until).map(Answer::Owner),
        Question::Way { to } => Ok(Answer::Way {
            barred: fits::barred(*to),
        }),
        Question::Fits { to, bytes, wait_ms } => {
            fits::fits(*to, *bytes, *wait_ms, until).map(Answer::Fits)
        }
        Question::Held { to } => held::held(*to, until).map(|ports| Answer::Held { ports }),
        Question::Attempt {
            host,
            port,
            protocol,
            after_ms,
            listen_ms,
        } => {
            let begin = started + Duration::from_millis((*after_ms).into());
            attempt::attempt(root, host, (*port, *protocol), begin, *listen_ms, until)
                .map(Answer::Attempt)
        }
        Question::Overflows => take::overflows().map(|count| Answer::Overflows { count }),
        Question::Firewall => netcheck_probe::firewall::read()
            .map(Answer::Firewall)
            .map_err(|error| format!("reading the packet filter: {error}")),
        Question::Watch { to, for_ms } => {
            watch::watch(*to, Duration::from_millis((*for_ms).into()), until).map(Answer::Watch)
        }
    }
}
