//! What a running unit says of itself, while it cannot store anything and when it can again.

use std::{sync::Arc, time::Duration};

use factum_core::{
    digest_key::DigestKey,
    envelope::Recorded,
    memory::Memory,
    memory_notes::MemoryNotes,
    memory_rows::MemoryRows,
    memory_snapshots::MemorySnapshots,
    reaction::{Effects, Folding},
    service::Service,
};
use factum_runtime::{
    clock::LiveClock,
    engine::{Arrange, Limits},
    ids::UuidSource,
    supervisor::{Standing, Status, Unit, UnitParts},
};

use super::bank::*;
use super::bench::*;

async fn until(unit: &Unit, well: bool) {
    let comes = async {
        while unit.health().is_well() != well {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), comes).await.unwrap();
}

#[tokio::test]
async fn a_unit_that_cannot_store_says_so_and_finds_out_by_itself_when_it_can() {
    let faults = Faults::default();
    // The command, and the first tries of the unit itself.
    (1..=3).for_each(|write| faults.at(write, Fault::Transient));
    let unit = Unit::start(UnitParts {
        services: bank(),
        backend: faulty(&Memory::new(), &faults),
        rows: Box::new(MemoryRows::new()),
        snapshots: Arc::new(MemorySnapshots::new()),
        notes: Arc::new(MemoryNotes::new()),
        digest_key: DigestKey::KNOWN,
        program: "test".to_owned(),
        clock: Arc::new(LiveClock::default()),
        ids: Box::new(UuidSource::seeded(1)),
        hold_unknown: false,
        about: Default::default(),
        arrange: Arrange::AsTaken,
        limits: Limits::default(),
        between: None,
    })
    .unwrap();
    assert!(unit.health().is_well());
    assert!(unit.execute(vec![request("p1", pay("a", 30))]).await.is_err());
    until(&unit, false).await;
    assert!(unit.health().engine.waiting.unwrap().contains("as told"));
    // Nobody sends anything any more, because it says that it is not well.
    until(&unit, true).await;
    assert!(faults.writes() > 3, "it has tried");
    unit.execute(vec![request("p1", pay("a", 30))]).await.unwrap();
    unit.stop().await;
}

fn unit_over(memory: &Memory, faults: &Faults, services: Vec<Service>) -> Unit {
    Unit::start(UnitParts {
        services,
        backend: faulty(memory, faults),
        rows: Box::new(MemoryRows::new()),
        snapshots: Arc::new(MemorySnapshots::new()),
        notes: Arc::new(MemoryNotes::new()),
        digest_key: DigestKey::KNOWN,
        program: "test".to_owned(),
        clock: Arc::new(LiveClock::default()),
        ids: Box::new(UuidSource::seeded(1)),
        hold_unknown: false,
        about: Default::default(),
        arrange: Arrange::AsTaken,
        limits: Limits::default(),
        between: None,
    })
    .unwrap()
}

/// Writes, and then the reads behind them, fail in a long row: the engine goes on by itself, however long it takes.
#[tokio::test]
async fn a_store_that_is_away_for_writes_and_reads_needs_no_restart() {
    let faults = Faults::default();
    let unit = unit_over(&Memory::new(), &faults, bank());
    (1..=3).for_each(|write| faults.at(write, Fault::Transient));
    faults.fail_reads(3);
    assert!(unit.execute(vec![request("p1", pay("a", 30))]).await.is_err());
    until(&unit, false).await;
    let health = unit.health();
    assert_eq!(health.status, Status::NotReady);
    assert!(health.engine.waiting_since.is_some() && !health.reasons.is_empty(), "{health:?}");
    until(&unit, true).await;
    unit.execute(vec![request("p1", pay("a", 30))]).await.unwrap();
    unit.stop().await;
}

#[tokio::test]
async fn a_unit_that_is_dropped_leaves_no_thread_and_no_lock() {
    let memory = Memory::new();
    let held = Arc::new(());
    let kept = held.clone();
    let react = move |event: &Recorded<'_, Paid>, fx: &mut Effects| {
        let _ = &kept;
        note(event, fx);
    };
    let services = vec![accounts(), Service::new("books").decider::<Book>().react("note", react)];
    let unit = unit_over(&memory, &Faults::default(), services);
    unit.execute(vec![request("p1", pay("a", 30))]).await.unwrap();
    assert!(Arc::strong_count(&held) > 1);
    drop(unit);
    // The outward task ends with its runtime's next turn.
    for _ in 0..1_000 {
        if Arc::strong_count(&held) == 1 {
            return;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(Arc::strong_count(&held), 1, "a thread or a task still has the services");
}

#[tokio::test]
async fn letters_and_stopped_consumers_are_degraded_and_name_themselves() {
    let fails = |event: &Recorded<'_, Paid>, _: &mut Effects| assert!(event.cents != 2, "as asked");
    let folding = Folding::<i64>::new("count", 1).fold(|_: &mut i64, event: &Recorded<'_, Paid>| {
        assert!(event.cents != 3, "as asked");
    });
    let services = vec![accounts(), Service::new("odd").react("fail", fails).folding(folding)];
    let unit = unit_over(&Memory::new(), &Faults::default(), services);
    for (id, cents) in [("p1", 2), ("p2", 2), ("p3", 3)] {
        unit.execute(vec![request(id, pay("a", cents))]).await.unwrap();
    }
    unit.rest().await.unwrap();
    let health = unit.health();
    assert_eq!(health.status, Status::Degraded);
    assert!(health.is_ready(), "commands are carried out");
    assert_eq!(health.reasons[0], "1 letter waits for a person, 2 messages wait behind");
    assert!(health.reasons[1].starts_with("odd.count has stopped at position 3: its state could not take"));
    let consumers = unit.consumers();
    let of = |name: &str| consumers.iter().find(|consumer| consumer.name == name).unwrap();
    assert_eq!((of("odd.fail").standing, of("odd.fail").held_keys, of("odd.fail").held), (Standing::Joined, 1, 2));
    assert_eq!((of("odd.count").standing, of("odd.count").lag), (Standing::Stopped, 1));
    unit.stop().await;
}

/// A command's body may be large, and many of them may wait: their bytes are bounded.
#[tokio::test]
async fn an_inbox_is_full_by_its_bytes_too() {
    let (inbox, mut engine) = factum_runtime::inbox::Sender::new(Arc::default());
    let large = || request("p", pay_with("a", 1, &"x".repeat(1 << 20)));
    let post = || {
        let (reply, _) = tokio::sync::oneshot::channel();
        inbox.try_send(factum_runtime::inbox::Input::Commands(vec![large()], reply))
    };
    let sent = (0..1_000).take_while(|_| post().is_ok()).count();
    assert!((60..=64).contains(&sent), "I16: {sent} MiB wait");
    assert!(inbox.waiting_bytes() <= factum_runtime::inbox::INBOX_BYTES);
    engine.take().unwrap();
    assert!(post().is_err(), "it is being worked on");
    engine.give_back();
    assert!(post().is_ok(), "there is room again");
}

#[tokio::test]
async fn a_loop_that_ends_by_itself_is_seen() {
    let unit = unit_over(&Memory::new(), &Faults::default(), bank());
    assert!(unit.health().ended.is_empty());
    unit.end_a_loop("outward");
    let seen = async {
        while unit.health().ended.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let seen = tokio::time::timeout(Duration::from_secs(10), seen).await;
    assert!(seen.is_ok(), "I6: a loop has ended, and health says that all is well");
    assert_eq!(unit.health().reasons, ["the loop outward has ended; start again"]);
    assert!(!unit.health().is_live());
    unit.stop().await;
}

#[tokio::test]
async fn a_partner_that_is_left_alone_is_named_with_what_it_said() {
    use factum_core::{
        call::{Answer, Breaker, Call, CallSpec, CallTo},
        reaction::Reaction,
    };
    const ASK: CallTo<i64, Note> = CallTo::new("ask");
    let ask = |_: Call<i64>| async { Answer::Again("connection refused".to_owned(), None) };
    let once = Breaker { least: 1, open_for: Duration::from_secs(3_600), ..Breaker::default() };
    let call = CallSpec::new(ASK, ask, |_, _| Note { id: "a".to_owned(), cents: 1 }).to("psp").breaker(once);
    let react = |event: &Recorded<'_, Paid>, fx: &mut Effects| fx.call(ASK, event.cents);
    let asks = Service::new("asks").reaction(Reaction::new("ask", react).calls(ASK)).call(call);
    let services = bank().into_iter().chain([asks]).collect();
    let unit = unit_over(&Memory::new(), &Faults::default(), services);
    assert!(unit.health().is_well());
    unit.execute(vec![request("p1", pay("a", 1))]).await.unwrap();
    until(&unit, false).await;
    let health = unit.health();
    assert_eq!(health.status, Status::Degraded);
    assert_eq!(health.dependencies.len(), 1);
    let reason = &health.reasons[0];
    assert!(reason.starts_with("psp is left alone since "), "{reason}");
    assert!(reason.ends_with(": 1 of 1 attempts failed (connection refused); 1 call waits"), "{reason}");
    unit.stop().await;
}

/// Who waits for room is woken by it, in whatever order things happen, and by the end of the engine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn senders_that_wait_for_room_are_woken_by_it_and_by_the_engines_end() {
    let (inbox, mut engine) = factum_runtime::inbox::Sender::new(Arc::default());
    let large = || vec![request("p", pay_with("a", 1, &"x".repeat(4 << 20)))];
    let senders: Vec<_> = (0..200)
        .map(|_| {
            let inbox = inbox.clone();
            tokio::spawn(async move {
                let (reply, _) = tokio::sync::oneshot::channel();
                inbox.send(factum_runtime::inbox::Input::Commands(large(), reply)).await.is_ok()
            })
        })
        .collect();
    let mut taken = 0;
    let drained = async {
        while taken < 150 {
            match engine.take() {
                Some(_) => {
                    taken += 1;
                    engine.give_back();
                }
                None => tokio::task::yield_now().await,
            }
            assert!(inbox.waiting_bytes() <= factum_runtime::inbox::INBOX_BYTES);
        }
    };
    tokio::time::timeout(Duration::from_secs(60), drained).await.expect("somebody sleeps though there is room");
    drop(engine);
    let ended = async {
        let mut sent = 0;
        for sender in senders {
            sent += usize::from(sender.await.unwrap());
        }
        sent
    };
    let sent = tokio::time::timeout(Duration::from_secs(60), ended).await.expect("somebody sleeps though all is over");
    assert!((150..200).contains(&sent), "{sent} were taken or waited");
}
