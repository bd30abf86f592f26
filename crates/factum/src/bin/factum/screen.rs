//! What is shown: answers on the standard output, progress on the error output if somebody watches.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use comfy_table::{CellAlignment, Table, presets::UTF8_FULL_CONDENSED};
use indicatif::{BinaryBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::Problem;

/// Prints an answer whole.
pub fn print(text: &str) -> Result<(), Problem> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Prints an answer as JSON.
pub fn json<T: Serialize>(answer: &T) -> Result<(), Problem> {
    print(&(serde_json::to_string_pretty(answer)? + "\n"))
}

/// A table; all columns but the first are numbers.
pub fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(head.iter().copied());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A table in which only these columns are numbers.
pub fn listing(head: &[&str], numbers: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(head.iter().copied());
    for (index, column) in table.column_iter_mut().enumerate() {
        if numbers.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Columns of the terminal; if there is none, so many that little is cut.
pub fn width() -> usize {
    Table::new().width().map_or(160, usize::from)
}

/// A text on one line of so many characters, without what would steer a terminal.
pub fn line(text: &str, most: usize) -> String {
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = harmless(&text);
    match text.char_indices().nth(most) {
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
        None => text,
    }
}

/// A text without what would steer a terminal.
pub fn harmless(text: &str) -> String {
    text.chars().map(|letter| if steers(letter) { '\u{fffd}' } else { letter }).collect()
}

/// Control characters, and what is invisible or turns the direction of writing.
fn steers(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}')
        || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(letter, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Such as 3 min, of so many seconds.
pub fn lasting(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    let (number, unit) = match seconds {
        ..60.0 => (seconds, "s"),
        ..3_600.0 => (seconds / 60.0, "min"),
        ..172_800.0 => (seconds / 3_600.0, "h"),
        _ => (seconds / 86_400.0, "days"),
    };
    format!("{} {unit}", count(number as u64))
}

/// An argument as a shell takes it.
pub fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@%+=,".contains(&byte);
    match !text.is_empty() && text.bytes().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Such as 1,234,567.
pub fn count(count: u64) -> String {
    HumanCount(count).to_string()
}

/// A number of things by name.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// Such as 12.25 MiB.
pub fn size(bytes: u64) -> String {
    BinaryBytes(bytes).to_string()
}

/// What a bar counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Bytes,
    Segments,
    Letters,
    Messages,
    Processes,
    Occurrences,
}

/// Does something and shows how far it is.
pub fn watched<T>(what: &str, unit: Unit, work: impl FnOnce(&mut dyn FnMut(u64, u64)) -> T) -> T {
    if !io::stderr().is_terminal() {
        return work(&mut |_, _| {});
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let template = match unit {
        Unit::Bytes => "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  (left: {eta})",
        Unit::Segments => "{msg} {wide_bar} {pos}/{len} segments  (left: {eta})",
        Unit::Letters => "{msg} {wide_bar} {pos}/{len} letters  {per_sec}  (left: {eta})",
        Unit::Processes => "{msg} {wide_bar} {pos}/{len} processes  {per_sec}  (left: {eta})",
        Unit::Occurrences => "{msg} {wide_bar} {pos}/{len} occurrences  {per_sec}  (left: {eta})",
        Unit::Messages => "{msg} {wide_bar} {pos}/{len} messages  {per_sec}  (left: {eta})",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    let done = work(&mut |done, of| {
        bar.set_length(of);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_line_that_steers_no_terminal() {
        assert_eq!(line("no  ink\n\tfor \u{1b}[31mthis", 99), "no ink for \u{fffd}[31mthis");
        assert_eq!(line("a\u{9b}1A\u{202e}b\u{200b}\u{2028}c", 99), "a\u{fffd}1A\u{fffd}b\u{fffd} c");
        assert_eq!((line("äöüß", 4).as_str(), line("äöüß", 3).as_str()), ("äöüß", "äö…"));
        assert_eq!((line("", 3).as_str(), line("x", 0).as_str()), ("", "…"));
    }

    #[test]
    fn an_argument_is_quoted_where_a_shell_would_change_it() {
        assert_eq!(quoted("order.notify@42"), "order.notify@42");
        assert_eq!(quoted("a@timer/b/at 5 o'clock"), r"'a@timer/b/at 5 o'\''clock'");
        assert_eq!((quoted("").as_str(), quoted("$HOME").as_str()), ("''", "'$HOME'"));
    }

    #[test]
    fn a_time_is_told_in_its_own_unit() {
        let told = [-1.0, 59.9, 60.0, 7_300.0, 172_800.0].map(lasting);
        assert_eq!(told, ["0 s", "59 s", "1 min", "2 h", "2 days"]);
    }
}
