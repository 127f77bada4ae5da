//! Certificates and keys from files, for both sides of the gate. Refuses an empty file: no certificate is not every
//! certificate.

use crate::config::{ClientTlsFiles, TlsFiles};
use anyhow::{Context, Result, anyhow};
use countersign_protocols::postgres::serve::ClientTls;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;

/// What a server side needs to show who it is.
///
/// # Errors
/// The files cannot be read or do not fit together.
pub fn server(files: &TlsFiles) -> Result<Arc<rustls::ServerConfig>> {
    let verifier = WebPkiClientVerifier::no_client_auth();
    Ok(Arc::new(shown(files, certificates(&files.cert)?, verifier)?))
}

/// What a gate needs to show agents who it is.
///
/// # Errors
/// As [`server`].
pub fn gate(files: &ClientTlsFiles) -> Result<ClientTls> {
    let (chain, own) = (certificates(&files.own.cert)?, certificate(&files.own.cert)?);
    let Some(authorities) = &files.authorities else {
        return Ok(ClientTls::new(shown(&files.own, chain, WebPkiClientVerifier::no_client_auth())?, &own));
    };
    let verifier = believed(authorities, files.revocations.as_deref())?;
    let mut config = shown(&files.own, chain, verifier)?;
    // A session that is resumed would not be verified again.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(ClientTls::new(config, &own))
}

/// Whose client certificates are believed. Who shows none is asked for something else, later.
fn believed(authorities: &Path, revocations: Option<&Path>) -> Result<Arc<dyn ClientCertVerifier>> {
    let mut builder = WebPkiClientVerifier::builder(Arc::new(roots(authorities)?)).allow_unauthenticated();
    if let Some(path) = revocations {
        let unreadable =
            |error| anyhow!("expected lists of revoked certificates (PEM) in `{}`: {error}", path.display());
        let lists = CertificateRevocationListDer::pem_file_iter(path).map_err(unreadable)?;
        let lists = lists.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
        // No list would say that nothing is revoked.
        if lists.is_empty() {
            return Err(anyhow!(
                "expected lists of revoked certificates in `{}`, found none",
                path.display()
            ));
        }
        builder = builder.with_crls(lists);
    }
    builder.build().with_context(|| format!("the authorities in `{}`", authorities.display()))
}

fn shown(
    files: &TlsFiles,
    chain: Vec<CertificateDer<'static>>,
    verifier: Arc<dyn ClientCertVerifier>,
) -> Result<rustls::ServerConfig> {
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| anyhow!("expected a private key (PEM) in `{}`: {error}", files.key.display()))?;
    let config =
        rustls::ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(chain, key);
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

/// The first certificate in a file.
///
/// # Errors
/// The file cannot be read, or holds none.
pub fn certificate(path: &Path) -> Result<CertificateDer<'static>> {
    certificates(path)?.into_iter().next().ok_or_else(|| none_in(path))
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
