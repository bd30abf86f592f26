//! The pieces of chaos, one by one: each fault happens as it is named, is counted where it happens, and the partner's book
//! tells what came of it.

use std::{
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
};
use factum_testing::chaos::{
    self, Fault, Faults, Outcome, Process, Proxy, Rates, Recorder, Tally, free_address, knock,
};
use reqwest::{Client, Response};
use tokio::net::TcpListener;

type Book = Arc<Mutex<Recorder<String>>>;

/// A partner who does everything once.
async fn partner() -> (String, Book) {
    let book = Book::default();
    let done = async |State(book): State<Book>, uri: Uri, headers: HeaderMap| {
        let (key, what) = (headers["idempotency-key"].to_str().unwrap().to_owned(), uri.path().to_owned());
        book.lock().unwrap().ask(&key, &what, || Outcome::Done(what.clone(), format!("did {what}")))
    };
    (serve(Router::new().fallback(done).with_state(book.clone())).await, book)
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    url
}

fn rates(of: Option<Fault>) -> Rates {
    let share = |fault| if of == Some(fault) { 1.0 } else { 0.0 };
    Rates {
        silent: share(Fault::Silent),
        answer_lost: share(Fault::AnswerLost),
        request_lost: share(Fault::RequestLost),
        twice: share(Fault::Twice),
        sent_away: share(Fault::SentAway),
        late: share(Fault::Late),
    }
}

fn faults(of: Option<Fault>) -> Faults {
    Faults { seed: 7, rates: rates(of), silence: Duration::from_millis(4) }
}

async fn ask(url: &str, what: &str) -> Result<Response, reqwest::Error> {
    Client::new().post(format!("{url}/{what}")).header("idempotency-key", format!("key of {what}")).send().await
}

async fn text(answer: Result<Response, reqwest::Error>) -> Option<String> {
    answer.ok()?.text().await.ok()
}

/// Twenty requests on a line with one fault: what they were answered, and how it is counted.
async fn twenty(fault: Fault) -> (Vec<Option<String>>, usize, u64) {
    let ((partner, book), tally) = (partner().await, Tally::default());
    let line = Proxy::start("line", &partner, faults(Some(fault)), &tally).await.unwrap();
    let mut answers = Vec::new();
    for nth in 0..20 {
        answers.push(text(ask(&line.url(), &format!("pay-{nth}")).await).await);
    }
    let count = tally.count(fault.name(), "line");
    assert_eq!((count.ordered, count.happened), (20, 20), "{fault:?}");
    let book = book.lock().unwrap();
    assert_eq!(book.problems(), [""; 0]);
    (answers, book.effects(), book.repeats())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_is_what_its_name_says() {
    let nothing = |answers: &[Option<String>]| answers.iter().all(Option::is_none);
    let (answers, effects, _) = twenty(Fault::Silent).await;
    assert!(nothing(&answers) && effects > 2 && effects < 18, "half of them were carried out: {effects}");
    let (answers, effects, _) = twenty(Fault::AnswerLost).await;
    assert!(nothing(&answers) && effects == 20);
    let (answers, effects, _) = twenty(Fault::RequestLost).await;
    assert!(nothing(&answers) && effects == 0);
    let (answers, effects, repeats) = twenty(Fault::Twice).await;
    assert!(answers.iter().all(Option::is_some) && (effects, repeats) == (20, 20));
    let (answers, effects, _) = twenty(Fault::SentAway).await;
    assert!(answers.iter().all(|answer| answer.as_deref() == Some("")) && effects == 0);
    let (answers, effects, repeats) = twenty(Fault::Late).await;
    assert!(answers[0].as_deref() == Some("did /pay-0") && (effects, repeats) == (20, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calm_line_carries_everything_and_a_partner_that_is_away_is_told() {
    let ((partner, book), tally) = (partner().await, Tally::default());
    let line = Proxy::start("line", &partner, faults(Some(Fault::AnswerLost)), &tally).await.unwrap();
    assert!(text(ask(&line.url(), "pay-1").await).await.is_none());
    line.calm();
    assert_eq!(text(ask(&line.url(), "pay-1").await).await.as_deref(), Some("did /pay-1"));
    assert_eq!((book.lock().unwrap().repeats(), tally.happenings("answer lost")), (1, 1));
    let nobody = format!("http://{}", free_address().unwrap());
    let line = Proxy::start("line", &nobody, faults(None), &tally).await.unwrap();
    assert_eq!(ask(&line.url(), "pay-1").await.unwrap().status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn a_program_that_ends_by_itself_is_told_with_its_last_words() {
    let (dir, tally) = (tempfile::tempdir().unwrap(), Tally::default());
    let broken = || {
        let mut command = Command::new("sh");
        command.args(["-c", "echo cannot go on; exit 3"]);
        command
    };
    let mut program = Process::new(broken, free_address().unwrap(), &dir.path().join("log"), &tally);
    let told = program.start(Duration::from_secs(20)).await.unwrap_err();
    assert!(told.contains("exit status: 3") && told.contains("cannot go on"), "{told}");
    let told = program.kill("running").await.unwrap_err();
    assert!(told.contains("by itself"), "{told}");
    assert_eq!(tally.happenings("kill"), 0, "nobody was killed");
}

#[tokio::test]
async fn a_door_that_takes_what_is_no_message_is_told() {
    let tally = Tally::default();
    let client = |url: &str| chaos::Client::new(url, Duration::from_secs(20), Duration::from_secs(20));
    let strict =
        serve(Router::new().fallback(async || (StatusCode::BAD_REQUEST, r#"{"detail":"there is no type; give one"}"#)));
    let (strict, lax) = (client(&strict.await), client(&serve(Router::new().fallback(async || "thank you")).await));
    for nth in 0..20 {
        assert_eq!(knock(&strict, 7, nth, &tally).await, Ok(true));
        let told = knock(&lax, 7, nth, &tally).await.unwrap_err();
        assert!(told.contains("is no message"), "{told}");
    }
    assert_eq!(tally.happenings("poison at the door"), 40);
    let nobody = client(&format!("http://{}", free_address().unwrap()));
    assert_eq!(knock(&nobody, 7, 0, &tally).await, Ok(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_sends_again_until_it_is_answered() {
    let ((partner, book), tally) = (partner().await, Tally::default());
    let rates = Rates { silent: 0.1, answer_lost: 0.2, request_lost: 0.2, twice: 0.1, sent_away: 0.2, late: 0.1 };
    let faults = Faults { seed: 7, rates, silence: Duration::from_millis(4) };
    let line = Proxy::start("line", &partner, faults, &tally).await.unwrap();
    let client = chaos::Client::new(&line.url(), Duration::from_secs(20), Duration::from_secs(60));
    for nth in 0..40 {
        let answer = client.post(&format!("/pay-{nth}"), &format!("k{nth}"), &[], "{}").await.unwrap();
        assert_eq!(answer.status, 200);
    }
    {
        let book = book.lock().unwrap();
        assert_eq!((book.effects(), book.problems()), (40, &[][..]));
        assert!(book.repeats() > 0);
    }
    assert!(Fault::ALL.iter().all(|fault| tally.happenings(fault.name()) > 0), "{tally}");
    let nobody = format!("http://{}", free_address().unwrap());
    let told = chaos::Client::new(&nobody, Duration::from_secs(20), Duration::ZERO).get("/x").await.unwrap_err();
    assert!(told.contains("GET /x is not answered"), "{told}");
}
