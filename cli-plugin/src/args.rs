//! The words that are ours: flags, subcommands, help, and what is said when they are wrong.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use netcheck_diagnose::request::Outbound;
use netcheck_engine::ProbeMode;

use crate::words::{Globals, Words};
use crate::{check, exit, explain};

/// Say why a container cannot connect, with proof and fix
#[derive(Debug, Parser)]
#[command(
    name = "docker netcheck",
    disable_version_flag = true,
    disable_help_subcommand = true,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    override_usage = "docker netcheck [OPTIONS] CONTAINER\n       \
        docker netcheck [OPTIONS] FROM TARGET...\n       docker netcheck [OPTIONS] COMMAND",
    help_template = "Usage:  {usage}\n\n{about}\n\n{all-args}{after-help}",
    after_help = "Examples:\n  \
        docker netcheck mysql-db                   what is wrong with mysql-db's network?\n  \
        docker netcheck app mysql-db:3306          why can app not reach mysql-db?\n  \
        docker netcheck --outbound example.com web can web reach https://example.com?\n  \
        docker netcheck --format json web          the same for a script\n  \
        docker netcheck explain nothing-listens    what a finding means\n\n\
        Exit codes:  0 no problem   1 could not run   2 problem found   3 undecided   125 usage\n\n\
        Run 'docker netcheck COMMAND --help' for more information on a command."
)]
struct Cli {
    #[command(flatten)]
    check: CheckArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Flags of the diagnosis.
#[derive(Debug, Clone, Args)]
pub(crate) struct CheckArgs {
    /// Container to diagnose, or the one that connects (FROM): name, id, or Compose's SERVICE,
    /// PROJECT/SERVICE or SERVICE-2; as FROM also `host`, the engine's host
    #[arg(value_name = "CONTAINER", required_unless_present = "evidence")]
    pub(crate) container: Option<String>,
    /// Where it connects to: a container (every port it serves), NAME:PORT[/udp], a URL or a list
    /// of brokers from a configuration, an address
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    /// How to look from inside: auto, helper (a short-lived container), netns (root on the engine's
    /// machine), none (Engine API alone)
    #[arg(
        long,
        value_enum,
        default_value = "auto",
        hide_possible_values = true,
        value_name = "MODE"
    )]
    probe: Probe,
    /// Time for the whole run, e.g. 5s, 500ms
    #[arg(long, default_value = "5s", value_parser = duration, value_name = "TIME")]
    pub(crate) timeout: Duration,
    /// Also try this place outside (default port 443); nothing is sent there otherwise
    #[arg(long, value_parser = outbound, value_name = "HOST[:PORT]", conflicts_with = "targets")]
    pub(crate) outbound: Option<Outbound>,
    /// Format of the report: text, json or markdown
    #[arg(
        long,
        short,
        value_enum,
        default_value = "text",
        hide_possible_values = true,
        value_name = "FORMAT"
    )]
    pub(crate) format: Format,
    /// Write the report to this file
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// The verdict line only
    #[arg(long, short, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Every fact, and how long it took
    #[arg(long, short)]
    pub(crate) verbose: bool,
    /// When to use colour: auto, always or never
    #[arg(
        long,
        value_enum,
        default_value = "auto",
        hide_possible_values = true,
        value_name = "WHEN"
    )]
    pub(crate) color: Color,
    /// Also write the (redacted) evidence to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) save_evidence: Option<PathBuf>,
    /// Diagnose saved evidence again, without an engine
    #[arg(long, value_name = "FILE", conflicts_with_all = ["container", "outbound", "save_evidence"])]
    pub(crate) evidence: Option<PathBuf>,
}

impl CheckArgs {
    pub(crate) fn probe(&self) -> ProbeMode {
        match self.probe {
            Probe::Auto => ProbeMode::Auto,
            Probe::Helper => ProbeMode::Helper,
            Probe::Netns => ProbeMode::Netns,
            Probe::None => ProbeMode::None,
        }
    }
}

/// Flags of the connection, the same as Docker's own.
#[derive(Debug, Clone, Args)]
struct ConnectionArgs {
    /// Engine to connect to
    #[arg(long, short = 'H', global = true, value_name = "HOST")]
    host: Option<String>,
    /// Docker context to use
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// Folder of Docker's client configuration
    #[arg(long, global = true, value_name = "DIR")]
    config: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what a finding means, or list all findings
    Explain {
        /// Code of the finding, e.g. listens-on-loopback-only
        code: Option<String>,
    },
    /// Remove the helper containers and images that this tool made
    Cleanup,
    /// Show the version
    Version,
    /// Show help
    Help {
        /// Command to show the help of
        command: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Probe {
    Auto,
    Helper,
    Netns,
    None,
}

/// Output formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
    Markdown,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

/// A number with its unit; seconds without.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time; write 5s, 500ms or 1m");
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let number: f64 = text[..end].parse().map_err(|_| wrong())?;
    let seconds = match &text[end..] {
        "ms" => number / 1000.0,
        "" | "s" => number,
        "m" => number * 60.0,
        _ => return Err(wrong()),
    };
    // Below that not even the engine's answer is in; above it nobody waits.
    if !(0.2..=600.0).contains(&seconds) {
        return Err("the time goes from 200ms to 10m".into());
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn outbound(text: &str) -> Result<Outbound, String> {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let bare = bare.split(['/', '?', '#']).next().unwrap_or(bare);
    let bare = bare.rsplit_once('@').map_or(bare, |(_, host)| host);
    let (host, port) = if let Some(rest) = bare.strip_prefix('[') {
        let (host, rest) = rest
            .split_once(']')
            .ok_or("the `]` of the address is missing")?;
        (host, rest.strip_prefix(':'))
    } else if bare.matches(':').count() > 1 {
        (bare, None)
    } else {
        match bare.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (bare, None),
        }
    };
    let port = match port {
        None if text.starts_with("http://") => 80,
        None => 443,
        Some(port) => match port.parse::<u32>() {
            Ok(port @ 1..=65535) => u16::try_from(port).map_err(|error| error.to_string())?,
            Ok(_) => return Err(format!("port {port} is not between 1 and 65535")),
            Err(_) => return Err(format!("`{port}` is no port")),
        },
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
    if host.is_empty() || host.len() > 253 || !host.chars().all(plain) {
        return Err("it holds no host name or address".into());
    }
    Ok(Outbound {
        host: host.to_owned(),
        port,
    })
}

/// Runs what was typed.
pub(crate) fn main(words: Words) -> ExitCode {
    let standalone = !words.as_plugin;
    // Docker's own help begins with the usage.
    let mut command = Cli::command().mut_subcommands(|subcommand| {
        subcommand.help_template("Usage:  {usage}\n\n{about}\n\n{all-args}")
    });
    if standalone {
        command = command.name("docker-netcheck").override_usage(
            "docker-netcheck [OPTIONS] CONTAINER\n       docker-netcheck [OPTIONS] FROM TARGET...\n       \
             docker-netcheck [OPTIONS] COMMAND",
        );
    }
    let own = std::iter::once(OsString::from("docker netcheck")).chain(words.own);
    let parsed = command
        .try_get_matches_from_mut(own)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return not_parsed(&error),
    };
    let globals = match join(words.globals, cli.connection) {
        Ok(globals) => globals,
        Err(message) => return usage_error(&message),
    };
    match cli.command {
        None => check::main(&cli.check, &globals),
        Some(Command::Explain { code }) => explain::main(code.as_deref()),
        Some(Command::Cleanup) => check::cleanup(&globals),
        Some(Command::Version) => version(),
        Some(Command::Help { command: None }) => print(&command.render_help().to_string()),
        Some(Command::Help {
            command: Some(name),
        }) => match command.find_subcommand(&name) {
            // The same text as that of `COMMAND --help`, by the same way.
            Some(_) => match command.try_get_matches_from(["docker netcheck", &name, "--help"]) {
                Err(help) => not_parsed(&help),
                Ok(_) => ExitCode::SUCCESS,
            },
            None => usage_error(&format!("unknown command: {name}")),
        },
    }
}

/// Flags on both sides of the name are the same flags.
fn join(globals: Globals, own: ConnectionArgs) -> Result<Globals, String> {
    if globals.host.is_some() && own.host.is_some() {
        return Err("specify only one -H".into());
    }
    Ok(Globals {
        host: own.host.or(globals.host),
        context: own.context.or(globals.context),
        config: own.config.or(globals.config),
        tls: globals.tls,
    })
}

fn not_parsed(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            print(&error.render().to_string())
        }
        _ => {
            let text = error.render().to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            let message = text.split("\n\nUsage:").next().unwrap_or(text);
            usage_error(message.trim_end())
        }
    }
}

/// Docker's form of a usage error.
pub(crate) fn usage_error(message: &str) -> ExitCode {
    // Nothing can be done about a standard error that is closed.
    let _ = writeln!(
        std::io::stderr(),
        "{}\n\nUsage:  docker netcheck [OPTIONS] CONTAINER [TARGET...]\n\n\
         Run 'docker netcheck --help' for more information",
        netcheck_diagnose::clean::clean(message).replace("\\u{a}", "\n")
    );
    ExitCode::from(exit::USAGE)
}

fn version() -> ExitCode {
    print(&format!(
        "docker-netcheck {} (probes: {})\n",
        env!("CARGO_PKG_VERSION"),
        match netcheck_engine::embedded_architectures()[..] {
            [] => "none".to_owned(),
            ref some => some.join(", "),
        }
    ))
}

/// A reader that has seen enough is no error.
pub(crate) fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(exit::CANNOT_RUN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_have_units_and_bounds() {
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2"), Ok(Duration::from_secs(2)));
        for wrong in ["", "s", "5h", "-1s", "0s", "11m", "1.2.3s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn places_outside_are_read_as_people_write_them() {
        let read = |text| outbound(text).map(|place| (place.host, place.port));
        assert_eq!(read("example.com"), Ok(("example.com".into(), 443)));
        assert_eq!(
            read("http://u:p@example.com/x?y"),
            Ok(("example.com".into(), 80))
        );
        assert_eq!(read("example.com:8080"), Ok(("example.com".into(), 8080)));
        assert_eq!(read("[2001:db8::1]:53"), Ok(("2001:db8::1".into(), 53)));
        for wrong in ["", ":80", "a:0", "a:70000", "a:b", "a b", "[::1", "a\u{1b}"] {
            assert!(outbound(wrong).is_err(), "{wrong:?}");
        }
    }
}
