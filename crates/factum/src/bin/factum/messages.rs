//! `factum log dump` and `tail`: messages, a line each.

use std::{
    io::{self, BufWriter, Write},
    process::ExitCode,
    thread,
    time::Duration,
};

use factum::{
    Location,
    envelope::Stored,
    operate,
    ports::{Reader, Scan},
    stream::{Position, StreamId, StreamVersion},
};

use crate::{Problem, log_args::Which, screen::harmless};

/// Bytes of messages read at once.
const SCAN_BYTES: usize = 4 << 20;
/// How long to wait before looking again for what was written.
const PAUSE: Duration = Duration::from_millis(100);

/// Prints the messages asked for as JSON.
pub fn dump(data: &Location, which: &Which) -> Result<ExitCode, Problem> {
    let log = operate::follow(data)?;
    let reader = log.reader();
    let (head, lineage) = (reader.head(), reader.lineage().to_string());
    if let Some(wanted) = which.of.as_ref().filter(|wanted| **wanted != lineage) {
        return Err(Problem::Refused(format!(
            "{data} is {lineage}, and the position is of {wanted}: it was restored since, or is another log. What stands at \
             a position may not be what stood there; begin anew, with `--of {lineage}` and without `--after`"
        )));
    }
    if which.after > head {
        return Err(Problem::Refused(format!(
            "position {} is behind the end of {data}, which is {head}: it is of another log, or this one is an older copy",
            which.after
        )));
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let mut left = which.limit.unwrap_or(u64::MAX);
    let mut print = |stored: &Stored| {
        let wanted = left > 0;
        left = left.saturating_sub(1);
        if wanted { json(&mut out, stored).map(|()| left > 0) } else { Ok(false) }
    };
    let until = which.until.unwrap_or(head).min(head);
    let is_type = |name: &str| which.types.is_empty() || which.types.iter().any(|wanted| wanted == name);
    if let Some(stream) = &which.stream {
        for stored in reader.stream(&StreamId::parse(stream)?, StreamVersion(0))? {
            let is_wanted = stored.position > which.after && stored.position <= until && is_type(stored.type_name());
            if is_wanted && !print(&stored)? {
                break;
            }
        }
    } else {
        each(&*reader, which.after, until, (!which.types.is_empty()).then_some(&is_type), &mut print)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the last messages, and with `follow` those that come.
pub fn tail(data: &Location, count: u64, follow: bool, as_json: bool) -> Result<ExitCode, Problem> {
    let mut log = operate::follow(data)?;
    let reader = log.reader();
    let mut out = BufWriter::new(io::stdout().lock());
    let mut head = reader.head();
    let mut after = Position(head.0.saturating_sub(count));
    loop {
        each(&*reader, after, head, None, &mut |stored| {
            if as_json {
                json(&mut out, stored)?
            } else {
                line(&mut out, stored)?
            }
            Ok(true)
        })?;
        out.flush()?;
        if !follow {
            return Ok(ExitCode::SUCCESS);
        }
        after = head;
        while head == after {
            thread::sleep(PAUSE);
            head = log.look()?;
        }
    }
}

/// Visits messages in the order of the log until the visitor has enough.
fn each(
    reader: &dyn Reader,
    mut after: Position,
    until: Position,
    types: Option<&dyn Fn(&str) -> bool>,
    visit: &mut dyn FnMut(&Stored) -> Result<bool, Problem>,
) -> Result<(), Problem> {
    while after < until {
        let scanned = reader.scan(&Scan { after, until, bytes: SCAN_BYTES, types })?;
        for stored in &scanned.messages {
            if !visit(stored)? {
                return Ok(());
            }
        }
        if scanned.through <= after {
            break;
        }
        after = scanned.through;
    }
    Ok(())
}

fn json(out: &mut impl Write, stored: &Stored) -> Result<(), Problem> {
    serde_json::to_writer(&mut *out, stored)?;
    Ok(out.write_all(b"\n")?)
}

/// Position, time, kind, type, stream and version, data.
fn line(out: &mut impl Write, stored: &Stored) -> Result<(), Problem> {
    let envelope = stored.envelope();
    write!(out, "{} {} ", stored.position, envelope.timestamp)?;
    write!(out, "{} {}@{} ", envelope.type_name, harmless(stored.stream.as_str()), stored.version)?;
    out.write_all(harmless(&String::from_utf8_lossy(&stored.message.data)).as_bytes())?;
    Ok(out.write_all(b"\n")?)
}
