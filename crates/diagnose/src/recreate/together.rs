//! Several findings may each have a fix that makes the same container again. Each of those fixes also has
//! the changes of those above it, so that none undoes another and the last one is enough.
//!
//! Where that cannot be, it must say so.

use super::Recreate;
use crate::report::{Finding, Fix};

/// A container that is made again, before it is known what other fixes a report has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Again {
    /// What for.
    text: String,
    /// Commands that have to come first.
    before: Vec<String>,
    recreate: Recreate,
}

impl Again {
    pub(super) fn new(text: &str, recreate: Recreate) -> Self {
        Self {
            text: text.into(),
            before: Vec::new(),
            recreate,
        }
    }

    pub(super) fn into_fix(self) -> Fix {
        let mut fix = Fix::new("", Vec::new());
        self.show(&mut fix, &self.recreate.old, "");
        fix.again = Some(Box::new(self));
        fix
    }

    /// After these commands.
    pub(crate) fn after(&mut self, commands: &[String]) {
        self.before.splice(0..0, commands.iter().cloned());
    }

    /// With this name for the old container, and these words after what is changed.
    fn show(&self, fix: &mut Fix, old: &str, also: &str) {
        let keeps = if self.recreate.made.run.auto_remove {
            String::new()
        } else {
            format!(" (the old one stays as `{old}`, stopped, until you remove it)")
        };
        let text = &self.text;
        fix.text = format!("{text}: create it again with that change{also}{keeps}");
        fix.commands.clone_from(&self.before);
        fix.commands.extend(self.recreate.commands(old));
    }
}

/// What the fixes above do with a container.
struct Above {
    container: String,
    /// How many there are, alternatives among them.
    fixes: usize,
    /// The first of each finding in one; none where they could not be joined.
    joined: Option<Recreate>,
}

/// See the module.
pub(crate) fn together(findings: &mut [Finding]) {
    let mut above: Vec<Above> = Vec::new();
    for finding in findings {
        let mut here: Vec<Above> = Vec::new();
        for fix in &mut finding.fixes {
            if let Some(again) = fix.again.take() {
                let container = again.recreate.made.name.clone();
                let earlier = above.iter().find(|one| one.container == container);
                let alternatives = here.iter_mut().find(|one| one.container == container);
                let fixes = match &alternatives {
                    Some(before) => before.fixes,
                    None => earlier.map_or(0, |one| one.fixes),
                } + 1;
                let joined = settle(fix, *again, earlier, fixes);
                match alternatives {
                    Some(before) => before.fixes = fixes,
                    None => here.push(Above {
                        container,
                        fixes,
                        joined,
                    }),
                }
            }
        }
        above.retain(|one| !here.iter().any(|new| new.container == one.container));
        above.append(&mut here);
    }
}

/// Shows what a fix does in the light of those above, and returns all of it in one.
fn settle(
    fix: &mut Fix,
    mut again: Again,
    above: Option<&Above>,
    number: usize,
) -> Option<Recreate> {
    let old = match number {
        1 => again.recreate.old.clone(),
        more => format!("{}-{more}", again.recreate.old),
    };
    // What has to come first was there already, the second time.
    let can_join = again.before.is_empty();
    let Some(above) = above else {
        again.show(fix, &old, "");
        return can_join.then_some(again.recreate);
    };
    let all = above.joined.as_ref().filter(|_| can_join);
    let joined = all.and_then(|all| all.and(&again.recreate));
    if let Some(all) = &joined {
        again.recreate.clone_from(all);
        again.show(fix, &old, " and those of the fixes above");
    } else {
        again.show(fix, &old, "");
        fix.text
            .push_str("; after a fix above, ask again first: this one would undo it");
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Severity, Subject};
    use crate::rule::Fault;
    use crate::rules::testing::{binding, container, tcp};

    const UNDOES: &str = "; after a fix above, ask again first: this one would undo it";

    fn again(change: impl FnOnce(Recreate) -> Recreate) -> Fix {
        let app = container("app").env(&["BROKERS=172.18.0.2:9092,172.18.0.3:9092"]);
        let all = [app.clone(), container("app-old")];
        let recreate = Recreate::of(&app, app.detail().unwrap(), &all);
        change(recreate).fix("Change it", "change it")
    }

    fn published(port: u16) -> Fix {
        again(|app| app.publish(vec![binding("0.0.0.0", port, tcp(80))]))
    }

    fn finding(fixes: impl IntoIterator<Item = Fix>) -> Finding {
        let fault = Fault::error("it is wrong", vec![Subject::container("app")]);
        assert_eq!(fault.severity, Severity::Error);
        fault.fixes(fixes).into_finding(crate::rules::RULES[0])
    }

    /// Text and `docker run` of each fix.
    fn shown(findings: [Finding; 3]) -> Vec<(String, String)> {
        let mut findings = findings;
        together(&mut findings);
        let fixes = findings.into_iter().flat_map(|finding| finding.fixes);
        fixes
            .map(|fix| {
                assert_eq!(fix.again, None);
                let run = fix
                    .commands
                    .iter()
                    .find(|line| line.starts_with("docker run"));
                (fix.text, run.unwrap().clone())
            })
            .collect()
    }

    #[test]
    fn each_has_what_the_first_of_each_finding_above_has() {
        let shown = shown([
            finding([published(81), published(82)]),
            finding([again(|app| app.add_host("db", "172.18.0.2"))]),
            finding([again(|app| {
                app.add_host("db", "172.18.0.2").set_sysctl("a.b", "1")
            })]),
        ]);
        let has = |index: usize, word: &str| shown[index].1.matches(word).count();
        let words = [
            "-p 0.0.0.0:81:80",
            "-p 0.0.0.0:82:80",
            "--add-host db:172.18.0.2",
            "--sysctl a.b=1",
        ];
        for (index, wanted) in [[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [1, 0, 1, 1]]
            .iter()
            .enumerate()
        {
            assert_eq!(
                words.map(|word| has(index, word)),
                *wanted,
                "{}",
                shown[index].1
            );
            let old = ["app-old-2", "app-old-2-2", "app-old-2-3", "app-old-2-4"][index];
            assert!(
                shown[index].0.contains(&format!("`{old}`")),
                "{}",
                shown[index].0
            );
            let above = shown[index].0.contains("and those of the fixes above");
            assert_eq!(above, index > 1, "{}", shown[index].0);
        }
    }

    #[test]
    fn what_cannot_be_joined_says_so_and_so_does_what_follows() {
        let other =
            |from: &str| again(|app| app.edit_env("DB", from, "db", Some(format!("db/{from}"))));
        let shown_ports = shown([
            finding([published(81)]),
            finding([published(82)]),
            finding([other("a")]),
        ]);
        let shown_texts = shown([
            finding([other("a")]),
            finding([other("b")]),
            finding([published(81)]),
        ]);
        for shown in [shown_ports, shown_texts] {
            let says: Vec<bool> = shown.iter().map(|one| one.0.ends_with(UNDOES)).collect();
            assert_eq!(says, [false, true, true], "{shown:#?}");
        }
    }

    #[test]
    fn what_has_to_come_first_is_not_done_twice() {
        let before = ["docker network create net".to_owned()];
        let joins = || again(|app| app.join("net")).after(&before);
        let first = joins();
        assert_eq!(first.commands[0], before[0]);
        let shown = shown([
            finding([first]),
            finding([published(81)]),
            finding([joins()]),
        ]);
        let says: Vec<bool> = shown.iter().map(|one| one.0.ends_with(UNDOES)).collect();
        assert_eq!(says, [false, true, true], "{shown:#?}");
    }

    #[test]
    fn several_hosts_in_one_variable_are_changed_one_after_the_other() {
        let host = |from: &str, to: &str| again(|app| app.edit_env("BROKERS", from, to, None));
        let mut findings = [
            finding([host("172.18.0.2", "a")]),
            finding([host("172.18.0.3", "b")]),
        ];
        together(&mut findings);
        let fix = &findings[1].fixes[0];
        assert!(!fix.text.contains("undo"), "{}", fix.text);
        let script = &fix.commands[0];
        assert!(
            script.contains("172\\.18\\.0\\.2") && script.contains("172\\.18\\.0\\.3"),
            "{script}"
        );
    }
}
