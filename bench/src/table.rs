//! The table at the end: each row of ours beside its rivals, with the aim and whether it is met.

use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};

use crate::{figure::Figure, ours};

/// What a row aims at, and how that is seen.
struct Aim {
    row: &'static str,
    says: &'static str,
    /// `None` if what it speaks of was not measured.
    met: fn(&Row<'_>) -> Option<bool>,
}

/// All figures of one name.
struct Row<'a> {
    ours: &'a Figure,
    rivals: Vec<&'a Figure>,
}

/// The aims, in the words and order of the design.
const AIMS: &[Aim] = &[
    Aim { row: "log, groups of 1024 x 256 B", says: CPU, met: |row| at_most(row, "aboveBareCpuNs", 500.0) },
    Aim { row: "log, groups of 1024 x 400 B", says: CPU, met: |row| at_most(row, "aboveBareCpuNs", 500.0) },
    Aim { row: "log, groups of 64 x 256 B", says: CPU, met: |row| at_most(row, "aboveBareCpuNs", 500.0) },
    Aim { row: "log, groups of 64 x 400 B", says: CPU, met: |row| at_most(row, "aboveBareCpuNs", 500.0) },
    Aim { row: "log, groups of 1024 x 4096 B", says: BARE, met: |row| at_least(row, "ofBareDisk", 0.8) },
    Aim { row: "log, groups of 64 x 4096 B", says: BARE, met: |row| at_least(row, "ofBareDisk", 0.8) },
    Aim { row: "store, batches of 1024 x 400 B", says: "5 x the best rival", met: |row| best(row, 5.0) },
    Aim { row: "store, batches of 1024 x 400 B", says: "1 M events/s", met: |row| Some(row.ours.value >= 1e6) },
    Aim { row: "store, full scan", says: "8 x the best rival", met: |row| best(row, 8.0) },
    Aim { row: "store, full scan", says: "0.3 of memcpy", met: |row| at_least(row, "ofMemcpy", 0.3) },
    Aim { row: "store, random streams of 10", says: "100,000/s", met: |row| Some(row.ours.value >= 1e5) },
    Aim { row: "commands, 1 caller", says: "1.3 x bare disk", met: |row| at_most(row, "p50OfBareDisk", 1.3) },
    Aim { row: "commands, 64 callers", says: SINGLY, met: |row| of(row, "PostgreSQL singly", 10.0) },
    Aim { row: "commands, 64 callers", says: "150,000/s", met: |row| Some(row.ours.value >= 150e3) },
    Aim { row: "commands, 64 callers", says: "p99 < 2 ms", met: |row| at_most(row, "p99_us", 2_000.0) },
    Aim { row: "commands, 1024 callers", says: "400,000/s", met: |row| Some(row.ours.value >= 400e3) },
    Aim { row: "replay, raw entries", says: "0.3 of memcpy", met: |row| at_least(row, "ofMemcpy", 0.3) },
    Aim { row: "replay, typed order events", says: "0.75 of JSON", met: |row| at_least(row, "ofBareJson", 0.75) },
    Aim { row: "orders until shipped", says: "2,000/s", met: |row| Some(row.ours.value >= 2e3) },
    Aim { row: "open, killed", says: "< 2 s", met: |row| Some(row.ours.value < 2.0) },
    Aim { row: "open, killed", says: "1 GiB", met: |row| at_most(row, "peakRssMib", 1_024.0) },
    Aim { row: "scale, killed", says: "1 GiB", met: |row| at_most(row, "peakRssMib", 1_024.0) },
    Aim { row: "scale, written", says: "1 GiB", met: |row| at_most(row, "peakRssMib", 1_024.0) },
];
const CPU: &str = "0.5 µs CPU above bare";
const SINGLY: &str = "10 x PostgreSQL singly";
const BARE: &str = "0.8 of bare disk";

fn at_most(row: &Row<'_>, number: &str, limit: f64) -> Option<bool> {
    Some(row.ours.number(number)? <= limit)
}

fn at_least(row: &Row<'_>, number: &str, limit: f64) -> Option<bool> {
    Some(row.ours.number(number)? >= limit)
}

fn best(row: &Row<'_>, times: f64) -> Option<bool> {
    Some(row.ours.value >= times * row.best()?)
}

fn of(row: &Row<'_>, rival: &str, times: f64) -> Option<bool> {
    let rival = row.rivals.iter().find(|figure| figure.subject == rival && figure.missing.is_none())?;
    Some(row.ours.value >= times * rival.value)
}

impl Row<'_> {
    /// The rivals' best value; of all rows that have rivals, more is better.
    fn best(&self) -> Option<f64> {
        let values = self.rivals.iter().filter(|figure| figure.missing.is_none()).map(|figure| figure.value);
        values.max_by(f64::total_cmp)
    }
}

/// All figures, a row for each name.
pub fn table(figures: &[Figure]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic).set_width(150);
    table.set_header(["what", "factum", "rivals", "ratio to the best", "aim", "notes"]);
    let mut names: Vec<&str> = Vec::new();
    for figure in figures {
        if !names.contains(&figure.name.as_str()) {
            names.push(&figure.name);
        }
    }
    for name in names {
        let of_name = || figures.iter().filter(|figure| figure.name == name);
        let rivals: Vec<&Figure> = of_name().filter(|figure| figure.subject != ours::NAME).collect();
        let listed: Vec<String> =
            rivals.iter().map(|figure| format!("{}: {}", figure.subject, value(figure))).collect();
        let ours = of_name().find(|figure| figure.subject == ours::NAME);
        let Some(ours) = ours else {
            table.add_row([name, "", &listed.join("\n"), "", "", ""]);
            continue;
        };
        let row = Row { ours, rivals };
        let ratio = row.best().map(|best| format!("{:.2}", ours.value / best)).unwrap_or_default();
        let aims: Vec<String> = AIMS.iter().filter(|aim| aim.row == name).map(|aim| verdict(aim, &row)).collect();
        table.add_row([name, &value(ours), &listed.join("\n"), &ratio, &aims.join("\n"), &seen(ours).join("\n")]);
    }
    table
}

fn verdict(aim: &Aim, row: &Row<'_>) -> String {
    let verdict = match (aim.met)(row) {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "not measured",
    };
    format!("{}: {verdict}", aim.says)
}

/// What of a figure is worth a line in the table; the raw lines have the rest.
const SEEN: [&str; 18] = [
    "aboveBareCpuNs",
    "ofBareDisk",
    "mbPerSecond",
    "gbPerSecond",
    "ofMemcpy",
    "ofBareJson",
    "p50OfBareDisk",
    "p50_us",
    "p99_us",
    "max_us",
    "bareP50_us",
    "bareP99_us",
    "bareP999_us",
    "cpuMsPerOrder",
    "events",
    "streams",
    "peakRssMib",
    "streamReadsPerSecond",
];

fn seen(figure: &Figure) -> Vec<String> {
    let numbers = SEEN.iter().filter_map(|name| Some(format!("{name} {}", grouped(figure.number(name)?))));
    numbers.chain(circumstances(figure)).collect()
}

/// One figure in a line.
pub fn sentence(figure: &Figure) -> String {
    format!("{}, {}: {} ({})", figure.name, figure.subject, value(figure), notes(figure))
}

fn value(figure: &Figure) -> String {
    match &figure.missing {
        // The sentence is in the raw lines; here its beginning says enough.
        Some(why) => format!("none: {}", why.chars().take(60).collect::<String>()),
        None => format!("{} {}", grouped(figure.value), figure.unit),
    }
}

fn notes(figure: &Figure) -> String {
    let numbers = figure.more.iter().map(|(name, value)| format!("{name} {value}"));
    numbers.chain(circumstances(figure)).collect::<Vec<_>>().join(", ")
}

fn circumstances(figure: &Figure) -> impl Iterator<Item = String> {
    let bare = figure.bare_disk;
    let bare = bare.map(|bare| format!("bare {:.0}/{:.0} µs for {} B", bare.p50_us, bare.p99_us, bare.bytes));
    bare.into_iter().chain(figure.flushes_per_event.map(|flushes| format!("{flushes} flushes an event")))
}

/// `1234567.8` as `1,234,568`; what is small keeps two places.
fn grouped(value: f64) -> String {
    if value < 1e3 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_is_judged_by_the_figures_of_its_row() {
        let row = "store, batches of 1024 x 400 B";
        let ours = Figure::new(row, 1_200_000.0, "events/s");
        let rival = Figure::new(row, 100_000.0, "events/s").of("redb", None);
        let missing = Figure::missing(row, "PostgreSQL", "it is not installed".into());
        let text = table(&[ours.clone(), rival.clone(), missing.clone()]).to_string();
        for part in ["1,200,000 events/s", "redb: 100,000", "none: it is not", "12.00", "5 x the best rival: met"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        let faster = Figure { value: 300_000.0, ..rival };
        assert!(table(&[ours.clone(), faster]).to_string().contains("5 x the best rival: MISSED"));
        assert!(table(&[ours, missing]).to_string().contains("5 x the best rival: not measured"));
    }
}
