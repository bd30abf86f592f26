//! `factum schedules`: listed, shown, paused, resumed, run and filled in, by address.

use factum::prelude::*;
use tempfile::tempdir;

use crate::{
    Note, Write,
    letters::{says, serve_app},
    run, text,
};

const NAME: &str = "note.leap";

#[tokio::test(flavor = "multi_thread")]
async fn schedules_are_looked_at_and_told_what_to_do() {
    let dir = tempdir().unwrap();
    let leap =
        Schedule::cron("leap", "0 3 29 2 *").sends(|it| Write { note: it.id().to_string(), text: it.schedule.clone() });
    let service = Service::new("note").decider::<Note>().schedule(leap);
    let app = App::open(dir.path()).unwrap().with(service).start().await.unwrap();
    let rested = app.rest().await.unwrap();
    app.rows::<factum::schedule::ScheduleRow>().after(rested.position).page().await.unwrap();
    let served = serve_app(app).await;
    let at = served.address.as_str();
    says(&run(&["schedules", "list", at]), NAME);
    let shown = run(&["schedules", "next", at, NAME]);
    says(&shown, "-02-29T03:00:00Z");
    assert!(shown.out.contains("factum schedules pause"), "{}", shown.out);
    let (by, why) = (["--by", "mara"], ["--why", "a test"]);
    let act = |act: &str| run(&[&["schedules", act, at, NAME], &by[..], &why[..]].concat());
    says(&act("pause"), "factum schedules resume");
    says(&act("resume"), "factum schedules pause");
    says(&act("run"), "ran: byHand");
    let range = ["--from", "2012-01-01T00:00:00Z", "--to", "2021-01-01T00:00:00Z"];
    let planned = run(&[&["schedules", "backfill", at, NAME], &range[..], &by[..], &why[..]].concat());
    says(&planned, "3 occurrences would be run");
    assert!(planned.out.contains("factum plans approve"), "{}", planned.out);
    let planned = run(&[&["plans", "make", at, "backfill", NAME], &range[..], &by[..], &why[..]].concat());
    says(&planned, "3 occurrences would be run");
    run(&["schedules", "show", at, "note.daily"]).refuses("there is no schedule note.daily");
    run(&["schedules", "list", text(dir.path())]).refuses("needs the program: start it and name its address");
    served.end().await;
}
