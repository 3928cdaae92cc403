//! The pair: can one container connect to another? The plugin against what people do by hand for the same
//! steps, where it works and where it does not.

use std::process::Command;
use std::time::Duration;

use super::measure::{self, Series};
use super::{Bench, LABEL};
use crate::complain;
use crate::failure::Result;

use super::table::Row;

/// One question about two containers.
pub(crate) struct Asked {
    pub(crate) what: &'static str,
    pub(crate) hand: Series,
    pub(crate) hand_commands: usize,
    pub(crate) rows: Vec<Row>,
}

/// What is asked, and the port for it: the server listens on 80.
const QUESTIONS: [(&str, u16); 2] = [
    ("it works", 80),
    ("nothing listens on that port (`wrong-port`)", 81),
];

impl Bench<'_> {
    /// The first neighbour asks for the subject, all in turns.
    pub(super) fn asked(&mut self, modes: &[&'static str], tools: &str) -> Result<Vec<Asked>> {
        let mut all = Vec::new();
        for (what, port) in QUESTIONS {
            complain(&format!("a pair: {what}…"));
            let by_hand = self.steps_by_hand(port, tools);
            let mut asked = Asked {
                what,
                hand: Series::default(),
                hand_commands: by_hand.len(),
                rows: modes.iter().map(|mode| Row::new(mode)).collect(),
            };
            // One more than is counted: the first has cold caches.
            for run in 0..=self.runs {
                let mut hand = Duration::ZERO;
                for words in &by_hand {
                    hand += measure::time(self.engine.docker().args(words))?;
                }
                if run > 0 {
                    asked.hand.add(hand);
                }
                for row in &mut asked.rows {
                    let mut command = self.ask(&row.mode, port);
                    let time = measure::time(&mut command)?;
                    self.settle()?;
                    if run > 0 {
                        row.series.add(time);
                    }
                }
            }
            all.push(asked);
        }
        Ok(all)
    }

    fn client(&self) -> String {
        format!("{}-peer-1", self.prefix)
    }

    fn ask(&self, mode: &str, port: u16) -> Command {
        let mut command = Command::new(&self.plugin);
        self.engine.aim(&mut command);
        command.args([
            "--probe",
            mode,
            &self.client(),
            &format!("{}:{port}", self.subject),
        ]);
        command
    }

    /// Do they share a network, is the name known there, does it connect, what listens at the other end?
    fn steps_by_hand(&self, port: u16, tools: &str) -> Vec<Vec<String>> {
        let (client, subject) = (self.client(), self.subject.clone());
        let inspect = |name: &str| {
            [
                "inspect",
                "--format",
                "{{json .NetworkSettings.Networks}}",
                name,
            ]
            .map(str::to_owned)
            .to_vec()
        };
        let beside = |name: &str, words: &[&str]| {
            let network = format!("container:{name}");
            let mut command = [
                "run",
                "--rm",
                "--label",
                LABEL,
                "--network",
                &network,
                tools,
            ]
            .map(str::to_owned)
            .to_vec();
            command.extend(words.iter().map(|word| (*word).to_owned()));
            command
        };
        let port = port.to_string();
        vec![
            inspect(&client),
            inspect(&subject),
            beside(&client, &["nslookup", &subject]),
            beside(&client, &["nc", "-w", "1", &subject, &port]),
            beside(&subject, &["netstat", "-tuln"]),
        ]
    }
}
