//! What was seen from inside a network namespace, with look-ups by question.
//! It stores the probe's answers as they came and judges nothing.

use std::net::{IpAddr, SocketAddr};

use netcheck_probe::{
    Accepts, Answer, Answered, Connected, Delivered, DnsQuery, Errno, Fitted, Lookup, Question,
    RecordType, Snapshot,
};
use serde::{Deserialize, Serialize};

use super::Fact;

/// Where to look from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "from", content = "id")]
pub enum Viewpoint {
    /// The namespace of the container with this id.
    Container(String),
    /// A helper of our own on the network with this id: a peer where there is no other.
    Network(String),
    /// The engine's host.
    Host,
}

impl Viewpoint {
    /// The view of what has this id among the containers of an evidence.
    pub fn of(id: &str) -> Self {
        if id == super::ENGINE_HOST {
            Self::Host
        } else {
            Self::Container(id.to_owned())
        }
    }
}

/// How the probe got there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// A short-lived helper container that shares the namespace.
    Helper,
    /// A process on the engine's host that entered the namespace.
    Netns,
}

/// The answers from one viewpoint, of all rounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// Where.
    pub from: Viewpoint,
    /// By which means.
    pub how: How,
    /// Until the last answer was in, in milliseconds.
    pub took_ms: u32,
    /// In the order they were asked.
    pub answers: Vec<Answered>,
}

impl Visit {
    fn answer(&self, question: &Question) -> Fact<&Answer> {
        match self
            .answers
            .iter()
            .find(|answered| answered.question == *question)
        {
            None => Fact::NotCollected,
            Some(Answered {
                answer: Ok(answer), ..
            }) => Fact::Known(answer),
            Some(Answered {
                answer: Err(reason),
                ..
            }) => Fact::Failed(reason.clone()),
        }
    }

    /// What could be read without sending anything.
    pub fn snapshot(&self) -> Fact<&Snapshot> {
        match self.answer(&Question::Snapshot) {
            Fact::Known(Answer::Snapshot(snapshot)) => Fact::Known(snapshot),
            other => unexpected(other),
        }
    }

    /// What a program there gets for a name; where only the name with a final dot was asked for, what it
    /// gets for that.
    pub fn lookup(&self, name: &str) -> Fact<&Lookup> {
        let asked = |name: String| match self.answer(&Question::Lookup { name }) {
            Fact::Known(Answer::Lookup(lookup)) => Fact::Known(lookup),
            other => unexpected(other),
        };
        match asked(name.into()) {
            Fact::NotCollected if !name.ends_with('.') => asked(format!("{name}.")),
            other => other,
        }
    }

    /// One query to one server.
    pub fn query(&self, name: &str, record: RecordType, server: SocketAddr) -> Fact<&DnsQuery> {
        let question = Question::Query {
            name: name.into(),
            record,
            server,
        };
        match self.answer(&question) {
            Fact::Known(Answer::Query(query)) => Fact::Known(query),
            other => unexpected(other),
        }
    }

    /// A TCP connection; where it was tried more than once, the try that listened longest.
    pub fn connect(&self, address: SocketAddr) -> Fact<&Connected> {
        let of = |question: &Question| match question {
            Question::Connect { to, listen_ms } if *to == address => Some(*listen_ms),
            _ => None,
        };
        let found = self
            .answers
            .iter()
            .filter_map(|answered| Some((of(&answered.question)?, &answered.answer)))
            .max_by_key(|(listen_ms, answer)| (answer.is_ok(), *listen_ms));
        match found.map(|(_, answer)| answer) {
            None => Fact::NotCollected,
            Some(Ok(Answer::Connect(connected))) => Fact::Known(connected),
            Some(Ok(_)) => Fact::Failed("the probe answered another question".into()),
            Some(Err(reason)) => Fact::Failed(reason.clone()),
        }
    }

    /// The longest time, in milliseconds, for which a connection there was listened to.
    pub fn listened_ms(&self, address: SocketAddr) -> u32 {
        let of = |answered: &Answered| match answered.question {
            Question::Connect { to, listen_ms } if to == address => listen_ms,
            _ => 0,
        };
        let seen = self.answers.iter().filter(|one| one.answer.is_ok());
        seen.map(of).max().unwrap_or_default()
    }

    /// What came of a TLS hello there.
    pub fn hello(&self, address: SocketAddr) -> Fact<&Connected> {
        let found = self.answers.iter().find(
            |answered| matches!(&answered.question, Question::Hello { to, .. } if *to == address),
        );
        match found.map(|answered| &answered.answer) {
            None => Fact::NotCollected,
            Some(Ok(Answer::Hello(connected))) => Fact::Known(connected),
            Some(Ok(_)) => Fact::Failed("the probe answered another question".into()),
            Some(Err(reason)) => Fact::Failed(reason.clone()),
        }
    }

    /// Whether a listener takes connections, whatever the patience was.
    pub fn accepts(&self, address: SocketAddr) -> Fact<&Accepts> {
        let found = self.answers.iter().find(
            |answered| matches!(&answered.question, Question::Accepts { to, .. } if *to == address),
        );
        match found.map(|answered| &answered.answer) {
            None => Fact::NotCollected,
            Some(Ok(Answer::Accepts(accepts))) => Fact::Known(accepts),
            Some(Ok(_)) => Fact::Failed("the probe answered another question".into()),
            Some(Err(reason)) => Fact::Failed(reason.clone()),
        }
    }

    /// What became of a datagram.
    pub fn datagram(&self, address: SocketAddr) -> Fact<&Delivered> {
        let found = self.answers.iter().find(|answered| {
            matches!(&answered.question, Question::Datagram { to, .. } if *to == address)
        });
        match found.map(|answered| &answered.answer) {
            None => Fact::NotCollected,
            Some(Ok(Answer::Datagram(delivered))) => Fact::Known(delivered),
            Some(Ok(_)) => Fact::Failed("the probe answered another question".into()),
            Some(Err(reason)) => Fact::Failed(reason.clone()),
        }
    }

    /// What became of large packets there, whatever their size was.
    pub fn fits(&self, address: SocketAddr) -> Fact<&Fitted> {
        let found = self.answers.iter().find(
            |answered| matches!(&answered.question, Question::Fits { to, .. } if *to == address),
        );
        match found.map(|answered| &answered.answer) {
            None => Fact::NotCollected,
            Some(Ok(Answer::Fits(fitted))) => Fact::Known(fitted),
            Some(Ok(_)) => Fact::Failed("the probe answered another question".into()),
            Some(Err(reason)) => Fact::Failed(reason.clone()),
        }
    }

    /// Why the kernel there has no way to an address; known and none where it has one.
    pub fn barred(&self, address: IpAddr) -> Fact<Option<Errno>> {
        match self.answer(&Question::Way { to: address }) {
            Fact::Known(Answer::Way { barred }) => Fact::Known(*barred),
            other => unexpected(other),
        }
    }

    /// How many local ports connections to there hold.
    pub fn ports_held(&self, address: SocketAddr) -> Fact<u32> {
        match self.answer(&Question::Held { to: address }) {
            Fact::Known(Answer::Held { ports }) => Fact::Known(*ports),
            other => unexpected(other),
        }
    }

    /// Who has an address of a link, by ARP or NDP.
    pub fn owner(&self, address: IpAddr) -> Fact<&Delivered> {
        let found = self.answers.iter().find(
            |answered| matches!(&answered.question, Question::Owner { of, .. } if *of == address),
        );
        match found.map(|answered| &answered.answer) {
            None => Fact::NotCollected,
            Some(Ok(Answer::Owner(delivered))) => Fact::Known(delivered),
            Some(Ok(_)) => Fact::Failed("the probe answered another question".into()),
            Some(Err(reason)) => Fact::Failed(reason.clone()),
        }
    }

    /// What became of an echo request.
    pub fn ping(&self, address: IpAddr) -> Fact<&Delivered> {
        let found = self.answers.iter().find(
            |answered| matches!(&answered.question, Question::Ping { to, .. } if *to == address),
        );
        match found.map(|answered| &answered.answer) {
            None => Fact::NotCollected,
            Some(Ok(Answer::Ping(delivered))) => Fact::Known(delivered),
            Some(Ok(_)) => Fact::Failed("the probe answered another question".into()),
            Some(Err(reason)) => Fact::Failed(reason.clone()),
        }
    }
}

fn unexpected<T>(fact: Fact<&Answer>) -> Fact<T> {
    match fact {
        Fact::Known(_) => Fact::Failed("the probe answered another question".into()),
        Fact::NotCollected => Fact::NotCollected,
        Fact::Failed(reason) => Fact::Failed(reason),
    }
}
