//! The command on a unit in PostgreSQL: roles, and whom it believes.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use factum::prelude::*;
use factum_testing::engines::postgres::Server;
use rcgen::{CertificateParams, KeyPair};
use tempfile::tempdir;

use crate::{NoteRow, Write, factum, output, run, start, stop, text, write};

/// A server of its own; `None`, and a line that says why, if there is none to be had.
fn server() -> Option<Server> {
    Server::start().map_err(|why| eprintln!("left out: {why}")).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_runs_as_a_role_that_owns_nothing_and_is_looked_at_by_one_that_reads() {
    let Some(server) = server() else { return };
    let made = "CREATE ROLE boss LOGIN; CREATE ROLE clerk LOGIN; CREATE ROLE guest LOGIN; \
                GRANT CREATE ON DATABASE postgres TO boss";
    server.sql(made).unwrap();
    let url = |role: &str| format!("{}?schema=notes", server.url().replace("factum@", &format!("{role}@")));
    run(&["log", "roles", &url("boss"), "--writer", "clerk"]).refuses("make it with `factum log migrate`");
    let migrated = run(&["log", "migrate", &url("boss")]);
    assert_eq!((migrated.code, migrated.errors.as_str()), (0, ""));
    let sql = run(&["log", "roles", &url("boss"), "--writer", "clerk", "--reader", "guest"]);
    assert_eq!((sql.code, sql.errors.as_str()), (0, ""));
    server.tool("psql", &["-X", "-v", "ON_ERROR_STOP=1", "-U", "boss", "-c", &sql.out]).unwrap();
    let app = start(Path::new(&url("clerk"))).await;
    write(&app, "n", "one").await;
    write(&app, "n", "two").await;
    let guest = url("guest");
    assert_eq!(run(&["log", "info", &guest, "--json"]).json()["head"], 2);
    let verified = run(&["log", "verify", &guest]);
    assert!(verified.out.contains("is sound"), "{}{}", verified.out, verified.errors);
    assert_eq!(run(&["log", "dump", &guest]).out.lines().count(), 2);
    assert_eq!(run(&["log", "tail", &guest, "-n", "1"]).out.lines().count(), 1);
    assert_eq!(run(&["letters", "list", &guest]).code, 0);
    stop(app).await;
    let told = App::open(&guest).err().unwrap().to_string();
    assert!(told.contains("GRANT UPDATE ON"), "{told}");
    let counted = ["-X", "-A", "-t", "-U", "guest", "-c", "SELECT body->>'times' FROM notes.notes"];
    assert_eq!(server.tool("psql", &counted).unwrap().trim(), "2");
}

#[test]
fn a_directory_has_neither_tables_nor_roles() {
    let dir = tempdir().unwrap();
    run(&["log", "migrate", text(dir.path())]).refuses("a directory has no tables to migrate");
    run(&["log", "roles", text(dir.path()), "--reader", "a"]).refuses("a directory has no tables to give rights on");
    run(&["log", "roles", "postgres://a@127.0.0.1:1/b"]).refuses("--writer");
}

#[test]
fn an_authority_that_the_system_knows_is_enough() {
    let Some(mut server) = server() else { return };
    let (params, key) = (CertificateParams::new(["localhost".to_owned()]).unwrap(), KeyPair::generate().unwrap());
    let certificate = params.self_signed(&key).unwrap().pem();
    server.put("server.crt", &certificate).unwrap();
    server.put("server.key", &key.serialize_pem()).unwrap();
    if server.sql("ALTER SYSTEM SET ssl = on").is_err() {
        return eprintln!("left out: the server is built without TLS");
    }
    server.put("pg_hba.conf", "local all all trust\nhostssl all all 127.0.0.1/32 trust\n").unwrap();
    server.kill();
    server.go_on().unwrap();
    let (dir, url) = (tempdir().unwrap(), server.url().replace("127.0.0.1", "localhost"));
    let known = dir.path().join("known.pem");
    std::fs::write(&known, certificate).unwrap();
    let url = format!("{url}?sslmode=verify-full");
    let tried = |file: &Path| {
        let done = output(factum(&["log", "migrate", &url]).env("SSL_CERT_FILE", file).env_remove("SSL_CERT_DIR"));
        (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let (done, errors) = tried(&known);
    assert!(done, "{errors}");
    let (done, errors) = tried(&dir.path().join("none.pem"));
    assert!(!done && errors.contains("the system knows no authorities"), "{errors}");
}

/// Waits until the app says this of itself.
async fn until_it_says(app: &App, sentence: &str) {
    let began = Instant::now();
    loop {
        let health = serde_json::to_string(&app.health()).unwrap();
        if health.contains(sentence) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "it does not say `{sentence}`: {health}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_says_that_its_server_only_reads_and_goes_on_by_itself() {
    let Some(server) = server() else { return };
    let app = start(Path::new(&server.url())).await;
    write(&app, "n", "one").await;
    let set = |value: &str| {
        let sql = format!("ALTER DATABASE postgres SET default_transaction_read_only = {value}");
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'postgres'";
        // From beside: here nothing could be set back.
        server.tool("psql", &["-X", "-q", "-d", "template1", "-c", &sql, "-c", end]).unwrap();
    };
    set("on");
    let two = Write { note: "n".to_owned(), text: "two".to_owned() };
    assert!(app.execute(two).await.is_err());
    until_it_says(&app, "it only reads now: look at default_transaction_read_only").await;
    assert!(app.health().is_live() && !app.health().is_ready());
    set("off");
    until_it_says(&app, r#""status":"ok""#).await;
    write(&app, "n", "two").await;
    stop(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_whose_database_was_brought_back_ends_and_begins_anew_in_another_epoch() {
    let Some(mut server) = server() else { return };
    let url = server.url();
    let place = Path::new(&url);
    let app = start(place).await;
    let first = run(&["log", "info", &url, "--json"]).json();
    write(&app, "n", "one").await;
    server.back_up().unwrap();
    write(&app, "n", "lost").await;
    server.recover().unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(30), app.failed()).await.unwrap();
    assert!(ended.contains("was restored, or has failed over"), "{ended}");
    assert!(!app.health().is_live(), "what it knows is not there any more");
    let lost = Write { note: "n".to_owned(), text: "two".to_owned() };
    assert!(app.execute(lost).await.is_err());
    stop(app).await;
    let app = start(place).await;
    let position = app.execute(Write { note: "n".to_owned(), text: "two".to_owned() }).await.unwrap().position;
    let row = app.rows::<NoteRow>().after(position).get("n").await.unwrap().unwrap();
    assert_eq!(row.times, 2, "rows that stood for what is lost are built anew");
    let second = run(&["log", "info", &url, "--json"]).json();
    assert_ne!(first["lineage"], second["lineage"]);
    assert_eq!(second["head"], 2);
    stop(app).await;
}
