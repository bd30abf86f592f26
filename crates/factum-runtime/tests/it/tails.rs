//! The tail of a log to which others write, too: what it was not handed is read from the store.

use factum_core::stream::Position;
use factum_runtime::tail::{Behind, Tail};

use super::bank::*;
use super::bench::*;

#[test]
fn what_others_wrote_between_two_frames_is_behind() {
    let mut bench = Bench::new(bank());
    for number in 0..8 {
        bench.ask(&format!("p{number}"), pay("a", 1)).unwrap();
    }
    let log = bench.log();
    let tail = Tail::new(Position::START);
    let through = |after: u64| {
        let frame = tail.after(Position(after))?;
        Ok(frame.map(|frame| (frame.after.0, frame.through.0)))
    };
    tail.push(log[..2].to_vec());
    // Others wrote two.
    tail.push(log[4..6].to_vec());
    assert_eq!(through(0), Ok(Some((0, 2))));
    assert_eq!((through(2), through(3)), (Err(Behind), Err(Behind)));
    assert_eq!((through(4), through(6)), (Ok(Some((4, 6))), Ok(None)));
    assert_eq!(tail.head(), Position(6));
    tail.move_to(Position(8));
    tail.move_to(Position(7));
    assert_eq!((tail.head(), through(6), through(8)), (Position(8), Err(Behind), Ok(None)));
}

#[test]
fn a_head_that_others_moved_wakes_those_who_follow() {
    let tail = Tail::new(Position::START);
    let mut follows = tail.watch();
    tail.move_to(Position::START);
    assert!(!follows.has_changed().unwrap());
    tail.move_to(Position(1));
    assert!(follows.has_changed().unwrap());
    assert_eq!(*follows.borrow_and_update(), Position(1));
}
