//! `factum backup` and `factum restore`.

use std::fs;

use factum::App;
use tempfile::tempdir;

use crate::{NoteRow, factum, filled, flip, next_segment, output, run, segments, start, stop, text, write};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_app_is_restored_elsewhere_and_the_app_starts_on_it() {
    let parent = tempdir().unwrap();
    let [dir, to, new] = ["data", "backup", "new"].map(|name| parent.path().join(name));
    let app = start(&dir).await;
    for number in 0..20 {
        write(&app, "n", &number.to_string()).await;
    }
    let backup = run(&["backup", text(&dir), text(&to), "--json"]);
    assert_eq!((backup.code, backup.errors.as_str()), (0, ""));
    let backup = backup.json();
    assert_eq!((&backup["head"], &backup["verified"]["isSound"]), (&20.into(), &true.into()), "{backup}");
    write(&app, "n", "lost by the restore").await;
    stop(app).await;

    let refused = App::open(&to).map(drop).unwrap_err().to_string();
    assert!(refused.contains("is a backup: restore it"), "{refused}");
    let restored = run(&["restore", text(&to), text(&new), "--json"]).json();
    assert_eq!((&restored["head"], &restored["original"]), (&20.into(), &backup["lineage"]));
    assert_ne!(restored["lineage"], backup["lineage"]);
    // The rows of the original, which have seen one message more.
    for file in ["rows.sqlite", "rows.sqlite-wal", "rows.sqlite-shm"]
        .map(|name| dir.join(name))
        .iter()
        .filter(|file| file.exists())
    {
        fs::copy(file, new.join(file.file_name().unwrap())).unwrap();
    }
    assert!(fs::read_dir(&new).unwrap().count() > 1, "there are rows of the original");
    let app = start(&new).await;
    let row = app.rows::<NoteRow>().after(app.position()).get("n").await.unwrap();
    assert_eq!(row, Some(NoteRow { note: "n".to_owned(), times: 20 }));
    stop(app).await;

    // Whoever kept a position of the original is told.
    let old = backup["lineage"].as_str().unwrap();
    let dump = |of: &str| run(&["log", "dump", text(&new), "--of", of, "--after", "19"]);
    dump(old).refuses("it was restored since");
    assert_eq!(dump(restored["lineage"].as_str().unwrap()).out.lines().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_backup_takes_only_what_is_new() {
    let parent = tempdir().unwrap();
    let [dir, to] = ["data", "backup"].map(|name| parent.path().join(name));
    let app = start(&dir).await;
    next_segment(&app).await;
    let first = run(&["backup", text(&dir), text(&to), "--copy", "--no-verify", "--json"]).json();
    assert_eq!((&first["segments"], &first["linked"], &first["kept"]), (&2.into(), &0.into(), &0.into()));
    assert!(first["copiedBytes"].as_u64().unwrap() > 64 << 20);
    assert!(first["verified"].is_null());
    write(&app, "n", "more").await;
    let second = run(&["backup", text(&dir), text(&to), "--json"]).json();
    assert_eq!((&second["segments"], &second["linked"], &second["kept"]), (&2.into(), &0.into(), &1.into()));
    assert!(second["copiedBytes"].as_u64().unwrap() < 64 << 20);
    stop(app).await;
    let told = run(&["backup", text(&dir), text(&parent.path().join("linked"))]);
    assert!(told.out.contains("1 segment copied") && told.out.contains("1 linked"), "{}", told.out);
    assert!(told.out.contains("is sound") && told.out.contains("`digest.key`) is not in it"), "{}", told.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_never_overwrite_anything() {
    let parent = tempdir().unwrap();
    let [dir, other, to, full] = ["data", "other", "backup", "full"].map(|name| parent.path().join(name));
    filled(&dir, 3).await;
    filled(&other, 3).await;
    fs::create_dir(&full).unwrap();
    fs::write(full.join("letter.txt"), "dear").unwrap();
    assert_eq!(run(&["backup", text(&dir), text(&to)]).code, 0);
    run(&["backup", text(&dir), text(&other)]).refuses("holds something that is no backup");
    run(&["backup", text(&dir), text(&dir)]).refuses("is what is to be backed up");
    run(&["backup", text(&other), text(&to)]).refuses("belongs to another log");
    for place in [&dir, &full] {
        run(&["restore", text(&to), text(place)]).refuses("is not empty, and a restore never writes over anything");
    }
    run(&["log", "archive", text(&to), "--to", text(&full)]).refuses("is a backup");
    let app = start(&dir).await;
    run(&["backup", text(&dir), text(&dir)]).refuses("is what is to be backed up");
    run(&["backup", text(&other), text(&dir)]).refuses("is in use");
    assert_eq!(app.position().0, 3);
    stop(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_is_found_when_it_is_verified_and_not_restored() {
    let parent = tempdir().unwrap();
    let [dir, to, new] = ["data", "backup", "new"].map(|name| parent.path().join(name));
    filled(&dir, 30).await;
    assert_eq!(run(&["backup", text(&dir), text(&to)]).code, 0);
    let segment = segments(&to).remove(0);
    flip(&segment, 1500);
    assert_eq!(run(&["log", "verify", text(&to)]).code, 1);
    let restored = run(&["restore", text(&to), text(&new)]);
    assert_eq!(restored.code, 1);
    assert!(restored.errors.contains(text(&segment)) && restored.errors.contains("offset"), "{}", restored.errors);
    assert!(!new.exists());
    // What an interrupted restore left is no obstacle.
    flip(&segment, 1500);
    fs::create_dir_all(new.join("log.restoring")).unwrap();
    fs::write(new.join("log.restoring").join("backup.tmp"), "half").unwrap();
    let restored = output(&mut factum(&["restore", text(&to), text(&new)]));
    assert!(restored.status.success(), "{restored:?}");
    assert_eq!(fs::read_dir(&new).unwrap().count(), 1);
}
