//! `factum log info`, `verify` and `archive`.

use std::fs;

use tempfile::tempdir;

use crate::{factum, filled, flip, next_segment, output, run, segments, start, stop, text, write};

#[tokio::test(flavor = "multi_thread")]
async fn a_log_tells_what_it_consists_of_also_beside_the_app() {
    let dir = tempdir().unwrap();
    let app = start(dir.path()).await;
    write(&app, "n", "one").await;
    let data = text(dir.path());
    let info = run(&["log", "info", data, "--json"]);
    assert_eq!((info.code, info.errors.as_str()), (0, ""));
    let info = info.json();
    assert_eq!((&info["head"], &info["streams"], &info["isClosed"]), (&1.into(), &1.into(), &false.into()), "{info}");
    assert_eq!(info["segments"][0]["first"], 1);
    assert!(info["lineage"].as_str().unwrap().ends_with("/1"), "{info}");
    stop(app).await;
    let own = run(&["log", "info", text(&dir.path().join("log")), "--json"]).json();
    assert_eq!((&own["lineage"], &own["isClosed"]), (&info["lineage"], &true.into()));
    let told = run(&["log", "info", data]);
    assert!(told.out.contains(info["lineage"].as_str().unwrap()) && told.out.contains("in order"), "{}", told.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_log_is_found_sound_without_a_word_on_the_error_output() {
    let dir = tempdir().unwrap();
    filled(dir.path(), 50).await;
    let found = run(&["log", "verify", text(dir.path())]);
    assert_eq!((found.code, found.errors.as_str()), (0, ""));
    assert!(found.out.contains("is sound") && found.out.contains("50 messages in 3 streams"), "{}", found.out);
    let found = run(&["--json", "log", "verify", text(dir.path())]).json();
    assert_eq!(
        (&found["isSound"], &found["head"], &found["damage"]),
        (&true.into(), &50.into(), &serde_json::json!([]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_named_with_file_and_offset() {
    let dir = tempdir().unwrap();
    filled(dir.path(), 50).await;
    let segment = segments(dir.path()).remove(0);
    flip(&segment, 2000);
    let found = run(&["log", "verify", text(dir.path()), "--json"]);
    assert_eq!((found.code, found.errors.as_str()), (1, ""));
    let found = found.json();
    assert_eq!((&found["isSound"], found["damage"].as_array().unwrap().len()), (&false.into(), 1));
    let place = &found["damage"][0];
    assert_eq!(place["file"], text(&segment));
    let offset = place["offset"].as_u64().unwrap();
    assert!((1..=2000).contains(&offset), "{place}");
    let told = run(&["log", "verify", text(dir.path())]);
    assert_eq!(told.code, 1);
    let place = format!("{}, offset {offset}: ", text(&segment));
    assert!(told.out.contains(&place) && told.out.contains("What to do"), "{}", told.out);
    let dumped = run(&["log", "dump", text(dir.path())]);
    assert_eq!(dumped.code, 1, "{}", dumped.errors);
    assert!(dumped.errors.contains(text(&segment)), "{}", dumped.errors);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_is_of_no_use_is_a_warning() {
    let dir = tempdir().unwrap();
    filled(dir.path(), 5).await;
    let bad = dir.path().join("log/00000000000000000005.checkpoint");
    fs::write(&bad, "no checkpoint").unwrap();
    let found = run(&["log", "verify", text(dir.path())]);
    assert_eq!(found.code, 0);
    let warning = format!("Warning: the checkpoint {} is of no use: ", text(&bad));
    assert!(found.out.contains("is sound") && found.out.contains(&warning), "{}", found.out);
    let found = run(&["log", "verify", text(dir.path()), "--json"]).json();
    assert_eq!((&found["isSound"], &found["unusable"][0]["file"]), (&true.into(), &text(&bad).into()));
    stop(start(dir.path()).await).await;
}

#[test]
fn a_wrong_directory_is_refused_with_a_sentence_and_left_as_it_is() {
    let dir = tempdir().unwrap();
    let missing = dir.path().join("missing");
    let other = dir.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("letter.txt"), "dear").unwrap();
    let target = dir.path().join("target");
    let to = text(&target);
    for (place, sentence) in [(&missing, "does not exist: name the directory"), (&other, "holds no store: name")] {
        let place = text(place);
        run(&["log", "info", place]).refuses(sentence);
        run(&["log", "verify", place]).refuses(sentence);
        run(&["log", "dump", place]).refuses(sentence);
        run(&["log", "tail", place, "-f"]).refuses(sentence);
        run(&["log", "archive", place, "--to", to]).refuses(sentence);
        run(&["backup", place, to]).refuses(sentence);
        run(&["restore", place, to]).refuses(sentence);
    }
    assert!(!missing.exists() && !target.exists());
    assert_eq!(fs::read_dir(other).unwrap().count(), 1);
}

#[test]
fn the_help_says_what_the_exit_codes_mean() {
    let help = output(&mut factum(&["--help"]));
    assert!(String::from_utf8(help.stdout).unwrap().contains("1  something is damaged"));
    assert_eq!(run(&["log", "dump", ".", "--after", "x"]).code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn archived_segments_are_read_as_before_and_the_archive_is_remembered() {
    let parent = tempdir().unwrap();
    let [dir, to, other] = ["data", "archive", "other"].map(|name| parent.path().join(name));
    let app = start(&dir).await;
    write(&app, "n", "first").await;
    next_segment(&app).await;
    assert_eq!(segments(&dir).len(), 2);
    // Relative to where the operator stands.
    let mut command = factum(&["log", "archive", text(&dir), "--to", "archive", "--json"]);
    let moved = output(command.current_dir(parent.path()));
    assert!(moved.status.success(), "{moved:?}");
    let moved: serde_json::Value = serde_json::from_slice(&moved.stdout).unwrap();
    assert_eq!(moved["segments"], 1);
    assert!(moved["toBytes"].as_u64() < moved["fromBytes"].as_u64());
    // The segment, and whose archive it is.
    assert_eq!((segments(&dir).len(), fs::read_dir(&to).unwrap().count()), (1, 2));
    stop(app).await;

    let first = run(&["log", "dump", text(&dir), "--limit", "1"]);
    assert_eq!(first.json()["data"]["text"], "first");
    assert_eq!(run(&["log", "verify", text(&dir)]).code, 0);
    let info = run(&["log", "info", text(&dir), "--json"]).json();
    assert_eq!((&info["segments"][0]["isArchived"], &info["archive"]), (&true.into(), &text(&to).into()));
    run(&["log", "archive", text(&dir), "--to", text(&other)]).refuses("has its archive in");
    let again = run(&["log", "archive", text(&dir), "--to", text(&to)]);
    assert!(again.out.starts_with("0 segments moved"), "{}", again.out);
    stop(start(&dir).await).await;

    // A backup holds the archived segments too, and is restored without the archive.
    let [backup, new] = ["backup", "new"].map(|name| parent.path().join(name));
    assert_eq!(run(&["backup", text(&dir), text(&backup)]).code, 0);
    fs::remove_dir_all(&to).unwrap();
    assert_eq!(run(&["restore", text(&backup), text(&new)]).code, 0);
    assert_eq!(run(&["log", "dump", text(&new), "--limit", "1"]).out, first.out);
}
