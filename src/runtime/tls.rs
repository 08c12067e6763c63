//! From certificates and keys in PEM files to what rustls needs: the server configuration for HTTP, the client one for carriers.
//!
//! Knows files and their contents; every error names the file and what is wrong with it. Opens no connection. TLS 1.2
//! and 1.3 with ring's default suites, nothing to choose.

use std::{fmt, fs, path::Path, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::WebPkiClientVerifier,
};

use crate::{
    config::{CarrierTls, HttpTls},
    egress::words,
};

use super::pin::{self, Pin, Pinned};

/// A larger file is not read as PEM.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The certificate that the HTTP server shows, and the client certificates that it requires.
///
/// # Errors
/// File and reason, in one line.
pub fn server(files: &HttpTls) -> Result<Arc<ServerConfig>, String> {
    let (chain, key) = (certificates(&files.cert)?, private_key(&files.key)?);
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities(ca)?), provider()).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| told(ca, error))?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| pair(&files.cert, &files.key, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// How a carrier's certificate is checked, and the name that it must have; `None`: the host's.
///
/// # Errors
/// File (or name) and reason, in one line.
pub fn client(typed: &CarrierTls) -> Result<(Arc<ClientConfig>, Option<ServerName<'static>>), String> {
    let name = typed.server_name.as_ref().map(|name| server_name(name)).transpose()?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier(typed)?);
    let config = match (&typed.cert, &typed.key) {
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(certificates(cert)?, private_key(key)?)
            .map_err(|error| pair(cert, key, &error))?,
        (Some(_) | None, _) => builder.with_no_client_auth(),
    };
    Ok((Arc::new(config), name))
}

/// The verifier of a carrier's certificate.
fn verifier(typed: &CarrierTls) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let judge: Option<Arc<dyn ServerCertVerifier>> = match &typed.ca {
        None => None,
        Some(ca) => {
            let judge = WebPkiServerVerifier::builder_with_provider(Arc::new(authorities(ca)?), provider()).build();
            Some(judge.map_err(|error| told(ca, error))?)
        }
    };
    let mut prints = Vec::new();
    for pin in &typed.pin {
        match Pin::parse(pin) {
            Pin::Print(print) => prints.push(print),
            Pin::File(file) => {
                let pinned =
                    certificates(&file).map_err(|why| format!("`pin` is not a SHA-256, and as a file: {why}"))?;
                prints.extend(pinned.iter().map(|certificate| pin::print(certificate)));
            }
        }
    }
    match (judge, prints.is_empty()) {
        (judge, false) => Ok(Arc::new(Pinned { prints, judge, provider: provider() })),
        (Some(judge), true) => Ok(judge),
        (None, true) if typed.insecure => Ok(Arc::new(AnyCertificate(provider()))),
        (None, true) => Err("neither `ca` nor `pin` says which certificate to trust".to_owned()),
    }
}

fn pair(cert: &Path, key: &Path, error: &rustls::Error) -> String {
    format!("{} with {}: {}", cert.display(), key.display(), words::of_tls(error))
}

/// A name (or an IP address) that a certificate can have.
///
/// # Errors
/// The name and why it cannot.
pub fn server_name(name: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(name.to_owned()).map_err(|error| format!("`{name}` cannot be in a certificate: {error}"))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn told(file: &Path, why: impl fmt::Display) -> String {
    format!("{}: {why}", file.display())
}

pub(super) fn read(file: &Path) -> Result<Vec<u8>, String> {
    let length = fs::metadata(file).map_err(|error| told(file, error))?.len();
    if length > FILE_BYTES_MAX {
        return Err(told(file, format_args!("{length} bytes are too many for certificates or keys")));
    }
    fs::read(file).map_err(|error| told(file, error))
}

pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(file)?).collect();
    let found = found.map_err(|error| told(file, format_args!("not PEM: {error}")))?;
    if found.is_empty() { Err(told(file, "no CERTIFICATE in it")) } else { Ok(found) }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(&read(file)?).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => {
            told(file, "no PRIVATE KEY in it (encrypted keys are not supported)")
        }
        other => told(file, format_args!("not PEM: {other}")),
    })
}

/// The certificates of a bundle that can be used as authorities; a system's bundle contains some that cannot be parsed.
fn authorities(file: &Path) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(certificates(file)?);
    if added == 0 { Err(told(file, "no certificate in it is that of an authority")) } else { Ok(store) }
}

/// Accepts any certificate, and so talks to any server: for tests only. Still proves that the peer has the certificate's key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        future::poll_fn,
        io,
        net::{Ipv4Addr, TcpListener},
        path::PathBuf,
        rc::Rc,
        sync::mpsc,
        task::{Poll, Waker},
        thread,
        time::Duration,
    };

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::{ClientConnection, ServerConnection};
    use tempfile::TempDir;

    use super::*;
    use crate::{
        egress::{Connection, Dial, Host, LinkOwner},
        host::{
            clock::Clock,
            executor::{Executor, Running},
            probe::Io,
            resolver::Resolver,
            watchdog::Heartbeat,
        },
    };
    use stentor_core::{
        link::{BindId, Disconnect, hosts::Way},
        mesh::CoreId,
    };

    /// An authority's certificate `ca.pem`, and `cert.pem` with `key.pem` for "localhost", signed by it.
    fn files() -> TempDir {
        let directory = tempfile::tempdir().expect("directory");
        let key = KeyPair::generate().expect("key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).expect("authority");
        let issuer = Issuer::new(params, key);
        let own = KeyPair::generate().expect("key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        let signed = params.signed_by(&own, &issuer).expect("certificate");
        let write = |name: &str, text: String| fs::write(directory.path().join(name), text).expect("write");
        write("ca.pem", ca.pem());
        write("cert.pem", signed.pem());
        write("key.pem", own.serialize_pem());
        directory
    }

    fn http(at: &TempDir, client_ca: Option<&str>) -> HttpTls {
        let file = |name: &str| at.path().join(name);
        HttpTls { cert: file("cert.pem"), key: file("key.pem"), client_ca: client_ca.map(file) }
    }

    fn carrier(ca: PathBuf, insecure: bool) -> CarrierTls {
        let ca = Some(ca).filter(|_| !insecure);
        CarrierTls { ca, server_name: Some("localhost".to_owned()), insecure, ..CarrierTls::default() }
    }

    /// Carries bytes between the two sides until neither has any.
    fn handshake(
        server: Arc<ServerConfig>,
        client: (Arc<ClientConfig>, Option<ServerName<'static>>),
    ) -> Result<(), String> {
        let mut server = ServerConnection::new(server).expect("server");
        let mut client = ClientConnection::new(client.0, client.1.expect("name")).expect("client");
        while client.wants_write() || server.wants_write() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).expect("write");
            pour(&wire, |bytes| server.read_tls(bytes));
            server.process_new_packets().map_err(|error| words::of_tls(&error))?;
            let mut wire = Vec::new();
            server.write_tls(&mut wire).expect("write");
            pour(&wire, |bytes| client.read_tls(bytes));
            client.process_new_packets().map_err(|error| words::of_tls(&error))?;
        }
        Ok(())
    }

    fn pour(mut wire: &[u8], mut into: impl FnMut(&mut dyn io::Read) -> io::Result<usize>) {
        while !wire.is_empty() {
            into(&mut wire).expect("read");
        }
    }

    #[test]
    fn only_a_known_authority_is_trusted() {
        let (own, other) = (files(), files());
        let server = server(&http(&own, None)).expect("server");
        let client = |at: &TempDir, insecure| client(&carrier(at.path().join("ca.pem"), insecure)).expect("client");
        assert_eq!(handshake(Arc::clone(&server), client(&own, false)), Ok(()));
        let refused = handshake(Arc::clone(&server), client(&other, false)).expect_err("an unknown authority");
        assert!(refused.contains("certificate"), "{refused}");
        assert_eq!(handshake(server, client(&other, true)), Ok(()), "insecure takes any");
    }

    #[test]
    fn the_name_must_fit() {
        let at = files();
        let typed =
            CarrierTls { server_name: Some("example.com".to_owned()), ..carrier(at.path().join("ca.pem"), false) };
        let refused = handshake(server(&http(&at, None)).expect("server"), client(&typed).expect("client"));
        assert!(refused.expect_err("another name").contains("example.com"));
        let typed = CarrierTls { server_name: Some("not a name".to_owned()), ..typed };
        assert!(client(&typed).expect_err("no name").contains("not a name"));
    }

    #[test]
    fn a_client_must_show_a_certificate_if_asked() {
        let at = files();
        let server = server(&http(&at, Some("ca.pem"))).expect("server");
        let client = client(&carrier(at.path().join("ca.pem"), false)).expect("client");
        assert!(handshake(server, client).is_err());
    }

    #[test]
    fn a_carrier_that_wants_a_certificate_is_shown_ours() {
        let at = files();
        let server = server(&http(&at, Some("ca.pem"))).expect("server");
        let file = |name: &str| Some(at.path().join(name));
        let shows =
            CarrierTls { cert: file("cert.pem"), key: file("key.pem"), ..carrier(at.path().join("ca.pem"), false) };
        assert_eq!(handshake(server, client(&shows).expect("client")), Ok(()));
        let mixed = CarrierTls { key: files().path().join("key.pem").into(), ..shows.clone() };
        assert!(client(&mixed).expect_err("gone").contains("key.pem: No such file"));
        let other = files();
        let mixed = CarrierTls { key: other.path().join("key.pem").into(), ..shows };
        let mixed = client(&mixed).expect_err("two pairs mixed");
        assert!(mixed.ends_with("the key does not belong to the certificate"), "{mixed}");
    }

    /// Waits for the end of a connection.
    #[derive(Default)]
    struct Owner {
        ended: Cell<Option<Disconnect>>,
        waits: RefCell<Option<Waker>>,
    }

    impl LinkOwner for Owner {
        fn connected(&self, _: BindId) {}
        fn bytes(&self, _: BindId, bytes: &[u8]) -> usize {
            bytes.len()
        }
        fn take_transmit(&self, _: BindId, _: &mut Vec<u8>) -> bool {
            false
        }
        fn written(&self, _: BindId, _: usize) {}
        fn words(&self, _: BindId, _: String) {}
        fn disconnected(&self, _: BindId, reason: Disconnect, _: bool) {
            self.ended.set(Some(reason));
            if let Some(waker) = self.waits.take() {
                waker.wake();
            }
        }
    }

    /// How a connection to a carrier ends that talks TLS by `server` and then waits for us to close.
    fn ends(server: Arc<ServerConfig>, typed: &CarrierTls) -> Disconnect {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listens");
        let port = listener.local_addr().expect("an address").port();
        let carrier = thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("a client connects");
            let mut tls = ServerConnection::new(server).expect("server");
            let _ = tls.complete_io(&mut socket);
            let _ = io::copy(&mut socket, &mut io::sink());
        });
        let tls = client(typed).expect("client");
        let (tell, told) = mpsc::channel();
        let clock = Clock::start();
        let executor = Executor { core: CoreId(0), cpu: None, clock, heart: Heartbeat::default(), io: Io::Epoll };
        let main = move || async move {
            let resolver = Resolver::with(clock, 1, |_| Ok(Vec::new())).expect("a thread");
            let hosts = vec![Host { name: "127.0.0.1".to_owned(), port }];
            let timeout = Duration::from_secs(60);
            let dial = Rc::new(Dial { hosts, resolver, source_ip: None, tls: Some(tls), timeout, pdus: None });
            let owner = Rc::new(Owner::default());
            let _open = Connection::open(BindId(0), dial, Way { host: 0, turn: 0 }, Rc::clone(&owner));
            let end = poll_fn(|context| {
                *owner.waits.borrow_mut() = Some(context.waker().clone());
                owner.ended.get().map_or(Poll::Pending, Poll::Ready)
            });
            tell.send(end.await).expect("the test waits");
        };
        executor.start(main).and_then(Running::join).expect("executor");
        carrier.join().expect("the carrier");
        told.recv().expect("told")
    }

    /// Under TLS 1.3 the carrier checks our certificate when the handshake is over for us.
    #[test]
    fn a_certificate_that_is_refused_after_the_handshake_is_told_in_words() {
        let (at, other) = (files(), files());
        let server = server(&http(&at, Some("ca.pem"))).expect("server");
        let bare = carrier(at.path().join("ca.pem"), false);
        let file = |name: &str| Some(other.path().join(name));
        let strange = CarrierTls { cert: file("cert.pem"), key: file("key.pem"), ..bare.clone() };
        for (typed, why) in [(bare, "none was sent"), (strange, "")] {
            let end = ends(Arc::clone(&server), &typed).to_string();
            assert!(end.starts_with("the carrier refused our certificate: ") && end.contains(why), "{end}");
        }
    }

    #[test]
    fn what_is_pinned_is_trusted_and_nothing_else() {
        let (own, other) = (files(), files());
        let server = server(&http(&own, None)).expect("server");
        let shown = |at: &TempDir| certificates(&at.path().join("cert.pem")).expect("read").remove(0);
        let certificate = shown(&own);
        let hex = |print: pin::Print| data_encoding::HEXLOWER.encode(&print);
        let trusts = |pins: &[String], ca: Option<PathBuf>, name: &str| {
            let server_name = Some(name.to_owned());
            let typed = CarrierTls { ca, pin: pins.to_vec(), server_name, ..CarrierTls::default() };
            handshake(Arc::clone(&server), client(&typed).expect("client"))
        };
        let (of_whole, of_key) = (hex(pin::print(&certificate)), hex(pin::of_key(&certificate).expect("X.509")));
        let of_file = own.path().join("cert.pem").display().to_string();
        let of_other = hex(pin::print(&shown(&other)));
        for pin in [&of_whole, &of_key, &of_file] {
            assert_eq!(trusts(&[of_other.clone(), pin.clone()], None, "another.example"), Ok(()), "{pin}");
        }
        let refused = trusts(std::slice::from_ref(&of_other), None, "localhost").expect_err("another is pinned");
        assert!(refused.contains(&of_whole) && refused.contains(&of_key), "{refused}");
        let ca = |at: &TempDir| Some(at.path().join("ca.pem"));
        assert_eq!(trusts(std::slice::from_ref(&of_whole), ca(&own), "localhost"), Ok(()));
        trusts(std::slice::from_ref(&of_whole), ca(&other), "localhost")
            .expect_err("`ca` counts too where it is given");
        let typo = CarrierTls { pin: vec!["ba7816".to_owned()], ..CarrierTls::default() };
        let typo = client(&typo).expect_err("neither");
        assert!(typo.starts_with("`pin` is not a SHA-256, and as a file: ba7816: No such file"), "{typo}");
    }

    /// Field P8: a certificate of `openssl req -x509`, given as its own authority, was refused with "CaUsedAsEndEntity".
    #[test]
    fn a_certificate_that_signed_itself_is_refused_with_what_to_do() {
        let at = tempfile::tempdir().expect("directory");
        let key = KeyPair::generate().expect("key");
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = params.self_signed(&key).expect("certificate");
        for name in ["ca.pem", "cert.pem"] {
            fs::write(at.path().join(name), own.pem()).expect("write");
        }
        fs::write(at.path().join("key.pem"), key.serialize_pem()).expect("write");
        let server = server(&http(&at, None)).expect("server");
        let of = |typed: &CarrierTls| handshake(Arc::clone(&server), client(typed).expect("client"));
        let refused = of(&carrier(at.path().join("ca.pem"), false)).expect_err("its own authority");
        assert!(refused.ends_with("to trust this certificate, use `pin`"), "{refused}");
        let pin = vec![at.path().join("cert.pem").display().to_string()];
        assert_eq!(of(&CarrierTls { pin, ..carrier(PathBuf::new(), true) }), Ok(()));
    }

    #[test]
    fn errors_name_the_file_and_the_reason() {
        let (at, other) = (files(), files());
        let wrong = |change: fn(&mut HttpTls)| {
            let mut typed = http(&at, None);
            change(&mut typed);
            server(&typed).expect_err("wrong")
        };
        assert!(wrong(|typed| typed.cert = "/nowhere/cert.pem".into()).starts_with("/nowhere/cert.pem: No such file"));
        assert!(wrong(|typed| typed.cert = typed.key.clone()).ends_with("key.pem: no CERTIFICATE in it"));
        assert!(wrong(|typed| typed.key = typed.cert.clone()).contains("cert.pem: no PRIVATE KEY in it"));
        let mixed = HttpTls { key: other.path().join("key.pem"), ..http(&at, None) };
        let mixed = server(&mixed).expect_err("two pairs mixed");
        assert!(mixed.contains("cert.pem with") && mixed.contains("key.pem: "), "{mixed}");
        let broken = at.path().join("broken.pem");
        fs::write(&broken, "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").expect("write");
        assert!(client(&carrier(broken, false)).expect_err("not PEM").contains("broken.pem: not PEM"));
        assert!(client(&carrier(PathBuf::from("/nowhere/ca.pem"), true)).is_ok(), "insecure reads no file");
        assert!(client(&carrier(PathBuf::from("/nowhere/ca.pem"), false)).is_err());
    }
}
