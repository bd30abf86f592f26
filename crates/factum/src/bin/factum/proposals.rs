//! What a plan that was just made would do, for people.

use std::fmt::Write;

use factum::plans::{Selection, Tally};
use serde::Deserialize;

use crate::{
    acts::{self, Effect},
    plans::{Plan, left_out_by},
    screen::{count, line, quoted},
    target::Target,
};

/// Items of which everything that would follow is shown.
const SAMPLE: usize = 10;

/// A plan that was just made.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    pub plan: Plan,
    items: Vec<Item>,
    effects: Vec<Effects>,
    would_fail: u64,
    notes: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Item {
    item: String,
    effects: Vec<Effect>,
    failure: Option<String>,
}

/// So many effects of a kind and type.
#[derive(Debug, Deserialize)]
struct Effects {
    kind: String,
    #[serde(rename = "type")]
    type_name: String,
    count: u64,
}

/// What a plan would do, of the first items all, of the others how much; and how it is approved.
pub fn proposed(target: &Target, planned: &Planned) -> String {
    let Planned { plan, items, notes, .. } = planned;
    let moves = matches!(plan.making.selection, Selection::Move { .. });
    let mut text = summary(planned);
    for note in notes {
        let _ = writeln!(text, "  {}", line(note, usize::MAX));
    }
    if !items.is_empty() {
        text.push('\n');
    }
    let runs = !matches!(plan.making.selection, Selection::Discard { .. });
    // What stands against a move is told by its reasons.
    for Item { item, effects, failure } in items.iter().take(SAMPLE).filter(|item| !moves || item.failure.is_none()) {
        if runs {
            text += &acts::would(item, effects, failure.as_deref());
        } else {
            let _ = writeln!(text, "{} would be discarded.", line(item, usize::MAX));
        }
    }
    let more = plan.total.saturating_sub(SAMPLE as u64);
    if more > 0 {
        let seen = match plan.total > items.len() as u64 {
            true => format!("the first {}", count(items.len() as u64)),
            false => "all".to_owned(),
        };
        let _ = writeln!(text, "… and {} more; with --json you see {seen}.", count(more));
    }
    let changes = match moves {
        true => "What has ended by then is counted, and what cannot be moved then is named.",
        false => "What changes before it is carried out is left out, and counted.",
    };
    let _ = writeln!(text, "\nNothing is done yet. {changes}");
    if plan.making.second_person {
        let _ = writeln!(text, "Somebody else than {} must approve it:", line(&plan.by.who, usize::MAX));
    } else {
        let _ = writeln!(text, "Approve it:");
    }
    let _ = writeln!(text, "  {}", plan.approval(target));
    let _ = writeln!(text, "Or take it back:\n  factum plans cancel {} {}", target.quoted(), quoted(&plan.id));
    text
}

/// What a plan would do, in short, and what stands against some of its items.
pub fn summary(planned: &Planned) -> String {
    let Planned { plan, items, effects, would_fail, .. } = planned;
    let id = line(&plan.id, usize::MAX);
    let (number, done) = (plan.items(plan.total), plan.words().done);
    let mut text = match &plan.making.selection {
        Selection::Redeliver(which) => {
            let consumer = line(&which.consumer, usize::MAX);
            format!("Plan {id}: {consumer} would act AGAIN on {number} that it has had.")
        }
        Selection::Move { .. } => format!("Plan {id}: {number} to be {done}."),
        Selection::Redrive { .. } | Selection::Discard { .. } | Selection::Backfill(_) => {
            format!("Plan {id}: {number} would be {done}.")
        }
    };
    if matches!(plan.making.selection, Selection::Discard { .. }) || items.is_empty() {
        return text + "\n";
    }
    let moves = matches!(plan.making.selection, Selection::Move { .. });
    let of = match plan.total > items.len() as u64 {
        true => format!(", of the first {}", count(items.len() as u64)),
        false => String::new(),
    };
    let (fail, from) = match would_fail {
        0 => ("none".to_owned(), "and this would follow"),
        fail => (count(*fail), "and from the others would follow"),
    };
    let each =
        effects.iter().map(|it| line(&format!("{} × {} {}", count(it.count), it.kind, it.type_name), usize::MAX));
    let each: Vec<String> = each.collect();
    let follow = if each.is_empty() { "nothing".to_owned() } else { each.join(", ") };
    let fails = if moves { "be left out" } else { "fail" };
    let _ = writeln!(text, " Tried dry{of}, {fail} would {fails}, {from}: {follow}.");
    if moves {
        let mut tally = Tally::default();
        for Item { item, failure, .. } in items {
            failure.iter().for_each(|reason| tally.leaves_out(item, reason));
        }
        text += &left_out_by(&tally.reasons);
    }
    text
}
