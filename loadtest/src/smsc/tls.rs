//! The simulator's certificate: read from files, or generated for this run. Refuses to know the protocol above it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Where the certificate comes from.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct TlsOptions {
    /// Speak TLS on the SMPP port
    #[arg(long)]
    tls: bool,
    /// Certificate chain (PEM); without it one for localhost and 127.0.0.1 is generated
    #[arg(long, requires = "tls_key", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Private key (PEM) of that certificate
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Write the generated certificate to this file, for the client to trust
    #[arg(long, value_name = "FILE")]
    tls_cert_out: Option<PathBuf>,
}

impl TlsOptions {
    /// The server's side of TLS; `None` when plain TCP was asked for.
    pub(super) fn load(&self) -> Result<Option<Arc<ServerConfig>>, String> {
        if !self.tls {
            return Ok(None);
        }
        let (chain, key) = match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => read_files(cert, key)?,
            (Some(_), None) | (None, Some(_)) | (None, None) => self.make_up()?,
        };
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map(|config| Some(Arc::new(config)))
            .map_err(|error| format!("TLS: {error}"))
    }

    fn make_up(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).map_err(|error| format!("certificate: {error}"))?;
        if let Some(path) = &self.tls_cert_out {
            fs::write(path, made.cert.pem()).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
        Ok((vec![made.cert.der().clone()], key))
    }
}

fn read_files(cert: &Path, key: &Path) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|error| format!("{}: {error}", cert.display()))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{}: {error}", key.display()))?;
    Ok((chain, key))
}
