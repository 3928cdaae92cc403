//! The programs that worlds without a registry are made of, embedded: the node and the program that
//! makes faults. A crate of its own, so that who needs only them need not build the kit around
//! them. It must have no other dependency, and do nothing.

/// The architecture that the programs are for, as Go names it; empty where there are none.
pub const ARCHITECTURE: &str = if cfg!(target_arch = "x86_64") {
    "amd64"
} else if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    ""
};

/// `netcheck-node`; none where it could not be built.
pub fn node() -> Option<&'static [u8]> {
    static NODE: Option<&[u8]> = include!(concat!(env!("OUT_DIR"), "/node.rs"));
    NODE
}

/// `netcheck-fault`; none where it could not be built.
pub fn fault() -> Option<&'static [u8]> {
    static FAULT: Option<&[u8]> = include!(concat!(env!("OUT_DIR"), "/fault.rs"));
    FAULT
}
