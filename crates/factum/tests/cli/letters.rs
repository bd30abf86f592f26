//! `factum letters` and `factum consumers`: on the directory of a stopped app, and by the address of a running one.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use factum::{error::HandlerError, http, ports::Scan, prelude::*, stream::Position};
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::sync::oneshot;

use crate::{Answer, Note, Written, run, stop, text, write};

#[derive(Event)]
#[event("copy.made")]
struct Made {
    text: String,
}

const ODD: TimerTo<crate::Write> = TimerTo::new("a");

/// An app whose copying fails on `poison` while it is broken.
async fn start(dir: &Path, broken: &Arc<AtomicBool>) -> App {
    let broken = broken.clone();
    let make = move |event: &Recorded<'_, Written>, fx: &mut Effects| {
        if event.text == "poison" && broken.load(Ordering::Relaxed) {
            return Err(HandlerError::failed("no ink\nfor \u{1b}[31mpoison"));
        }
        fx.emit("copy", &event.note, Made { text: event.text.clone() });
        if event.text == "later" {
            let command = crate::Write { note: event.note.clone(), text: "unwritable".to_owned() };
            fx.after(ODD.of("b @c's 50%?#"), Duration::ZERO, command);
        }
        Ok(())
    };
    let notes = Service::new("note").decider::<Note>();
    let copies =
        Service::new("copy").owns("copy").reaction(Reaction::new("make", make).emits::<Made>("copy").sets(ODD));
    App::open(dir).unwrap().with(notes).with(copies).start().await.unwrap()
}

/// A note with a letter and two more behind it, and another note's letter.
pub async fn failed(app: &App) {
    for (note, text) in [("a", "one"), ("a", "poison"), ("a", "two"), ("a", "three"), ("o'b c", "poison")] {
        write(app, note, text).await;
        // So that each position is the same in every run.
        app.rest().await.unwrap();
    }
}

pub fn broken() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(true))
}

pub fn copies(app: &App) -> Vec<String> {
    let reader = app.reader();
    let scan = Scan { after: Position::START, until: reader.head(), bytes: usize::MAX, types: None };
    let messages = reader.scan(&scan).unwrap().messages.into_iter();
    let made = messages.filter(|stored| stored.type_name() == "copy.made");
    made.map(|stored| stored.decode::<Made>().unwrap().text).collect()
}

pub fn ids(target: &str) -> Vec<String> {
    let list = run(&["letters", "list", target, "--json"]).json();
    list["letters"].as_array().unwrap().iter().map(|letter| letter["id"].as_str().unwrap().to_owned()).collect()
}

/// That it was done, and said this.
#[track_caller]
pub fn says(answer: &Answer, sentence: &str) {
    assert_eq!((answer.code, answer.errors.as_str()), (0, ""), "{}", answer.out);
    assert!(answer.out.contains(sentence), "{}", answer.out);
}

const NEEDS_IT: &str = "needs the program: start it and name its address, such as http://127.0.0.1:8080";

#[tokio::test(flavor = "multi_thread")]
async fn an_app_on_which_nothing_has_failed_has_no_letters() {
    let dir = tempdir().unwrap();
    let app = start(dir.path(), &broken()).await;
    let data = text(dir.path());
    let none = run(&["letters", "list", data]);
    assert_eq!((none.code, none.out.as_str()), (0, "no letters: nothing has failed\n"), "{}", none.errors);
    assert_eq!(run(&["letters", "list", data, "--key", "a"]).out, "no letters fit that\n");
    assert_eq!(run(&["letters", "list", data, "--json"]).json(), json!({ "letters": [], "total": 0 }));
    stop(app).await;
    let none = run(&["letters", "discard", data, "--all", "--why", "tidying"]);
    assert_eq!((none.code, none.out.as_str()), (0, "no letters: nothing has failed\n"), "{}", none.errors);
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_of_a_directory_are_listed_and_shown_also_beside_the_app() {
    let dir = tempdir().unwrap();
    let app = start(dir.path(), &broken()).await;
    failed(&app).await;
    let data = text(dir.path());
    let list = run(&["letters", "list", data]);
    says(&list, &format!("factum letters show {data} LETTER"));
    let row = list.out.lines().find(|line| line.contains("copy.make@3")).unwrap();
    for part in ["note.written", " a ", " 1 ", " 2 ", "no ink for \u{fffd}[31mpoison", "s ago"] {
        assert!(row.contains(part), "{part}: {row}");
    }
    let json = run(&["letters", "list", data, "--key", "a", "--json"]).json();
    assert_eq!((&json["total"], &json["letters"][0]["waiting"]), (&json!(1), &json!(2)), "{json}");
    let cut = run(&["letters", "list", data, "--limit", "1"]);
    says(&cut, "1 of 2: narrow them down, or see more with --limit 2");

    let shown = run(&["letters", "show", data, "copy.make@3"]);
    says(&shown, "2 messages wait, because they are of this key");
    says(&shown, "\"text\": \"poison\"");
    says(&shown, &format!("factum letters discard {data} copy.make@3 --why REASON"));
    assert!(!shown.out.contains('\u{1b}'), "nothing steers the terminal: {}", shown.out);
    let json = run(&["letters", "show", data, "copy.make@3", "--json"]).json();
    assert_eq!((&json["position"], &json["failureCount"]), (&json!(3), &json!(1)));
    run(&["letters", "show", data, "copy.make@1"]).refuses("there is no letter copy.make@1");
    run(&["letters", "show", data, "copy.make"]).refuses("consumer@position");
    let why = ["--why", "x"];
    run(&[&["letters", "discard", data, "copy.make@3"], &why[..]].concat()).refuses("name its address instead");
    stop(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_handlers_needs_the_program() {
    let dir = tempdir().unwrap();
    let app = start(dir.path(), &broken()).await;
    failed(&app).await;
    stop(app).await;
    let data = text(dir.path());
    for act in ["try", "redrive", "release"] {
        run(&["letters", act, data, "copy.make@3"]).refuses(NEEDS_IT);
    }
    run(&["letters", "redrive", data, "--all"]).refuses(NEEDS_IT);
    run(&["plans", "list", data]).refuses(NEEDS_IT);
    run(&["plans", "make", data, "redeliver", "copy.make"]).refuses(NEEDS_IT);
    run(&["plans", "approve", data, "x", "--hash", "y"]).refuses(NEEDS_IT);
    run(&["consumers", data]).refuses(NEEDS_IT);
    run(&["consumers", "try-again", data, "copy.make"]).refuses(NEEDS_IT);
    let missing = dir.path().join("missing");
    run(&["letters", "list", text(&missing)]).refuses("does not exist: name the directory");
    run(&["letters", "discard", text(&missing), "a.b@1", "--why", "x"]).refuses("does not exist: name the directory");
    assert!(!missing.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_of_a_stopped_app_is_discarded_with_a_reason_and_what_waited_follows_at_the_start() {
    let dir = tempdir().unwrap();
    let broken = broken();
    let app = start(dir.path(), &broken).await;
    failed(&app).await;
    assert_eq!(copies(&app), ["one"]);
    stop(app).await;
    let data = text(dir.path());
    run(&["letters", "discard", data, "copy.make@3"]).refuses("say --why");
    run(&["letters", "discard", data, "copy.make@3", "--why", "x", "--by", ""]).refuses("is empty");
    let looked = run(&["letters", "discard", data, "--all", "--why", "x", "--dry-run"]);
    says(&looked, "2 letters would be discarded, and 2 messages behind would follow");
    assert_eq!(ids(data).len(), 2);

    let done = run(&["letters", "discard", data, "copy.make@3", "--by", "mara", "--why", "a joke"]);
    says(&done, "copy.make@3 is discarded; what waited behind it follows when the app starts");
    let again = run(&["letters", "discard", data, "copy.make@3", "--why", "a joke"]);
    again.refuses("there is no letter copy.make@3: it has ended");
    let acts = run(&["log", "dump", data, "--type", "letter.discarded"]).json();
    assert_eq!((&acts["source"], &acts["subject"]), (&json!("factum"), &json!("letter-copy.make")), "{acts}");
    let told = json!({
        "letter": "copy.make@3", "consumer": "copy.make", "messageId": acts["data"]["messageId"],
        "messageType": "note.written", "by": "mara", "why": "a joke", "reason": "no ink\nfor \u{1b}[31mpoison",
    });
    assert_eq!(acts["data"], told);
    assert_eq!(run(&["log", "verify", data]).code, 0);

    let app = start(dir.path(), &broken).await;
    app.rest().await.unwrap();
    assert_eq!(copies(&app), ["one", "two", "three"], "in order, and without what was discarded");
    write(&app, "a", "four").await;
    app.rest().await.unwrap();
    assert_eq!(copies(&app).last().unwrap(), "four", "the key is free");
    stop(app).await;
    let all = run(&["letters", "discard", data, "--all", "--why", "all of them", "--json"]).json();
    assert_eq!(all, json!({ "done": 1, "endedBefore": 0, "failed": [] }));
    assert_eq!(ids(data), [""; 0]);
}

/// What a strict reader knows of notes: it cannot read any other text.
#[derive(Event)]
#[event("note.written")]
struct Strict {
    text: Word,
}

#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Word {
    One,
    Two,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_state_could_not_take_is_left_out_for_good_once_it_is_discarded() {
    let dir = tempdir().unwrap();
    let start = async || {
        let strict = Folding::<usize>::new("count", 1)
            .fold(|count: &mut usize, event: &Recorded<'_, Strict>| match event.text {
                Word::One | Word::Two => *count += 1,
            })
            .react(|count: &usize, _: &Recorded<'_, Strict>, fx: &mut Effects| {
                fx.emit("copy", "a", Made { text: format!("note {count}") });
            })
            .emits::<Made>("copy");
        let notes = Service::new("note").decider::<Note>();
        let strict = Service::new("copy").owns("copy").folding(strict);
        App::open(dir.path()).unwrap().with(notes).with(strict).start().await.unwrap()
    };
    let data = text(dir.path());
    let app = start().await;
    for text in ["one", "poison"] {
        write(&app, "a", text).await;
        app.rest().await.unwrap();
    }
    assert_eq!(ids(data), ["copy.count@3"]);
    stop(app).await;
    let done = run(&["letters", "discard", data, "copy.count@3", "--why", "a joke"]);
    says(&done, "copy.count@3 is discarded");
    // The state is made anew from all of the log at each start.
    for text in ["two", "one"] {
        let app = start().await;
        write(&app, "a", text).await;
        app.rest().await.unwrap();
        stop(app).await;
        assert_eq!(ids(data), [""; 0]);
    }
    let app = start().await;
    assert_eq!(copies(&app), ["note 1", "note 2", "note 3"]);
    stop(app).await;
}

#[test]
fn a_target_that_cannot_be_asked_is_refused_with_what_to_do() {
    let refused = |target: &str, sentence: &str| {
        let answer = run(&["letters", "list", target]);
        assert_eq!(answer.code, 2, "{}", answer.out);
        assert!(answer.errors.contains(sentence), "{}", answer.errors);
    };
    refused("https://shop.example", "https is not spoken");
    refused("ftp://shop.example", "ftp is not spoken");
    refused("http://me:secret@127.0.0.1:1", "leave out name and password");
    refused("http://127.0.0.1:1/?a=b", "leave out what follows");
    refused("http://", "name an address such as");
    refused("", "name an address such as");
    refused("http://127.0.0.1:1", "Is the app running there?");
    refused("127.0.0.1:1", "Is the app running there?");
    refused("localhost:1", "nothing answers at http://localhost:1/");
    let both = run(&["letters", "redrive", "http://127.0.0.1:1", "a.b@1", "--key", "x"]);
    both.refuses("name one letter, or say --all and which");
    for wrong in [&["redrive", "http://127.0.0.1:1"][..], &["list", "x", "--limit", "0"], &["list"]] {
        assert_eq!(run(&[&["letters"], wrong].concat()).code, 2);
    }
}

/// An app behind a real socket.
pub struct Served {
    pub app: App,
    pub address: String,
    stop: oneshot::Sender<()>,
    serving: tokio::task::JoinHandle<Result<(), http::ServeError>>,
}

pub async fn serve(dir: &Path, broken: &Arc<AtomicBool>) -> Served {
    serve_app(start(dir, broken).await).await
}

pub async fn serve_app(app: App) -> Served {
    let listener = http::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let routes = app.router();
    let serving = tokio::spawn(async move { http::serve(listener, routes, async { _ = stopped.await }).await });
    Served { app, address, stop, serving }
}

impl Served {
    pub async fn end(self) {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap().unwrap();
        stop(self.app).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_app_is_mended_by_its_address() {
    let dir = tempdir().unwrap();
    let broken = broken();
    let served = serve(dir.path(), &broken).await;
    let at = served.address.as_str();
    says(&run(&["letters", "list", at]), "no letters: nothing has failed");
    failed(&served.app).await;
    says(&run(&["letters", "list", at]), &format!("factum letters show {at} LETTER"));
    assert_eq!(run(&["letters", "list", at, "--json"]).json()["total"], 2);
    says(&run(&["letters", "show", at, "copy.make@3"]), &format!("factum letters redrive {at} copy.make@3"));
    says(&run(&["consumers", at]), "copy.make");
    run(&["consumers", "try-again", at, "copy.make"]).refuses("has not stopped");
    run(&["consumers", "try-again", at, "copy.wrap"]).refuses("there is no consumer `copy.wrap`");

    let before = served.app.position();
    let tried = run(&["letters", "try", at, "copy.make@3"]);
    assert_eq!((tried.code, served.app.position()), (2, before), "{}", tried.errors);
    assert!(tried.out.starts_with("copy.make@3 would fail again: no ink for"), "{}", tried.out);
    let again = run(&["letters", "redrive", at, "copy.make@3", "--by", "mara"]);
    assert_eq!(again.code, 2, "{}", again.errors);
    assert!(again.out.contains("failed again") && again.out.contains("Mend its cause"), "{}", again.out);
    assert_eq!(run(&["letters", "show", at, "copy.make@3", "--json"]).json()["failureCount"], 2);
    let all = run(&["letters", "redrive", at, "--all"]);
    assert_eq!(all.code, 2, "{}", all.errors);
    assert!(all.out.contains("\n0 letters redriven, 2 failed again, 0 left out.\n"), "{}", all.out);
    assert!(all.out.contains("  copy.make@3: failed: no ink for \u{fffd}[31mpoison\n"), "{}", all.out);

    broken.store(false, Ordering::Relaxed);
    let looked = run(&["letters", "redrive", at, "--all", "--dry-run"]);
    says(&looked, "2 letters tried, 0 would not go well. Nothing was stored");
    says(&looked, "event copy.made in copy-a {\"text\":\"poison\"}");
    assert_eq!(copies(&served.app), ["one"]);
    says(
        &run(&["letters", "redrive", at, "copy.make@3"]),
        "copy.make@3 is done, and this followed:\n  event copy.made",
    );
    served.app.rest().await.unwrap();
    assert_eq!(copies(&served.app), ["one", "poison", "two", "three"]);
    run(&["letters", "redrive", at, "copy.make@3"]).refuses("there is no letter copy.make@3");
    says(&run(&["letters", "redrive", at, "--all", "--rate", "1000"]), "1 letter redriven, 0 failed again");
    says(&run(&["letters", "list", at]), "no letters: nothing has failed");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_apps_letters_are_released_and_discarded_by_its_address() {
    let dir = tempdir().unwrap();
    let served = serve(dir.path(), &broken()).await;
    let at = served.address.as_str();
    failed(&served.app).await;
    says(&run(&["letters", "release", at, "copy.make@3"]), "What waited behind copy.make@3 follows");
    served.app.rest().await.unwrap();
    assert_eq!(copies(&served.app), ["one", "two", "three"]);
    run(&["letters", "discard", at, "copy.make@3"]).refuses("say --why");
    let done = run(&["letters", "discard", at, "copy.make@3", "--why", "a joke", "--json"]).json();
    assert_eq!(done, json!({ "outcome": "done", "followed": [] }));
    let all = run(&["letters", "discard", at, "--all", "--key", "o'b c", "--why", "a joke"]);
    says(&all, "1 letter discarded, 0 left out.");
    assert_eq!(ids(at), [""; 0]);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timers_letter_is_reached_by_its_name_whatever_is_in_it() {
    let dir = tempdir().unwrap();
    let served = serve(dir.path(), &broken()).await;
    let (at, data) = (served.address.as_str(), text(dir.path()));
    write(&served.app, "a", "later").await;
    served.app.rest().await.unwrap();
    let id = ids(at).remove(0);
    assert_eq!(id, "note.note@timer/copy.make-a/a/b @c's 50%?#");
    for target in [at, data] {
        let shown = run(&["letters", "show", target, &id]);
        says(&shown, "note.write, in no stream");
        says(&shown, r"'note.note@timer/copy.make-a/a/b @c'\''s 50%?#'");
    }
    let tried = run(&["letters", "try", at, &id]);
    assert!(tried.out.contains("would fail again: the handler panicked"), "{}", tried.errors);
    says(&run(&["letters", "discard", at, &id, "--why", "a joke"]), "is discarded");
    assert_eq!(ids(data), [""; 0]);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_at_which_something_else_answers_says_so() {
    let dir = tempdir().unwrap();
    let served = serve(dir.path(), &broken()).await;
    let elsewhere = format!("{}/other", served.address);
    let answer = run(&["letters", "list", &elsewhere]);
    answer.refuses("is it the right address");
    let _: Value = run(&["letters", "list", &served.address, "--json"]).json();
    served.end().await;
}
