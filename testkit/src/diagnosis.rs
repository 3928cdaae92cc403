//! netcheck's diagnosis of what is in the lab, as a text and a value that are the same in every
//! run: names of the lab in place of those the engine shows, `{mysql-db@back}` in place of
//! addresses, no ids, times or versions.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use netcheck_diagnose::evidence::Fact;
use netcheck_diagnose::render::text::{Style, write};
use netcheck_diagnose::report::{Outcome, Report};
use netcheck_diagnose::request::Target;
use netcheck_engine::{Deadline, Options, PairOptions, ProbeMode, gather, gather_pair};
use serde::Serialize;

use crate::doing::Doing;
use crate::error::{Error, Result};
use crate::lab::{Inner, Lab};
use crate::owner::LABEL_LAB;
use crate::placeholder::Placeholders;
use crate::target::Port;

/// How long a diagnosis may take: the tool's own default is 5 s; a test's machine is busier.
const TIME: Duration = Duration::from_secs(10);

/// Columns of the text.
const WIDTH: usize = 100;

/// netcheck's reports, fit for a snapshot. As text it is what `docker netcheck` prints.
///
/// ```no_run
/// # use netcheck_testkit::Lab;
/// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
/// let diagnosis = lab.diagnose("app", "mysql-db").await?;
/// assert!(diagnosis.is_healthy(), "{diagnosis}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Diagnosis {
    reports: Vec<Report>,
}

impl Diagnosis {
    /// One for each path or container that was looked at.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, LabReport};
    /// # async fn test(lab: &Lab, report: &LabReport) -> netcheck_testkit::Result<()> {
    /// for report in lab.check("app").await?.reports() {
    ///     println!("{:?}", report.outcome);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn reports(&self) -> &[Report] {
        &self.reports
    }

    /// Whether nothing is wrong, and nothing was left undecided.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let diagnosis = lab.check("app").await?;
    /// assert!(diagnosis.is_healthy(), "{diagnosis}");
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_healthy(&self) -> bool {
        self.reports
            .iter()
            .all(|report| report.outcome == Outcome::Healthy)
    }

    /// The codes of the root causes, sorted.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, tcp};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let diagnosis = lab.from("app").to("mysql-db", tcp(3307)).diagnose().await?;
    /// assert_eq!(diagnosis.codes(), ["wrong-port"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn codes(&self) -> Vec<&str> {
        let mut codes: Vec<&str> = self
            .reports
            .iter()
            .flat_map(|report| &report.findings)
            .map(|finding| finding.code.as_str())
            .collect();
        codes.sort_unstable();
        codes.dedup();
        codes
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let style = Style {
            color: false,
            width: WIDTH,
            verbose: false,
            quiet: false,
            unicode: true,
        };
        for (index, report) in self.reports.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            let mut text = Vec::new();
            write(report, &style, &mut text).map_err(|_| fmt::Error)?;
            f.write_str(&String::from_utf8_lossy(&text))?;
        }
        Ok(())
    }
}

impl Lab {
    /// Why `from` cannot reach `to`, or that it can: netcheck's diagnosis for each port of `to`
    /// that takes part (see [`Lab::matrix`]). For one port, or for a name that is not a
    /// container's, see [`Path::diagnose`](crate::Path::diagnose).
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`]: no such container in the lab. [`Error::Invalid`]: no port of `to` takes
    /// part. [`Error::Engine`]: the engine did not say what a diagnosis needs.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let diagnosis = lab.diagnose("app", "mysql-db").await?;
    /// println!("{diagnosis}"); // or insta::assert_snapshot!(diagnosis)
    /// # Ok(())
    /// # }
    /// ```
    pub fn diagnose(
        &self,
        from: impl Into<crate::Who>,
        to: impl Into<crate::Who>,
    ) -> Doing<Diagnosis> {
        let lab = Arc::clone(self.inner());
        let (from, to) = (from.into().0, to.into().0);
        self.inner().job(async move {
            let container = lab.container(&to)?;
            let mut ports = container.declared().to_vec();
            ports.sort_unstable();
            if ports.is_empty() {
                return Err(Error::invalid(format!(
                    "no port of `{to}` takes part: say .expects(tcp(…)), or ask .from(…).to(…).diagnose()"
                )));
            }
            let mut reports = Vec::new();
            for port in ports {
                reports.extend(pair(&lab, &from, &to, port).await?.reports);
            }
            Ok(Diagnosis { reports })
        })
    }

    /// What `docker netcheck NAME` says of one container.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`]: no such container in the lab. [`Error::Engine`]: the engine did not say
    /// what a diagnosis needs.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let diagnosis = lab.check("app").await?;
    /// assert!(diagnosis.is_healthy(), "{diagnosis}");
    /// # Ok(())
    /// # }
    /// ```
    pub fn check(&self, container: impl Into<crate::Who>) -> Doing<Diagnosis> {
        let lab = Arc::clone(self.inner());
        let name = container.into().0;
        self.inner().job(async move { one(&lab, &name).await })
    }
}

/// On the kit's thread: see [`Path::diagnose`](crate::Path::diagnose).
pub(crate) async fn pair(
    lab: &Arc<Inner>,
    from: &str,
    host: &str,
    port: Port,
) -> Result<Diagnosis> {
    let options = PairOptions {
        from: lab.container(from)?.id().to_owned(),
        target: Target::new(host, port.number, port.protocol),
        probe: ProbeMode::Auto,
    };
    let evidence = gather_pair(
        &lab.engine.client.among(LABEL_LAB, &lab.id),
        &options,
        &lab.engine.run,
        Deadline::after(TIME),
        &|_| {},
    )
    .await?;
    report(lab, &evidence).await
}

/// On the kit's thread: see [`Lab::check`].
pub(crate) async fn one(lab: &Arc<Inner>, name: &str) -> Result<Diagnosis> {
    let options = Options {
        container: lab.container(name)?.id().to_owned(),
        probe: ProbeMode::Auto,
        outbound: None,
        deep: false,
    };
    let evidence = gather(
        &lab.engine.client.among(LABEL_LAB, &lab.id),
        &options,
        &lab.engine.run,
        Deadline::after(TIME),
        &|_| {},
    )
    .await?;
    report(lab, &evidence).await
}

async fn report(
    lab: &Arc<Inner>,
    evidence: &netcheck_diagnose::evidence::Evidence,
) -> Result<Diagnosis> {
    let mut evidence = evidence.clone();
    for container in &mut evidence.containers {
        if let Fact::Known(detail) = &mut container.detail {
            without_log_settings(&mut detail.run.flags);
        }
    }
    let mut report = netcheck_diagnose::diagnose(&evidence).map_err(Error::invalid)?;
    report.engine = None;
    report.visits.clear();
    // Of the machine, not of the lab.
    for line in &mut report.checks {
        line.details.clear();
    }
    let placeholders = Placeholders::of(lab).await;
    let mut value = serde_json::to_value(&report).map_err(|e| Error::invalid(e.to_string()))?;
    placeholders.put_into(&mut value);
    let report = serde_json::from_value(value).map_err(|e| Error::invalid(e.to_string()))?;
    Ok(Diagnosis {
        reports: vec![report],
    })
}

/// The engine writes its own log settings into every container, where they cannot be told from chosen ones;
/// in a snapshot they would be those of one machine.
fn without_log_settings(flags: &mut Vec<String>) {
    let is_one = |word: &str| word == "--log-driver" || word == "--log-opt";
    let mut of_one = false;
    flags.retain(|word| {
        let drop = of_one || is_one(word);
        of_one = !of_one && is_one(word);
        !drop
    });
}

#[cfg(test)]
mod tests {
    use super::without_log_settings;

    #[test]
    fn log_settings_go_and_the_rest_stays() {
        let words = "--log-driver json-file --log-opt max-size=10m --label a=b --init";
        let mut flags: Vec<String> = words.split(' ').map(str::to_owned).collect();
        without_log_settings(&mut flags);
        assert_eq!(flags, ["--label", "a=b", "--init"]);
    }
}
