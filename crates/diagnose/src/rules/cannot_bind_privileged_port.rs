//! The program may not have a port below 1024, and ended for that.

use crate::case::Case;
use crate::evidence::Mode;
use crate::refused_bind::{self, SYSCTL};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "cannot-bind-privileged-port",
    title: "its program may not open a port below 1024",
    check: Check::State,
    explained_by: &[],
    docs: "\
## What it checks

The container ended with an error. Its program does not run as root, and low ports are not free for all there:
it uses the host's network, or was made with the sysctl `net.ipv4.ip_unprivileged_port_start`. And among the last
lines of its log is one that says that it may not bind (`bind: Permission denied`, `listen EACCES`). The log is
read only where the rest is so, and nothing but that line is kept.

## Why it matters

Ports below 1024 are for root, by the kernel's own rule. Docker lifts it for the private network of each
container (from Engine 20.10 on), so that the same image works there, and ends with `Permission denied` in the
host's network, with that sysctl, or with other runtimes. `--cap-add NET_BIND_SERVICE` does not help: a program
that does not run as root does not get it.

## How to fix it

Let it listen on 8080 and publish that, `-p 80:8080`; or make it with
`--sysctl net.ipv4.ip_unprivileged_port_start=0`. In the host's network no container has a sysctl of its own.

## When it is wrong

If the line is about something else than a port.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if !refused_bind::may_be(case.subject) {
        return Verdict::NotApplicable;
    }
    let Some(line) = &case.detail.state.refused_bind else {
        return Verdict::Pass;
    };
    let (name, user) = (case.name(), &case.detail.user);
    let (value, by) = match case.detail.sysctls.get(SYSCTL) {
        Some(value) => (value.as_str(), format!("Engine API: {SYSCTL}={value}")),
        None => (
            "1024",
            "Engine API: it uses the host's network, where ports below 1024 are for root".to_owned(),
        ),
    };
    let fault = Fault::error(
        format!(
            "`{name}` ended because its program, which runs as `{user}`, may not open a port below {value}"
        ),
        vec![Subject::container(name)],
    )
    .proof(format!("its log: {line}"))
    .proof(format!(
        "Engine API: user `{user}`, exit code {}",
        case.detail.state.exit_code
    ))
    .proof(by);
    let higher = Fix::new(
        "Let it listen on a port from 1024 on, such as 8080, and publish that (`-p 80:8080`)",
        Vec::new(),
    );
    if case.detail.mode == Mode::Host {
        return Verdict::Fail(vec![fault.fix(higher)]);
    }
    let word = format!("{SYSCTL}=0");
    Verdict::Fail(vec![
        fault
            .fix(case.recreate().set_sysctl(SYSCTL, "0").fix(
                &format!("Free low ports for all in its network, with `--sysctl {word}`"),
                &format!("under `sysctls` write `{word}`"),
            ))
            .fix(higher),
    ])
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::evidence::{Container, Mode, Status};
    use crate::refused_bind::SYSCTL;
    use crate::rules::testing::{
        check_rule, commands, container, fails, fix_texts, not_applicable, passes, world,
    };

    fn web(line: Option<&str>) -> Container {
        let mut web = container("web").status(Status::Exited);
        let detail = web.detail_mut();
        detail.state.exit_code = 1;
        detail.user = "1000".into();
        detail.sysctls.insert(SYSCTL.into(), "1024".into());
        detail.state.refused_bind = line.map(str::to_owned);
        web
    }

    const LINE: Option<&str> = Some("httpd: bind: Permission denied");

    #[test]
    fn its_log_says_so() {
        let evidence = world(web(LINE));
        check_rule(
            &RULE,
            &evidence,
            fails("`web` ended because its program, which runs as `1000`, may not open a port below 1024"),
        );
        let commands = commands(&RULE, &evidence);
        assert!(commands[2].contains(&format!("--sysctl {SYSCTL}=0 ")), "{commands:?}");
        let mut on_host = web(LINE).mode(Mode::Host);
        on_host.detail_mut().sysctls.clear();
        let texts = fix_texts(&RULE, &world(on_host));
        assert_eq!(texts.len(), 1);
    }

    #[test]
    fn near_misses() {
        check_rule(&RULE, &world(web(None)), passes());
        let mut root = web(LINE);
        root.detail_mut().user.clear();
        check_rule(&RULE, &world(root), not_applicable());
        let mut free = web(LINE);
        free.detail_mut().sysctls.insert(SYSCTL.into(), "0".into());
        check_rule(&RULE, &world(free), not_applicable());
        let mut usual = web(LINE);
        usual.detail_mut().sysctls.clear();
        check_rule(&RULE, &world(usual), not_applicable());
        check_rule(&RULE, &world(web(LINE).status(Status::Running)), not_applicable());
    }
}
