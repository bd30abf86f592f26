//! What is said: answers on the standard output, the rest on the error output. Texts of others are made harmless before.

use std::{
    fmt::Write as _,
    io::{self, ErrorKind, Write, stderr, stdout},
    process::ExitCode,
};

use shop::plain::plain_lines;

/// What a shell tells of a tool that a closed pipe has ended: 128 and the number of SIGPIPE.
const BROKEN_PIPE: u8 = 141;

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
            tell(&format!("error: {}", plain_lines(&format!("{error:#}"))));
            ExitCode::FAILURE
        }
    }
}

/// Control characters, line ends of every script, and what is invisible or turns the direction of writing.
fn steers(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}')
        || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(letter, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
