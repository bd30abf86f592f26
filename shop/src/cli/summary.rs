//! Reports for people.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use comfy_table::{CellAlignment, Table, presets::UTF8_FULL_CONDENSED};
use factum::{Archive, envelope::Kind};
use shop::{
    check::Findings,
    data::Data,
    import::{Unreadable, loader::Outcome},
    plain::plain,
    plural::counted,
    report::Report,
    services,
};

/// How an import went.
pub fn outcome(outcome: &Outcome, data: &Data) -> String {
    let mut text = String::new();
    let fresh = outcome.accepted.len() as u64;
    let seconds = outcome.took.as_secs_f64();
    if outcome.invoices == 0 {
        let _ = writeln!(text, "Nothing to do: the file holds no invoice that can be read.");
    } else if fresh == 0 && outcome.before > 0 {
        let _ = writeln!(
            text,
            "Nothing to do: {} of the file, and all is in {} already.",
            counted(outcome.invoices, "invoice"),
            data
        );
    } else {
        let rate = fresh as f64 / seconds.max(0.001);
        let _ = writeln!(
            text,
            "{} in {seconds:.1} s ({rate:.0} a second), each order to its end, into {}.",
            counted(fresh, "invoice"),
            data
        );
        if outcome.before > 0 {
            let _ = writeln!(text, "There from an earlier run: {}.", counted(outcome.before, "invoice"));
        }
        let at = |share: f64| millis(outcome.accepted[((fresh - 1) as f64 * share) as usize]);
        if fresh > 0 {
            let _ = writeln!(
                text,
                "Durably accepted after {} (median), {} (99 of 100); a day's invoices arrive at once.",
                at(0.5),
                at(0.99)
            );
        }
    }
    rows(
        &mut text,
        &outcome.unreadable,
        "could not be read or taken",
        "all are in the journal, under `import.rows_noted`",
    );
    rows(&mut text, &outcome.late, "came too late", "and more");
    text.push('\n');
    text
}

/// Some of the rows, if there are any, and what is the matter with them.
fn rows(text: &mut String, rows: &[Unreadable], what: &str, rest: &str) {
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{} {what}:", counted(rows.len() as u64, "row"));
    for row in rows.iter().take(10) {
        let _ = writeln!(text, "  line {}: {}", row.line, plain(&row.reason));
    }
    if rows.len() > 10 {
        let _ = writeln!(text, "  … {rest}");
    }
}

/// What a shop did.
pub fn report(report: &Report) -> String {
    let mut text = String::new();
    let orders = &report.orders;
    if orders.placed == 0 {
        return "No orders yet. Try `shop demo`, or `shop serve` and POST /orders.\n".to_owned();
    }
    let mut states = table(&["orders", "count", "share"]);
    for (status, count) in &orders.by_status {
        let share = *count as f64 * 100.0 / orders.placed as f64;
        states.add_row([(*status).to_owned(), thousands(*count as i64), format!("{share:.1} %")]);
    }
    states.add_row(["all".to_owned(), thousands(orders.placed as i64), money(orders.total)]);
    let mut countries = table(&["country", "orders", "total"]);
    for country in orders.by_country.iter().take(5) {
        countries.add_row([plain(&country.country), thousands(country.orders as i64), money(country.total)]);
    }
    let mut products = table(&["article", "units shipped"]);
    for product in report.top_products.iter().take(5) {
        products.add_row([plain(&product.sku), thousands(product.units)]);
    }
    let mut books = table(&["money and stock", ""]);
    books.add_row(["captured".to_owned(), money(report.payments.captured)]);
    books.add_row(["given back".to_owned(), money(report.payments.refunded)]);
    let notes = &report.credit_notes;
    books.add_row([format!("{} credit notes", thousands(notes.count as i64)), money(notes.total)]);
    books.add_row(["units sold".to_owned(), thousands(report.stock.sold)]);
    books.add_row(["units found".to_owned(), thousands(report.stock.found)]);
    books.add_row(["units written off".to_owned(), thousands(report.stock.written_off)]);
    for table in [states, countries, products, books] {
        let _ = writeln!(text, "{table}");
    }
    let input = &report.input;
    if input.rows > 0 {
        let _ = writeln!(
            text,
            "Imported: {} rows, {} invoices; skipped as ledger entries: {} rows; unreadable: {}.",
            thousands(input.rows as i64),
            thousands(input.invoices as i64),
            report.skipped.ledger_rows,
            report.unreadable.rows
        );
    }
    let incomplete = &report.unreadable.incomplete;
    if !incomplete.is_empty() {
        let named: Vec<String> = incomplete.iter().take(10).map(|number| plain(number)).collect();
        let more = if incomplete.len() > named.len() { ", …" } else { "" };
        let taken = counted(incomplete.len() as u64, "invoice");
        let _ = writeln!(text, "{taken} taken without a row that could not be read: {}{more}.", named.join(", "));
    }
    text
}

/// What a check found.
pub fn findings(findings: &Findings) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "Checked: {} orders ({} under way), {} sagas ({} under way), {} articles, {} captured, {} given back.",
        thousands(findings.orders as i64),
        findings.orders_under_way,
        thousands(findings.sagas as i64),
        findings.sagas_under_way,
        thousands(findings.articles as i64),
        money(findings.captured),
        money(findings.refunded)
    );
    if findings.is_well() {
        text.push_str("Nothing is lost, doubled or half done.\n\n");
        return text;
    }
    let _ = writeln!(text, "{}:", counted(findings.problem_count, "problem"));
    for problem in &findings.problems {
        let _ = writeln!(text, "  {}", plain(problem));
    }
    if findings.problem_count > findings.problems.len() as u64 {
        text.push_str("  …\n");
    }
    text
}

/// What each service has put into the log.
pub fn services(archive: &Archive) -> anyhow::Result<String> {
    // Also one that nobody needed: carts come in over HTTP only.
    let all = services::services(&services::Options::default());
    let mut counts: BTreeMap<String, [u64; 3]> = all.iter().map(|it| (it.source.to_string(), [0; 3])).collect();
    archive.each::<factum::error::StoreError>(None, |stored| {
        let envelope = stored.envelope();
        if let Some(of) = counts.get_mut(envelope.source.as_str()) {
            of[match envelope.kind {
                Kind::Event => 0,
                Kind::Call => 2,
                Kind::Command | Kind::Rejection | Kind::Receipt => 1,
            }] += 1;
        }
        Ok(())
    })?;
    let mut list = table(&["service", "events", "commands", "calls"]);
    for (service, all) in counts {
        list.add_row(std::iter::once(service).chain(all.map(|count| thousands(count as i64))));
    }
    Ok(format!("{list}\n\n"))
}

/// What to look at behind the demo.
pub fn next(data: &Data) -> String {
    format!(
        "Try next:\n  \
         shop history 536365 --data {data}          the story of another order\n  \
         shop at 536365 2010-12-02 --data {data}    an order as it was\n  \
         shop report --data {data} --json           every figure, recomputable from the file\n\
         See it live, on top of these orders; a day of the carrier takes ten seconds:\n  \
         shop serve --data {data} --day 10s\n  \
         curl -i localhost:8080/orders -d '{{\"customerId\":\"17850\",\"items\":[{{\"sku\":\"85123A\",\"quantity\":2}}]}}' -H 'Content-Type: application/json'\n  \
         curl localhost:8080/orders/<ID>                       its way, step by step\n  \
         curl 'localhost:8080/notifications?order=<ID>'        its mails\n  \
         curl localhost:8080/loyalty/17850                     its points, when it is delivered\n  \
         curl localhost:8080/analytics/funnel                  how all orders fare\n"
    )
}

pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(header.to_vec());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

/// Pence as pounds.
pub fn money(pence: i64) -> String {
    let sign = if pence < 0 { "-" } else { "" };
    let pence = pence.unsigned_abs();
    format!("{sign}£{}.{:02}", thousands((pence / 100) as i64), pence % 100)
}

fn thousands(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_grouped_and_signed() {
        assert_eq!(money(79_983_492), "£799,834.92");
        assert_eq!(money(-5), "-£0.05");
        assert_eq!(money(100_000), "£1,000.00");
    }
}
