//! `factum plans`, and `letters redrive --all`: what a running app does to many.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{
    letters::{broken, copies, failed, ids, says, serve},
    run,
};

/// A plan that was made with `--json`.
#[track_caller]
fn made(arguments: &[&str]) -> (String, String, Value) {
    let answer = run(&[&["plans", "make"], arguments, &["--json"]].concat());
    assert_eq!(answer.code, 0, "{}", answer.errors);
    let whole = answer.json();
    let word = |name: &str| whole["plan"][name].as_str().unwrap().to_owned();
    (word("id"), word("hash"), whole)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_made_shown_approved_and_followed_to_its_end() {
    let dir = tempdir().unwrap();
    let broken = broken();
    let served = serve(dir.path(), &broken).await;
    let at = served.address.as_str();
    says(&run(&["plans", "list", at]), "no plans: none waits to be approved, and none is carried out\n");
    assert_eq!(run(&["plans", "list", at, "--json"]).json(), json!({ "plans": [] }));
    failed(&served.app).await;
    broken.store(false, Ordering::Relaxed);

    let made = run(&["plans", "make", at, "redrive", "--consumer", "copy.make", "--by", "mara", "--why", "mended"]);
    says(&made, "2 letters would be redriven. Tried dry, none would fail, and this would follow: 2 × event copy.made.");
    says(&made, "copy.make@3 would go well. This would follow:\n  event copy.made in copy-a {\"text\":\"poison\"}\n");
    says(&made, "Nothing is done yet.");
    assert_eq!((copies(&served.app), ids(at).len()), (vec!["one".to_owned()], 2));
    let approval = made.out.lines().find(|line| line.trim().starts_with("factum plans approve")).unwrap();
    let approval: Vec<&str> = approval.split_whitespace().skip(1).collect();
    let (id, hash) = (approval[3], approval[5]);

    let list = run(&["plans", "list", at]);
    let row = list.out.lines().find(|line| line.contains(id)).unwrap();
    for part in ["redrive", "consumer copy.make", " 2 ", " 0 ", "waits to be approved", "mara", "s ago"] {
        assert!(row.contains(part), "{part}: {row}");
    }
    let shown = run(&["plans", "show", at, id]);
    says(&shown, "by mara: mended");
    says(&shown, &format!("factum plans approve {at} {id} --hash {hash}\n"));
    run(&["plans", "show", at, id, "--watch"]).refuses("waits to be approved");
    run(&["plans", "approve", at, id, "--hash", "0"]).refuses("the hash is not that of the plan");

    let done = run(&[&approval[..], &["--watch", "--by", "noor"]].concat());
    says(&done, "Ctrl-C leaves it running.");
    says(&done, "\n2 letters redriven, 0 failed again, 0 left out.\n");
    served.app.rest().await.unwrap();
    assert_eq!((copies(&served.app).len(), ids(at).len()), (5, 0));
    says(&run(&["plans", "show", at, id]), "\n2 letters redriven, 0 failed again, 0 left out.\n");
    let ended = run(&["plans", "show", at, id, "--json"]).json();
    assert_eq!((&ended["stage"], &ended["approved"]["who"]), (&json!("finished"), &json!("noor")));
    let again = run(&["plans", "approve", at, id, "--hash", hash]);
    again.refuses("there is no plan");
    run(&["plans", "show", at, "nothing"]).refuses("there is no plan nothing");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_may_want_a_second_person_and_is_taken_back() {
    let dir = tempdir().unwrap();
    let served = serve(dir.path(), &broken()).await;
    let at = served.address.as_str();
    failed(&served.app).await;
    run(&["plans", "make", at, "discard"]).refuses("without a reason: say why");
    let why = ["--why", "a joke", "--by", "mara", "--second-person"];
    let text = run(&[&["plans", "make", at, "discard", "--key", "a"], &why[..]].concat());
    says(&text, "1 letter would be discarded.\n");
    says(&text, "Somebody else than mara must approve it:\n");
    let (id, hash, _) = made(&[&[at, "discard", "--limit", "1"], &why[..]].concat());
    let approve = ["plans", "approve", at, &id, "--hash", &hash, "--by"];
    run(&[&approve[..], &["mara"]].concat()).refuses("this plan wants a second person");
    says(&run(&[&approve[..], &["noor", "--watch"]].concat()), "1 letter discarded");
    assert_eq!(ids(at).len(), 1, "as many as the limit says");

    let (id, hash, _) = made(&[at, "redrive"]);
    says(&run(&["plans", "cancel", at, &id]), "is taken back");
    run(&["plans", "approve", at, &id, "--hash", &hash]).refuses("it has ended");
    run(&["plans", "cancel", at, &id]).refuses("it has ended");
    says(&run(&["plans", "show", at, &id]), "The plan was taken back. Until then: 0 letters redriven");
    assert_eq!(ids(at).len(), 1);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reaction_acts_again_on_exactly_what_was_selected() {
    let dir = tempdir().unwrap();
    let served = serve(dir.path(), &broken()).await;
    let at = served.address.as_str();
    for (note, text) in [("a", "one"), ("b", "two"), ("a", "three")] {
        crate::write(&served.app, note, text).await;
        served.app.rest().await.unwrap();
    }
    assert_eq!(copies(&served.app), ["one", "two", "three"]);
    let told = run(&["plans", "make", at, "redeliver", "copy.make", "--key", "a"]);
    says(&told, "copy.make would act AGAIN on 2 messages that it has had.");
    says(&told, "the reaction acts again: its commands and events are new messages");
    let (id, hash, whole) = made(&[at, "redeliver", "copy.make", "--key", "a", "--after", "1", "--rate", "1000"]);
    assert_eq!((&whole["plan"]["total"], &whole["plan"]["making"]["rate"]), (&json!(1), &json!(1000)), "{whole}");
    let done = run(&["plans", "approve", at, &id, "--hash", &hash, "--watch"]);
    says(&done, "1 message delivered again, 0 failed, 0 left out.");
    served.app.rest().await.unwrap();
    assert_eq!(copies(&served.app), ["one", "two", "three", "three"]);
    let (.., none) = made(&[at, "redeliver", "copy.make", "--until", "1", "--type", "note.lost"]);
    assert_eq!(none["plan"]["total"], 0);
    let (.., late) = made(&[at, "redeliver", "copy.make", "--from-time", "2999-01-01T00:00:00Z"]);
    assert_eq!(late["plan"]["total"], 0);
    run(&["plans", "make", at, "redeliver", "note.note"]).refuses("is a decider");
    run(&["plans", "make", at, "redeliver", "copy.wrap"]).refuses("has no consumer");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redriving_all_is_a_plan_that_says_what_it_does_and_what_failed_again() {
    let dir = tempdir().unwrap();
    let broken = broken();
    let served = serve(dir.path(), &broken).await;
    let at = served.address.as_str();
    failed(&served.app).await;
    let vain = run(&["letters", "redrive", at, "--all", "--limit", "1", "--json"]);
    assert_eq!((vain.code, &vain.json()["failures"]), (2, &json!(["copy.make@3"])), "{}", vain.errors);
    broken.store(false, Ordering::Relaxed);
    let all = run(&["letters", "redrive", at, "--all", "--rate", "20", "--by", "mara", "--why", "mended"]);
    says(
        &all,
        "2 letters would be redriven. Tried dry, none would fail, and this would follow: 2 × event copy.made.\n",
    );
    says(&all, "is approved, and the app carries it out. Ctrl-C leaves it running.");
    says(&all, "\n2 letters redriven, 0 failed again, 0 left out.\n");
    let made = run(&["log", "dump", crate::text(dir.path()), "--type", "plan.made", "--limit", "2"]);
    let made: Value = serde_json::from_str(made.out.lines().last().unwrap()).unwrap();
    assert_eq!((&made["data"]["making"]["rate"], &made["data"]["by"]), (&json!(20), &json!("mara")), "{made}");
    says(&run(&["letters", "redrive", at, "--all"]), "no letters: nothing has failed\n");
    let none = run(&["letters", "discard", at, "--all", "--why", "x", "--json"]).json();
    assert_eq!((&none["stage"], &none["total"]), (&json!("finished"), &json!(0)));
    served.end().await;
}

#[test]
fn a_plan_needs_an_app_that_answers() {
    let nowhere = "http://127.0.0.1:1";
    run(&["plans", "list", nowhere]).refuses("Is the app running there?");
    run(&["plans", "make", nowhere, "redrive"]).refuses("Is the app running there?");
    for wrong in [&["approve", nowhere, "x"][..], &["make", nowhere], &["make", nowhere, "redrive", "--rate", "0"]] {
        assert_eq!(run(&[&["plans"], wrong].concat()).code, 2);
    }
    let help = run(&["plans", "--help"]);
    says(&help, "factum plans approve ADDRESS PLAN --hash HASH --watch");
}
