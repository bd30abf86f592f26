//! A private broker of Kafka: one process that is broker and controller.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// The longest wait for a broker that starts.
const START: Duration = Duration::from_secs(60);
/// Any base64 of 16 bytes: it is the only one of its cluster.
const CLUSTER: &str = "4L6g3nShT-eMCtK--X86sw";

/// A broker on a loopback port. It ends with this value, and with the thread that made it.
pub struct Broker {
    libs: PathBuf,
    dir: TempDir,
    port: u16,
    process: Option<Child>,
}

impl Broker {
    /// Makes a cluster of one and starts it. Its jars are those in `libs/` of the directory that `FACTUM_KAFKA` names, else of
    /// what `.ci/kafka` has fetched.
    ///
    /// # Errors
    /// A sentence, if there is none, no Java, or it does not start.
    pub fn start() -> Result<Self, String> {
        let libs = jars()?;
        let dir = tempfile::Builder::new().prefix("factum-kafka").tempdir().map_err(|error| error.to_string())?;
        let [port, control] = free_ports().map_err(|error| error.to_string())?;
        let (data, settings) = (dir.path().join("data"), dir.path().join("server.properties"));
        let told = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{control}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{control}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\ncontroller.listener.names=CONTROLLER\nlog.dirs={}\n\
             auto.create.topics.enable=true\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=4\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\ntransaction.state.log.num.partitions=4\n\
             share.coordinator.state.topic.replication.factor=1\nshare.coordinator.state.topic.min.isr=1\n\
             group.initial.rebalance.delay.ms=0\nlog.retention.check.interval.ms=500\n",
            data.display()
        );
        fs::write(&settings, told).map_err(|error| error.to_string())?;
        let mut broker = Self { libs, dir, port, process: None };
        let mut format = broker.java("kafka.tools.StorageTool", "64m");
        let made = format.args(["format", "-t", CLUSTER, "-c"]).arg(&settings).output();
        let made = made.map_err(|error| format!("java: {error}: `apt-get install default-jre-headless`"))?;
        if !made.status.success() {
            return Err(format!("the broker has no data: {}", String::from_utf8_lossy(&made.stderr)));
        }
        broker.go_on()?;
        Ok(broker)
    }

    /// `127.0.0.1:<port>`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its port on the loopback address.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts it again, on the same port and data.
    ///
    /// # Errors
    /// A sentence, if it does not start.
    pub fn go_on(&mut self) -> Result<(), String> {
        let log = fs::File::create(self.log()).map_err(|error| error.to_string())?;
        let errors = log.try_clone().map_err(|error| error.to_string())?;
        let mut server = self.java("kafka.Kafka", "512m");
        server.arg(self.dir.path().join("server.properties")).stdin(Stdio::null()).stdout(log).stderr(errors);
        self.process = Some(server.spawn().map_err(|error| error.to_string())?);
        let until = Instant::now() + START;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.process.as_mut().is_none_or(|process| !matches!(process.try_wait(), Ok(None)));
            if ended || Instant::now() > until {
                return Err(format!(
                    "the broker has not started: {}",
                    fs::read_to_string(self.log()).unwrap_or_default()
                ));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// A program of its jars, which ends with the thread that begins it.
    fn java(&self, class: &str, memory: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args([
            "--pdeathsig",
            "KILL",
            "java",
            &format!("-Xmx{memory}"),
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
        ]);
        command.arg("-cp").arg(self.libs.join("*")).arg(class).current_dir(self.dir.path());
        command
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Two ports that nobody uses, both looked for before either is free again.
fn free_ports() -> std::io::Result<[u16; 2]> {
    let (one, other) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    Ok([one.local_addr()?.port(), other.local_addr()?.port()])
}

fn jars() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os("FACTUM_KAFKA").filter(|named| !named.is_empty()).map(PathBuf::from) {
        let libs = std::path::absolute(named.join("libs")).map_err(|error| error.to_string())?;
        return if libs.is_dir() { Ok(libs) } else { Err(format!("there is no Kafka in {}", libs.display())) };
    }
    let here = std::env::current_dir().map_err(|error| error.to_string())?;
    here.ancestors().find_map(fetched).ok_or_else(|| {
        "Kafka is not there: `.ci/kafka` fetches it, or name the directory that has its `libs` in FACTUM_KAFKA"
            .to_owned()
    })
}

/// The newest that `.ci/kafka` has fetched below this directory.
fn fetched(root: &Path) -> Option<PathBuf> {
    let engines = fs::read_dir(root.join("target/engines")).ok()?.flatten().map(|entry| entry.path());
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("kafka-"));
    engines.filter(named).map(|home| home.join("libs")).filter(|libs| libs.is_dir()).max()
}
