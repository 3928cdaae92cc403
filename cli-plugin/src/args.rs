//! The words that are ours: flags, subcommands, help, and what is said when they are wrong.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use netcheck_diagnose::request::Outbound;
use netcheck_engine::{LONGEST_REPEAT, MOST_TRIES, ProbeMode, Repeat};

use crate::words::{Globals, Words};
use crate::{check, exit, explain, formats, hooks, install, version};

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
        docker netcheck --for 30s app mysql-db     how often does it work, and how fast?\n  \
        docker netcheck --deep app mysql-db        which firewall rule drops it?\n  \
        docker netcheck --outbound example.com web can web reach https://example.com?\n  \
        docker netcheck --format json web          the same for a script\n  \
        docker netcheck explain nothing-listens    what a finding means\n  \
        docker network create app 2>&1 | docker netcheck explain -\n                                             \
        why was that refused?\n\n\
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
    /// Try each target so many times (ten a second), and tell how often it works and how fast
    #[arg(
        long,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_TRIES)),
        value_name = "N",
        requires = "targets",
        conflicts_with = "time"
    )]
    count: Option<u32>,
    /// The same for so long, e.g. 30s; at most 2m
    #[arg(
        id = "time",
        long = "for",
        value_parser = time_of_tries,
        value_name = "TIME",
        requires = "targets"
    )]
    time: Option<Duration>,
    /// Where a connection fails, find the firewall rule that took its packets: tries it again, watches
    /// packets and reads rules and counters on the engine's host, in a helper with NET_ADMIN and
    /// NET_RAW (or as root there)
    #[arg(long)]
    pub(crate) deep: bool,
    /// Format of the report: text, json, markdown, junit, github (annotations), or a Go template over the
    /// names of the JSON report, e.g. '{{range .findings}}{{.code}} {{end}}'
    #[arg(help_heading = "Report", long, short, value_parser = format, default_value = "text", value_name = "FORMAT")]
    pub(crate) format: Format,
    /// What ends with an exit code of its own: undecided (2 problem, 3 undecided), problem (2 problem), or
    /// never
    #[arg(
        help_heading = "Report",
        long,
        value_enum,
        default_value = "undecided",
        hide_possible_values = true,
        value_name = "WHAT"
    )]
    pub(crate) fail_on: FailOn,
    /// Write the report to this file
    #[arg(help_heading = "Report", long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// The verdict line only
    #[arg(help_heading = "Report", long, short, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Every fact, and how long it took
    #[arg(help_heading = "Report", long, short)]
    pub(crate) verbose: bool,
    /// When to use colour: auto, always or never
    #[arg(
        help_heading = "Report",
        long,
        value_enum,
        default_value = "auto",
        hide_possible_values = true,
        value_name = "WHEN"
    )]
    pub(crate) color: Color,
    /// Also write the (redacted) evidence to this file
    #[arg(help_heading = "Report", long, value_name = "FILE")]
    pub(crate) save_evidence: Option<PathBuf>,
    /// Diagnose saved evidence again, without an engine
    #[arg(help_heading = "Report", long, value_name = "FILE", conflicts_with_all = ["container", "outbound", "save_evidence", "count", "time", "deep"])]
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

    /// How often each target is to be tried; none for once.
    pub(crate) fn repeat(&self) -> Option<Repeat> {
        self.count.map(Repeat::Count).or(self.time.map(Repeat::For))
    }
}

/// Flags of the connection, the same as Docker's own.
#[derive(Debug, Clone, Args)]
struct ConnectionArgs {
    /// Engine to connect to
    #[arg(
        help_heading = "Connection",
        long,
        short = 'H',
        global = true,
        value_name = "HOST"
    )]
    host: Option<String>,
    /// Docker context to use
    #[arg(help_heading = "Connection", long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// Folder of Docker's client configuration
    #[arg(help_heading = "Connection", long, global = true, value_name = "DIR")]
    config: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what a finding means, or why the engine refused a command; or list all findings
    Explain(explain::ExplainArgs),
    /// Remove the helper containers and images that this tool made
    Cleanup,
    /// Link this program where the docker CLI looks for plugins
    Install {
        /// For all users (/usr/local/lib/docker/cli-plugins), not for this one
        #[arg(long)]
        system: bool,
    },
    /// Remove that link
    Uninstall {
        /// The one for all users
        #[arg(long)]
        system: bool,
    },
    /// Print the completion of the name docker-netcheck for a shell; `docker netcheck` is completed by
    /// Docker's own
    Completion {
        /// bash, zsh or fish
        #[arg(value_enum, hide_possible_values = true)]
        shell: Shell,
    },
    /// Have the docker CLI say why `docker run`, `start`, `network create` or `compose up` failed for a reason
    /// of networks
    Hooks {
        #[command(subcommand)]
        what: HooksCommand,
    },
    /// Show the version: of the plugin and its probes, the docker CLI, the engine and its API
    Version {
        /// The plugin's alone
        #[arg(long, conflicts_with = "format")]
        short: bool,
        /// text, json, or a Go template over the names of the JSON, e.g. '{{.engine.version}}'
        #[arg(long, short, value_parser = format, default_value = "text", value_name = "FORMAT")]
        format: Format,
    },
    /// Show help
    Help {
        /// Command to show the help of
        command: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum HooksCommand {
    /// Write it into the configuration of the docker CLI
    Enable,
    /// Take it out again
    Disable,
    /// Say whether it is there
    Status,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Probe {
    Auto,
    Helper,
    Netns,
    None,
}

/// Output formats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
    Markdown,
    Junit,
    Github,
    /// A Go template that can be read.
    Template(String),
}

/// Their names, in the order of the help.
pub(crate) const FORMATS: [(&str, Format); 5] = [
    ("text", Format::Text),
    ("json", Format::Json),
    ("markdown", Format::Markdown),
    ("junit", Format::Junit),
    ("github", Format::Github),
];

pub(crate) fn format(text: &str) -> Result<Format, String> {
    if let Some((_, format)) = FORMATS.into_iter().find(|(name, _)| *name == text) {
        return Ok(format);
    }
    if !text.contains("{{") {
        let names = FORMATS.map(|(name, _)| name).join(", ");
        return Err(format!(
            "it is one of {names}, or a Go template with {{{{…}}}}"
        ));
    }
    formats::template::parse(text)
        .map(|_| Format::Template(text.to_owned()))
        .map_err(|why| format!("the template cannot be read: {why}"))
}

/// What ends with an exit code of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// Problems.
    Problem,
    /// Problems, and what could not be decided.
    Undecided,
    /// Nothing that a report tells.
    Never,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

/// A number with its unit; seconds without.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
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

fn time_of_tries(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    // Less than a second is a few tries, which are better counted.
    if !(Duration::from_secs(1)..=LONGEST_REPEAT).contains(&time) {
        return Err("the time goes from 1s to 2m; for a few tries there is --count".into());
    }
    Ok(time)
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

/// The long name of a flag that has a value in the next word, whichever of its spellings this is.
pub(crate) fn takes_value(word: &str) -> Option<String> {
    let command = Cli::command();
    let mut found = None;
    for argument in command.get_arguments() {
        let long = argument.get_long().map(|long| format!("--{long}"));
        let short = argument.get_short().map(|short| format!("-{short}"));
        if (long.as_deref() == Some(word) || short.as_deref() == Some(word))
            && argument.get_action().takes_values()
        {
            found = argument.get_long().map(str::to_owned);
        }
    }
    found
}

/// The flags of the diagnosis, or of a subcommand, with the first sentence of what they do.
pub(crate) fn flags(of: Option<&str>) -> Vec<(String, String)> {
    let command = Cli::command();
    let mut all: Vec<&clap::Arg> = match of.and_then(|name| command.find_subcommand(name)) {
        Some(subcommand) => subcommand.get_arguments().collect(),
        None => command.get_arguments().collect(),
    };
    if of.is_some() {
        all.extend(command.get_arguments().filter(|one| one.is_global_set()));
    }
    all.into_iter()
        .filter_map(|one| Some((format!("--{}", one.get_long()?), about(one.get_help()))))
        .chain([("--help".to_owned(), "Show help".to_owned())])
        .collect()
}

/// The subcommands, with what they do.
pub(crate) fn subcommands() -> Vec<(String, String)> {
    let command = Cli::command();
    let all = command.get_subcommands().filter(|one| !one.is_hide_set());
    all.map(|one| (one.get_name().to_owned(), about(one.get_about())))
        .collect()
}

/// What a flag may be, where that is a list.
pub(crate) fn values(flag: &str) -> Vec<(String, String)> {
    let command = Cli::command();
    let argument = command
        .get_arguments()
        .find(|one| one.get_long() == Some(flag));
    argument
        .map(clap::Arg::get_possible_values)
        .unwrap_or_default()
        .into_iter()
        .map(|value| (value.get_name().to_owned(), about(value.get_help())))
        .collect()
}

/// Up to the first sign that ends a thought: a line of a list is short.
fn about(text: Option<&clap::builder::StyledStr>) -> String {
    let text = text.map(ToString::to_string).unwrap_or_default();
    let end = text.find([':', ';', '(']).unwrap_or(text.len());
    text[..end].trim().to_owned()
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
        None if cli.check.repeat().is_some() && cli.check.probe() == ProbeMode::None => {
            usage_error(
                "to try again and again it takes a look from inside, and --probe none was given",
            )
        }
        None if cli.check.deep && cli.check.probe() == ProbeMode::None => {
            usage_error("--deep is a look from inside, and --probe none was given")
        }
        None => check::main(&cli.check, &globals),
        Some(Command::Explain(args)) => explain::main(&args, &globals),
        Some(Command::Cleanup) => check::cleanup(&globals),
        Some(Command::Install { system }) => install::install(&globals, system),
        Some(Command::Uninstall { system }) => install::uninstall(&globals, system),
        Some(Command::Completion { shell }) => print(match shell {
            Shell::Bash => include_str!("../completions/docker-netcheck.bash"),
            Shell::Zsh => include_str!("../completions/docker-netcheck.zsh"),
            Shell::Fish => include_str!("../completions/docker-netcheck.fish"),
        }),
        Some(Command::Hooks { what }) => match what {
            HooksCommand::Enable => hooks::enable(&globals),
            HooksCommand::Disable => hooks::disable(&globals),
            HooksCommand::Status => hooks::status(&globals),
        },
        Some(Command::Version { short, format }) => version::main(&globals, short, &format),
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
        as_plugin: globals.as_plugin,
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

/// A reader that has seen enough is no error.
pub(crate) fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(exit::CANNOT_RUN),
    }
}

#[cfg(test)]
mod tests;
