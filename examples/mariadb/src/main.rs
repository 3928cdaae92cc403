//! `shop`: tells how many orders there are. `shop order WHAT` takes one before. The database is
//! where `DATABASE_URL` says.

use std::error::Error;
use std::process::ExitCode;

use shop::Shop;

fn main() -> ExitCode {
    match run() {
        Ok(count) => {
            println!("{count} orders");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("shop: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<u64, Box<dyn Error>> {
    let url = std::env::var("DATABASE_URL").map_err(|error| format!("DATABASE_URL: {error}"))?;
    let mut shop = Shop::open(&url)?;
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [verb, what] = &*words
        && verb == "order"
    {
        shop.order(what)?;
    }
    Ok(shop.orders()?)
}
