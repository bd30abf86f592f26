//! What is said: answers on the standard output, the rest on the error output. Texts of others are made harmless before.

use std::{
    fmt::Write as _,
    io::{self, ErrorKind, Write, stderr, stdout},
    process::ExitCode,
};

/// What a shell tells of a tool that a closed pipe has ended: 128 and the number of SIGPIPE.
const BROKEN_PIPE: u8 = 141;
/// Characters that are shown of a text of others.
pub const MOST: usize = 200;

/// The answer was not heard.
#[derive(Debug, thiserror::Error)]
#[error("the answer could not be written: {0}")]
pub struct Unheard(#[from] io::Error);

/// Prints an answer whole.
///
/// # Errors
/// [`Unheard`] if it could not be written to its end.
pub fn say(text: &str) -> Result<(), Unheard> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Prints an answer as JSON. What steers a terminal is written as an escape; inside JSON's texts it stays the same.
///
/// # Errors
/// As [`say`].
pub fn say_json(json: &str) -> Result<(), Unheard> {
    let mut text = String::with_capacity(json.len() + 1);
    for letter in json.chars() {
        match letter {
            '\n' => text.push(letter),
            _ if steers(letter) => letter.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(text, "\\u{unit:04x}");
            }),
            _ => text.push(letter),
        }
    }
    say(&(text + "\n"))
}

/// Tells something beside the answer. Who cannot hear it cannot be told that either.
pub fn tell(text: &str) {
    let _ = writeln!(stderr().lock(), "{text}");
}

/// How a command ended that came to nothing. A reader who has enough, as `head` has, need not be told.
pub fn failed(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref() {
        Some(Unheard(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::from(BROKEN_PIPE),
        _ => {
            tell(&format!("error: {}", plain(&format!("{error:#}"), 10 * MOST)));
            ExitCode::FAILURE
        }
    }
}

/// A text of others as one may show it to a person: on one line, at most so many characters of it, and whatever would
/// steer a terminal, or let a text look like another, as an escape such as `\u{1b}`.
pub fn plain(text: &str, most: usize) -> String {
    let mut shown = String::new();
    let mut letters = text.chars();
    for letter in letters.by_ref().take(most) {
        match letter {
            '\n' | '\r' | '\t' => shown.extend(letter.escape_default()),
            _ if steers(letter) => shown.extend(letter.escape_unicode()),
            _ => shown.push(letter),
        }
    }
    if letters.next().is_some() {
        shown.push('…');
    }
    shown
}

/// Control characters, line ends of every script, and what is invisible or turns the direction of writing.
fn steers(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}')
        || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(letter, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_others_is_one_line_that_steers_no_terminal() {
        assert_eq!(plain("Café \u{1f375} £5 \\ 中", MOST), "Café \u{1f375} £5 \\ 中");
        assert_eq!(plain("a\r\nok\u{1b}[2K\u{9b}1A\u{7}", MOST), r"a\r\nok\u{1b}[2K\u{9b}1A\u{7}");
        assert_eq!(plain("\u{202e}abc\u{200b}\u{2028}\u{e0041}", MOST), r"\u{202e}abc\u{200b}\u{2028}\u{e0041}");
        assert_eq!((plain("äöüß", 4).as_str(), plain("äöüß", 3).as_str(), plain("", 0).as_str()), ("äöüß", "äöü…", ""));
    }
}
