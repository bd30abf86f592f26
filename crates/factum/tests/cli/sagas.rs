//! `factum sagas`: looked at by address and in a directory, helped on and moved by address.

#[path = "../shared/transfer.rs"]
mod transfer;

use std::path::Path;

use factum::App;
use serde_json::json;
use tempfile::tempdir;
use transfer::{place, refused, say, services, shown};

use crate::{
    letters::{Served, says, serve_app},
    run, stop, text,
};

async fn start(dir: &Path, versions: &[u32]) -> App {
    services(versions).into_iter().fold(App::open(dir).unwrap(), factum::AppBuilder::with).start().await.unwrap()
}

async fn serve(dir: &Path, versions: &[u32]) -> Served {
    serve_app(start(dir, versions).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_are_listed_and_shown_by_address_and_in_the_directory() {
    let dir = tempdir().unwrap();
    let served = serve(dir.path(), &[1]).await;
    let (at, data) = (served.address.as_str(), text(dir.path()));
    for target in [at, data] {
        says(&run(&["sagas", "list", target]), "no processes: none is under way\n");
        assert_eq!(run(&["sagas", "list", target, "--stuck"]).out, "no processes fit that\n");
        assert_eq!(run(&["sagas", "list", target, "--json"]).json(), json!({ "sagas": [], "more": false }));
    }
    place(&served.app, "a").await;
    refused(&served.app, "b").await;
    for target in [at, data] {
        let list = run(&["sagas", "list", target]);
        says(&list, &format!("factum sagas show {target} PROCESS"));
        let row = |id: &str| list.out.lines().find(|line| line.contains(id)).unwrap();
        for part in ["transfer-a", " 1 ", " runs ", " reserve ", " s "] {
            assert!(row("transfer-a").contains(part), "{part}: {}", list.out);
        }
        for part in [" needs a person ", " hand ", "step `hand` was refused: the box is"] {
            assert!(row("transfer-b").contains(part), "{part}: {}", list.out);
        }
        let only = ["--saga", "transfer", "--version", "1", "--status", "started", "--step", "reserve"];
        let found = run(&[&["sagas", "list", target, "--older-than", "0s", "--json"], &only[..]].concat()).json();
        let found: Vec<_> = found["sagas"].as_array().unwrap().iter().map(|saga| &saga["sagaId"]).collect();
        assert_eq!(found, ["transfer-a"]);
        says(&run(&["sagas", "list", target, "--older-than", "2h"]), "no processes fit that");
        let first = run(&["sagas", "list", target, "--limit", "1"]);
        says(&first, "the first 1: narrow them down, or see more with --limit\n");
        assert!(!first.out.contains("transfer-b"));

        let told = run(&["sagas", "show", target, "transfer-b"]);
        says(&told, "transfer, version 1");
        says(&told, "step `hand` was refused: the box is \u{fffd}[31mbroken");
        says(&told, "\"order\": \"b\"");
        assert!(!told.out.contains('\u{1b}'), "nothing steers the terminal: {}", told.out);
        let row = |step: &str| told.out.lines().find(|line| line.contains(step) && line.contains('│')).unwrap();
        assert!(row("reserve").contains(" completed "), "{}", told.out);
        assert!(row("hand").contains("failed"), "{}", told.out);
        run(&["sagas", "show", target, "transfer-x"]).refuses("there is no instance transfer-x of a saga");
    }
    says(&run(&["sagas", "show", data, "transfer-b"]), "Start the app, and name its address");
    says(&run(&["sagas", "show", at, "transfer-a"]), "It goes on by itself. If that is not wanted\n");
    for wrong in [&["--status", "gone"][..], &["--older-than", "soon"], &["--limit", "0"], &["--version", "x"]] {
        assert_eq!(run(&[&["sagas", "list", at], wrong].concat()).code, 2, "{wrong:?}");
    }
    served.end().await;
    says(&run(&["sagas", "list", data]), "transfer-b");
    let needs = "needs the program: start it and name its address";
    for act in ["retry", "resolve", "undo"] {
        run(&["sagas", act, data, "transfer-b", "--why", "x"]).refuses(needs);
    }
    run(&["sagas", "move", data, "transfer-b", "--to", "2"]).refuses(needs);
    run(&["sagas", "move", data, "--saga", "transfer", "--from", "1", "--to", "2"]).refuses(needs);
    run(&["sagas", "list", text(&dir.path().join("missing"))]).refuses("does not exist");
    run(&["sagas", "list", "http://127.0.0.1:1"]).refuses("Is the app running there?");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_does_what_show_says_whatever_stands_in_the_name() {
    let dir = tempdir().unwrap();
    let served = serve(dir.path(), &[1]).await;
    let at = served.address.as_str();
    let order = "o'b c/7 ü?#%2F&+..";
    refused(&served.app, order).await;
    let id = format!("transfer-{order}");
    let told = run(&["sagas", "show", at, &id]);
    says(&told, "\nWhat to do\n");
    says(&told, &format!(r"  factum sagas resolve {at} 'transfer-o'\''b c/7 ü?#%2F&+..' --why REASON"));

    let stands = served.app.position();
    for act in ["retry", "resolve"] {
        let tried = run(&["sagas", act, at, &id, "--dry-run"]);
        says(&tried, &format!("{id}: this would follow:\n"));
        says(&tried, "Nothing was stored.\n");
    }
    let late = run(&["sagas", "undo", at, &id, "--dry-run"]);
    assert!(late.code == 2 && late.out.contains("there is no way back"), "{}", late.out);
    run(&["sagas", "resolve", at, &id]).refuses("not done without a reason: say why");
    run(&["sagas", "undo", at, &id, "--why", " "]).refuses("say why");
    run(&["sagas", "retry", at, &id, "--step", "reserve"]).refuses("step `reserve` does not wait for an answer");
    let vain = run(&["sagas", "retry", at, &id, "--step", "reserve", "--dry-run"]);
    assert_eq!(vain.code, 2, "{}", vain.errors);
    assert!(vain.out.contains("it would be refused: step `reserve` does not wait"), "{}", vain.out);
    run(&["sagas", "undo", at, "transfer-x", "--why", "x"]).refuses("there is no instance transfer-x");
    assert_eq!(served.app.position(), stands, "nothing is stored");

    let done = run(&["sagas", "retry", at, &id, "--by", "mara"]);
    says(&done, &format!("{id}: it is done, and this followed:\n  event transfer.step_retried"));
    says(&done, "command depot.hand");
    says(&run(&["sagas", "resolve", at, &id, "--by", "noor", "--why", "seen in the shop"]), "it is done");
    let ended = run(&["sagas", "show", at, &id]);
    says(&ended, "is completed");
    says(&ended, "step retried hand, by mara\n");
    says(&ended, "step resolved hand, by noor: seen in the shop\n");
    says(&ended, "It has ended: there is nothing to do.\n");
    run(&["sagas", "retry", at, &id]).refuses("it has ended");

    place(&served.app, "b").await;
    let undone = run(&["sagas", "undo", at, "transfer-b", "--why", "a joke", "--json"]).json();
    assert_eq!(undone["outcome"], "done", "{undone}");
    assert_eq!(shown(&served.app, "b").await.status, "undoing");
    says(&run(&["sagas", "list", at]), " is being undone ");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_version_are_moved_and_what_cannot_be_is_named() {
    let dir = tempdir().unwrap();
    let app = start(dir.path(), &[1]).await;
    for order in ["a", "b", "c", "d"] {
        place(&app, order).await;
    }
    say(&app, "c", "reserved").await;
    stop(app).await;
    let served = serve(dir.path(), &[1, 2]).await;
    let at = served.address.as_str();
    let all = ["sagas", "move", at, "--saga", "transfer", "--from", "1", "--to", "2", "--by", "mara"];
    let reason = "step `check` of version 2 stands before its place: say `.step(\"check\", …)` or `.skip(\"check\")`";

    let stands = served.app.position();
    let tried = run(&[&all[..], &["--dry-run"]].concat());
    assert_eq!((tried.code, tried.errors.as_str()), (2, ""), "{}", tried.out);
    let told = format!(
        "3 processes would be moved to version 2, 1 would be left out.\n  1 × {reason}\n    transfer-c\n\
         More about one: factum sagas show {at} transfer-c\nNothing was stored; leave out --dry-run to do it.\n"
    );
    assert_eq!((tried.out, served.app.position()), (told, stands));

    says(&run(&["sagas", "move", at, "transfer-a", "--to", "2", "--dry-run"]), "event transfer.moved");
    says(&run(&["sagas", "move", at, "transfer-a", "--to", "2"]), "transfer-a: it is done");
    let moved = run(&[&all[..], &["--rate", "1000"]].concat());
    assert_eq!(moved.code, 2, "{}", moved.errors);
    let left = format!("  1 × {reason}\n    transfer-c\n");
    for part in [
        "3 processes to be moved to version 2. Tried dry, 1 would be left out, and from the others would follow: 2 × ",
        &format!(" × event transfer.moved, 2 × timer transfer.expire, 2 × timer cancelled.\n{left}"),
        "is approved, and the app carries it out. Ctrl-C leaves it running.",
        &format!(
            "\n2 processes moved to version 2, 1 left out.\n{left}More about one: factum sagas show {at} transfer-c\n"
        ),
    ] {
        assert!(moved.out.contains(part), "{part}: {}", moved.out);
    }
    let again = run(&[&all[..], &["--json"]].concat());
    assert_eq!((again.code, &again.json()["stage"]), (2, &json!("finished")));
    assert_eq!(again.json()["reasons"], json!([{ "reason": reason, "count": 1, "who": ["transfer-c"] }]));
    let dry = run(&[&all[..], &["--dry-run", "--json"]].concat()).json();
    assert_eq!(
        (&dry["dryRun"], &dry["wouldMove"], &dry["reasons"]),
        (&json!(true), &json!(0), &again.json()["reasons"])
    );
    run(&["sagas", "move", at, "transfer-c", "--to", "2"]).refuses(reason);
    run(&["sagas", "move", at, "transfer-a", "--to", "2"]).refuses("run by version 2 already");

    say(&served.app, "c", "handed").await;
    says(&run(&all), "no open process of transfer is run by version 1\n");
    assert_eq!(shown(&served.app, "b").await.version, 2);
    for wrong in [&["--from", "1"][..], &["--saga", "transfer"], &["x", "--saga", "transfer", "--from", "1"], &[]] {
        assert_eq!(run(&[&["sagas", "move", at, "--to", "2"], wrong].concat()).code, 2, "{wrong:?}");
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn moving_all_of_a_version_may_be_planned_and_approved_by_somebody_else() {
    let dir = tempdir().unwrap();
    let app = start(dir.path(), &[1]).await;
    for order in ["a", "b", "c"] {
        place(&app, order).await;
    }
    say(&app, "c", "reserved").await;
    stop(app).await;
    let served = serve(dir.path(), &[1, 2]).await;
    let at = served.address.as_str();
    let plan = ["plans", "make", at, "move", "transfer", "--from", "1", "--to", "2", "--by", "mara", "--second-person"];
    let made = run(&plan);
    for part in [
        "3 processes to be moved to version 2. Tried dry, 1 would be left out",
        "\n    transfer-c\n",
        "transfer-a would go well. This would follow:\n  event transfer.moved in transfer-a",
        "Nothing is done yet. What has ended by then is counted, and what cannot be moved then is named.\n",
        "Somebody else than mara must approve it:\n",
    ] {
        assert!(made.out.contains(part), "{part}: {}", made.out);
    }
    assert!(!made.out.contains("transfer-c would"), "{}", made.out);
    assert_eq!(shown(&served.app, "a").await.version, 1);
    let approval = made.out.lines().find(|line| line.trim().starts_with("factum plans approve")).unwrap();
    let approval: Vec<&str> = approval.split_whitespace().skip(1).take(6).collect();
    let list = run(&["plans", "list", at]);
    let row = list.out.lines().find(|line| line.contains(approval[3])).unwrap();
    for part in [" move ", "of transfer, from version 1, to version 2", " 3 ", "mara"] {
        assert!(row.contains(part), "{part}: {row}");
    }
    run(&["plans", "approve", at, approval[3], "--hash", "0", "--by", "noor"]).refuses("not that of the plan");
    say(&served.app, "a", "reserved").await;
    say(&served.app, "a", "handed").await;
    let done = run(&[&approval[..], &["--watch", "--by", "noor"]].concat());
    assert_eq!(done.code, 2, "{}", done.errors);
    assert!(
        done.out.contains("\n1 process moved to version 2, 2 left out, of which 1 had ended or been moved before.\n"),
        "{}",
        done.out
    );
    let refuses = |from: &str, to: &str, sentence: &str| {
        run(&["plans", "make", at, "move", "transfer", "--from", from, "--to", to]).refuses(sentence);
    };
    refuses("1", "7", "this program has no version 7 of transfer: it has 2, 1");
    refuses("2", "1", "an instance moves to a later version");
    run(&["plans", "make", at, "move", "tranfser", "--from", "1", "--to", "2"])
        .refuses("this program has no saga `tranfser`");
    run(&["sagas", "move", at, "--saga", "transfer", "--from", "1", "--to", "7"])
        .refuses("has no version 7 of transfer");
    served.end().await;
}
