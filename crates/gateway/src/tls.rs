//! Certificates and keys from files, for both sides of the gate. Refuses an empty file: no certificate is not every
//! certificate.

use crate::config::TlsFiles;
use anyhow::{Context, Result, anyhow};
use countersign_protocols::postgres::serve::ClientTls;
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;

/// What a server side needs to show who it is.
///
/// # Errors
/// The files cannot be read or do not fit together.
pub fn server(files: &TlsFiles) -> Result<Arc<rustls::ServerConfig>> {
    Ok(Arc::new(shown(files, certificates(&files.cert)?)?))
}

/// What a gate needs to show agents who it is.
///
/// # Errors
/// As [`server`].
pub fn gate(files: &TlsFiles) -> Result<ClientTls> {
    let chain = certificates(&files.cert)?;
    let [own, ..] = chain.as_slice() else { return Err(none_in(&files.cert)) };
    let own = own.clone();
    Ok(ClientTls::new(shown(files, chain)?, &own))
}

fn shown(files: &TlsFiles, chain: Vec<CertificateDer<'static>>) -> Result<rustls::ServerConfig> {
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| anyhow!("expected a private key (PEM) in `{}`: {error}", files.key.display()))?;
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    config.with_context(|| format!("`{}` and its key", files.cert.display()))
}

/// The certificates that are trusted.
///
/// # Errors
/// The file cannot be read, or holds none.
pub fn roots(path: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).with_context(|| format!("a certificate in `{}`", path.display()))?;
    }
    Ok(roots)
}

/// Those certificates of a system's bundle that can be used.
///
/// # Errors
/// The file cannot be read, or holds none.
pub fn system_roots(path: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates(path)?);
    if added == 0 { Err(none_in(path)) } else { Ok(roots) }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let unreadable = |error| anyhow!("expected certificates (PEM) in `{}`: {error}", path.display());
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(unreadable)?.collect();
    let found = found.map_err(unreadable)?;
    if found.is_empty() { Err(none_in(path)) } else { Ok(found) }
}

fn none_in(path: &Path) -> anyhow::Error {
    anyhow!("expected certificates in `{}`, found none", path.display())
}
