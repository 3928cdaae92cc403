//! Several findings may each have a fix that makes the same container again. Each of those fixes also has
//! the changes of those above it (of the first, where a finding has several), so that none undoes another
//! and the last one is enough.
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
    /// How many make it again, alternatives among them.
    fixes: usize,
    /// Some of them are alternatives of one finding.
    has_choice: bool,
    /// The first of each finding in one; none where that is not all that one may have done.
    joined: Option<Recreate>,
}

/// See the module.
pub(crate) fn together(findings: &mut [Finding]) {
    let mut above: Vec<Above> = Vec::new();
    for finding in findings {
        let mut here: Vec<Above> = Vec::new();
        for (index, fix) in finding.fixes.iter_mut().enumerate() {
            let Some(again) = fix.again.take() else {
                connected(&fix.commands, &above, &mut here);
                continue;
            };
            connected(&again.before, &above, &mut here);
            let container = again.recreate.made.name.clone();
            let earlier = find(&above, &container);
            let alternatives = find(&here, &container);
            let number = alternatives.or(earlier).map_or(0, |one| one.fixes) + 1;
            let has_choice = alternatives.is_some() || earlier.is_some_and(|one| one.has_choice);
            let all = settle(fix, *again, earlier, number);
            let joined = match alternatives {
                Some(before) => before.joined.clone(),
                // Whoever is shown another way first may have gone that.
                None => all.filter(|_| index == 0),
            };
            here.retain(|one| one.container != container);
            here.push(Above {
                container,
                fixes: number,
                has_choice,
                joined,
            });
        }
        above.retain(|one| find(&here, &one.container).is_none());
        above.append(&mut here);
    }
}

fn find<'a>(all: &'a [Above], container: &str) -> Option<&'a Above> {
    all.iter().find(|one| one.container == container)
}

/// Commands may connect containers to networks, or take them off: one that is made again from what it is
/// now has nothing of that.
fn connected(commands: &[String], above: &[Above], here: &mut Vec<Above>) {
    let changes = |line: &&String| {
        ["docker network connect ", "docker network disconnect "]
            .iter()
            .any(|beginning| line.starts_with(beginning))
    };
    for line in commands.iter().filter(changes) {
        let container = line.rsplit(' ').next().unwrap_or_default();
        let before = find(here, container).or(find(above, container));
        let (fixes, has_choice) = before.map_or((0, false), |one| (one.fixes, one.has_choice));
        here.retain(|one| one.container != container);
        here.push(Above {
            container: container.to_owned(),
            fixes,
            has_choice,
            joined: None,
        });
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
    // A fix below would need it, too, and it cannot be done twice.
    let stands_alone = again.before.is_empty();
    let Some(above) = above else {
        again.show(fix, &old, "");
        return stands_alone.then_some(again.recreate);
    };
    let joined = above
        .joined
        .as_ref()
        .and_then(|all| all.and(&again.recreate));
    if let Some(all) = joined {
        again.recreate = all;
        let also = if above.has_choice {
            " and those of the first fix of each finding above"
        } else {
            " and those of the fixes above"
        };
        again.show(fix, &old, also);
        stands_alone.then_some(again.recreate)
    } else {
        again.show(fix, &old, "");
        fix.text
            .push_str("; after a fix above, ask again first: this one would undo it");
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Mode;
    use crate::report::Subject;
    use crate::rule::Fault;
    use crate::rules::testing::{binding, container, tcp};

    const UNDOES: &str = "; after a fix above, ask again first: this one would undo it";

    fn made(mode: Mode, change: impl FnOnce(Recreate) -> Recreate) -> Fix {
        let app = container("app").mode(mode);
        let all = [app.clone(), container("app-old")];
        let recreate = Recreate::of(&app, app.detail().unwrap(), &all);
        change(recreate).fix("Change it", "change it")
    }

    fn again(change: impl FnOnce(Recreate) -> Recreate) -> Fix {
        made(Mode::Networks, change)
    }

    fn published(port: u16) -> Fix {
        again(|app| app.publish(vec![binding("0.0.0.0", port, tcp(80))]))
    }

    fn host(address: &str) -> Fix {
        again(|app| app.add_host("db", address))
    }

    fn env(from: &str) -> Fix {
        again(|app| app.edit_env("DB", from, "db", Some(format!("db/{from}"))))
    }

    /// One finding for each list of fixes; text and `docker run` of each fix.
    fn shown(all: Vec<Vec<Fix>>) -> Vec<(String, String)> {
        let mut findings: Vec<Finding> = all
            .into_iter()
            .map(|fixes| {
                let fault = Fault::error("it is wrong", vec![Subject::container("app")]);
                fault.fixes(fixes).into_finding(crate::rules::RULES[0])
            })
            .collect();
        together(&mut findings);
        let fixes = findings.into_iter().flat_map(|finding| finding.fixes);
        fixes
            .map(|fix| {
                assert_eq!(fix.again, None);
                let run = fix
                    .commands
                    .iter()
                    .find(|line| line.starts_with("docker run"));
                (fix.text, run.cloned().unwrap_or_default())
            })
            .collect()
    }

    /// Which of them would undo one above.
    fn undo(all: Vec<Vec<Fix>>) -> Vec<bool> {
        let shown = shown(all);
        shown.iter().map(|one| one.0.ends_with(UNDOES)).collect()
    }

    #[test]
    fn each_has_what_is_above_it() {
        let words = [
            "-p 0.0.0.0:81:80",
            "--add-host db:1.1.1.1",
            "--sysctl a.b=1",
        ];
        let shown = shown(vec![
            vec![published(81)],
            vec![host("1.1.1.1")],
            vec![again(|app| {
                app.add_host("db", "1.1.1.1").set_sysctl("a.b", "1")
            })],
        ]);
        for (index, wanted) in [[1, 0, 0], [1, 1, 0], [1, 1, 1]].iter().enumerate() {
            let (text, run) = &shown[index];
            assert_eq!(
                words.map(|word| run.matches(word).count()),
                *wanted,
                "{run}"
            );
            let old = ["`app-old-2`", "`app-old-2-2`", "`app-old-2-3`"][index];
            assert!(text.contains(old), "{text}");
            assert_eq!(
                text.contains(" and those of the fixes above"),
                index > 0,
                "{text}"
            );
        }
    }

    #[test]
    fn of_alternatives_the_first_counts() {
        let shown = shown(vec![
            vec![published(81), published(82)],
            vec![host("1.1.1.1")],
        ]);
        let (text, run) = &shown[2];
        assert!(run.contains("-p 0.0.0.0:81:80"), "{run}");
        assert!(
            text.contains(" and those of the first fix of each finding above"),
            "{text}"
        );
        assert!(text.contains("`app-old-2-3`"), "{text}");
        // The first may be to do something else.
        let words = || Fix::new("Do something else", Vec::new());
        let after_words = undo(vec![vec![words(), published(81)], vec![host("1.1.1.1")]]);
        assert_eq!(after_words, [false, false, true]);
    }

    #[test]
    fn what_cannot_be_joined_says_so_and_so_does_what_follows() {
        for clash in [
            vec![
                vec![published(81)],
                vec![published(82)],
                vec![host("1.1.1.1")],
            ],
            vec![vec![env("a")], vec![env("b")], vec![published(81)]],
            vec![vec![host("1.1.1.1")], vec![host("1.1.1.2")], vec![env("a")]],
        ] {
            assert_eq!(undo(clash), [false, true, true]);
        }
        // What two findings want alike is no clash.
        let ndots = || again(|app| app.drop_dns_option("ndots:").add_dns_option("ndots:0"));
        let alike = shown(vec![vec![ndots()], vec![ndots()]]);
        assert!(alike[1].0.contains("fixes above"), "{alike:#?}");
        assert_eq!(alike[1].1.matches("--dns-option").count(), 1, "{alike:#?}");
    }

    #[test]
    fn what_has_to_come_first_is_not_done_twice() {
        let before = ["docker network create net".to_owned()];
        let joins = || again(|app| app.join("net")).after(&before);
        assert_eq!(joins().commands[0], before[0]);
        let first = vec![vec![joins()], vec![published(81)], vec![joins()]];
        assert_eq!(undo(first), [false, true, true]);
        let later = vec![vec![published(81)], vec![joins()], vec![host("1.1.1.1")]];
        assert_eq!(undo(later), [false, false, true]);
    }

    #[test]
    fn a_container_that_was_connected_is_another_than_it_was() {
        let connect = |name: &str| {
            let command = format!("docker network connect net {name}");
            vec![Fix::new("Connect it", vec![command])]
        };
        assert_eq!(
            undo(vec![connect("app"), vec![published(81)]]),
            [false, true]
        );
        assert_eq!(
            undo(vec![connect("db"), vec![published(81)]]),
            [false, false]
        );
        assert_eq!(
            undo(vec![vec![published(81)], connect("app")]),
            [false, false]
        );
    }

    /// `localhost:8080` is right on the host's network alone.
    #[test]
    fn what_is_right_in_one_network_mode_is_not_taken_to_another() {
        let env = || made(Mode::Host, |app| app.set_env("DB", "127.0.0.1:13306"));
        let joins = || made(Mode::Host, |app| app.join("net"));
        assert_eq!(undo(vec![vec![env()], vec![joins()]]), [false, true]);
        assert_eq!(undo(vec![vec![joins()], vec![env()]]), [false, true]);
        assert_eq!(undo(vec![vec![joins()], vec![joins()]]), [false, false]);
        let name = || made(Mode::Host, |app| app.set_env("NAME", "x"));
        assert_eq!(undo(vec![vec![env()], vec![name()]]), [false, false]);
    }
}
