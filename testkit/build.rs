//! Embeds the node: a tiny static server for worlds that have no registry to pull from.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let node = match netcheck_build_static::build("node", "netcheck-node", "")? {
        Some(built) => format!("Some(include_bytes!({:?}))", built.path),
        None => "None".to_owned(),
    };
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("node.rs"), node)?;
    Ok(())
}
