//! PostgreSQL, written by hand: a private cluster over a unix socket, and a folded writer, which is a function that
//! locks the one counter row first, checks the heads of the whole batch and inserts it, in one transaction and one
//! round trip. Positions are gapless and in the order of commits.

use std::{
    env,
    fs::{self, File},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use factum_core::stream::StreamId;
use postgres::{Client, Config, NoTls, Statement};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::work::{Append, Entry, Reads, Store};

const SCHEMA: &str = "
    CREATE TABLE event (
        position bigint PRIMARY KEY, stream text NOT NULL, version bigint NOT NULL, kind text NOT NULL,
        source text NOT NULL, body bytea NOT NULL
    );
    CREATE UNIQUE INDEX event_stream ON event (stream, version);
    CREATE TABLE head (position bigint NOT NULL);
    INSERT INTO head VALUES (0);
    CREATE FUNCTION append(streams text[], expected bigint[], kinds text[], sources text[], bodies bytea[])
    RETURNS bigint LANGUAGE plpgsql AS $$
    DECLARE
        last bigint;
        differs text;
    BEGIN
        UPDATE head SET position = position + cardinality(streams) RETURNING position INTO last;
        SELECT wanted.stream INTO differs
        FROM (SELECT s AS stream, min(v) AS version FROM unnest(streams, expected) AS t (s, v) GROUP BY s) AS wanted
        WHERE wanted.version <> coalesce(
            (SELECT e.version FROM event AS e WHERE e.stream = wanted.stream ORDER BY e.version DESC LIMIT 1), 0)
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION '% is not at the version expected', differs;
        END IF;
        INSERT INTO event
        SELECT last - cardinality(streams) + i, s, v + 1, k, o, b
        FROM unnest(streams, expected, kinds, sources, bodies) WITH ORDINALITY AS t (s, v, k, o, b, i);
        RETURN last;
    END $$;";

/// For two cores and much memory; whatever concerns durability is as it comes, and said all the same.
///
/// Plans are made while the table is empty, and stay; so that they are those for a full one, they must use its indexes.
/// What scans the counter's one row then looks expensive, and without `jit=off` would be compiled at every call.
const OPTIONS: [&str; 10] = [
    "enable_seqscan=off",
    "jit=off",
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "listen_addresses=",
    "shared_buffers=1GB",
    "max_wal_size=4GB",
    "wal_buffers=64MB",
    "effective_cache_size=8GB",
];
/// How long it may take to start.
const STARTING: Duration = Duration::from_secs(20);
/// Events to read at once.
const PAGE: i64 = 8_192;

/// What is installed.
pub fn version() -> Option<String> {
    let output = Command::new(programs()?.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Some(text.trim_start_matches("postgres (PostgreSQL) ").to_owned())
}

/// The directory of its programs.
fn programs() -> Option<PathBuf> {
    let of_debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut of_debian: Vec<PathBuf> = of_debian.map(|version| version.path().join("bin")).collect();
    of_debian.sort();
    let path = env::var_os("PATH").unwrap_or_default();
    let all = env::split_paths(&path).chain(of_debian.into_iter().rev()).chain([PathBuf::from("/usr/local/bin")]);
    all.into_iter().find(|dir| dir.join("initdb").exists() && dir.join("postgres").exists())
}

/// A server of our own; it ends, and its files go, when this goes.
pub struct Cluster {
    server: Child,
    socket: TempDir,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // At once, and with what it shares of the system's memory; its files are thrown away.
        if let Ok(Some(id)) = self.server.id().try_into().map(Pid::from_raw) {
            let _ = kill_process(id, Signal::QUIT);
        }
        let _ = self.server.wait();
    }
}

/// Whom the server runs as: it refuses to be root.
fn user(dir: &Path) -> anyhow::Result<Option<(u32, u32)>> {
    if fs::metadata(dir)?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let ids = |wanted: &str| {
        let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let found = fields.into_iter().find(|fields| fields.first() == Some(&wanted) && fields.len() > 3)?;
        Some((found[2].parse().ok()?, found[3].parse().ok()?))
    };
    let found = ids("postgres").or_else(|| ids("nobody"));
    Ok(Some(found.context("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`")?))
}

impl Cluster {
    pub fn start(dir: &Path) -> anyhow::Result<Self> {
        let programs = programs().context("PostgreSQL is not installed: no initdb in PATH or /usr/lib/postgresql")?;
        let (data, user, socket) = (dir.join("cluster"), user(dir)?, tempfile::tempdir()?);
        fs::create_dir(&data)?;
        if let Some((uid, gid)) = user {
            chown(&data, Some(uid), Some(gid))?;
            chown(socket.path(), Some(uid), Some(gid))?;
            // Who it runs as must be able to reach its files; the directories above are those of this run.
            for above in dir.ancestors().take(2) {
                fs::set_permissions(above, fs::Permissions::from_mode(0o711))?;
            }
        }
        let log = File::create(dir.join("log"))?;
        let command = |program: &str| -> anyhow::Result<Command> {
            let mut command = Command::new(programs.join(program));
            command.current_dir(socket.path()).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
            if let Some((uid, gid)) = user {
                command.uid(uid).gid(gid);
            }
            Ok(command)
        };
        let mut initdb = command("initdb")?;
        initdb.args(["-U", "bench", "-A", "trust", "-E", "UTF8", "--locale=C", "-D"]).arg(&data);
        let made = initdb.status()?;
        ensure!(made.success(), "initdb failed: {}", last_line(dir));
        let mut server = command("postgres")?;
        server.arg("-D").arg(&data).arg("-k").arg(socket.path()).args(["-p", "5432"]);
        server.args(OPTIONS.iter().flat_map(|option| ["-c", option]));
        let server = server.spawn()?;
        Ok(Self { server, socket })
    }

    pub fn connect(&self) -> Result<Client, postgres::Error> {
        Config::new().host_path(self.socket.path()).user("bench").dbname("postgres").connect(NoTls)
    }

    pub fn wait(&mut self, dir: &Path) -> anyhow::Result<Client> {
        let start = Instant::now();
        loop {
            match self.connect() {
                Ok(client) => return Ok(client),
                Err(error) if start.elapsed() > STARTING => return Err(error).context("PostgreSQL does not start"),
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
            if self.server.try_wait()?.is_some() {
                bail!("PostgreSQL does not start: {}", last_line(dir));
            }
        }
    }
}

fn last_line(dir: &Path) -> String {
    let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
    log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned()
}

/// A server that an app can work on, and its URL.
///
/// # Errors
/// If there is none, or it does not start.
pub fn served(dir: &Path) -> anyhow::Result<(Cluster, String)> {
    let mut cluster = Cluster::start(dir)?;
    cluster.wait(dir)?;
    let socket = cluster.socket.path().to_string_lossy().replace('/', "%2F");
    Ok((cluster, format!("postgres://bench@{socket}/postgres")))
}

struct Postgres {
    // Before the server: it ends first.
    client: Client,
    append: Statement,
    cluster: Arc<Cluster>,
}

pub fn open(dir: &Path) -> anyhow::Result<Box<dyn Store>> {
    let mut cluster = Cluster::start(dir)?;
    let mut client = cluster.wait(dir)?;
    client.batch_execute(SCHEMA)?;
    let append = client.prepare("SELECT append($1, $2, $3, $4, $5)")?;
    Ok(Box::new(Postgres { client, append, cluster: Arc::new(cluster) }))
}

impl Store for Postgres {
    fn append(&mut self, batch: Vec<Append>) -> anyhow::Result<()> {
        let streams: Vec<&str> = batch.iter().map(|append| append.stream.as_str()).collect();
        let expected: Vec<i64> = batch.iter().map(|append| append.expected.cast_signed()).collect();
        let kinds: Vec<&str> = batch.iter().map(|append| &*append.message.envelope.type_name).collect();
        let sources: Vec<&str> = batch.iter().map(|append| &*append.message.envelope.source).collect();
        let bodies: Vec<&[u8]> = batch.iter().map(|append| append.body.as_slice()).collect();
        self.client.query_one(&self.append, &[&streams, &expected, &kinds, &sources, &bodies])?;
        Ok(())
    }

    fn reader(&self) -> anyhow::Result<Box<dyn Reads>> {
        let mut client = self.cluster.connect()?;
        let page = client.prepare("SELECT position, body FROM event WHERE position > $1 ORDER BY position LIMIT $2")?;
        let streams = client.prepare(
            "SELECT wanted.i, e.position, e.body FROM unnest($1::text[]) WITH ORDINALITY AS wanted (stream, i)
             CROSS JOIN LATERAL (
                 SELECT position, body FROM event WHERE event.stream = wanted.stream ORDER BY version
             ) AS e",
        )?;
        Ok(Box::new(Rows { client, page, streams, _cluster: Arc::clone(&self.cluster) }))
    }
}

struct Rows {
    client: Client,
    page: Statement,
    streams: Statement,
    _cluster: Arc<Cluster>,
}

impl Reads for Rows {
    fn scan(&mut self, visit: &mut dyn FnMut(Entry<'_>)) -> anyhow::Result<()> {
        let mut after = 0_i64;
        loop {
            let rows = self.client.query(&self.page, &[&after, &PAGE])?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.get(0);
            for row in &rows {
                visit(Entry { position: row.get::<_, i64>(0).unsigned_abs(), body: row.get(1) });
            }
        }
    }

    fn streams(&mut self, streams: &[StreamId], visit: &mut dyn FnMut(usize, Entry<'_>)) -> anyhow::Result<()> {
        let names: Vec<&str> = streams.iter().map(StreamId::as_str).collect();
        for row in self.client.query(&self.streams, &[&names])? {
            // WITH ORDINALITY counts from 1.
            let number = usize::try_from(row.get::<_, i64>(0))?.saturating_sub(1);
            visit(number, Entry { position: row.get::<_, i64>(1).unsigned_abs(), body: row.get(2) });
        }
        Ok(())
    }
}
