//! Backups of a shop under load, restored elsewhere.

use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
    thread,
};

use axum::{
    body::{Body, to_bytes},
    http::Request,
};
use factum::{App, Archive, error::StoreError, operate, stream::Position};
use serde_json::Value;
use shop::{
    import::{
        journal,
        loader::{self, Settings},
    },
    services::services,
};
use tower::ServiceExt;

use crate::imports::{committed, shop, text};

const SETTINGS: Settings = Settings { declines: 0.1, shuffle: None, process: None, mail: false };
/// Messages between two backups.
const EVERY: u64 = 4_000;

/// Waits until a running import has written so many messages.
fn reach(dir: &Path, messages: u64, import: &mut Child) {
    let mut wait = || {
        assert!(import.try_wait().unwrap().is_none(), "the import ended before {messages} messages were seen");
        thread::sleep(std::time::Duration::from_millis(1));
    };
    let mut log = loop {
        match operate::follow(dir) {
            // There is none yet.
            Err(StoreError::Permanent(_)) => wait(),
            opened => break opened.unwrap(),
        }
    };
    while log.look().unwrap().0 < messages {
        wait();
    }
}

async fn start(dir: &Path) -> Result<App, String> {
    let app = App::open(dir).map_err(|error| error.to_string())?.on_data_time().with(journal::service());
    let app = services(&loader::options(&SETTINGS)).into_iter().fold(app, factum::AppBuilder::with);
    app.start().await.map_err(|error| error.to_string())
}

/// How many orders the rows of a shop have, and how many its log.
async fn orders(dir: &Path) -> (u64, u64) {
    let app = start(dir).await.unwrap();
    app.rest().await.unwrap();
    let epoch = app.lineage().epoch;
    let get = async |epoch: u32| {
        let path = format!("/orders?size=1&after=main:{epoch}:{}", app.position());
        let request = Request::get(path).body(Body::empty()).unwrap();
        app.router().oneshot(request).await.unwrap()
    };
    assert_eq!(get(epoch - 1).await.status(), 409, "a position of another epoch says nothing here");
    // Rows that are built anew may take longer than one request waits.
    let mut answer = get(epoch).await;
    for _ in 0..20 {
        if answer.status() != 503 {
            break;
        }
        answer = get(epoch).await;
    }
    assert_eq!(answer.status(), 200);
    let body: Value = serde_json::from_slice(&to_bytes(answer.into_body(), 1 << 20).await.unwrap()).unwrap();
    let mut created = 0;
    let count = |_: &_| {
        created += 1;
        Ok::<_, StoreError>(())
    };
    Archive::of(app.reader()).each(Some(&|name| name == "order.created"), count).unwrap();
    assert!(app.health().is_well(), "{:?}", app.health());
    app.stop().await;
    (body["total"].as_u64().unwrap(), created)
}

fn copy(from: &Path, to: &Path, wanted: impl Fn(&str) -> bool) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        if wanted(file.file_name().to_str().unwrap()) {
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

fn is_well(dir: &Path) {
    let (well, findings, errors) = text(&mut shop(&["check"], dir));
    assert!(well, "{findings}{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_under_load_is_a_shop_of_its_own_when_it_is_restored() {
    let parent = tempfile::tempdir().unwrap();
    let [data, backup, new, older] = ["data", "backup", "new", "older"].map(|name| parent.path().join(name));
    let file = committed();
    let import = ["import", file.to_str().unwrap(), "--declines", "0.1"];
    let mut child = shop(&import, &data).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut heads = vec![Position::START];
    while heads.len() <= 4 {
        reach(&data, heads[heads.len() - 1].0 + EVERY, &mut child);
        // Of the same log into the same place: each time what is new, linked or copied.
        let copied = operate::backup(&data, &backup, heads.len() % 2 == 0, &mut |_, _| {}).unwrap();
        let found = operate::verify(&backup, &mut |_, _| {}).unwrap();
        assert_eq!((found.damage, found.unfinished, found.head), (vec![], None, copied.head));
        assert!(copied.head > heads[heads.len() - 1]);
        heads.push(copied.head);
    }
    assert!(child.try_wait().unwrap().is_none(), "the import has ended, so the last backup was not taken under load");
    assert!(child.wait().unwrap().success());
    is_well(&data);
    let (_, wanted, _) = text(&mut shop(&["report", "--json"], &data));

    let restored = operate::restore(&backup, &new, &mut |_, _| {}).unwrap();
    assert_eq!(Some(&restored.head), heads.last());
    assert!(restored.lineage.epoch > restored.original.epoch);
    is_well(&new);

    // Rows of the original, which have seen more than this log holds, are noticed and built anew.
    let is_rows = |name: &str| name.starts_with("rows");
    copy(&data, &new, is_rows);
    let (all, _) = orders(&data).await;
    let (rows, created) = orders(&new).await;
    assert_eq!(rows, created);
    assert!(rows > 0 && rows < all, "{rows} of {all}");

    // The restored shop goes on where the backup was taken, to the same end.
    let (done, _, errors) = text(&mut shop(&import, &new));
    assert!(done, "{errors}");
    is_well(&new);
    assert_eq!(text(&mut shop(&["report", "--json"], &new)).1, wanted);

    // Without a restore there is no new epoch: such a copy is refused as a backup, and if somebody takes the mark away,
    // by the rows that are ahead of it.
    copy(&backup.join("log"), &older.join("log"), |_| true);
    copy(&data, &older, is_rows);
    let refused = start(&older).await.map(drop).unwrap_err();
    assert!(refused.contains("is a backup: restore it into a directory of its own"), "{refused}");
    fs::remove_file(older.join("log/backup")).unwrap();
    let refused = start(&older).await.map(drop).unwrap_err();
    assert!(refused.contains("the log has lost events, or is an older copy. Restore the log"), "{refused}");
}
