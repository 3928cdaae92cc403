//! Breaks prose into lines of a width. It must lose nothing but spaces: a word that is longer than
//! a line is broken, never cut.

/// The words in lines: the first of at most `first` columns, the others of at most `rest`.
pub(super) fn wrap(text: &str, first: usize, rest: usize) -> Vec<String> {
    // With less room than this there is nothing to lay out; a width of 0 must not loop for ever.
    let (first, rest) = (first.max(4), rest.max(4));
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    let mut room = first;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let mut word = word;
        let wide = columns(word);
        let space = usize::from(used > 0);
        if used + space + wide <= room {
            if space > 0 {
                line.push(' ');
            }
            line.push_str(word);
            used += space + wide;
            continue;
        }
        if used > 0 {
            lines.push(std::mem::take(&mut line));
            room = rest;
        }
        loop {
            let at = fitting(word, room);
            if at == word.len() {
                break;
            }
            lines.push(word[..at].to_owned());
            word = &word[at..];
            room = rest;
        }
        line.push_str(word);
        used = columns(word);
    }
    if used > 0 || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// Where to break a word so that its beginning fits: at least one character.
fn fitting(word: &str, room: usize) -> usize {
    let mut used = 0;
    for (at, c) in word.char_indices() {
        used += width(c);
        if used > room && at > 0 {
            return at;
        }
    }
    word.len()
}

/// Columns of a terminal that a text takes.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(width).sum()
}

/// Columns of a character: two for the East Asian wide ones and emoji (Unicode TR 11, in blocks),
/// none for combining ones. A rare one may be wrong; then a line is a column off.
fn width(c: char) -> usize {
    match u32::from(c) {
        0x0300..=0x036f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_move_to_the_next_line_and_long_ones_are_broken() {
        assert_eq!(wrap("one two three", 7, 5), ["one two", "three"]);
        assert_eq!(
            wrap("a 0123456789ab c", 4, 6),
            ["a", "012345", "6789ab", "c"]
        );
        assert_eq!(wrap("", 4, 4), [""]);
        assert_eq!(wrap("日本語 x", 5, 5), ["日本", "語 x"]);
        assert_eq!(wrap("abcdef", 0, 0), ["abcd", "ef"]);
    }
}
