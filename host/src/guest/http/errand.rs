//! One request on its way: the name is resolved once, the address that was checked is the one that is connected, the
//! secrets are placed, and the answer is waited for as long as the limits say. Redirects are the guest's to see.

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, HOST};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::body::{Answer, AnswerLimits, Question, Until, echoed, took_too_long};
use super::origin::Origin;
use super::outbound::Outbound;
use super::secret::{Echoed, Guard, place};
use super::settings::HttpSettings;
use super::tls;
use super::told::Told;
use crate::guest::limits::{
    Limits, MAX_HTTP_HEADER_BYTES, MAX_HTTP_HEADERS, MAX_HTTP_REQUESTS_OF_HOST,
};

/// A request that may leave.
pub(super) struct Errand {
    pub outbound: Outbound,
    pub settings: Arc<HttpSettings>,
    pub limits: Limits,
    pub origin: Origin,
    /// The end of the call that it belongs to.
    pub call: Until,
    /// Among the requests of this guest.
    pub place: OwnedSemaphorePermit,
    pub told: Told,
}

/// The connection as long as somebody reads from it.
pub(super) type Worker = AbortOnDropJoinHandle<()>;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Errand {
    /// Runs it to the beginning of the answer.
    pub async fn run(
        self,
        request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<(Response<WasiBody>, Worker), Error> {
        let whole_ms = self.limits.http_request_timeout_ms;
        let whole = Until {
            at: Instant::now() + Duration::from_millis(whole_ms),
            limit: "http-request-timeout-ms",
            value_ms: whole_ms,
        };
        let until = if whole.at < self.call.at {
            whole
        } else {
            self.call
        };
        let told = self.told.clone();
        match timeout_at(until.at, self.answer(request, options, until)).await {
            Ok(answered) => answered,
            Err(_) => Err(took_too_long(&told, until)),
        }
    }

    async fn answer(
        self,
        mut request: Request<WasiBody>,
        options: RequestOptions,
        until: Until,
    ) -> Result<(Response<WasiBody>, Worker), Error> {
        let guard = self.dress(&mut request)?;
        let host_place = self.host_place().await?;
        let stream = self.connected(&options).await?;
        let is_too_large = Arc::new(AtomicBool::new(false));
        let request = request.map(|body| Question {
            body,
            sent_bytes: 0,
            limit_kib: self.limits.http_request_kib,
            is_too_large: Arc::clone(&is_too_large),
            told: self.told.clone(),
        });
        let (response, worker) = self
            .exchanged(stream, request, &options, &is_too_large)
            .await?;
        let looked = guard.look(response.headers());
        looked.map_err(|Echoed| echoed(&self.told))?;
        let between_limit_ms = self.limits.http_between_bytes_timeout_ms;
        let limits = AnswerLimits {
            limit_kib: self.limits.http_response_kib,
            guard,
            between: shorter(between_limit_ms, options.between_bytes_timeout),
            between_limit_ms,
            until,
            told: self.told,
            places: [self.place, host_place],
        };
        let (parts, body) = response.into_parts();
        let body = Answer::new(body, limits)?.boxed_unsync();
        Ok((Response::from_parts(parts, body), worker))
    }

    /// What the host says of its own in a request: the host, the secrets, and nothing that would pack the answer, in which a
    /// secret could not be seen any more.
    fn dress(&self, request: &mut Request<WasiBody>) -> Result<Guard, Error> {
        let cannot = |why| {
            self.told
                .refuse(Error::ConfigurationError, format!("cannot be sent: {why}"))
        };
        let path = request.uri().path_and_query().cloned();
        let path = path.map_or_else(|| "/".to_owned(), |path| path.as_str().to_owned());
        let path = Uri::try_from(path).map_err(|error| cannot(error.to_string()))?;
        *request.uri_mut() = path;
        let headers = request.headers_mut();
        let host = HeaderValue::try_from(self.origin.authority());
        headers.insert(HOST, host.map_err(|error| cannot(error.to_string()))?);
        let secrets = self.settings.secrets.get(&self.origin);
        let guard = place(secrets.into_iter().flatten(), headers).map_err(|why| {
            cannot(format!(
                "{why}; it is named under [http.secrets] in the file beside the module"
            ))
        })?;
        if !guard.is_idle() {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        Ok(guard)
    }

    /// A place among all requests of this host. It is waited for: others hold it.
    async fn host_place(&self) -> Result<OwnedSemaphorePermit, Error> {
        let connect_ms = self.limits.http_connect_timeout_ms;
        let place = timeout(Duration::from_millis(connect_ms), self.outbound.place());
        place.await.map_err(|_| {
            self.told.exceed(
                Error::ConnectionLimitReached,
                "http-host-concurrent",
                MAX_HTTP_REQUESTS_OF_HOST as u64,
                "would be one request of this host at the same time",
            )
        })
    }

    async fn connected(&self, options: &RequestOptions) -> Result<Box<dyn Stream>, Error> {
        let limit_ms = self.limits.http_connect_timeout_ms;
        let limit = shorter(limit_ms, options.connect_timeout);
        match timeout(limit, self.connect()).await {
            Ok(connected) => connected,
            Err(_) => Err(self.told.exceed(
                Error::ConnectionTimeout,
                "http-connect-timeout-ms",
                limit_ms,
                "takes longer to connect",
            )),
        }
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, Error> {
        let told = &self.told;
        let found = self.outbound.ask(&self.origin).await.map_err(|error| {
            let unknown = Error::DnsError {
                rcode: None,
                info_code: None,
            };
            told.refuse(
                unknown,
                format!("cannot be sent: its host is not known: {error}"),
            )
        })?;
        let admitted = self.settings.admit(&self.origin, &found).map_err(|why| {
            told.refuse(Error::DestinationIpProhibited, format!("is refused: {why}"))
        })?;
        let stream = first_connected(&admitted).await.map_err(|error| {
            told.refuse(Error::ConnectionRefused, format!("cannot be sent: {error}"))
        })?;
        if !self.origin.is_tls {
            return Ok(Box::new(stream));
        }
        let prepared = self.outbound.tls(self.settings.ca.as_deref());
        let prepared = prepared.and_then(|tls| Ok((tls, tls::server_name(&self.origin)?)));
        let (connector, name) = prepared.map_err(|why| {
            told.refuse(Error::ConfigurationError, format!("cannot be sent: {why}"))
        })?;
        let secured = connector.connect(name, stream).await.map_err(|error| {
            let why = format!(
                "cannot be sent: {error}; own authorities are named by `ca` under [http] in the file beside the module"
            );
            told.refuse(Error::TlsProtocolError, why)
        })?;
        Ok(Box::new(secured))
    }

    async fn exchanged(
        &self,
        stream: Box<dyn Stream>,
        request: Request<Question>,
        options: &RequestOptions,
        is_too_large: &AtomicBool,
    ) -> Result<(Response<Incoming>, Worker), Error> {
        let failed = |error: hyper::Error| match is_too_large.load(Ordering::Relaxed) {
            // Told where it was noticed.
            true => Error::HttpRequestBodySize(None),
            false => self.broken(&error),
        };
        let (mut sender, connection) = http1::Builder::new()
            .max_headers(MAX_HTTP_HEADERS)
            .max_header_size(MAX_HTTP_HEADER_BYTES)
            .max_buf_size(MAX_HTTP_HEADER_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(failed)?;
        let worker = spawn(async move {
            // Whoever waits for the answer hears of it.
            let _ = connection.await;
        });
        let limit_ms = self.limits.http_first_byte_timeout_ms;
        let limit = shorter(limit_ms, options.first_byte_timeout);
        match timeout(limit, sender.send_request(request)).await {
            Ok(answered) => Ok((answered.map_err(failed)?, worker)),
            Err(_) => Err(self.told.exceed(
                Error::ConnectionReadTimeout,
                "http-first-byte-timeout-ms",
                limit_ms,
                "waits longer for the answer to begin",
            )),
        }
    }

    fn broken(&self, error: &hyper::Error) -> Error {
        if error.is_parse_too_large() {
            let why = format!(
                "is answered with too many headers: they are at most {MAX_HTTP_HEADERS} (http-headers, which is fixed) and have {MAX_HTTP_HEADER_BYTES} bytes together (http-header-bytes, which is fixed)"
            );
            return self
                .told
                .refuse(Error::HttpResponseHeaderSectionSize(None), why);
        }
        let source = error
            .source()
            .map_or_else(String::new, |source| format!(": {source}"));
        let code = match error.is_parse() {
            true => Error::HttpProtocolError,
            false => Error::ConnectionTerminated,
        };
        self.told
            .refuse(code, format!("got no answer: {error}{source}"))
    }
}

/// The limit, or less when the guest asked for less.
fn shorter(limit_ms: u64, asked: Option<Duration>) -> Duration {
    let limit = Duration::from_millis(limit_ms);
    asked.map_or(limit, |asked| asked.min(limit))
}

async fn first_connected(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // A request is small and is waited for.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
