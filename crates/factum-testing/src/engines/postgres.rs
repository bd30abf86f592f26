//! A private PostgreSQL server.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// The longest wait for a server that starts.
const START: Duration = Duration::from_secs(60);
/// Where below its directory a backup of the server is.
const BACKUP: &str = "backup";

/// A server on a loopback port, with the role and the database `factum`. It ends with this value, and with the thread that
/// made it.
pub struct Server {
    bin: PathBuf,
    dir: TempDir,
    port: u16,
    process: Option<Child>,
}

impl Server {
    /// Makes a cluster and starts a server on it. The binaries are those in `bin/` of the directory that `FACTUM_POSTGRES`
    /// names, else of the newest version below `/usr/lib/postgresql`, else of the path.
    ///
    /// # Errors
    /// A sentence, if there is none or it does not start.
    pub fn start() -> Result<Self, String> {
        let bin = binaries()?;
        let dir = tempfile::Builder::new().prefix("factum-postgres").tempdir().map_err(|error| error.to_string())?;
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).map_err(|error| error.to_string())?;
        let mut server = Self { bin, dir, port: port.port(), process: None };
        server.give(server.dir.path())?;
        fs::set_permissions(server.dir.path(), fs::Permissions::from_mode(0o700)).map_err(|error| error.to_string())?;
        let data = server.data();
        let mut made = server.command("initdb");
        made.arg("-D").arg(&data).args(["-U", "factum", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        run(&mut made)?;
        server.go_on()?;
        Ok(server)
    }

    /// `postgres://…` of the database.
    pub fn url(&self) -> String {
        format!("postgres://factum@127.0.0.1:{}/postgres", self.port)
    }

    /// What `psql` answers, a line for each row.
    ///
    /// # Errors
    /// What it says.
    pub fn sql(&self, sql: &str) -> Result<String, String> {
        self.tool("psql", &["-X", "-A", "-t", "-c", sql]).map(|told| told.trim_end().to_owned())
    }

    /// The directory in which the server lives, for files beside its data.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Whether a command of PostgreSQL's, such as `pg_dump`, came with this server: not each package has all.
    pub fn has(&self, name: &str) -> bool {
        self.bin.join(name).is_file()
    }

    /// Runs such a command, which finds the server by itself, through its socket, and answers what it prints.
    ///
    /// # Errors
    /// What it says.
    pub fn tool(&self, name: &str, arguments: &[&str]) -> Result<String, String> {
        let mut command = self.command(name);
        command.args(arguments).env("PGHOST", self.dir.path()).env("PGPORT", self.port.to_string());
        run(command.env("PGUSER", "factum").env("PGDATABASE", "postgres"))
    }

    /// Puts a file into the data directory, for the server alone to read.
    ///
    /// # Errors
    /// A sentence, if it cannot be written.
    pub fn put(&self, name: &str, content: &str) -> Result<(), String> {
        let file = self.data().join(name);
        let written =
            fs::write(&file, content).and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(0o600)));
        written.map_err(|error| format!("{}: {error}", file.display()))?;
        self.give(&file)
    }

    /// Takes a backup of all that the server has, for [`Server::recover`].
    ///
    /// # Errors
    /// What `pg_basebackup` says.
    pub fn back_up(&self) -> Result<(), String> {
        let to = self.dir.path().join(BACKUP);
        self.tool("pg_basebackup", &["-X", "stream", "-c", "fast", "-D", &to.to_string_lossy()]).map(|_| ())
    }

    /// Ends the server and brings it back as it was at the backup, on a timeline of its own, as after a recovery to an earlier
    /// point in time or a failover that lost the end.
    ///
    /// # Errors
    /// A sentence, if it does not start.
    pub fn recover(&mut self) -> Result<(), String> {
        self.kill();
        let data = self.data();
        let moved = fs::remove_dir_all(&data).and_then(|()| fs::rename(self.dir.path().join(BACKUP), &data));
        moved.map_err(|error| error.to_string())?;
        // It recovers by what it holds itself, and then goes its own way.
        self.put("recovery.signal", "")?;
        self.put("postgresql.auto.conf", "restore_command = 'false'\n")?;
        self.go_on()?;
        let until = Instant::now() + START;
        while self.sql("SELECT pg_is_in_recovery()")? != "f" {
            if Instant::now() > until {
                return Err("the server does not come to the end of its recovery".to_owned());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Its port on the loopback address.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A pooler in front of the server. In the mode `transaction` many sessions of its clients share one of the server, in
    /// `session` each has one for as long as it lasts.
    ///
    /// # Errors
    /// A sentence, if pgbouncer is not installed or does not start.
    pub fn pooled(&self, mode: &str) -> Result<Pooler, String> {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let (port, file) = (free.map_err(|error| error.to_string())?.port(), self.dir.path().join("pooler.ini"));
        let told = format!(
            "[databases]\npostgres = host=127.0.0.1 port={} user=factum\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\npool_mode = {mode}\n",
            self.port
        );
        fs::write(&file, told).map_err(|error| error.to_string())?;
        let mut command = self.bare("pgbouncer");
        command.arg("-q").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().map_err(|error| format!("pgbouncer: {error}"))?;
        let mut pooler = Pooler { port, process };
        let until = Instant::now() + START;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > until || !matches!(pooler.process.try_wait(), Ok(None)) {
                return Err("pgbouncer is not installed or has not started: `apt-get install pgbouncer`".to_owned());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(pooler)
    }

    /// Ends the server at once, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Its children are told by it: a killed one would leave them.
            let _ = Command::new("kill").args(["-QUIT", &process.id().to_string()]).status();
            let _ = process.wait();
        }
    }

    /// Starts the server again, on the same port and data.
    ///
    /// # Errors
    /// A sentence, if it does not start.
    pub fn go_on(&mut self) -> Result<(), String> {
        let (data, dir) = (self.data(), self.dir.path().to_owned());
        let log = fs::File::create(dir.join("log")).map_err(|error| error.to_string())?;
        let mut server = self.command("postgres");
        server.arg("-D").arg(&data).arg("-p").arg(self.port.to_string()).arg("-k").arg(&dir);
        server.args(["-c", "listen_addresses=127.0.0.1", "-c", "shared_buffers=64MB", "-c", "max_connections=100"]);
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.process = Some(server.spawn().map_err(|error| error.to_string())?);
        let until = Instant::now() + START;
        loop {
            let mut asked = Command::new(self.bin.join("pg_isready"));
            asked.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
            if asked.status().is_ok_and(|status| status.success()) {
                return Ok(());
            }
            let ended = self.process.as_mut().is_none_or(|process| !matches!(process.try_wait(), Ok(None)));
            if ended || Instant::now() > until {
                let said = fs::read_to_string(dir.join("log")).unwrap_or_default();
                return Err(format!("the server has not started: {said}"));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Makes a file the server's: it refuses to run as root.
    fn give(&self, file: &Path) -> Result<(), String> {
        if is_root() { run(Command::new("chown").arg("postgres").arg(file)).map(|_| ()) } else { Ok(()) }
    }

    /// A command of PostgreSQL's.
    fn command(&self, name: &str) -> Command {
        self.bare(self.bin.join(name))
    }

    /// A command that ends with the thread that begins it, and is not root's.
    fn bare(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "QUIT"]);
        if is_root() {
            command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
        }
        command.arg(program).current_dir(self.dir.path());
        command
    }
}

/// A pooler; it ends with this value.
pub struct Pooler {
    port: u16,
    process: Child,
}

impl Pooler {
    /// `postgres://…` of the database behind it.
    pub fn url(&self) -> String {
        format!("postgres://factum@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

fn binaries() -> Result<PathBuf, String> {
    let has = |dir: &Path| dir.join("initdb").is_file() && dir.join("postgres").is_file();
    if let Some(named) = std::env::var_os("FACTUM_POSTGRES").filter(|named| !named.is_empty()).map(PathBuf::from) {
        // Commands are run elsewhere.
        let bin = std::path::absolute(named.join("bin")).map_err(|error| error.to_string())?;
        return if has(&bin) { Ok(bin) } else { Err(format!("there is no PostgreSQL in {}", bin.display())) };
    }
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |path: &Path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()).unwrap_or_default();
    let mut installed: Vec<PathBuf> = installed.map(|entry| entry.path()).collect();
    installed.sort_by_key(|path| number(path));
    let newest = installed.into_iter().rev().map(|path| path.join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    newest.chain(std::env::split_paths(&path)).find(|dir| has(dir)).ok_or_else(|| {
        "PostgreSQL is not installed: `apt-get install postgresql`, or name another's directory in FACTUM_POSTGRES"
            .to_owned()
    })
}

fn run(command: &mut Command) -> Result<String, String> {
    let ended = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if ended.status.success() {
        return Ok(String::from_utf8_lossy(&ended.stdout).into_owned());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&ended.stderr)))
}
