//! A conversation with the program that makes faults, in a helper container that shares a
//! container's network namespace. The fault lasts as long as the conversation: when the attached
//! stream ends, for whatever reason, the program heals and goes.
//!
//! It must never enter the host's namespace.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::AttachContainerOptionsBuilder;
use futures_util::{Stream, StreamExt as _};
use netcheck_fault::{
    Answer, Counters, MAX_LINE, Order, READING_REQUEST, Request, Response, VERSION,
};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use crate::error::{Error, Result};
use crate::lab::Inner;
use crate::removal;

/// How long the program may take to answer: making a fault takes milliseconds, starting its
/// container up to seconds on a loaded machine.
const ANSWER: Duration = Duration::from_secs(10);

/// An open conversation. Dropping it heals the fault.
pub(crate) struct Agent {
    id: String,
    input: Pin<Box<dyn AsyncWrite + Send>>,
    output: Pin<Box<dyn Stream<Item = Result<Vec<u8>, String>> + Send>>,
    pending: Vec<u8>,
}

impl Agent {
    /// Starts the program in this network mode (`container:ID`, or a network).
    pub(crate) async fn start(lab: &Arc<Inner>, mode: &str) -> Result<Self> {
        let image = lab.engine.fault_image().await?;
        let body = ContainerCreateBody {
            image: Some(image),
            labels: Some(lab.labels("fault")),
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            open_stdin: Some(true),
            stdin_once: Some(true),
            tty: Some(false),
            host_config: Some(HostConfig {
                network_mode: Some(mode.to_owned()),
                auto_remove: Some(true),
                readonly_rootfs: Some(true),
                cap_drop: Some(vec!["ALL".into()]),
                // Packet filter tables and packet sockets, in that namespace alone.
                cap_add: Some(vec!["NET_ADMIN".into(), "NET_RAW".into()]),
                security_opt: Some(vec!["no-new-privileges".into()]),
                log_config: Some(HostConfigLogConfig {
                    typ: Some("none".into()),
                    config: None,
                }),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let making = Arc::clone(lab);
        let doing = "starting the helper of a fault";
        lab.making(async move {
            let docker = making.engine.docker();
            let created = docker
                .create_container(None, body)
                .await
                .map_err(|e| Error::api(doing, &e))?;
            let started = async {
                let options = AttachContainerOptionsBuilder::new()
                    .stream(true)
                    .stdin(true)
                    .stdout(true)
                    .stderr(true)
                    .build();
                let streams = docker.attach_container(&created.id, Some(options)).await?;
                docker.start_container(&created.id, None).await?;
                Ok(streams)
            };
            let streams = match started.await {
                Ok(streams) => streams,
                Err(error) => {
                    // The engine removes by itself only what ran. The first error is the one that
                    // counts; the lab's end tries again.
                    removal::remove_container(docker, created.id).await;
                    return Err(Error::api(doing, &error));
                }
            };
            let output = streams.output.map(|part| match part {
                Ok(LogOutput::StdErr { message }) => {
                    Err(String::from_utf8_lossy(&message).trim().to_owned())
                }
                Ok(other) => Ok(other.into_bytes().to_vec()),
                Err(error) => Err(error.to_string()),
            });
            Ok(Self {
                id: created.id,
                input: streams.input,
                output: Box::pin(output),
                pending: Vec::new(),
            })
        })
        .await
    }

    /// The helper's id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Gives an order and reads the answer. `Unsupported` and `Error` answers become errors.
    pub(crate) async fn order(&mut self, order: Order) -> Result<Answer> {
        let failed = |why: String| Error::Api {
            doing: "talking to the helper of a fault".into(),
            why,
            status: None,
        };
        let mut line =
            serde_json::to_vec(&Request::new(order)).map_err(|e| failed(e.to_string()))?;
        line.push(b'\n');
        let exchange = async {
            self.input
                .write_all(&line)
                .await
                .map_err(|e| failed(e.to_string()))?;
            self.input
                .flush()
                .await
                .map_err(|e| failed(e.to_string()))?;
            let answer = self.line().await.map_err(failed)?;
            let response: Response =
                serde_json::from_slice(&answer).map_err(|e| failed(e.to_string()))?;
            if response.version != VERSION {
                return Err(failed(format!("it speaks version {}", response.version)));
            }
            Ok(response.answer)
        };
        let answer =
            tokio::time::timeout(ANSWER, exchange)
                .await
                .map_err(|_| Error::TimedOut {
                    doing: "waiting for the helper of a fault".into(),
                    after: ANSWER,
                })??;
        match answer {
            Answer::Unsupported(missing) => Err(Error::Unsupported {
                needs: missing.needs,
                why: missing.why,
            }),
            Answer::Error { doing, why } if doing == READING_REQUEST => Err(Error::Invalid { why }),
            Answer::Error { doing, why } => Err(Error::Api {
                doing: format!("making a fault ({doing})"),
                why,
                status: None,
            }),
            answer => Ok(answer),
        }
    }

    /// What the fault has done so far.
    pub(crate) async fn counters(&mut self) -> Result<Counters> {
        match self.order(Order::Counters).await? {
            Answer::Counters(counters) => Ok(counters),
            other => Err(Error::invalid(format!("unexpected answer {other:?}"))),
        }
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
                return Err("its answer is too long".into());
            }
            match self.output.next().await {
                Some(chunk) => self.pending.extend_from_slice(&chunk?),
                None => return Err("it ended without an answer".into()),
            }
        }
    }
}
