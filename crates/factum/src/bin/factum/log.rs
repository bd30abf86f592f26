//! `factum log info`, `verify`, `archive`, `migrate` and `roles`.

use std::{fmt::Write, path::Path, process::ExitCode};

use factum::{
    Location,
    operate::{self, About, Findings},
};
use serde::Serialize;

use crate::{
    DAMAGED, Problem,
    screen::{self, Unit, count, counted, size},
};

/// What a log consists of.
pub fn info(data: &Location, json: bool) -> Result<ExitCode, Problem> {
    let about = operate::about(data)?;
    if json {
        screen::json(&about)?;
    } else {
        screen::print(&described(&about))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn described(about: &About) -> String {
    let mut text = String::new();
    let stored: u64 = about.segments.iter().map(|segment| segment.stored_bytes).sum();
    let mut table = screen::table(&["log", &about.dir.display().to_string()]);
    table.add_row(["lineage".to_owned(), about.lineage.to_string()]);
    table.add_row(["messages".to_owned(), count(about.head.0)]);
    table.add_row(["streams".to_owned(), count(about.streams)]);
    table.add_row(["live cells".to_owned(), count(about.cells)]);
    table.add_row(["bytes".to_owned(), format!("{}, {} on disk", size(about.bytes), size(stored))]);
    table.add_row([
        "last stop".to_owned(),
        if about.is_closed { "in order" } else { "none: running, or killed" }.into(),
    ]);
    table.add_row(["to read at the next start".to_owned(), size(about.tail_bytes)]);
    if let Some(archive) = &about.archive {
        table.add_row(["archive".to_owned(), archive.display().to_string()]);
    }
    let _ = writeln!(text, "{table}\n");
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut table = screen::table(&["segment", "first position", "epoch", "bytes", "on disk"]);
    for segment in &about.segments {
        let stored = size(segment.stored_bytes);
        let stored = if segment.is_archived { format!("{stored} (archived)") } else { stored };
        let row = [count(segment.first.0), segment.epoch.to_string(), size(segment.bytes), stored];
        table.add_row([name(&segment.file)].into_iter().chain(row));
    }
    let _ = writeln!(text, "{table}");
    for checkpoint in &about.checkpoints {
        let _ = writeln!(text, "checkpoint {}, {}", name(&checkpoint.file), size(checkpoint.bytes));
    }
    for cut in &about.cuts {
        let bytes = size(cut.bytes);
        let _ = writeln!(text, "{}, {bytes}: remains of an unfinished write that nobody was told of", name(&cut.file));
    }
    text
}

/// [`Findings`], with the answer in one word.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict<'a> {
    is_sound: bool,
    #[serde(flatten)]
    findings: &'a Findings,
}

impl<'a> From<&'a Findings> for Verdict<'a> {
    fn from(findings: &'a Findings) -> Self {
        Self { is_sound: findings.damage.is_empty(), findings }
    }
}

/// Brings the tables to today's version.
pub fn migrate(data: &Location, json: bool) -> Result<ExitCode, Problem> {
    let version = operate::migrate(data)?;
    if json {
        screen::json(&serde_json::json!({ "version": version }))?;
    } else {
        screen::print(&format!("{data} is of version {version}.\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The statements that give roles their rights.
pub fn roles(data: &Location, writer: Option<&str>, reader: Option<&str>) -> Result<ExitCode, Problem> {
    screen::print(&operate::roles(data, writer, reader)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Whether a log is sound.
pub fn verify(data: &Location, json: bool) -> Result<ExitCode, Problem> {
    let findings = screen::watched("reading", Unit::Bytes, |progress| operate::verify(data, progress))?;
    if json {
        screen::json(&Verdict::from(&findings))?;
    } else {
        screen::print(&judged(&findings))?;
    }
    Ok(code(&findings))
}

/// The exit code for a log in this state.
pub fn code(findings: &Findings) -> ExitCode {
    ExitCode::from(if findings.damage.is_empty() { 0 } else { DAMAGED })
}

/// What was found, in sentences.
pub fn judged(findings: &Findings) -> String {
    let mut text = String::new();
    let dir = findings.dir.display();
    let Findings { head, streams, cells, segments, bytes, .. } = findings;
    let _ = match findings.damage.len() as u64 {
        0 => writeln!(text, "{dir} is sound."),
        places => writeln!(text, "{dir} is damaged in {}:", counted(places, "place", "places")),
    };
    for place in &findings.damage {
        let _ = writeln!(text, "  {}, offset {}: {}", place.file.display(), place.offset, place.what);
    }
    let _ = writeln!(
        text,
        "Read: {} in {}, {}, {}, {}, {}.",
        counted(head.0, "message", "messages"),
        counted(*streams, "stream", "streams"),
        counted(*cells, "live cell", "live cells"),
        counted(*segments, "segment", "segments"),
        counted(findings.checkpoints, "checkpoint", "checkpoints"),
        size(*bytes),
    );
    if let Some(place) = &findings.unfinished {
        let (file, offset, what) = (place.file.display(), place.offset, &place.what);
        let _ = writeln!(text, "Note: {file}, offset {offset}: {what}; the next start cuts that off, nothing is lost.");
    }
    for place in &findings.unusable {
        let (file, what) = (place.file.display(), &place.what);
        let _ = writeln!(text, "Warning: the checkpoint {file} is of no use: {what}. A start takes longer, no more.");
    }
    if !findings.damage.is_empty() {
        text.push_str(
            "What to do: stop the app and keep this directory as it is. Restore the last backup into another one\n\
             (`factum restore FROM DIR`), or put the files named above back from a backup that is sound.\n",
        );
    }
    text
}

/// Moves sealed segments.
pub fn archive(data: &Location, to: &Path, keep: usize, json: bool) -> Result<ExitCode, Problem> {
    let moved = screen::watched("moving", Unit::Segments, |progress| operate::archive(data, to, keep, progress))?;
    if json {
        screen::json(&moved)?;
    } else {
        screen::print(&format!(
            "{} moved to {}: {} became {}.\n",
            counted(moved.segments, "segment", "segments"),
            moved.archive.display(),
            size(moved.from_bytes),
            size(moved.to_bytes),
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
