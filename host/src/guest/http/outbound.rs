//! What all requests of a host share: who is asked for addresses, the places, and the usual certificates.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsConnector;

use super::names::Names;
use super::origin::Origin;
use super::tls;
use crate::guest::limits::MAX_HTTP_REQUESTS_OF_HOST;

/// Cheap to clone.
#[derive(Clone)]
pub(in crate::guest) struct Outbound(Arc<Shared>);

struct Shared {
    names: Names,
    places: Arc<Semaphore>,
    usual_tls: OnceLock<TlsConnector>,
}

impl Outbound {
    pub fn new() -> Outbound {
        Outbound(Arc::new(Shared {
            names: Names::of_this_machine(),
            places: Arc::new(Semaphore::new(MAX_HTTP_REQUESTS_OF_HOST)),
            usual_tls: OnceLock::new(),
        }))
    }

    /// The addresses of an origin, as they are now.
    pub(super) async fn ask(&self, origin: &Origin) -> io::Result<Vec<SocketAddr>> {
        self.0.names.ask(origin).await
    }

    /// A place among the requests of this host, when there is one.
    pub(super) async fn place(&self) -> OwnedSemaphorePermit {
        let place = Arc::clone(&self.0.places).acquire_owned().await;
        place.expect("nobody closes the places of a host")
    }

    pub(super) fn tls(&self, ca: Option<&Path>) -> Result<TlsConnector, String> {
        match (ca, self.0.usual_tls.get()) {
            (None, Some(usual)) => Ok(usual.clone()),
            (None, None) => {
                let usual = tls::connector(None)?;
                Ok(self.0.usual_tls.get_or_init(|| usual).clone())
            }
            (Some(_), _) => tls::connector(ca),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// `http-host-concurrent`.
    #[tokio::test]
    async fn requests_beyond_those_of_the_host_wait_for_a_place() {
        let outbound = Outbound::new();
        let mut places = Vec::new();
        for _ in 0..MAX_HTTP_REQUESTS_OF_HOST {
            places.push(outbound.place().await);
        }
        let shared = outbound.clone();
        let mut waiting = Box::pin(shared.place());
        let waited = tokio::time::timeout(Duration::from_millis(50), &mut waiting).await;
        assert!(waited.is_err(), "all places are taken");
        places.pop();
        drop(waiting.await);
    }
}
