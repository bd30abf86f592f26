//! What a loop was about when the process ended: the same delivery at three ends in a row is taken for the reason. And how
//! far it came: three ends in a row without a step are no chance.

use std::sync::Arc;

use factum_core::{
    ports::{Note, Notes},
    stream::Position,
};

/// Ends of the process under one delivery at which it is taken for the reason.
const ENDS: u32 = 3;

/// The note of one loop.
pub struct Watch {
    notes: Arc<dyn Notes>,
    name: &'static str,
    note: Note,
    unclean: bool,
    verdict: Option<(String, String)>,
    stood: Option<(Position, u32)>,
}

impl Watch {
    /// Looks at how the loop ended the last time, and notes that it runs.
    pub fn open(notes: Arc<dyn Notes>, name: &'static str) -> Self {
        let last = notes.get(name).filter(|note| !note.ended);
        let unclean = last.is_some();
        let stood = last.as_ref().and_then(|note| note.stood);
        let suspect = last.and_then(|note| {
            let running = note.running?;
            let before = note.suspect.filter(|(name, _)| *name == running).map_or(0, |(_, ends)| ends);
            Some((running, before + 1))
        });
        let verdict = suspect.as_ref().filter(|(_, ends)| *ends >= ENDS).map(|(delivery, ends)| {
            let reason = format!("the process ended {ends} times in a row while this was being handled");
            (delivery.clone(), reason)
        });
        if unclean {
            tracing::warn!(
                of = name,
                ?suspect,
                "the process did not end in order; notes are taken until what was unread is handled"
            );
        }
        let note = Note { suspect, stood, ..Note::default() };
        notes.put(name, &note);
        Self { notes, name, note, unclean, verdict, stood }
    }

    /// Whether the process did not end in order the last time.
    pub fn is_unclean(&self) -> bool {
        self.unclean
    }

    /// The delivery that ends processes, and why it is taken for it.
    pub fn verdict(&self) -> Option<&(String, String)> {
        self.verdict.as_ref()
    }

    /// Why this delivery is taken for what ends processes; said once.
    pub fn take_verdict(&mut self, delivery: &str) -> Option<String> {
        self.verdict.take_if(|(known, _)| known == delivery).map(|(_, reason)| reason)
    }

    /// What the process ended under the last time.
    pub fn suspect(&self) -> Option<&str> {
        self.note.suspect.as_ref().map(|(name, _)| name.as_str())
    }

    /// Notes where the loop stands at its start; says whether it got no further at three starts in a row, none of which ended
    /// in order.
    pub fn starts_at(&mut self, position: Position) -> bool {
        let ends = self.stood.filter(|(last, _)| *last == position).map_or(0, |(_, ends)| ends + 1);
        self.note.stood = Some((position, ends));
        self.notes.put(self.name, &self.note);
        ends >= ENDS
    }

    /// Right before user code.
    pub fn begin(&mut self, delivery: &str) {
        self.note.running = Some(delivery.to_owned());
        self.notes.put(self.name, &self.note);
    }

    /// Right behind it.
    pub fn done(&mut self) {
        self.note.running = None;
        self.notes.put(self.name, &self.note);
    }

    /// What was unread at the start is handled.
    pub fn settled(&mut self) {
        (self.unclean, self.verdict) = (false, None);
        if self.note.suspect.take().is_some() {
            self.notes.put(self.name, &self.note);
        }
    }

    /// The loop ends in order.
    pub fn end(&mut self) {
        self.note = Note { ended: true, ..Note::default() };
        self.notes.put(self.name, &self.note);
    }
}
