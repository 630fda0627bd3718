//! Where output goes decides how wide and how coloured it is.

use std::io::IsTerminal;
use std::os::fd::{AsFd, AsRawFd};

/// Widest table; also the width for files and pipes.
const WIDEST: usize = 120;
/// Narrowest table.
const NARROWEST: usize = 80;

/// Width and colour of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Columns of text.
    pub width: usize,
    /// Whether to colour.
    pub colour: bool,
}

/// What a text is, as far as colour goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    Plain,
    /// Headers and footnotes.
    Faint,
    /// What must not be missed.
    Bold,
    /// Cautions.
    Warning,
    /// Failures.
    Error,
}

impl Style {
    /// No colour, full width: files, pipes and tests.
    pub const PLAIN: Style = Style {
        width: WIDEST,
        colour: false,
    };

    /// For standard output as it is: terminals by their width, coloured unless `NO_COLOR` is set
    /// (no-color.org) or the terminal is `dumb`.
    pub fn of_stdout() -> Style {
        let stdout = std::io::stdout();
        if !stdout.is_terminal() {
            return Style::PLAIN;
        }
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Style {
            width: terminal_columns(&stdout)
                .unwrap_or(NARROWEST)
                .clamp(NARROWEST, WIDEST),
            colour: !set("NO_COLOR") && !dumb,
        }
    }

    /// `text` in a tone (ECMA-48 select graphic rendition), or as it is.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Faint => "2",
            Tone::Bold => "1",
            Tone::Warning => "33",
            Tone::Error => "31",
        };
        match self.colour && !text.is_empty() {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

/// Columns of a terminal, from the kernel.
#[allow(unsafe_code)]
fn terminal_columns(terminal: &impl AsFd) -> Option<usize> {
    let descriptor = terminal.as_fd();
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the descriptor is open for the call; TIOCGWINSZ writes one `winsize` and nothing else.
    let answer = unsafe { libc::ioctl(descriptor.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    (answer == 0 && size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// `text` broken at spaces into lines of at most `width`, each with its prefix; words longer than
/// a line stay whole.
pub fn wrap(text: &str, width: usize, first: &str, rest: &str) -> String {
    let mut lines = String::new();
    let mut line = first.to_owned();
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > width {
            lines += &line;
            lines.push('\n');
            line = rest.to_owned();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line += word;
        empty = false;
    }
    lines + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_at_spaces() {
        assert_eq!(wrap("one two three", 9, "# ", "#   "), "# one two\n#   three\n");
        assert_eq!(wrap("unbreakable", 4, "# ", "#   "), "# unbreakable\n");
    }

    #[test]
    fn colour_only_where_wanted() {
        assert_eq!(Style::PLAIN.paint(Tone::Error, "x"), "x");
        assert_eq!(
            Style {
                width: 80,
                colour: true
            }
            .paint(Tone::Error, "x"),
            "\x1b[31mx\x1b[0m"
        );
    }
}
