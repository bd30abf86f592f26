//! The command `factum`, run as its users run it.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod copies;
mod databases;
mod groups;
mod letters;
mod log;
mod messages;
mod moving;
mod plans;
mod sagas;
mod schedules;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, PoisonError},
};

use factum::prelude::*;
use serde_json::Value;

#[derive(Event)]
#[event("note.written")]
struct Written {
    note: String,
    text: String,
}

#[derive(Command)]
#[command("note.write")]
struct Write {
    note: String,
    text: String,
}

#[derive(Default)]
struct Note;

impl Decider for Note {
    const CATEGORY: &'static str = "note";
    type Id = String;
    type Command = Write;
    type Event = Written;
    type Rejection = Never;

    fn address(command: &Write, _: &Envelope) -> String {
        command.note.clone()
    }

    fn decide(&self, _: &String, write: Write, _: &Context) -> Result<Vec<Written>, Never> {
        assert!(write.text != "unwritable", "this cannot be written");
        Ok(vec![Written { note: write.note, text: write.text }])
    }

    fn evolve(&mut self, _: &Written) {}
}

#[derive(Clone, Debug, PartialEq, Row)]
#[row("notes")]
struct NoteRow {
    #[key]
    note: String,
    times: u64,
}

fn notes(rows: &mut Rows<NoteRow>, event: &Recorded<Written>) {
    rows.upsert(&event.note, || NoteRow { note: event.note.clone(), times: 0 }, |row| row.times += 1);
}

async fn start(dir: &Path) -> App {
    let notes = Service::new("note").decider::<Note>().view(1, notes);
    App::open(dir).unwrap().with(notes).start().await.unwrap()
}

/// Stops an app and frees its directory.
async fn stop(app: App) {
    app.stop().await;
    drop(app);
    // A process that another test is just starting has all open files until it runs its own program, and with them the
    // directory's lock.
    drop(SPAWNING.lock());
}

/// Held while a process is started.
static SPAWNING: Mutex<()> = Mutex::new(());

fn spawn(command: &mut Command) -> Child {
    let _one = SPAWNING.lock().unwrap_or_else(PoisonError::into_inner);
    command.spawn().unwrap()
}

/// Runs a command to its end.
fn output(command: &mut Command) -> Output {
    spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped())).wait_with_output().unwrap()
}

async fn write(app: &App, note: &str, text: &str) {
    app.execute(Write { note: note.to_owned(), text: text.to_owned() }).await.unwrap();
}

/// A stopped app's directory with so many messages in it.
async fn filled(dir: &Path, messages: usize) {
    let app = start(dir).await;
    for number in 0..messages {
        write(&app, &format!("n{}", number % 3), &format!("text {number}")).await;
    }
    stop(app).await;
}

/// Writes until the log has begun another segment.
async fn next_segment(app: &App) {
    // A segment has 64 MiB.
    let text = "0123456789abcdef".repeat(30_000);
    for _ in 0..144 {
        write(app, "long", &text).await;
    }
}

fn factum(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_factum"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// What a command answered.
struct Answer {
    code: i32,
    out: String,
    errors: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }

    /// That it could not do it, and said this.
    fn refuses(&self, sentence: &str) {
        assert_eq!((self.code, self.out.as_str()), (2, ""), "{}", self.errors);
        assert!(self.errors.starts_with("error: ") && self.errors.contains(sentence), "{}", self.errors);
    }
}

fn run(arguments: &[&str]) -> Answer {
    let Output { status, stdout, stderr } = output(&mut factum(arguments));
    let utf8 = |bytes| String::from_utf8(bytes).unwrap();
    Answer { code: status.code().unwrap(), out: utf8(stdout), errors: utf8(stderr) }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The segments of a directory's log, in order.
fn segments(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join("log")).unwrap().map(|file| file.unwrap().path());
    let mut found: Vec<PathBuf> = files.filter(|path| text(path).ends_with(".segment")).collect();
    found.sort();
    found
}

/// Changes one bit of a file.
fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 4;
    fs::write(path, bytes).unwrap();
}
