//! The probe programs that were embedded when this crate was built, by the engine's architecture.

/// Architecture as Go writes it, and the static Linux program. Made by `build.rs`.
static PROBES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/probes.rs"));

/// The probe for an engine of this architecture (`amd64`, `arm64`).
///
/// # Errors
///
/// A sentence that says which architectures there are probes for, and how to get another.
pub fn probe_for(architecture: &str) -> Result<&'static [u8], String> {
    PROBES
        .iter()
        .find(|(name, _)| *name == architecture)
        .map(|(_, program)| *program)
        .ok_or_else(|| {
            let known = match embedded_architectures()[..] {
                [] => "none".to_owned(),
                ref some => some.join(", "),
            };
            format!(
                "this build holds no probe for {architecture} engines (it holds: {known}); \
                 build it with NETCHECK_PROBE_DIR naming a folder with netcheck-probe-{architecture}"
            )
        })
}

/// The architectures there is a probe for.
pub fn embedded_architectures() -> Vec<&'static str> {
    PROBES.iter().map(|(name, _)| *name).collect()
}
