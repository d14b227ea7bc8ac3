//! TLS of outbound requests: the usual authorities, and those of a file that the operator names.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::origin::Origin;

/// Who is trusted to say who a server is. The file is read at each request, so that it can be replaced.
pub(super) fn connector(ca: Option<&Path>) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.into(),
    };
    if let Some(file) = ca {
        let shown = file.display();
        let cannot =
            |why: String| format!("the certificates in {shown} (`ca`) cannot be read: {why}");
        if !file.is_file() {
            return Err(cannot("it is no regular file".to_owned()));
        }
        let found =
            CertificateDer::pem_file_iter(file).map_err(|error| cannot(error.to_string()))?;
        for certificate in found {
            let certificate = certificate.map_err(|error| cannot(error.to_string()))?;
            let added = roots.add(certificate);
            added.map_err(|error| cannot(error.to_string()))?;
        }
    }
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The name that the server must have a certificate for.
pub(super) fn server_name(origin: &Origin) -> Result<ServerName<'static>, String> {
    ServerName::try_from(origin.host.clone())
        .map_err(|_| "its host has no name that a certificate can be for".to_owned())
}
