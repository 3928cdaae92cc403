//! What the terminal can show: colour, width, characters. Asked here once and handed to renderers.

use std::env;
use std::io::IsTerminal as _;

use terminal_size::{Width, terminal_size_of};

/// Wider lines are harder to read than shorter ones.
const WIDEST: usize = 120;

/// Where there is no terminal, and the narrowest that is still served.
const USUAL: usize = 80;

/// Whether colour is wanted on standard output: `--color`, then `NO_COLOR` (no-color.org), then
/// whether it is a terminal that can show it.
pub(crate) fn color(choice: crate::args::Color) -> bool {
    let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    match choice {
        crate::args::Color::Always => true,
        crate::args::Color::Never => false,
        crate::args::Color::Auto => {
            std::io::stdout().is_terminal()
                && !set("NO_COLOR")
                && env::var_os("TERM").is_none_or(|term| term != "dumb")
        }
    }
}

/// Columns to write into.
pub(crate) fn width() -> usize {
    match terminal_size_of(std::io::stdout()) {
        Some((Width(columns), _)) => usize::from(columns).clamp(40, WIDEST),
        None => USUAL,
    }
}

/// Whether the locale has characters beyond ASCII (locale(7)); Windows' terminals always do.
pub(crate) fn unicode() -> bool {
    if cfg!(windows) {
        return true;
    }
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()));
    match locale {
        Some(locale) => {
            let locale = locale.to_ascii_uppercase();
            locale.contains("UTF-8") || locale.contains("UTF8")
        }
        // Unset in containers and services whose readers nearly always show UTF-8.
        None => true,
    }
}
