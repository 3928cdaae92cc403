//! What a lab looks like, as text and value that are the same in every run.

use std::time::Duration;

use netcheck_testkit::{Attempt, Disconnect, Lab, Partition, Result, tcp, udp};

/// A shop: `web` in front, `app` in both networks, `mysql-db` in the back.
async fn shop(lab: &Lab) -> Result<()> {
    let front = lab.network("front").create().await?;
    let back = lab.network("back").internal().ipv6().create().await?;
    let db = lab
        .node("mysql-db")
        .on(back.alias("db.internal").host(10))
        .banner(3306)
        .udp(53)
        .tcp(([127, 0, 0, 1], 9000))
        .start()
        .await?;
    let address = db.addresses(&back).await?[0];
    let (app, web) = tokio::join!(
        lab.node("app")
            .on(&front)
            .on(&back)
            .http(8080)
            .env(
                "DATABASE_URL",
                format!("mysql://root:secret@{address}:3306/some")
            )
            .start(),
        lab.node("web").on(&front).http(80).publish(tcp(80)).start(),
    );
    app.and(web)?;
    Ok(())
}

#[tokio::test]
async fn a_report_is_the_same_in_every_run() -> Result<()> {
    let mut texts = Vec::new();
    for _ in 0..2 {
        let lab = Lab::start().await?;
        shop(&lab).await?;
        let cut = lab.fault(Partition::between(["web"], ["app"])).await?;
        texts.push(lab.report().await?.to_string());
        cut.heal().await?;
        let _off = lab.fault(Disconnect::new("mysql-db", "back")).await?;
        texts.push(lab.report().await?.to_string());
        lab.get("web")?.stop(Duration::from_secs(10)).await?;
        texts.push(lab.report().await?.to_string());
        lab.end().await?;
    }
    assert_eq!(texts[..3], texts[3..]);
    insta::assert_snapshot!("report", texts[..3].join("\n"));
    Ok(())
}

#[tokio::test]
async fn a_diagnosis_is_the_same_in_every_run() -> Result<()> {
    let mut texts = Vec::new();
    for _ in 0..2 {
        let lab = Lab::start().await?;
        shop(&lab).await?;
        let mut text = String::new();
        let healthy = lab.diagnose("app", "mysql-db").await?;
        assert!(
            !healthy.is_healthy(),
            "port 9000 is on loopback only:\n{healthy}"
        );
        text += &healthy.to_string();
        let far = lab.from("web").to("mysql-db", tcp(3306)).diagnose().await?;
        assert_eq!(far.codes(), ["no-shared-network"], "{far}");
        text = text + "\n" + &far.to_string();
        let app = lab.check("app").await?;
        text = text + "\n" + &app.to_string();
        let value = serde_json::to_string_pretty(&far).unwrap();
        assert!(!value.contains(lab.id()), "{value}");
        text = text + "\n" + &value;
        texts.push(text);
        lab.end().await?;
    }
    insta::assert_snapshot!("diagnosis", texts[0]);
    insta::assert_snapshot!("diagnosis", texts[1]);
    Ok(())
}

#[tokio::test]
async fn the_matrix_shows_who_reaches_what() -> Result<()> {
    let lab = Lab::start().await?;
    shop(&lab).await?;
    let cut = lab.fault(Partition::one_way("app", "mysql-db")).await?;
    insta::assert_snapshot!("matrix_of_a_partition", lab.matrix().await?.to_string());
    cut.heal().await?;
    let matrix = lab.matrix().await?;
    insta::assert_snapshot!("matrix", matrix.to_string());
    assert_eq!(
        matrix.get("app", "mysql-db", udp(53)),
        Some(&Attempt::Connected)
    );
    lab.end().await
}

#[tokio::test]
async fn ten_by_ten() -> Result<()> {
    let lab = Lab::start().await?;
    let net = lab.network("net").create().await?;
    let nodes = (0..10).map(|n| lab.node(format!("n{n}")).on(&net).tcp(80).start());
    for node in futures_util::future::join_all(nodes).await {
        node?;
    }
    let matrix = lab.matrix().await?;
    let cells = matrix.cells.iter().flatten().flatten();
    assert_eq!(
        cells
            .filter(|attempt| **attempt == Attempt::Connected)
            .count(),
        90,
        "{matrix}"
    );
    lab.end().await
}
