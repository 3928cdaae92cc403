//! Snapshots of what a lab looks like and of what is wrong with it. The texts hold names and never
//! an address, an id or a time, so they are the same in every run and on every engine.

use netcheck_testkit::{Lab, Partition, Result, tcp};

/// A web server before a database that listens at another port than everybody thinks.
async fn shop(lab: &Lab) -> Result<()> {
    let front = lab.network("front").create().await?;
    let back = lab.network("back").internal().create().await?;
    lab.node("mysql-db")
        .on(back.alias("db.internal"))
        .banner(3307)
        // What applications are told.
        .expects(tcp(3306))
        .start()
        .await?;
    lab.node("app")
        .on(&front)
        .on(&back)
        .http(80)
        .publish(tcp(80))
        .start()
        .await?;
    Ok(())
}

#[netcheck_testkit::test(timeout = "60s")]
async fn what_a_lab_looks_like(lab: &Lab) -> Result<()> {
    shop(lab).await?;
    insta::assert_snapshot!(lab.report().await?, @r"
    network back      bridge internal ipv4/26
      app             {app@back}
      mysql-db        {mysql-db@back}  also db.internal
    network front     bridge ipv4/26
      app             {app@front}
    container app       running  listens 80/tcp  publishes 80/tcp
    container mysql-db  running  listens 3307/tcp
    ");
    let _cut = lab.fault(Partition::between(["app"], ["mysql-db"])).await?;
    insta::assert_snapshot!(lab.report().await?.faults.join("\n"), @"partition app <|> mysql-db");
    Ok(())
}

#[netcheck_testkit::test(timeout = "60s")]
async fn why_the_database_is_not_reached(lab: &Lab) -> Result<()> {
    shop(lab).await?;
    insta::assert_snapshot!(lab.diagnose("app", "mysql-db").await?, @r"
    ✗ app to `mysql-db:3306`: nothing listens on that port, but on others

      app ── back ──✗ mysql-db:3306

      ✓ from       ok        `app` is running
      ✓ target     ok        `mysql-db` is running
      ✓ network    ok        both are on back
      ✓ name       ok        `mysql-db` is {mysql-db@back} (from {dns})
      ✗ connect    problem   {mysql-db@back}:3306: connection refused after {time} ms
      ✗ listener   problem   nothing listens on 3306/tcp in `mysql-db`

    error[wrong-port]: nothing listens on 3306/tcp in `mysql-db`; what listens there is on 3307/tcp
      proof  seen from `mysql-db`: listening on tcp 0.0.0.0:3307
             seen from `app`: {mysql-db@back}:3306: connection refused after {time} ms
      fix    Use what is open there: `mysql-db:3307`
      or     If 3306/tcp is right, see why `mysql-db` does not open it
               docker logs --tail 50 mysql-db
      more   docker netcheck explain wrong-port

    ✓ app to `mysql-db:3307`: works

      app ── back ──▶ mysql-db:3307

      ✓ from       ok        `app` is running
      ✓ target     ok        `mysql-db` is running
      ✓ network    ok        both are on back
      ✓ name       ok        `mysql-db` is {mysql-db@back} (from {dns})
      ✓ connect    ok        {mysql-db@back}:3307: connected after {time} ms
      ✓ listener   ok        `mysql-db` listens on 0.0.0.0:3307 (`netcheck-node`)
    ");
    Ok(())
}
