//! `factum groups`, and a worker in another language.

use std::process::Command;

use factum::prelude::*;
use tempfile::tempdir;

use crate::{
    Note, Write, Written,
    letters::{says, serve_app},
    run, text,
};

async fn app(dir: &std::path::Path, notes: usize) -> App {
    let group = Group::new("printers").reads::<Written>().attempts(1);
    let service = Service::new("note").decider::<Note>().group(group);
    let app = App::open(dir).unwrap().with(service).start().await.unwrap();
    for note in 0..notes {
        app.execute(Write { note: format!("n{note}"), text: "t".to_owned() }).await.unwrap();
    }
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_listed_and_shown_with_what_waits_for_a_person() {
    let dir = tempdir().unwrap();
    let app = app(dir.path(), 2).await;
    let out = app.groups().poll("printers", 1, 5.secs()).await.unwrap();
    let verdict = factum::groups::Verdict::Failed { delay: None, reason: "no paper".to_owned() };
    let tokens = vec![out[0].token.clone()];
    app.groups().settle("printers", &factum::groups::Settlement { tokens, verdict }).await.unwrap();
    let served = serve_app(app).await;
    let at = served.address.as_str();
    says(&run(&["groups", "list", at]), "1 letters");
    let shown = run(&["groups", "show", at, "printers"]);
    says(&shown, "note.written");
    says(&shown, "a letter after 1 attempts");
    says(&shown, "factum letters list");
    let discard = ["letters", "discard", at, "printers@1", "--by", "mara", "--why", "a test"];
    says(&run(&discard), "printers@1");
    run(&["groups", "show", at, "nobody"]).refuses("there is no group nobody");
    run(&["groups", "list", text(dir.path())]).refuses("needs the program: start it and name its address");
    served.end().await;
}

/// It needs `python3`; where there is none it says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_in_python_fetches_what_a_group_has() {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: it needs python3");
        return;
    }
    let dir = tempdir().unwrap();
    let app = app(dir.path(), 12).await;
    let served = serve_app(app.clone()).await;
    let worker = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/worker.py");
    let address = served.address.clone();
    let ran = tokio::task::spawn_blocking(move || {
        Command::new("python3").args([worker, &address, "printers", "12"]).output()
    });
    let ran = ran.await.unwrap().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let lines = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(lines.lines().filter(|line| line.contains("note.written")).count(), 12, "{lines}");
    let state = app.groups().show("printers").await.unwrap();
    assert_eq!((state.lag, state.leased), (0, 0));
    served.end().await;
}
