//! Three nodes of a cluster, and a network that splits between them: what an application has to
//! live with, made on purpose.

use std::time::Duration;

use netcheck_testkit::{Lab, Partition, Refusal, Result, tcp};

/// Every node waits so long for another one; a partition is silence, which takes all of it.
const PATIENCE: Duration = Duration::from_secs(1);

/// `a`, `b` and `c`, each of which serves port 80 to the others.
async fn cluster(lab: &Lab) -> Result<()> {
    let net = lab.network("cluster").create().await?;
    for name in ["a", "b", "c"] {
        lab.node(name).on(&net).tcp(80).start().await?;
    }
    Ok(())
}

async fn connect(lab: &Lab, from: &str, to: &str) {
    lab.from(from).to(to, tcp(80)).must_connect().await;
}

async fn are_cut_off(lab: &Lab, from: &str, to: &str) {
    let path = lab.from(from).to(to, tcp(80)).patience(PATIENCE);
    path.must_not_connect(Refusal::TimedOut).await;
}

#[netcheck_testkit::test(timeout = "60s")]
async fn a_minority_is_cut_off(lab: &Lab) -> Result<()> {
    cluster(lab).await?;
    connect(lab, "a", "b").await;

    let cut = lab.fault(Partition::between(["a"], ["b", "c"])).await?;
    for (one, other) in [("a", "b"), ("b", "a"), ("a", "c"), ("c", "a")] {
        are_cut_off(lab, one, other).await;
    }
    // The majority goes on.
    connect(lab, "b", "c").await;

    cut.heal().await?;
    for (one, other) in [("a", "b"), ("b", "a"), ("a", "c"), ("c", "a")] {
        connect(lab, one, other).await;
    }
    Ok(())
}

#[netcheck_testkit::test(timeout = "60s")]
async fn a_one_way_partition_cuts_connections_of_both_ways(lab: &Lab) -> Result<()> {
    cluster(lab).await?;
    // `b` hears `a` and cannot answer; a TCP connection needs both ways, whoever opens it.
    let cut = lab.fault(Partition::one_way("b", "a")).await?;
    are_cut_off(lab, "a", "b").await;
    are_cut_off(lab, "b", "a").await;
    connect(lab, "a", "c").await;

    // Dropping the guard heals too.
    drop(cut);
    connect(lab, "a", "b").await;
    Ok(())
}

#[netcheck_testkit::test(timeout = "60s")]
async fn one_port_is_cut_off(lab: &Lab) -> Result<()> {
    cluster(lab).await?;
    let net = lab.get_network("cluster")?;
    lab.node("d").on(&net).tcp(80).tcp(81).start().await?;
    let _cut = lab
        .fault(Partition::between(["a"], ["d"]).port(tcp(80)))
        .await?;
    are_cut_off(lab, "a", "d").await;
    lab.from("a").to("d", tcp(81)).must_connect().await;
    Ok(())
}
