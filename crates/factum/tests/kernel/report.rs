//! What a writer tells the recorder: one line a report, each written with one write, so that a kill leaves whole lines.

use std::{
    fmt::Display,
    io::{Write, stdout},
    process::exit,
};

/// One line from a writer. Numbers are those of entries or commands, as `entries` and `bank` derive them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// It begins to open.
    Opening,
    /// It is open, at this last position.
    Open { head: u64 },
    /// It cannot open, and why.
    Closed { why: String },
    /// It is about to write these numbers, together.
    Try { first: u64, count: u64 },
    /// They are written; their first position at the log, the receipt's position at the app.
    Done { first: u64, count: u64, position: u64 },
    /// They were refused, and nothing of them may ever be seen.
    Refused { first: u64, why: String },
    /// Nobody knows what became of them.
    Unknown { first: u64, why: String },
    /// A reader saw everything in this range, whose digests have this sum.
    Seen { after: u64, through: u64, digest: u64 },
    /// A row was seen with this count of events in it.
    Row { key: String, count: u64 },
    /// It begins to close.
    Closing,
    /// It has closed, or could not (and why).
    End { why: String },
}

impl Report {
    /// Tells the recorder. A writer whose recorder is gone ends.
    pub fn tell(&self) {
        let line = match self {
            Self::Opening => line("opening", &[]),
            Self::Open { head } => line("open", &[head]),
            Self::Closed { why } => line("closed", &[&one_line(why)]),
            Self::Try { first, count } => line("try", &[first, count]),
            Self::Done { first, count, position } => line("done", &[first, count, position]),
            Self::Refused { first, why } => line("refused", &[first, &one_line(why)]),
            Self::Unknown { first, why } => line("unknown", &[first, &one_line(why)]),
            Self::Seen { after, through, digest } => line("seen", &[after, through, digest]),
            Self::Row { key, count } => line("row", &[key, count]),
            Self::Closing => line("closing", &[]),
            Self::End { why } => line("end", &[&one_line(why)]),
        };
        let mut out = stdout().lock();
        if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
            exit(3);
        }
    }

    /// Reads a line. `None` if it is none of ours, such as one that was cut short.
    pub fn read(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ')?;
        let mut parts = rest.splitn(3, ' ');
        let mut number = || parts.next()?.parse::<u64>().ok();
        let text = |at: usize| rest.splitn(at + 1, ' ').nth(at).map(str::to_owned);
        Some(match word {
            "opening" => Self::Opening,
            "open" => Self::Open { head: number()? },
            "closed" => Self::Closed { why: text(0)? },
            "try" => Self::Try { first: number()?, count: number()? },
            "done" => Self::Done { first: number()?, count: number()?, position: number()? },
            "refused" => Self::Refused { first: number()?, why: text(1)? },
            "unknown" => Self::Unknown { first: number()?, why: text(1)? },
            "seen" => Self::Seen { after: number()?, through: number()?, digest: number()? },
            "row" => Self::Row { key: text(0)?.split(' ').next()?.to_owned(), count: text(1)?.parse().ok()? },
            "closing" => Self::Closing,
            "end" => Self::End { why: text(0)? },
            _ => return None,
        })
    }
}

fn line(word: &str, values: &[&dyn Display]) -> String {
    let values: Vec<String> = values.iter().map(|value| value.to_string()).collect();
    format!("{word} {}\n", values.join(" "))
}

/// Short enough for a pipe's atomic write.
fn one_line(text: &str) -> String {
    text.replace('\n', " ").chars().take(600).collect()
}
