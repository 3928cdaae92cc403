//! Variables of a Compose file: where they come from, how they are put in, and files of them
//! (`.env`, `env_file`). A variable that nobody set and that has no default is an error here:
//! Compose warns and takes an empty text, and a test would go on with a world that nobody meant.
//!
//! Rules: <https://docs.docker.com/reference/compose-file/interpolation/>

use std::collections::BTreeMap;

/// Values by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables {
    /// Given by the test; before those of the process.
    pub(super) given: BTreeMap<String, String>,
    /// Of the file `.env`; after those of the process.
    pub(super) file: BTreeMap<String, String>,
}

impl Variables {
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let given = self.given.get(name).cloned();
        given
            .or_else(|| std::env::var(name).ok())
            .or_else(|| self.file.get(name).cloned())
    }

    /// Replaces `$NAME`, `${NAME}` and the forms with `-`, `?` and `+`; `$$` is a dollar sign.
    ///
    /// # Errors
    ///
    /// Why it cannot, in a sentence.
    pub(super) fn replace(&self, text: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some(after) = after.strip_prefix('{') {
                let end = closing(after).ok_or_else(|| format!("`{text}`: `${{` without `}}`"))?;
                out.push_str(&self.braced(&after[..end])?);
                rest = &after[end + 1..];
            } else {
                let end = name_length(after);
                if end == 0 {
                    return Err(format!(
                        "`{text}`: no name after `$`; a dollar sign is written `$$`"
                    ));
                }
                out.push_str(&self.needed(&after[..end])?);
                rest = &after[end..];
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    /// What stands between the braces.
    fn braced(&self, inside: &str) -> Result<String, String> {
        let (name, rest) = inside.split_at(name_length(inside));
        if name.is_empty() {
            return Err(format!("`${{{inside}}}` names no variable"));
        }
        if rest.is_empty() {
            return self.needed(name);
        }
        let (or_empty, rest) = match rest.strip_prefix(':') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let there = self
            .get(name)
            .filter(|value| !(or_empty && value.is_empty()));
        match (rest.split_at_checked(1), there) {
            (Some(("-" | "?", _)), Some(value)) => Ok(value),
            (Some(("-", default)), None) => self.replace(default),
            (Some(("?", words)), None) => Err(format!("`{name}` is not set: {words}")),
            (Some(("+", instead)), Some(_)) => self.replace(instead),
            (Some(("+", _)), None) => Ok(String::new()),
            _ => Err(format!("`${{{inside}}}` is in no form that Compose knows")),
        }
    }

    fn needed(&self, name: &str) -> Result<String, String> {
        self.get(name).ok_or_else(|| {
            format!("the variable `{name}` is set nowhere and has no default (`${{{name}:-…}}`)")
        })
    }

    /// Reads lines of `NAME=value`: `.env` or an `env_file`. A name alone takes its value from the
    /// surroundings, and is left out where they have none.
    ///
    /// # Errors
    ///
    /// The first line that is none, and why.
    pub(super) fn read_file(&self, text: &str) -> Result<Vec<(String, String)>, String> {
        let mut found = self.clone();
        let mut pairs = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            let line = line.strip_prefix("export ").unwrap_or(line);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, value) = match line.split_once('=') {
                Some((name, value)) => {
                    let value = found.value(value.trim());
                    let value = value.map_err(|why| format!("line {}: {why}", index + 1))?;
                    (name.trim_end(), Some(value))
                }
                None => (line, found.get(line)),
            };
            if name.is_empty() || name.contains(char::is_whitespace) {
                return Err(format!("line {}: `{name}` is no name", index + 1));
            }
            if let Some(value) = value {
                // Later lines may use it.
                found.file.insert(name.to_owned(), value.clone());
                pairs.push((name.to_owned(), value));
            }
        }
        Ok(pairs)
    }

    /// In single quotes to the letter, in double quotes with escapes, else up to a comment.
    fn value(&self, text: &str) -> Result<String, String> {
        let Some(quote @ ('\'' | '"')) = text.chars().next() else {
            let end = text.find(" #").unwrap_or(text.len());
            return self.replace(text[..end].trim_end());
        };
        let inside = &text[1..];
        let mut end = None;
        let mut escaped = false;
        for (index, c) in inside.char_indices() {
            if c == quote && !escaped {
                end = Some(index);
                break;
            }
            escaped = c == '\\' && !escaped && quote == '"';
        }
        let end = end.ok_or_else(|| format!("`{text}` has no closing quote"))?;
        let behind = inside[end + 1..].trim_start();
        if !(behind.is_empty() || behind.starts_with('#')) {
            return Err(format!("`{behind}` stands after the closing quote"));
        }
        if quote == '\'' {
            return Ok(inside[..end].to_owned());
        }
        Ok(unescaped(&self.replace(&inside[..end])?))
    }
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, false) => out.push(c),
            (_, true) => match chars.next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
        }
    }
    out
}

/// Letters, digits and underscores, no digit first.
fn name_length(text: &str) -> usize {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return 0;
    }
    text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(text.len())
}

/// Where the brace closes; defaults may hold variables in braces themselves.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    let mut chars = text.char_indices().peekable();
    while let Some((index, c)) = chars.next() {
        match c {
            '$' if chars.peek().is_some_and(|(_, next)| *next == '{') => open += 1,
            '}' if open == 0 => return Some(index),
            '}' => open -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        Variables {
            given: [("NK_TAG", "11"), ("NK_EMPTY", "")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            file: [("NK_FROM_FILE".to_owned(), "file".to_owned())].into(),
        }
    }

    #[test]
    fn every_form_means_what_compose_means() {
        for (text, value) in [
            ("mariadb:$NK_TAG", "mariadb:11"),
            ("mariadb:${NK_TAG}", "mariadb:11"),
            ("$NK_TAG.$NK_TAG-x", "11.11-x"),
            ("${NK_NONE:-10}", "10"),
            ("${NK_NONE-10}", "10"),
            ("${NK_EMPTY:-10}", "10"),
            ("${NK_EMPTY-10}", ""),
            ("${NK_TAG:?has to be set}", "11"),
            ("${NK_TAG:+with}", "with"),
            ("${NK_EMPTY:+with}", ""),
            ("${NK_EMPTY+with}", "with"),
            ("${NK_NONE+with}", ""),
            ("${NK_NONE:-${NK_TAG:-x}-${NK_NONE:-y}}", "11-y"),
            ("${NK_FROM_FILE}", "file"),
            ("costs $$5", "costs $5"),
            ("$${NK_TAG}", "${NK_TAG}"),
        ] {
            assert_eq!(variables().replace(text).as_deref(), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_nobody_set_is_an_error() {
        for (text, words) in [
            ("$NK_NONE", "`NK_NONE` is set nowhere"),
            ("${NK_NONE}", "`NK_NONE` is set nowhere"),
            ("${NK_EMPTY:?has to be set}", "has to be set"),
            ("${NK_NONE", "without `}`"),
            ("${}", "names no variable"),
            ("${NK_TAG!}", "in no form"),
            ("$5", "no name after `$`"),
            ("5$", "no name after `$`"),
        ] {
            let why = variables().replace(text).unwrap_err();
            assert!(why.contains(words), "{text}: {why}");
        }
    }

    #[test]
    fn files_of_variables() {
        let text = "# a comment\n\nPLAIN=a b # said\nexport SINGLE='$NK_TAG #'\nDOUBLE=\"$NK_TAG\\t\\\"x\\\"\" # said\nAGAIN=${PLAIN}!\nNK_TAG\nNK_NONE\nEMPTY=\nHASH=a#b\n";
        let pairs = variables().read_file(text).unwrap();
        let expected = [
            ("PLAIN", "a b"),
            ("SINGLE", "$NK_TAG #"),
            ("DOUBLE", "11\t\"x\""),
            ("AGAIN", "a b!"),
            ("NK_TAG", "11"),
            ("EMPTY", ""),
            ("HASH", "a#b"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(pairs, expected);
        for (text, words) in [
            ("A=1\nB=\"x", "line 2: `\"x` has no closing quote"),
            ("=1", "line 1: `` is no name"),
            ("A B=1", "`A B` is no name"),
            ("A='x' y", "`y` stands after"),
        ] {
            let why = variables().read_file(text).unwrap_err();
            assert!(why.contains(words), "{text}: {why}");
        }
    }
}
