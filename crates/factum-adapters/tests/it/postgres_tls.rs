//! TLS to a store in PostgreSQL: which line is made, whom it believes, and what is said when it is refused.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::PathBuf,
    time::{Duration, Instant},
};

use factum_adapters::postgres::{self, Options, outbox::Outbox, upkeep};
use factum_core::{
    commit::Plan,
    error::StoreError,
    ports::{Backend, RowStore, Snapshots},
};
use factum_testing::conformance::{
    self, Cannot,
    store::{Subject, write},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::{
    postgres::{Schemas, eventually},
    postgres_rows::ORDERS,
};

/// Whom both sides may believe.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let (mut params, key) = (CertificateParams::new([]).unwrap(), KeyPair::generate().unwrap());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate and its key.
    fn gives(&self, name: &str, hosts: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let (mut params, key) = (CertificateParams::new(hosts).unwrap(), KeyPair::generate().unwrap());
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// A server that speaks nothing but TLS, and the files of its clients.
struct Encrypted {
    schemas: Schemas,
    files: TempDir,
    authority: Authority,
    parameters: String,
}

const ONLY_TLS: &str = "local all all trust\nhostssl all all 127.0.0.1/32 trust\n";

impl Encrypted {
    /// `None`, and a line that says why, if there is no such server.
    fn start(hosts: &[&str]) -> Option<Self> {
        let schemas = Schemas::start()?;
        let (authority, files) = (Authority::new("the authority"), tempfile::tempdir().unwrap());
        let own = Self { schemas, files, authority, parameters: String::new() };
        own.file("root.crt", &own.authority.pem);
        let (certificate, key) = own.authority.gives("server", hosts, |_| {});
        if let Err(why) = own.shows(&certificate, &key) {
            assert!(why.contains("SSL is not supported by this build"), "{why}");
            eprintln!("left out: the server is built without TLS");
            return None;
        }
        own.lets_in(ONLY_TLS);
        Some(own)
    }

    /// The server shows this certificate from now on.
    fn shows(&self, certificate: &str, key: &str) -> Result<(), String> {
        let server = &self.schemas.server;
        server.put("server.crt", certificate)?;
        server.put("server.key", key)?;
        server.put("root.crt", &self.authority.pem)?;
        server.sql("ALTER SYSTEM SET ssl_ca_file = 'root.crt'")?;
        server.sql("ALTER SYSTEM SET ssl = on")?;
        self.reload();
        Ok(())
    }

    /// Whom the server lets in from now on.
    fn lets_in(&self, rules: &str) {
        self.schemas.server.put("pg_hba.conf", rules).unwrap();
        self.reload();
    }

    fn reload(&self) {
        let server = &self.schemas.server;
        let loaded = || server.sql("SELECT extract(epoch FROM pg_conf_load_time())").unwrap();
        let before = loaded();
        server.sql("SELECT pg_reload_conf()").unwrap();
        eventually(|| if loaded() == before { Err("not loaded yet") } else { Ok(()) });
    }

    /// A file of a client's, as it stands in a URL.
    fn file(&self, name: &str, content: &str) -> String {
        let file = self.path(name);
        fs::write(&file, content).unwrap();
        file.to_str().unwrap().to_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn at(&self, host: &str, parameters: &str) -> String {
        format!(
            "{}&{}",
            self.schemas.url().replace("factum@127.0.0.1", &format!("factum:sesame@{host}")),
            parameters.replace("ROOT", self.path("root.crt").to_str().unwrap())
        )
    }

    /// What is said of a URL that is refused for good.
    fn refused(&self, host: &str, parameters: &str) -> String {
        refused(&self.at(host, parameters))
    }
}

fn refused(url: &str) -> String {
    let began = Instant::now();
    let error = postgres::open(url, Options::default()).unwrap_err();
    let told = error.to_string();
    assert!(matches!(error, StoreError::Permanent(_)), "{url}: {error:?}");
    assert!(!told.contains("sesame"), "{told}");
    assert!(began.elapsed() < Duration::from_secs(5), "{url}: {:?}", began.elapsed());
    told
}

impl Subject for Encrypted {
    fn fresh(&mut self) -> Box<dyn Backend> {
        self.schemas.next();
        self.reopen().unwrap()
    }
    fn reopen(&mut self) -> Result<Box<dyn Backend>, Cannot> {
        Ok(Box::new(postgres::open(&self.at("localhost", &self.parameters), Options::default()).unwrap()))
    }
}

#[test]
fn keeps_every_promise_over_tls() {
    let Some(mut subject) = Encrypted::start(&["localhost"]) else { return };
    subject.parameters = "sslmode=verify-full&sslrootcert=ROOT".to_owned();
    conformance::store::run(&mut subject);
}

#[test]
fn each_session_is_encrypted() {
    let Some(own) = Encrypted::start(&["localhost"]) else { return };
    for mode in ["prefer", "require", "verify-ca&sslrootcert=ROOT", "verify-full&sslrootcert=ROOT"] {
        // The server lets in nobody else.
        let url = own.at("localhost", &format!("sslmode={mode}"));
        let mut store = postgres::open(&url, Options::default()).unwrap();
        write(&mut store, &[Plan::default()]).unwrap();
        let mut others = store.others().unwrap();
        others.wait(Duration::ZERO).unwrap();
        assert_eq!(store.notes().get("engine"), None);
        store.digest_key().unwrap();
        let mut tables = postgres::rows::open(&url, Options::default()).unwrap();
        tables.open(&ORDERS).unwrap();
        let kept = postgres::snapshots::open(&url, Options::default()).unwrap();
        kept.get("none").unwrap();
        upkeep::about(&url).unwrap();
        assert!(upkeep::verify(&url, &mut |_, _| {}).unwrap().damage.is_empty());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Outbox::open(&url, "clerk")).unwrap();
        let ask = "SELECT count(*) FILTER (WHERE NOT ssl), count(*) > 4 FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                   WHERE application_name LIKE 'factum%'";
        assert_eq!(own.schemas.server.sql(ask).unwrap(), "0|t", "{mode}");
    }
    let told = own.refused("localhost", "sslmode=disable");
    assert!(told.contains("no encryption") && told.contains("pg_hba.conf"), "{told}");
}

#[test]
fn a_server_that_cannot_be_believed_is_refused_with_a_sentence() {
    let Some(own) = Encrypted::start(&["localhost"]) else { return };
    own.file("other.crt", &Authority::new("another authority").pem);
    own.file("nonsense.crt", "nonsense");
    own.file("broken.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let files = own.files.path().to_str().unwrap();
    for (host, parameters, sentence) in [
        ("localhost", "sslmode=verify-ca&sslrootcert=FILES/other.crt", "UnknownIssuer: name the file of its authority"),
        (
            "localhost",
            "sslmode=verify-full&sslrootcert=FILES/other.crt",
            "UnknownIssuer: name the file of its authority",
        ),
        ("localhost", "sslmode=verify-full&sslrootcert=system", "UnknownIssuer: name the file of its authority"),
        // A file is enough, as for other clients.
        ("localhost", "sslmode=require&sslrootcert=FILES/other.crt", "UnknownIssuer: name the file of its authority"),
        ("localhost", "sslrootcert=FILES/other.crt", "UnknownIssuer: name the file of its authority"),
        ("127.0.0.1", "sslmode=verify-full&sslrootcert=ROOT", "name the host in the URL as its certificate does"),
        ("localhost", "sslmode=verify-full&sslrootcert=FILES/none.crt", "none.crt cannot be read"),
        ("localhost", "sslmode=verify-ca&sslrootcert=FILES/nonsense.crt", "nonsense.crt holds no certificate in PEM"),
        ("localhost", "sslmode=verify-ca&sslrootcert=FILES/broken.crt", "broken.crt holds what is no certificate"),
        ("localhost", "sslmode=verify-ca", "needs the file of the authorities"),
        ("localhost", "sslmode=require&sslrootcert=system", "goes with sslmode=verify-full alone"),
        ("localhost", "sslmode=allow", "say disable, prefer, require, verify-ca or verify-full"),
        ("localhost", "sslmode=require&sslcrl=FILES/root.crl", "unknown option `sslcrl`"),
    ] {
        let told = own.refused(host, &parameters.replace("FILES", files));
        assert!(told.contains(sentence), "{parameters}: {told}");
    }
    let (certificate, key) =
        own.authority.gives("server", &["localhost"], |params| params.not_after = date_time_ymd(2020, 1, 1));
    own.shows(&certificate, &key).unwrap();
    let told = own.refused("localhost", "sslmode=verify-full&sslrootcert=ROOT");
    assert!(told.contains("expired") && told.contains("renew it"), "{told}");
    own.schemas.server.sql("ALTER SYSTEM SET ssl = off").unwrap();
    own.reload();
    let told = own.refused("localhost", "sslmode=require");
    assert!(told.contains("the server does not speak TLS"), "{told}");
}

#[test]
fn what_is_not_asked_for_is_not_looked_at() {
    let Some(own) = Encrypted::start(&["db.example"]) else { return };
    for parameters in
        ["sslmode=require", "sslmode=prefer", "", "sslmode=verify-ca&sslrootcert=ROOT", "sslrootcert=ROOT"]
    {
        postgres::open(&own.at("127.0.0.1", parameters), Options::default()).unwrap();
    }
    // A server without TLS is enough for who prefers it, and files that are not used need not be there.
    own.lets_in("local all all trust\nhostnossl all all 127.0.0.1/32 trust\n");
    own.schemas.server.sql("ALTER SYSTEM SET ssl = off").unwrap();
    own.reload();
    for parameters in ["sslmode=prefer", "sslmode=disable&sslrootcert=none&sslcert=none"] {
        postgres::open(&own.at("127.0.0.1", parameters), Options::default()).unwrap();
    }
}

#[test]
fn a_client_shows_who_it_is() {
    let Some(own) = Encrypted::start(&["localhost"]) else { return };
    let (certificate, key) = own.authority.gives("factum", &[], |_| {});
    let (certificate, key) = (own.file("own.crt", &certificate), own.file("own.key", &key));
    let (stranger, strange_key) = Authority::new("another authority").gives("factum", &[], |_| {});
    let (stranger, strange_key) = (own.file("stranger.crt", &stranger), own.file("stranger.key", &strange_key));
    own.lets_in("local all all trust\nhostssl all all 127.0.0.1/32 trust clientcert=verify-ca\n");
    let mode = "sslmode=verify-full&sslrootcert=ROOT";
    let with = |cert: &str, key: &str| format!("{mode}&sslcert={cert}&sslkey={key}");
    let told = own.refused("localhost", mode);
    assert!(told.contains("a valid client certificate") && told.contains("sslcert"), "{told}");
    let mut store = postgres::open(&own.at("localhost", &with(&certificate, &key)), Options::default()).unwrap();
    write(&mut store, &[Plan::default()]).unwrap();
    for (parameters, sentence) in [
        (with(&stranger, &strange_key), "look at sslcert here"),
        (with(&certificate, &strange_key), "do not go together"),
        (with(&key, &certificate), "own.key holds no certificate in PEM"),
        (with(&certificate, &certificate), "own.crt holds no private key in PEM"),
        (with(&certificate, "none.key"), "none.key cannot be read"),
        (format!("{mode}&sslcert={certificate}"), "sslcert and sslkey go together"),
    ] {
        let told = own.refused("localhost", &parameters);
        assert!(told.contains(sentence), "{parameters}: {told}");
    }
}

#[test]
fn a_password_is_bound_to_the_line() {
    let Some(own) = Encrypted::start(&["localhost"]) else { return };
    own.schemas.server.sql("SET password_encryption = 'scram-sha-256'; ALTER ROLE factum PASSWORD 'sesame'").unwrap();
    own.lets_in("local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n");
    let url = own.at("localhost", "sslmode=verify-full&sslrootcert=ROOT&channel_binding=require");
    let told = refused(&url.replace("sesame", "wrong"));
    assert!(told.contains("check user and password"), "{told}");
    postgres::open(&url, Options::default()).unwrap();
    let none = url.replace(":sesame", "");
    let told = refused(&none);
    assert!(told.contains("password missing") && told.contains("check its URL"), "{told}");
}

#[test]
fn a_line_that_breaks_in_a_handshake_is_tried_again() {
    for answer in [&b"S"[..], b""] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut client in listener.incoming().map_while(Result::ok) {
                // The request for TLS has eight bytes.
                let _ = client.read_exact(&mut [0; 8]).and_then(|()| client.write_all(answer));
            }
        });
        let url = format!("postgres://factum:sesame@127.0.0.1:{port}/postgres?sslmode=require");
        let error = postgres::open(&url, Options::default()).unwrap_err();
        assert!(matches!(error, StoreError::Transient(_)), "{error:?}");
    }
}
