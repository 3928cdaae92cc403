//! Embeds the programs that worlds without a registry are made of: the node, a tiny static server,
//! and the program that makes faults.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for (folder, binary, features) in [
        ("node", "netcheck-node", ""),
        ("fault", "netcheck-fault", "program"),
    ] {
        let program = match netcheck_build_static::build(folder, binary, features)? {
            Some(built) => format!("Some(include_bytes!({:?}))", built.path),
            None => "None".to_owned(),
        };
        fs::write(out.join(format!("{folder}.rs")), program)?;
    }
    Ok(())
}
