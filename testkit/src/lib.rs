//! Throwaway networks and containers for Rust integration tests: the beginning.
//!
//! What is here now is the one thing that our own tests need already: the node, a static server
//! that becomes an image without any registry. Labs, assertions, faults and reports follow.

/// The node for the architecture this crate was built on; none where it could not be built.
///
/// It is a static Linux program whose command line says what it serves, e.g.
/// `tcp=0.0.0.0:80 udp=0.0.0.0:53`; `netcheck-node --help` lists the words.
///
/// ```
/// let node = netcheck_testkit::node().ok_or("no node for this machine")?;
/// assert!(node.starts_with(b"\x7fELF"));
/// # Ok::<(), &str>(())
/// ```
pub fn node() -> Option<&'static [u8]> {
    static NODE: Option<&[u8]> = include!(concat!(env!("OUT_DIR"), "/node.rs"));
    NODE
}
