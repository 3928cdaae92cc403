//! A conversation with a probe: request lines in, response lines out, over whatever carries bytes.
//! It trusts nothing that comes back: length, form and version are checked.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use netcheck_diagnose::probe::{Answered, MAX_LINE, Question, Request, Response, VERSION};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::deadline::Deadline;

/// Chunks of the probe's standard output, or why there are no more.
pub(crate) type Output = Pin<Box<dyn Stream<Item = Result<Vec<u8>, String>> + Send>>;

/// An open conversation. Dropping it ends the probe: its standard input ends.
pub(crate) struct Session {
    input: Pin<Box<dyn AsyncWrite + Send>>,
    output: Output,
    pending: Vec<u8>,
    /// Lives as long as the conversation, e.g. the child process.
    _keep: Option<Box<dyn Send>>,
}

/// The probe answers a little before the deadline, so that its answer arrives in time: the way
/// back over an attached stream takes a few milliseconds, up to a hundred on a loaded machine.
const WAY_BACK: Duration = Duration::from_millis(150);

impl Session {
    pub(crate) fn new(
        input: Pin<Box<dyn AsyncWrite + Send>>,
        output: Output,
        keep: Option<Box<dyn Send>>,
    ) -> Self {
        Self {
            input,
            output,
            pending: Vec::new(),
            _keep: keep,
        }
    }

    /// Asks, and waits for the answers until the deadline.
    pub(crate) async fn ask(
        &mut self,
        questions: Vec<Question>,
        deadline: Deadline,
    ) -> Result<Vec<Answered>, String> {
        let left = deadline.for_the_probe(WAY_BACK);
        if left.is_zero() {
            return Err("the time for the run was over".into());
        }
        let millis = u32::try_from(left.as_millis()).unwrap_or(u32::MAX);
        let request = Request::new(millis, questions);
        let mut line = serde_json::to_vec(&request).map_err(|error| error.to_string())?;
        line.push(b'\n');
        let exchange = async {
            let sent = async {
                self.input.write_all(&line).await?;
                self.input.flush().await
            };
            let not_sent: Option<io::Error> = sent.await.err();
            // A probe that ended says why on its output; a broken pipe alone says nothing.
            self.line()
                .await
                .map_err(|why| not_sent.map_or(why.clone(), |error| format!("{why} ({error})")))
        };
        let answer = tokio::time::timeout_at(deadline.end(), exchange)
            .await
            .map_err(|_| format!("the probe did not answer within {millis} ms"))??;
        let response: Response = serde_json::from_slice(&answer)
            .map_err(|error| format!("the probe's answer cannot be read: {error}"))?;
        if response.version != VERSION {
            return Err(format!(
                "the probe speaks version {} of the protocol, not {VERSION}",
                response.version
            ));
        }
        if let Some(error) = response.error {
            return Err(format!("the probe refused the request: {error}"));
        }
        if response.answers.len() != request.questions.len() {
            return Err("the probe left questions without an answer".into());
        }
        Ok(response.answers)
    }

    async fn line(&mut self) -> Result<Vec<u8>, String> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let rest = self.pending.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.pending, rest);
                line.pop();
                return Ok(line);
            }
            if self.pending.len() > MAX_LINE {
                return Err("the probe's answer is too long".into());
            }
            match self.output.next().await {
                Some(chunk) => self.pending.extend_from_slice(&chunk?),
                None => return Err("the probe ended without an answer".into()),
            }
        }
    }
}
