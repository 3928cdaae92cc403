//! What holds for every report, width and style.

use super::super::wrap::columns;
use super::super::{EXPLAIN, age};
use super::*;
use crate::clean::is_unsafe;

#[test]
fn hostile_text_stays_text() {
    let report = hostile();
    insta::assert_snapshot!(text(&report, Style { quiet: true, ..PLAIN }), @r"
    ✗ a\u{1b}[31mb\u{202e}c\u{9b}2Jd\u{a}e|f`g<img src=x>[h](http://i)\u{200b}
    ");
    // Longer than the longest run of backticks in a command.
    assert!(markdown(&report).contains("\n`````sh\n"));
    let verbose = Style {
        verbose: true,
        ..PLAIN
    };
    for written in [text(&report, verbose), markdown(&report), json(&report)] {
        let raw: Vec<char> = written
            .chars()
            .filter(|c| *c != '\n' && is_unsafe(*c))
            .collect();
        assert!(raw.is_empty(), "{raw:?} in {written}");
    }
}

#[test]
fn markdown_code_cannot_be_left() {
    let mut report = sick();
    // Balanced on purpose: what it wants outside of code is escaped there.
    report.findings[0].evidence = vec![
        "env `A` <b>x</b> `B|C`".into(),
        "`` two `` runs".into(),
        "one ` alone | <script>".into(),
    ];
    report.checks[0].saw = "`a|b` and c|d".into();
    report.checks[1].saw = r"`a\|b`".into();
    let written = markdown(&report);
    for expected in [
        r"- env `A` \<b\>x\</b\> `B|C`",
        r"- \`\` two \`\` runs",
        r"- one \` alone \| \<script\>",
        r"| state | ✓ ok | `a\|b` and c\|d | the Engine API |",
        r"| networks | ✓ ok | \`a\\\|b\` | the Engine API |",
    ] {
        assert!(written.contains(expected), "{expected} in {written}");
    }
}

#[test]
fn json_comes_back_as_it_was() {
    for report in [sick(), healthy(), hostile()] {
        let written = json(&report);
        assert!(written.ends_with("}\n"));
        assert_eq!(serde_json::from_str::<Report>(&written).unwrap(), report);
    }
}

/// A report with everything long: names, words, wide characters.
fn long() -> Report {
    let mut report = sick();
    let name = format!("{}{}", "x".repeat(180), "数据库".repeat(20));
    report.summary = format!("`{name}`: the service listens on 127.0.0.1 only");
    report.checks[1].saw = format!("{name}: 172.18.0.2 (bridge)");
    report.checks[1].from = name.clone();
    report.findings[0].problem = format!("`{name}` does not listen");
    report.findings[0].evidence.push(name.clone());
    report.undecided.push(open("x", &name));
    report
}

#[test]
fn no_prose_is_wider_than_the_width_and_nothing_is_lost() {
    let squeezed = |text: &str| text.replace([' ', '\n'], "");
    for report in [sick(), long(), hostile()] {
        let whole = squeezed(&report.findings[0].problem);
        let commands: Vec<String> = report.findings[0]
            .fixes
            .iter()
            .flat_map(|fix| {
                fix.commands
                    .iter()
                    .map(|command| crate::clean::clean(command))
            })
            .collect();
        for width in 40..=200 {
            for (verbose, unicode) in [(true, true), (false, false), (true, false)] {
                let style = Style {
                    width,
                    verbose,
                    unicode,
                    ..PLAIN
                };
                let written = text(&report, style);
                for line in written.lines() {
                    let is_command = line.contains(EXPLAIN)
                        || commands.iter().any(|command| line.trim() == command);
                    assert!(
                        is_command || columns(line) <= width,
                        "wider than {width}: {line}"
                    );
                    assert_eq!(line.trim_end(), line, "trailing space");
                }
                for command in &commands {
                    assert!(
                        written.lines().any(|line| line.trim() == command),
                        "{command}"
                    );
                }
                if !whole.chars().any(is_unsafe) {
                    assert!(squeezed(&written).contains(&whole), "{whole} in {written}");
                }
                let colored = text(
                    &report,
                    Style {
                        color: true,
                        ..style
                    },
                );
                assert_eq!(without_color(&colored), written);
            }
        }
    }
}

#[test]
fn a_width_of_nothing_or_of_everything_does_no_harm() {
    for width in [0, 1, usize::MAX] {
        let written = text(&sick(), Style { width, ..PLAIN });
        assert!(written.contains("docker stop mysql-db"), "{written}");
    }
}

#[test]
fn ages_are_told_in_one_unit() {
    let ages = [
        (5, "5 s"),
        (180, "3 min"),
        (7200, "2 h"),
        (400_000, "4 days"),
    ];
    for (seconds, words) in ages {
        assert_eq!(age(seconds), words);
    }
}
