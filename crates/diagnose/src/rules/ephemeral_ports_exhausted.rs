//! All local ports that connections to one place can have are taken.

use std::net::SocketAddr;

use netcheck_probe::{Connected, Errno};

use crate::case::Case;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};

const RANGE: &str = "net.ipv4.ip_local_port_range";

/// Nearly as wide as it can be: below 1024 are the ports of services.
const WIDE: &str = "1024 65535";

/// See the module.
pub static RULE: Rule = Rule {
    code: "ephemeral-ports-exhausted",
    title: "it has no local port left for connections to that place",
    check: Check::Networks,
    explained_by: &[],
    docs: "\
## What it checks

A connection failed with `cannot assign requested address`, and the connections that the container's namespace has to
the same place hold (nearly) all ports of `net.ipv4.ip_local_port_range`. Closed connections count for the minute in
which they still wait (TIME_WAIT).

## Why it matters

Each connection to one address and port needs a local port of its own; there are some 28,000 unless set otherwise.
A program that opens a connection for each request, or never closes any, uses them up under load, and then nothing
connects there, while all other places work.

## How to fix it

Have the program use its connections again (keep-alive, a pool), or close them. A wider range gives more of them:
`--sysctl net.ipv4.ip_local_port_range=\"1024 65535\"`.

## When it is wrong

Never: the kernel says it. The fix by a wider range only puts it off where connections are leaked.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let tried = case.tried();
    if tried.is_empty() {
        return Verdict::NotApplicable;
    }
    let full = tried.iter().find(|one| {
        matches!(
            one.connected,
            Connected::Failed {
                errno: Errno::AddressNotAvailable,
                ..
            }
        )
    });
    let Some(one) = full else {
        return Verdict::Pass;
    };
    let Ok(visit) = case.visit() else {
        return Verdict::Pass;
    };
    let name = case.name();
    let held = match visit.ports_held(one.to) {
        crate::evidence::Fact::Known(held) => held,
        other => {
            return Verdict::Unknown(format!(
                "how many local ports connections of `{name}` to {} hold: {}",
                one.to,
                other.why_unknown().unwrap_or_default()
            ));
        }
    };
    match range(case) {
        // Some may be kept for others (ip_local_reserved_ports).
        Some((written, size)) if size > 0 && held * 10 >= size * 9 => {
            Verdict::Fail(vec![fault(case, one.to, held, &written)])
        }
        _ => Verdict::Pass,
    }
}

/// The range as it is written, and how many ports it has.
fn range(case: &Case<'_>) -> Option<(String, u32)> {
    let text = case.snapshot().ok()?.sysctls.get(RANGE)?;
    let mut ends = text.split_whitespace().map(str::parse::<u32>);
    let (Some(Ok(first)), Some(Ok(last))) = (ends.next(), ends.next()) else {
        return None;
    };
    Some((format!("{first} {last}"), (last + 1).checked_sub(first)?))
}

fn fault(case: &Case<'_>, to: SocketAddr, held: u32, range: &str) -> Fault {
    let name = case.name();
    let text = "Give it more local ports (where the program leaks connections, that only puts it off)";
    let edit = format!("write `sysctls: {{{RANGE}: \"{WIDE}\"}}`");
    let fix = if range == WIDE {
        Fix::new(
            format!(
                "Have the program in `{name}` use its connections to {to} again or close them; there are no more ports"
            ),
            Vec::new(),
        )
    } else {
        case.recreate().set_sysctl(RANGE, WIDE).fix(text, &edit)
    };
    Fault::error(
        format!("`{name}` has no local port left for another connection to {to}"),
        vec![Subject::container(name)],
    )
    .proof(format!(
        "seen from `{name}`: {to}: {}",
        Errno::AddressNotAvailable.words()
    ))
    .proof(format!(
        "seen from `{name}`: its connections to {to} hold {held} ports, and {RANGE} is {range}"
    ))
    .fix(fix)
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Connected, Errno, Question};

    use super::{RANGE, RULE};
    use crate::evidence::Evidence;
    use crate::rules::testing::{
        check_rule, commands, container, fails, ip, not_applicable, passes, snapshot, unknown,
        world,
    };

    fn seen(errno: Errno, held: Option<u32>) -> Evidence {
        let to = (ip("172.18.0.3"), 80).into();
        let mut own = snapshot();
        own.sysctls.insert(RANGE.into(), "40000\t40001".into());
        let evidence = world(container("app").env(&["WEB=http://172.18.0.3:80"]))
            .sees(own)
            .answered(
                Question::Connect { to, listen_ms: 1 },
                Answer::Connect(Connected::Failed { errno, took_ms: 0 }),
            );
        match held {
            Some(ports) => evidence.answered(Question::Held { to }, Answer::Held { ports }),
            None => evidence,
        }
    }

    #[test]
    fn all_ports_of_the_range_are_taken() {
        let evidence = seen(Errno::AddressNotAvailable, Some(2));
        check_rule(
            &RULE,
            &evidence,
            fails("`app` has no local port left for another connection to 172.18.0.3:80"),
        );
        assert!(
            commands(&RULE, &evidence)
                .iter()
                .any(|line| line.contains("--sysctl 'net.ipv4.ip_local_port_range=1024 65535'"))
        );
    }

    #[test]
    fn free_ports_and_other_errors_are_silent() {
        check_rule(&RULE, &seen(Errno::AddressNotAvailable, Some(1)), passes());
        check_rule(&RULE, &seen(Errno::Refused, Some(2)), passes());
        check_rule(
            &RULE,
            &seen(Errno::AddressNotAvailable, None),
            unknown("how many local ports"),
        );
        check_rule(&RULE, &world(container("app")), not_applicable());
    }
}
