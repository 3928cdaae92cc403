//! A shop that keeps its orders in MariaDB. Where the database is, is said by a URL.

use std::time::Duration;

use mysql::prelude::Queryable as _;
use mysql::{Conn, Error, Opts, OptsBuilder};

/// How long a database on the same machine may take to answer; without a limit a client waits about
/// two minutes for an address at which nobody is (tcp(7), `tcp_syn_retries`).
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to the shop's database.
pub struct Shop {
    connection: Conn,
}

impl Shop {
    /// Connects, and makes the table of orders if there is none.
    ///
    /// # Errors
    ///
    /// Those of the client: the URL, the connection, or what the database says.
    pub fn open(url: &str) -> Result<Self, Error> {
        let options = OptsBuilder::from_opts(Opts::from_url(url)?)
            .tcp_connect_timeout(Some(PATIENCE))
            .read_timeout(Some(PATIENCE))
            // Else the client asks the server for a socket that only local programs can use.
            .prefer_socket(false);
        let mut connection = Conn::new(options)?;
        connection.query_drop(
            "CREATE TABLE IF NOT EXISTS orders (id INT AUTO_INCREMENT PRIMARY KEY, what TEXT NOT NULL)",
        )?;
        Ok(Self { connection })
    }

    /// Takes an order.
    ///
    /// # Errors
    ///
    /// As for [`Shop::open`].
    pub fn order(&mut self, what: &str) -> Result<(), Error> {
        self.connection
            .exec_drop("INSERT INTO orders (what) VALUES (?)", (what,))
    }

    /// How many orders there are.
    ///
    /// # Errors
    ///
    /// As for [`Shop::open`].
    pub fn orders(&mut self) -> Result<u64, Error> {
        let count = self.connection.query_first("SELECT COUNT(*) FROM orders")?;
        Ok(count.unwrap_or(0))
    }
}
