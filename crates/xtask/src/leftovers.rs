//! `cargo xtask leftovers`: what of ours is still on the engine. It removes nothing: what it finds
//! is a fault of whatever left it.

use serde_json::Value;

use crate::engine::Engine;
use crate::failure::{Result, told};
use crate::process::{self, Patience};
use crate::say;

/// All our labels begin like this, those of the testkit (`io.netcheck.testkit.…`) too.
const LABELS: &str = "io.netcheck.";

/// And so do the names of what tests and tasks make.
const NAMES: &str = "netcheck-";

const CALL: Patience = Patience::seconds(60);

/// Kinds of things, with what a template has to print of each as JSON: names and labels.
const KINDS: [(&str, &str, &str); 4] = [
    (
        "container",
        "[{{json .Name}},{{json .Config.Image}}]",
        "{{json .Config.Labels}}",
    ),
    ("network", "[{{json .Name}}]", "{{json .Labels}}"),
    ("volume", "[{{json .Name}}]", "{{json .Labels}}"),
    ("image", "{{json .RepoTags}}", "{{json .Config.Labels}}"),
];

pub(crate) fn run() -> Result<()> {
    let Some(engine) = Engine::running()? else {
        // One that `cargo xtask test` started by itself was looked at before it ended.
        say("nothing left behind: no Docker Engine runs here");
        return Ok(());
    };
    let found = find(&engine)?;
    if found.is_empty() {
        say("nothing left behind");
        return Ok(());
    }
    for line in &found {
        say(line);
    }
    told(format!(
        "{} of ours left behind, see above; if nothing of ours is running now, remove each with \
         `docker KIND rm`",
        match found.len() {
            1 => "1 thing".to_owned(),
            many => format!("{many} things"),
        }
    ))
}

/// Each as `kind name`.
pub(crate) fn find(engine: &Engine) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (kind, names, labels) in KINDS {
        let mut list = engine.docker();
        list.args([kind, "ls", "--quiet"]);
        if matches!(kind, "container" | "image") {
            list.arg("--all");
        }
        let ids = process::output(&format!("listing each {kind}"), &mut list, CALL)?;
        if ids.trim().is_empty() {
            continue;
        }
        let format = format!(
            "[{names},{labels},{{{{json .{}}}}}]",
            if kind == "volume" { "Name" } else { "Id" }
        );
        let mut inspect = engine.docker();
        inspect
            .args([kind, "inspect", "--format", &format])
            .args(ids.split_whitespace());
        // Something that went meanwhile is an error of docker's, and none of ours.
        let done = process::capture(&format!("inspecting each {kind}"), &mut inspect, CALL)?;
        if !done.status.success() && !done.stderr.to_lowercase().contains("no such") {
            return told(format!(
                "inspecting each {kind}: docker failed ({}): {}",
                done.status,
                done.stderr.trim()
            ));
        }
        let ours = done
            .stdout
            .lines()
            .filter_map(ours)
            .map(|name| format!("{kind} {name}"));
        found.extend(ours);
    }
    // An image with two tags is listed twice.
    found.sort();
    found.dedup();
    Ok(found)
}

/// The name of something if it is ours, given a line `[[names], labels, id]`.
fn ours(line: &str) -> Option<String> {
    let value: Value = serde_json::from_str(line).ok()?;
    let names: Vec<&str> = value[0]
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .map(|name| name.trim_start_matches('/'))
        .collect();
    let labelled = value[1]
        .as_object()
        .is_some_and(|labels| labels.keys().any(|key| key.starts_with(LABELS)));
    let named = names.iter().any(|name| name.starts_with(NAMES));
    // An image may have lost its name to a newer one.
    let name = names
        .first()
        .or(value[2].as_str().as_ref())
        .map(|name| (*name).to_owned());
    name.filter(|_| labelled || named)
}

#[cfg(test)]
mod tests {
    use super::ours;

    #[test]
    fn ours_is_known_by_label_name_or_image() {
        let name = |line| ours(line);
        assert_eq!(
            name(r#"[["/web","nginx"],{"io.netcheck.role":"helper"}]"#),
            Some("web".into())
        );
        assert_eq!(
            name(r#"[["/db-1a","nginx"],{"io.netcheck.testkit.lab":"1a"}]"#),
            Some("db-1a".into())
        );
        assert_eq!(
            name(r#"[["netcheck-node:0.1.0-1a"],{"io.netcheck.testkit.image":"node"}]"#),
            Some("netcheck-node:0.1.0-1a".into())
        );
        assert_eq!(
            name(r#"[["/netcheck-x","nginx"],null]"#),
            Some("netcheck-x".into())
        );
        assert_eq!(
            name(r#"[["/app","netcheck-demo:1"],{}]"#),
            Some("app".into())
        );
        assert_eq!(
            name(r#"[[],{"io.netcheck.role":"image"},"sha256:1"]"#),
            Some("sha256:1".into())
        );
        for other in [
            r#"[["/web","nginx"],{"com.example":"io.netcheck."}]"#,
            "[null,null]",
            "",
            "x",
        ] {
            assert_eq!(name(other), None, "{other}");
        }
    }
}
