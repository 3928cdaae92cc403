//! What the tests have in common: worlds, and looking at them.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use netcheck_testkit::bollard::query_parameters::ListContainersOptionsBuilder;
use netcheck_testkit::{
    Attempt, Container, Endpoint, LABEL_LAB, LABEL_NAME, Lab, Network, Path, Port, Result,
};

/// How long something may take that is sure to happen; a loaded machine is slow.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// How long an attempt waits that is to end in silence. TCP sends again after a second (RFC 6298
/// 2.1), so that it is not one lost packet that is seen.
pub(crate) const SILENCE: Duration = Duration::from_secs(2);

/// Between two looks.
const AGAIN: Duration = Duration::from_millis(20);

/// Asks until the answer is something.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, ask: impl Fn() -> F) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < SOON, "not within {SOON:?}: {what}");
        tokio::time::sleep(AGAIN).await;
    }
}

/// A server: TCP on 80 and 81 and UDP on 53 that send back what they get.
pub(crate) async fn server(lab: &Lab, name: &str, on: impl Into<Endpoint>) -> Result<Container> {
    let node = lab.node(name).on(on);
    node.tcp(80).tcp(81).udp(53).start().await
}

/// Somebody with a connection to `to` that is open for as long as he lives; he is a server too.
pub(crate) struct Talker {
    pub(crate) container: Container,
    /// How many numbers may be on their way, or on their way to the log, when the last that came
    /// back is looked up.
    on_the_way: u64,
}

/// Of TCP: a number is sent when the one before is back.
const ONE: u64 = 2;

/// Of UDP: one every 20 ms, for delays of up to 0.4 s.
const MANY: u64 = 20;

impl Talker {
    /// Over TCP, port 80 or 81.
    pub(crate) async fn tcp(
        lab: &Lab,
        name: &str,
        on: impl Into<Endpoint>,
        to: impl Into<SocketAddr>,
    ) -> Result<Self> {
        Self::start(lab, name, on, format!("keep-tcp={}", to.into()), ONE).await
    }

    /// Over UDP, port 53.
    pub(crate) async fn udp(
        lab: &Lab,
        name: &str,
        on: impl Into<Endpoint>,
        to: impl Into<IpAddr>,
    ) -> Result<Self> {
        let to = SocketAddr::new(to.into(), 53);
        Self::start(lab, name, on, format!("keep-udp={to}"), MANY).await
    }

    async fn start(
        lab: &Lab,
        name: &str,
        on: impl Into<Endpoint>,
        word: String,
        on_the_way: u64,
    ) -> Result<Self> {
        let node = lab.node(name).on(on).tcp(80).udp(53).word(word);
        let talker = Self {
            container: node.start().await?,
            on_the_way,
        };
        talker.goes_on().await?;
        Ok(talker)
    }

    /// Each round trip so far: its number, and what it took. The connection has not failed, and of
    /// TCP nothing was lost and nothing came twice.
    pub(crate) async fn rounds(&self) -> Result<Vec<(u64, Duration)>> {
        let state = self.container.inspect().await?.state.unwrap();
        let text = self.container.logs(100_000).await?;
        assert_eq!(
            state.running,
            Some(true),
            "{} ended: {text}",
            self.container.name()
        );
        let rounds = text.lines().map(|line| {
            let (number, took) = line.split_once(' ').unwrap();
            let took = Duration::from_micros(took.parse().unwrap());
            (number.parse().unwrap(), took)
        });
        Ok(rounds.collect())
    }

    pub(crate) async fn last(&self) -> Result<u64> {
        Ok(self.rounds().await?.last().map_or(0, |(number, _)| *number))
    }

    /// Waits for some round trips that began after now.
    pub(crate) async fn goes_on(&self) -> Result<()> {
        self.next(3).await.map(drop)
    }

    /// What so many round trips took that all began after now.
    pub(crate) async fn next(&self, count: usize) -> Result<Vec<Duration>> {
        let last = self.last().await? + self.on_the_way;
        let new = until("connections go on", || async {
            let rounds = self.rounds().await.unwrap();
            let new = rounds.iter().filter(|(number, _)| *number > last);
            let new: Vec<Duration> = new.map(|(_, took)| *took).collect();
            (new.len() >= count).then_some(new)
        })
        .await;
        Ok(new)
    }

    /// A TCP connection stood still for about so long, without an error, and lost nothing: one
    /// number took most of that time, and none is missing.
    pub(crate) async fn stood_still(&self, time: Duration) -> Result<()> {
        self.goes_on().await?;
        let rounds = self.rounds().await?;
        for (expected, (number, _)) in (1..).zip(&rounds) {
            assert_eq!(*number, expected, "of {}", self.container.name());
        }
        let longest = rounds.iter().map(|(_, took)| *took).max().unwrap();
        assert!(
            longest > time / 2,
            "the longest round trip of {} took {longest:?} of {time:?}",
            self.container.name()
        );
        Ok(())
    }
}

/// From one to another, with little patience.
pub(crate) fn path(lab: &Lab, from: &str, to: impl ToString, port: Port) -> Path {
    lab.from(from).to(to.to_string(), port).patience(SILENCE)
}

/// What comes of an attempt.
pub(crate) async fn attempt(
    lab: &Lab,
    from: &str,
    to: impl ToString,
    port: Port,
) -> Result<Attempt> {
    path(lab, from, to, port).attempt().await
}

/// The addresses on a network with both families.
pub(crate) async fn both(container: &Container, network: &Network) -> Result<[IpAddr; 2]> {
    let addresses = container.addresses(network).await?;
    Ok(addresses.try_into().unwrap())
}

/// The helpers of faults that the engine has for a lab, in whatever state.
pub(crate) async fn helpers(lab: &Lab) -> Vec<String> {
    let labels = vec![
        format!("{LABEL_LAB}={}", lab.id()),
        format!("{LABEL_NAME}=fault"),
    ];
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&[("label".to_owned(), labels)].into())
        .build();
    // podman's states are not all known to the library.
    let found = netcheck_engine::list_containers(lab.docker(), options)
        .await
        .unwrap();
    found
        .into_iter()
        .filter_map(|container| container.id)
        .collect()
}

/// The helpers go: with their conversation they end, and the engine removes them.
pub(crate) async fn helpers_go(lab: &Lab) {
    until("the helpers are gone", || async {
        helpers(lab).await.is_empty().then_some(())
    })
    .await;
}
