//! TLS to the server: what `sslmode` and its companions in the URL mean, which is what they mean to PostgreSQL's own clients.
//!
//! | `sslmode` | the line is | the server's certificate |
//! |---|---|---|
//! | `disable` | plain | |
//! | `prefer`, if none is said | encrypted if the server can | is of an authority in `sslrootcert`; is not looked at without that |
//! | `require` | encrypted | the same |
//! | `verify-ca` | encrypted | is of an authority in `sslrootcert`, which must be said |
//! | `verify-full` | encrypted | is of one in `sslrootcert`, or without that of one that the system knows, and is this host's |

use std::{
    error::Error as _,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use factum_core::error::StoreError;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use tokio_postgres::{Error, config::SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// What `sslrootcert` says for the authorities that the system knows.
const SYSTEM: &str = "system";
/// A file of certificates is not read beyond this.
const MOST_BYTES: u64 = 4 << 20;
/// What the server's protocol is called in a handshake.
const PROTOCOL: &[u8] = b"postgresql";

/// What a URL says about TLS.
#[derive(Clone, Debug, Default)]
pub(super) struct Tls {
    mode: Option<Mode>,
    root: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl Tls {
    /// Takes a parameter of the URL; `false` if it is about something else.
    ///
    /// # Errors
    /// [`StoreError::Permanent`] if there is no such `sslmode`.
    pub(super) fn take(&mut self, name: &str, value: &str) -> Result<bool, StoreError> {
        let file = || Some(PathBuf::from(value)).filter(|file| !file.as_os_str().is_empty());
        match name {
            "sslmode" => self.mode = Some(mode(value)?),
            "sslrootcert" => self.root = file(),
            "sslcert" => self.cert = file(),
            "sslkey" => self.key = file(),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What makes the line, and what the client is told of it. Files are read here, and never again.
    ///
    /// # Errors
    /// [`StoreError::Permanent`]: a file that cannot be read or holds something else, or parameters that do not go together.
    pub(super) fn connector(&self) -> Result<(SslMode, MakeRustlsConnect), StoreError> {
        let is_system = self.root.as_deref() == Some(Path::new(SYSTEM));
        let mode = self.mode.unwrap_or(if is_system { Mode::VerifyFull } else { Mode::Prefer });
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| StoreError::Permanent(format!("no TLS here: {error}")))?;
        let roots = match (mode, &self.root) {
            // As it is not used, it need not be there.
            (Mode::Disable, _) => None,
            (Mode::VerifyFull, None) => Some(known_to_the_system()?),
            (Mode::VerifyFull, Some(_)) if is_system => Some(known_to_the_system()?),
            (_, Some(_)) if is_system => {
                return refused(
                    "sslrootcert=system goes with sslmode=verify-full alone: everybody can \
                have a certificate of such an authority, for a host of their own",
                );
            }
            (Mode::VerifyCa, None) => {
                return refused(
                    "sslmode=verify-ca needs the file of the authorities: say sslrootcert=FILE, or \
                sslmode=verify-full",
                );
            }
            (_, Some(file)) => Some(authorities(file)?),
            (_, None) => None,
        };
        let builder = match (mode, roots) {
            (Mode::VerifyFull, Some(roots)) => builder.with_root_certificates(roots),
            (_, roots) => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyHost::of(roots, &provider))),
        };
        let mut config = match (mode, &self.cert, &self.key) {
            (Mode::Disable, ..) | (_, None, None) => builder.with_no_client_auth(),
            (_, Some(cert), Some(key)) => {
                let with = builder.with_client_auth_cert(certificates("sslcert", cert)?, private_key(key)?);
                with.map_err(|error| {
                    let problem = format!("{} and {} do not go together: {error}", cert.display(), key.display());
                    StoreError::Permanent(problem)
                })?
            }
            _ => return refused("sslcert and sslkey go together: say both, or neither"),
        };
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        let asked = match mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        };
        Ok((asked, MakeRustlsConnect::new(config)))
    }
}

fn mode(text: &str) -> Result<Mode, StoreError> {
    Ok(match text {
        "disable" => Mode::Disable,
        "prefer" => Mode::Prefer,
        "require" => Mode::Require,
        "verify-ca" => Mode::VerifyCa,
        "verify-full" => Mode::VerifyFull,
        other => {
            return Err(StoreError::Permanent(format!(
                "there is no `sslmode={}`: say disable, prefer, require, verify-ca or verify-full",
                other.escape_debug()
            )));
        }
    })
}

fn refused<T>(problem: &str) -> Result<T, StoreError> {
    Err(StoreError::Permanent(problem.to_owned()))
}

fn read(what: &str, file: &Path) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    match File::open(file).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes)) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(StoreError::Permanent(format!("{what}: {} cannot be read: {error}", file.display()))),
    }
}

fn certificates(what: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let bytes = read(what, file)?;
    match CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>() {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(StoreError::Permanent(format!("{what}: {} holds no certificate in PEM", file.display()))),
    }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, StoreError> {
    PrivateKeyDer::from_pem_slice(&read("sslkey", file)?).map_err(|_| {
        StoreError::Permanent(format!("sslkey: {} holds no private key in PEM that has no passphrase", file.display()))
    })
}

fn authorities(file: &Path) -> Result<RootCertStore, StoreError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("sslrootcert", file)? {
        roots.add(certificate).map_err(|error| {
            let problem = format!("sslrootcert: {} holds what is no certificate: {error}", file.display());
            StoreError::Permanent(problem)
        })?;
    }
    Ok(roots)
}

fn known_to_the_system() -> Result<RootCertStore, StoreError> {
    let mut roots = RootCertStore::empty();
    let (known, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if known == 0 {
        return refused("the system knows no authorities (the package ca-certificates has them): say sslrootcert=FILE");
    }
    Ok(roots)
}

/// Takes the server for whom it says it is, whatever its name; of these authorities, if there are any.
#[derive(Debug)]
struct AnyHost {
    roots: Option<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnyHost {
    fn of(roots: Option<RootCertStore>, provider: &CryptoProvider) -> Self {
        Self { roots, algorithms: provider.signature_verification_algorithms }
    }
}

impl ServerCertVerifier for AnyHost {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(certificate)?;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, between, now, self.algorithms.all)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Why no line was made, if it is for a person to mend; not if the server is away, or has gone in the middle of it.
pub(super) fn refusal(error: &Error) -> Option<String> {
    let cause = error.source()?;
    let Some(failed) = cause.downcast_ref::<io::Error>() else {
        // What the client found by itself: it will find it again.
        let said = cause.to_string();
        return Some(if said == "server does not support TLS" {
            "the server does not speak TLS: turn `ssl` on there, or say another sslmode".to_owned()
        } else {
            format!("{said}: check its URL")
        });
    };
    let found = failed.get_ref()?.downcast_ref::<rustls::Error>()?;
    let mend = match found {
        rustls::Error::InvalidCertificate(wrong) => match wrong {
            CertificateError::UnknownIssuer => "name the file of its authority by sslrootcert",
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "name the host in the URL as its certificate does"
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => "renew it, or set the clock here right",
            _ => "give the server another one",
        },
        rustls::Error::AlertReceived(_) => {
            "the server takes no part in it: look at sslcert here, and at ssl_ca_file and ssl_min_protocol_version there"
        }
        _ => "look at ssl_min_protocol_version and ssl_ciphers there",
    };
    Some(format!("no TLS with the server: {found}: {mend}"))
}
