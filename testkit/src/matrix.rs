//! Who reaches what: every container of the lab against every port that takes part.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use netcheck_diagnose::evidence::{Viewpoint, Visit};
use netcheck_diagnose::probe::Question;
use serde::{Deserialize, Serialize};

use crate::assertion::{Attempt, answer, question};
use crate::doing::Doing;
use crate::error::Result;
use crate::lab::{Inner, Lab};
use crate::target::Port;

/// How long a connection may take before its cell says so. Where all is well every one takes
/// milliseconds; this is what a cell of a partition costs, once for the whole matrix.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How long the names may take. The engine answers for its own at once; for others it asks servers
/// that may be far, or silent.
const LOOKUP: Duration = Duration::from_secs(2);

/// Who reaches what. As text it is a table, fit for a snapshot:
///
/// ```text
///           app:8080/tcp  mysql-db:3306/tcp
/// app       -             ok
/// client    ok            no such name
/// mysql-db  timed out     -
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matrix {
    /// Names of those who connect, sorted.
    pub rows: Vec<String>,
    /// Whom they connect to, sorted.
    pub columns: Vec<Column>,
    /// By row and column; none where a container would connect to itself.
    pub cells: Vec<Vec<Option<Attempt>>>,
}

/// A port that takes part.
///
/// ```no_run
/// # use netcheck_testkit::{Lab, Column, tcp};
/// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
/// let matrix = lab.matrix().await?;
/// let column = Column { name: "mysql-db".into(), port: tcp(3306) };
/// assert!(matrix.columns.contains(&column));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Column {
    /// The container's name in the lab, which is what is resolved.
    pub name: String,
    /// Its port.
    pub port: Port,
}

impl Matrix {
    /// What came of it when `row` connected to `port` of `name`.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Attempt, Lab, tcp};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let matrix = lab.matrix().await?;
    /// assert_eq!(matrix.get("app", "mysql-db", tcp(3306)), Some(&Attempt::Connected));
    /// # Ok(())
    /// # }
    /// ```
    pub fn get(&self, row: &str, name: &str, port: Port) -> Option<&Attempt> {
        let row = self.rows.iter().position(|known| known == row)?;
        let column = self
            .columns
            .iter()
            .position(|known| known.name == name && known.port == port)?;
        self.cells.get(row)?.get(column)?.as_ref()
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads: Vec<String> = self
            .columns
            .iter()
            .map(|column| format!("{}:{}", column.name, column.port))
            .collect();
        let words: Vec<Vec<String>> = self
            .cells
            .iter()
            .map(|row| {
                row.iter()
                    .map(|cell| {
                        cell.as_ref()
                            .map_or_else(|| "-".into(), ToString::to_string)
                    })
                    .collect()
            })
            .collect();
        let first = self
            .rows
            .iter()
            .map(|row| row.chars().count())
            .max()
            .unwrap_or(0);
        let width = |column: usize| {
            let cells = words.iter().filter_map(|row| row.get(column));
            let cells = cells.map(|cell| cell.chars().count());
            cells
                .chain([heads[column].chars().count()])
                .max()
                .unwrap_or(0)
        };
        let mut line = |head: &str, cells: &[String]| {
            let mut text = format!("{head:<first$}");
            for (column, cell) in cells.iter().enumerate() {
                text = format!("{text}  {cell:<width$}", width = width(column));
            }
            writeln!(f, "{}", text.trim_end())
        };
        line("", &heads)?;
        for (row, cells) in self.rows.iter().zip(&words) {
            line(row, cells)?;
        }
        Ok(())
    }
}

impl Lab {
    /// Everybody who runs, against every port that takes part (services of built-in nodes, ports
    /// published, exposed or waited for, [`Builder::expects`](crate::Builder::expects)); all at
    /// once, each seen from inside, by name.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid): somebody cannot be looked from, or gave no answer.
    /// [`Error::Api`](crate::Error::Api): the engine does not list who runs.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// println!("{}", lab.matrix().await?); // or insta::assert_snapshot!(…)
    /// # Ok(())
    /// # }
    /// ```
    pub fn matrix(&self) -> Doing<Matrix> {
        let lab = Arc::clone(self.inner());
        self.inner().job(async move { matrix(&lab).await })
    }
}

async fn matrix(lab: &Arc<Inner>) -> Result<Matrix> {
    let mut rows = Vec::new();
    let mut columns = Vec::new();
    let records: Vec<_> = lab.state().containers.values().cloned().collect();
    for record in records {
        columns.extend(record.declared.iter().map(|port| Column {
            name: record.name.clone(),
            port: *port,
        }));
        rows.push(record);
    }
    columns.sort();
    let running: BTreeSet<String> = lab.running().await?;
    rows.retain(|record| running.contains(&record.id));
    let names: BTreeSet<&String> = columns.iter().map(|column| &column.name).collect();
    let lookups = || -> Vec<Question> {
        let names = names.iter();
        names
            .map(|name| Question::Lookup {
                name: (*name).clone(),
            })
            .collect()
    };
    let everybody = |questions: &dyn Fn(&str) -> Vec<Question>| {
        rows.iter()
            .map(|row| (Viewpoint::Container(row.id.clone()), questions(&row.id)))
            .collect()
    };
    let named = visits(lab, everybody(&|_| lookups()), LOOKUP).await?;
    // Where names fail on purpose, a failure is the answer.
    let broken = lab.containers_with_dns_faults();
    let addresses = |id: &str, name: &str| -> Vec<IpAddr> {
        let lookup = named.get(id).map(|visit| visit.lookup(name));
        lookup
            .and_then(|lookup| lookup.known().map(|lookup| lookup.addresses.clone()))
            .unwrap_or_default()
    };
    let questions = |id: &str| -> Vec<Question> {
        columns
            .iter()
            .flat_map(|column| {
                let found = addresses(id, &column.name).into_iter();
                found.map(|ip| question(SocketAddr::new(ip, column.port.number), column.port))
            })
            .collect()
    };
    let time = PATIENCE + Duration::from_millis(500);
    let connected = visits(lab, everybody(&questions), time).await?;
    let cell = |id: &str, own: &str, column: &Column| -> Result<Option<Attempt>> {
        if column.name == own {
            return Ok(None);
        }
        let mut first = None;
        for ip in addresses(id, &column.name) {
            if let Some(visit) = connected.get(id) {
                let attempt = answer(visit, SocketAddr::new(ip, column.port.number), column.port)?;
                if attempt == Attempt::Connected {
                    return Ok(Some(attempt));
                }
                first.get_or_insert(attempt);
            }
        }
        if first.is_none() {
            let lookup = named.get(id).map(|visit| visit.lookup(&column.name));
            let said = lookup.and_then(|lookup| lookup.known().map(|l| Attempt::of_lookup(l)));
            first = match said {
                // Servers of the machine were asked, and what those say, or whether they answer in
                // time, is not the lab's: the engine at least does not know the name.
                None | Some(Attempt::NameFailed) if !broken.contains(id) => {
                    Some(Attempt::NameUnknown)
                }
                None => Some(Attempt::NameFailed),
                said => said,
            };
        }
        Ok(first)
    };
    let cells = rows
        .iter()
        .map(|row| {
            columns
                .iter()
                .map(|column| cell(&row.id, &row.name, column))
                .collect()
        })
        .collect::<Result<_>>()?;
    Ok(Matrix {
        rows: rows.iter().map(|row| row.name.clone()).collect(),
        columns,
        cells,
    })
}

/// Looks from all of them at once; by container id.
async fn visits(
    lab: &Inner,
    plan: BTreeMap<Viewpoint, Vec<Question>>,
    time: Duration,
) -> Result<BTreeMap<String, Visit>> {
    lab.engine
        .look(plan, time)
        .await
        .into_iter()
        .map(|(viewpoint, visit)| match (viewpoint, visit) {
            (Viewpoint::Container(id), Ok(visit)) => Ok((id, visit)),
            (viewpoint, Err(why)) => Err(crate::Error::invalid(format!(
                "{} cannot be looked from: {why}",
                lab.name_of(&viewpoint)
            ))),
            (viewpoint, Ok(_)) => Err(crate::Error::invalid(format!(
                "{viewpoint:?} was not asked"
            ))),
        })
        .collect()
}

impl Inner {
    fn name_of(&self, viewpoint: &Viewpoint) -> String {
        match viewpoint {
            Viewpoint::Container(id) => {
                let state = self.state();
                let known = state.containers.values().find(|record| record.id == *id);
                known.map_or_else(|| id.clone(), |record| format!("`{}`", record.name))
            }
            other => format!("{other:?}"),
        }
    }

    /// Ids of containers that see wrong answers for a name, by a fault in force.
    fn containers_with_dns_faults(&self) -> BTreeSet<String> {
        let state = self.state();
        let names = state.faults.iter().filter_map(|fault| fault.dns_at());
        names
            .filter_map(|name| state.containers.get(name))
            .map(|record| record.id.clone())
            .collect()
    }

    /// Ids of the lab's containers that run.
    pub(crate) async fn running(&self) -> Result<BTreeSet<String>> {
        use bollard::query_parameters::ListContainersOptionsBuilder;
        use netcheck_engine::list_containers;
        let label = format!("{}={}", crate::owner::LABEL_LAB, self.id);
        let filters = std::collections::HashMap::from([("label".to_owned(), vec![label])]);
        let options = ListContainersOptionsBuilder::new()
            .filters(&filters)
            .build();
        let found = list_containers(self.engine.docker(), options)
            .await
            .map_err(|e| crate::Error::api("listing the lab's containers", &e))?;
        Ok(found
            .into_iter()
            .filter_map(|container| container.id)
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_aligned_and_has_no_trailing_spaces() {
        let column = |name: &str, number| Column {
            name: name.into(),
            port: crate::tcp(number),
        };
        let matrix = Matrix {
            rows: vec!["app".into(), "client".into()],
            columns: vec![column("app", 8080), column("mysql-db", 3306)],
            cells: vec![
                vec![None, Some(Attempt::Connected)],
                vec![Some(Attempt::TimedOut), Some(Attempt::NameUnknown)],
            ],
        };
        let expected = "        app:8080/tcp  mysql-db:3306/tcp\n\
                        app     -             ok\n\
                        client  timed out     no such name\n";
        assert_eq!(matrix.to_string(), expected);
        let found = matrix.get("client", "mysql-db", crate::tcp(3306));
        assert_eq!(found, Some(&Attempt::NameUnknown));
        assert_eq!(matrix.get("app", "app", crate::tcp(8080)), None);
    }
}
