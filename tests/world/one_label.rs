//! Labels in recorded scenarios: those of the kit differ from run to run.

/// The one label of a test's own that recorded containers carry.
const LABEL: &str = "io.netcheck.test";

/// What the kit's labels begin with.
const LABELS_OF_THE_KIT: &str = "io.netcheck.testkit.";

/// The flags of a re-creation with one label in place of the kit's, which differ from run to run.
pub fn with_one_label(flags: &[String], lab: &str) -> Vec<String> {
    let mut kept = Vec::new();
    let mut labelled = false;
    let mut words = flags.iter().peekable();
    while let Some(word) = words.next() {
        let is_the_kits = |value: &&String| value.starts_with(LABELS_OF_THE_KIT);
        if word == "--label" && words.next_if(is_the_kits).is_some() {
            if !labelled {
                kept.extend(["--label".to_owned(), format!("{LABEL}={lab}")]);
            }
            labelled = true;
        } else {
            kept.push(word.clone());
        }
    }
    kept
}
