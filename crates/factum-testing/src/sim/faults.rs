//! What the disk does to a node, drawn by the seed.

use fastrand::Rng;

use super::{
    disk::{Fault, Keep, When},
    driver::Run,
};

/// What a loss of power leaves.
pub(super) fn keep(random: &mut Rng) -> Keep {
    match random.u8(..6) {
        0 => Keep::Lost,
        1 => Keep::All,
        2 => Keep::Torn(random.u64(..)),
        3 => Keep::TornSector(random.u64(..)),
        _ => Keep::Some(random.u64(..)),
    }
}

impl Run<'_> {
    /// One of the next I/O operations goes wrong, or space runs out for a while.
    pub fn plan_fault(&mut self) {
        let fault = match self.random.u8(..12) {
            0 => {
                let left = self.random.u64(..3_000);
                self.space(Some(self.disk.used() + left));
                return self.trace.push(format!("the disk has {left} bytes left"));
            }
            1..=3 => {
                self.space(None);
                return self.trace.push("the disk has space".to_owned());
            }
            4 => Fault::Io,
            5 => Fault::SyncForgets,
            6 => Fault::Full,
            7 => Fault::ShortWrite,
            8 => Fault::ShortRead,
            9 => Fault::Interrupted,
            10 => Fault::FlipRead,
            _ => Fault::Stale,
        };
        let first = self.disk.calls() + 1;
        self.plan(fault, first, 40);
    }

    /// Plans faults for a start; says whether one of them may make it fail.
    ///
    /// A read is wrong once only: to a log that opens, the wrong end of its last frame is a torn one, and all that it can
    /// do is to look again.
    pub fn plan_start_faults(&mut self) -> bool {
        let first = self.disk.calls() + 1;
        let fault = match self.random.u8(..14) {
            0 => Fault::Io,
            1 => Fault::Full,
            2 => Fault::ShortRead,
            3 => Fault::Interrupted,
            4 => Fault::SyncForgets,
            5 | 6 => {
                let fault = if self.random.bool() { Fault::FlipRead } else { Fault::Stale };
                let number = first + self.random.u64(..25);
                self.disk.plan(fault, When::At(number));
                self.trace.push(format!("at I/O operation {number}: {fault:?}"));
                return true;
            }
            _ => return false,
        };
        self.plan(fault, first, 25);
        matches!(fault, Fault::Io | Fault::Full | Fault::SyncForgets)
    }

    /// How much space there is.
    pub fn space(&mut self, bytes: Option<u64>) {
        self.is_short = bytes.is_some();
        self.disk.set_space(bytes);
    }

    fn plan(&mut self, fault: Fault, first: u64, within: u64) {
        // It strikes at the first call from there on that it fits, as far as the plan goes.
        let from = first + self.random.u64(..within);
        let last = from + self.random.u64(1..8);
        for number in from..last {
            self.disk.plan(fault, When::At(number));
        }
        self.trace.push(format!("from I/O operation {from} until {last}: {fault:?}"));
    }
}
