//! An app whose data move to another place while it is stopped: everything that was under way goes on there.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use factum::{
    ExecuteError, Location, Stores,
    error::{HandlerError, StoreError},
    letters::Query,
    operate::{self, GaveUp, Relocated, Step},
    prelude::*,
};
#[cfg(feature = "postgres")]
use factum_testing::engines::postgres::Server;

use crate::sagas::transfer;

#[derive(Event)]
#[event("note.kept")]
struct Kept {
    note: String,
    text: String,
}

#[derive(Command)]
#[command("note.keep")]
pub struct Keep {
    note: String,
    text: String,
}

#[derive(Default)]
struct Note;

impl Decider for Note {
    const CATEGORY: &'static str = "note";
    type Id = String;
    type Command = Keep;
    type Event = Kept;
    type Rejection = Never;

    fn address(command: &Keep, _: &Envelope) -> String {
        command.note.clone()
    }

    fn decide(&self, _: &String, keep: Keep, _: &Context) -> Result<Vec<Kept>, Never> {
        Ok(vec![Kept { note: keep.note, text: keep.text }])
    }

    fn evolve(&mut self, _: &Kept) {}
}

#[derive(Clone, Debug, PartialEq, Row)]
#[row("notes")]
struct NoteRow {
    #[key]
    note: String,
    texts: Vec<String>,
}

fn notes(rows: &mut Rows<NoteRow>, event: &Recorded<Kept>) {
    let new = || NoteRow { note: event.note.clone(), texts: Vec::new() };
    rows.upsert(&event.note, new, |row| row.texts.push(event.text.clone()));
}

const LATER: TimerTo<Keep> = TimerTo::new("later");
const ASK: CallTo<String, Keep> = CallTo::new("ask");
const HOUR: Duration = Duration::from_secs(3_600);

pub fn keep(note: &str, text: &str) -> Keep {
    Keep { note: note.to_owned(), text: text.to_owned() }
}

/// What is outside of the app: it outlives it.
#[derive(Default)]
pub struct World {
    /// A reaction fails.
    mended: AtomicBool,
    /// The partner answers.
    answers: AtomicBool,
    asked: AtomicU32,
}

/// `late` sets a timer, `ask` asks a partner, `poison` fails and holds its key.
fn service(world: &Arc<World>) -> Service {
    let (mended, partner) = (world.clone(), world.clone());
    let react = move |event: &Recorded<'_, Kept>, fx: &mut Effects| {
        match event.text.as_str() {
            "late" => fx.after(LATER, HOUR, keep(&event.note, "in time")),
            "ask" => fx.call(ASK, event.note.clone()),
            "poison" if !mended.mended.load(Ordering::Relaxed) => return Err(HandlerError::failed("it is poison")),
            "poison" | "behind" => fx.send(keep(&format!("{}-done", event.note), &event.text)),
            _ => {}
        }
        Ok(())
    };
    let ask = move |call: Call<String>| {
        let partner = partner.clone();
        async move {
            partner.asked.fetch_add(1, Ordering::Relaxed);
            match partner.answers.load(Ordering::Relaxed) {
                true => Answer::Done(keep(&call.request, "answered")),
                false => Answer::Again("nobody is there".to_owned(), None),
            }
        }
    };
    let call = CallSpec::new(ASK, ask, |request, _| keep(&request, "gave up"));
    let reaction = Reaction::new("tell", react).sets(LATER).calls(ASK);
    Service::new("note").decider::<Note>().view(1, notes).reaction(reaction).call(call)
}

pub async fn start(place: impl Into<Stores>, world: &Arc<World>) -> App {
    let app = App::on(place).unwrap().on_data_time().with(service(world));
    transfer::services(&[1]).into_iter().fold(app, factum::AppBuilder::with).start().await.unwrap()
}

pub async fn stop(app: App) {
    app.stop().await;
}

pub async fn texts(app: &App, note: &str) -> Vec<String> {
    let row = app.rows::<NoteRow>().after(app.position()).get(note).await.unwrap();
    row.map(|row| row.texts).unwrap_or_default()
}

/// An app with all that can be under way.
pub async fn filled(place: &Location, world: &Arc<World>) {
    let app = start(place, world).await;
    app.advance("2030-01-01T00:00:00Z".parse().unwrap());
    for (note, text) in [("t", "late"), ("c", "ask"), ("p", "poison"), ("p", "behind"), ("n", "plain")] {
        app.execute(keep(note, text)).id(&format!("{note}-{text}")).await.unwrap();
    }
    transfer::place(&app, "o").await;
    app.rest().await.unwrap();
    assert_eq!(app.letters().list(Query::default()).await.unwrap().letters.len(), 1);
    stop(app).await;
}

/// All of it is there, and goes on.
pub async fn goes_on(place: &Location, world: &Arc<World>) {
    let app = start(place, world).await;
    app.advance("2030-01-01T00:00:05Z".parse().unwrap());
    let again = app.execute(keep("n", "plain")).id("n-plain").await.unwrap();
    assert!(again.repeated, "what was sent before is known");
    let other = app.execute(keep("n", "other")).id("n-plain").await.unwrap_err();
    assert!(matches!(other, ExecuteError::IdReused(_)), "with its body: {other}");
    world.mended.store(true, Ordering::Relaxed);
    world.answers.store(true, Ordering::Relaxed);
    let letters = app.letters().list(Query::default()).await.unwrap().letters;
    assert_eq!(letters.len(), 1);
    app.letters().redrive(&letters[0].id, &factum::By::new("mara", "it is mended")).await.unwrap();
    transfer::say(&app, "o", "reserved").await;
    app.rest_at("2030-01-01T02:00:00Z".parse().unwrap()).await.unwrap();
    assert_eq!(texts(&app, "t").await, ["late", "in time"], "a timer fires once");
    assert_eq!(texts(&app, "c").await, ["ask", "answered"], "an open call is answered once");
    assert_eq!(texts(&app, "p-done").await, ["poison", "behind"], "what was held follows, in order");
    assert_eq!(transfer::shown(&app, "o").await.steps.iter().filter(|step| step.status == "completed").count(), 2);
    stop(app).await;
}

pub fn moved(from: &Location, to: &Location) -> Result<Option<Relocated>, StoreError> {
    operate::relocate(from, to, &mut |_| Ok(()))
}

pub fn refused(place: &Location) -> String {
    match App::open(place) {
        Ok(_) => panic!("{place} opens"),
        Err(error) => error.to_string(),
    }
}

pub fn in_dir(dir: &Path, name: &str) -> Location {
    dir.join(name).into()
}

async fn everything_under_way_goes_on_at(other: &Location) {
    let (dir, world) = (tempfile::tempdir().unwrap(), Arc::new(World::default()));
    let home = in_dir(dir.path(), "home");
    filled(&home, &world).await;
    let before = operate::about(&home).unwrap();
    let there = moved(&home, other).unwrap().unwrap();
    assert_eq!((there.messages, there.cells), (before.head.0, before.cells));
    assert_eq!(there.lineage, before.lineage, "positions mean the same");
    let told = refused(&home);
    assert!(told.contains(&format!("has moved to {other} and takes nothing more")), "{told}");
    assert_eq!(moved(&home, other).unwrap(), None, "it has moved already");
    let late = operate::give_up(&home, other).unwrap_err().to_string();
    assert!(late.contains("nothing is given up any more; to go back: `factum move --from"), "{late}");
    // There and back: the first place takes in only what is new.
    let app = start(other, &world).await;
    app.execute(keep("n", "more")).await.unwrap();
    stop(app).await;
    let back = moved(other, &home).unwrap().unwrap();
    assert!(back.messages > there.messages);
    let told = refused(other);
    assert!(told.contains("has moved to"), "{told}");
    goes_on(&home, &world).await;
    // And once more, with all that was done.
    assert!(moved(&home, other).unwrap().unwrap().messages > back.messages);
    let app = start(other, &world).await;
    assert_eq!(texts(&app, "c").await, ["ask", "answered"]);
    assert_eq!(texts(&app, "n").await, ["plain", "more"]);
    stop(app).await;
    assert!(operate::verify(other, &mut |_, _| {}).unwrap().damage.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_under_way_goes_on_in_another_directory_and_back() {
    let dir = tempfile::tempdir().unwrap();
    everything_under_way_goes_on_at(&in_dir(dir.path(), "other")).await;
}

#[cfg(feature = "postgres")]
pub fn server() -> Option<Server> {
    Server::start().map_err(|why| eprintln!("left out: {why}")).ok()
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn everything_under_way_goes_on_in_a_database_and_back() {
    let Some(server) = server() else { return };
    everything_under_way_goes_on_at(&format!("{}?schema=shop", server.url()).into()).await;
}

/// Where a move may be cut off.
const STOPS: [Step; 5] = [Step::Copying(0, 0), Step::Cells, Step::Beside, Step::Sealing, Step::Opening];

/// A move that ends before this step.
fn cut_off(from: &Location, to: &Location, at: Step) {
    let cut =
        operate::relocate(from, to, &mut |step| match std::mem::discriminant(&step) == std::mem::discriminant(&at) {
            true => Err(StoreError::Transient("cut off".to_owned())),
            false => Ok(()),
        });
    assert!(matches!(cut, Err(StoreError::Transient(why)) if why == "cut off"), "{at:?}");
}

async fn a_move_goes_on_or_is_given_up(places: &mut dyn FnMut() -> Location) {
    for at in STOPS {
        let (dir, world) = (tempfile::tempdir().unwrap(), Arc::new(World::default()));
        let (home, other) = (in_dir(dir.path(), "home"), places());
        filled(&home, &world).await;
        let sealed = at == Step::Opening;
        // Given up: as if nothing had been.
        cut_off(&home, &other, at);
        let told = refused(&other);
        assert!(told.contains("is not whole") && told.contains("--give-up"), "{at:?}: {told}");
        assert_eq!(operate::marks(&home).unwrap().moved.is_some(), sealed, "{at:?}");
        let given = operate::give_up(&home, &other).unwrap();
        assert_eq!(given, GaveUp { unsealed: sealed, removed: true }, "{at:?}");
        assert_eq!(operate::give_up(&home, &other).unwrap(), GaveUp { unsealed: false, removed: false });
        let app = start(&home, &world).await;
        app.execute(keep("n", "meanwhile")).await.unwrap();
        stop(app).await;
        // Cut off again, and gone on with; what was written between is there, too.
        cut_off(&home, &other, at);
        if sealed {
            assert!(refused(&home).contains("has moved to"));
        } else {
            let app = start(&home, &world).await;
            app.execute(keep("n", "between")).await.unwrap();
            stop(app).await;
        }
        moved(&home, &other).unwrap().unwrap();
        goes_on(&other, &world).await;
        assert!(refused(&home).contains("has moved to"), "{at:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_cut_off_anywhere_goes_on_or_is_given_up() {
    let (dir, mut made) = (tempfile::tempdir().unwrap(), 0);
    a_move_goes_on_or_is_given_up(&mut || {
        made += 1;
        in_dir(dir.path(), &format!("other-{made}"))
    })
    .await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn a_move_to_a_database_that_is_cut_off_anywhere_goes_on_or_is_given_up() {
    let Some(server) = server() else { return };
    let mut made = 0;
    a_move_goes_on_or_is_given_up(&mut || {
        made += 1;
        format!("{}?schema=other_{made}", server.url()).into()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_move_says_why_and_stays_as_it_is() {
    let (dir, world) = (tempfile::tempdir().unwrap(), Arc::new(World::default()));
    let place = |name: &str| in_dir(dir.path(), name);
    let (home, other) = (place("home"), place("other"));
    filled(&home, &world).await;
    filled(&other, &Arc::default()).await;
    std::fs::create_dir(dir.path().join("full")).unwrap();
    std::fs::write(dir.path().join("full/letter.txt"), "dear").unwrap();
    let dotted = in_dir(dir.path(), "./home/");
    for (from, to, sentence) in [
        (&home, &home, "is where the data is already"),
        (&home, &dotted, "is where the data is already"),
        (&home, &other, "holds another log"),
        (&home, &place("full"), "is not empty: name a directory that is new or empty"),
        (&place("nowhere"), &place("new"), "does not exist"),
    ] {
        let told = moved(from, to).unwrap_err().to_string();
        assert!(told.contains(sentence), "{told}");
    }
    assert!(!dir.path().join("new").exists() && !dir.path().join("full/log").exists());
    // A copy of the log is no target.
    let copy = dir.path().join("copy");
    std::fs::create_dir_all(copy.join("log")).unwrap();
    for file in std::fs::read_dir(dir.path().join("home/log")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.join("log").join(file.file_name())).unwrap();
    }
    let told = moved(&home, &copy.as_path().into()).unwrap_err().to_string();
    assert!(told.contains("holds this very log, as a whole one"), "{told}");
    // One move at a time.
    cut_off(&home, &place("first"), Step::Opening);
    let told = moved(&home, &place("second")).unwrap_err().to_string();
    assert!(told.contains(&format!("has moved to {}", place("first"))), "{told}");
    let told = moved(&place("first"), &place("second")).unwrap_err().to_string();
    assert!(told.contains("is not whole"), "{told}");
    operate::give_up(&home, place("first")).unwrap();
    let app = start(&home, &world).await;
    let told = moved(&home, &place("second")).unwrap_err().to_string();
    assert!(told.contains("open in another process"), "{told}");
    stop(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_differs_is_found_and_a_damaged_source_does_not_move() {
    let (dir, world) = (tempfile::tempdir().unwrap(), Arc::new(World::default()));
    let [home, other, more] = ["home", "other", "more"].map(|name| in_dir(dir.path(), name));
    filled(&home, &world).await;
    // Something else arrives there under the same name: the log's of before are not the same any more.
    cut_off(&home, &other, Step::Sealing);
    let note = dir.path().join("other/log/note.json");
    let marks = std::fs::read(&note).unwrap();
    std::fs::remove_file(&note).unwrap();
    let app = start(&other, &world).await;
    app.execute(keep("x", "not of the source")).await.unwrap();
    stop(app).await;
    std::fs::write(&note, &marks).unwrap();
    let app = start(&home, &world).await;
    for text in ["one", "two", "three", "four", "five", "six"] {
        app.execute(keep("y", text)).await.unwrap();
    }
    stop(app).await;
    let told = moved(&home, &other).unwrap_err();
    assert!(matches!(&told, StoreError::Corrupt(why) if why.contains("differs from")), "{told}");
    assert!(operate::marks(&home).unwrap().moved.is_none());

    let segment = std::fs::read_dir(dir.path().join("home/log")).unwrap();
    let segment =
        segment.map(|file| file.unwrap().path()).find(|file| file.extension().is_some_and(|it| it == "segment"));
    let segment = segment.unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[1_500] ^= 4;
    std::fs::write(&segment, bytes).unwrap();
    let told = moved(&home, &more).unwrap_err();
    assert!(matches!(told, StoreError::Corrupt(_)), "{told}");
}
