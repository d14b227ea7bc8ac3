//! Where wasmtime's HTTP asks the host: which headers are not the guest's, and whether a request may leave.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::{HeaderName, Method, Request, Response};
use tokio::sync::Semaphore;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody,
    WasiHttpHooks,
};

use super::body::Until;
use super::errand::{Errand, Worker};
use super::origin::Origin;
use super::outbound::Outbound;
use super::settings::HttpSettings;
use super::told::{Notes, Told};
use crate::guest::limits::{Limits, MAX_HTTP_HEADER_BYTES, MAX_HTTP_HEADERS};
use crate::guest::state::CallContext;

/// More than any guest needs, and what the semaphore can count.
const MAX_CONCURRENT: u64 = 1_000;

/// Origins that a message lists.
const MAX_LISTED: usize = 5;

/// The guest writes a body in pieces of this size at most; two of them wait for the server at a time.
const BODY_CHUNK_BYTES: usize = 64 * 1024;

/// What one guest may ask for in one batch.
pub(super) struct Hooks {
    outbound: Outbound,
    settings: Arc<HttpSettings>,
    limits: Limits,
    muted: bool,
    secret_headers: Arc<BTreeSet<String>>,
    concurrent: Arc<Semaphore>,
    /// Requests that were asked for in this batch, whatever became of them.
    asked: u64,
    pub(super) notes: Notes,
    /// The end of the call of `handle` that is under way.
    pub(super) call: Option<Until>,
}

impl Hooks {
    /// Without a context, as in `describe`, nothing is allowed.
    pub fn new(outbound: &Outbound, context: Option<&CallContext>, limits: &Limits) -> Hooks {
        let settings = context.map(|context| Arc::clone(&context.http));
        let settings = settings.unwrap_or_default();
        let concurrent = limits.http_concurrent.min(MAX_CONCURRENT);
        Hooks {
            outbound: outbound.clone(),
            secret_headers: Arc::new(settings.secret_headers()),
            settings,
            limits: *limits,
            muted: context.is_none_or(|context| context.muted),
            concurrent: Arc::new(Semaphore::new(usize::try_from(concurrent).unwrap_or(1))),
            asked: 0,
            notes: Notes::default(),
            call: None,
        }
    }

    /// Whether this request may leave.
    fn admit(&mut self, request: &Request<WasiBody>) -> Result<Errand, Error> {
        let origin = Origin::of(request.uri());
        let place = match &origin {
            Ok(origin) => origin.to_string(),
            Err(_) => "a request".to_owned(),
        };
        let told = Told::new(format!("{} {place}", request.method()), &self.notes);
        let origin = origin.map_err(|why| {
            told.refuse(
                Error::HttpRequestUriInvalid,
                format!("cannot be sent: {why}"),
            )
        })?;
        let Some(call) = self.call else {
            let why = "is refused: requests leave from `handle` alone; in `setup`, `teardown` and `on-failure` there is no event that they could follow from";
            return Err(told.refuse(Error::HttpRequestDenied, why));
        };
        if self.muted {
            let why = "is refused: this version rebuilds its state from history, and what it would cause there has been caused before (context.attribute(\"muted\") is `true` meanwhile)";
            return Err(told.refuse(Error::HttpRequestDenied, why));
        }
        self.asked += 1;
        if self.asked > self.limits.http_requests {
            return Err(told.exceed(
                Error::HttpRequestDenied,
                "http-requests",
                self.limits.http_requests,
                "would be one request in this batch",
            ));
        }
        if !self.settings.allow.contains(&origin) {
            let why = format!(
                "is refused: {}; put it into `allow` under [http] in the file beside the module if it may be reached",
                self.allowed()
            );
            return Err(told.refuse(Error::HttpRequestDenied, why));
        }
        if [Method::CONNECT, Method::TRACE].contains(request.method()) {
            let why = "is refused: the method is none that a guest may use";
            return Err(told.refuse(Error::HttpRequestMethodInvalid, why));
        }
        self.check_headers(request, &told)?;
        let place = Arc::clone(&self.concurrent).try_acquire_owned();
        let place = place.map_err(|_| {
            told.exceed(
                Error::ConnectionLimitReached,
                "http-concurrent",
                self.limits.http_concurrent,
                "would be one request at the same time",
            )
        })?;
        Ok(Errand {
            outbound: self.outbound.clone(),
            settings: Arc::clone(&self.settings),
            limits: self.limits,
            origin,
            call,
            place,
            told,
        })
    }

    fn check_headers(&self, request: &Request<WasiBody>, told: &Told) -> Result<(), Error> {
        let headers = request.headers();
        let bytes: usize = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        let too_much = |limit, value: usize, did: &str| {
            let error = Error::HttpRequestHeaderSectionSize(None);
            Err(told.exceed(error, limit, value as u64, did))
        };
        if headers.len() > MAX_HTTP_HEADERS {
            return too_much("http-headers", MAX_HTTP_HEADERS, "has more headers");
        }
        if bytes > MAX_HTTP_HEADER_BYTES {
            return too_much(
                "http-header-bytes",
                MAX_HTTP_HEADER_BYTES,
                "has longer headers",
            );
        }
        Ok(())
    }

    fn allowed(&self) -> String {
        let listed: Vec<String> = self
            .settings
            .allow
            .iter()
            .map(ToString::to_string)
            .collect();
        match listed.len() {
            0 => "no origin may be reached".to_owned(),
            1..=MAX_LISTED => format!("only {} may be reached", listed.join(", ")),
            many => format!(
                "only {} and {} more may be reached",
                listed[..MAX_LISTED].join(", "),
                many - MAX_LISTED
            ),
        }
    }
}

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Answered = Result<(Response<WasiBody>, Io), Error>;

impl WasiHttpHooks for Hooks {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        let secret_headers = Arc::clone(&self.secret_headers);
        Arc::new(move |name: &HeaderName| {
            DEFAULT_FORBIDDEN_HEADERS.contains(name) || secret_headers.contains(name.as_str())
        })
    }

    fn set_host_header(&mut self) -> bool {
        false
    }

    fn default_scheme(&mut self) -> Option<http::uri::Scheme> {
        None
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Io,
    ) -> Box<dyn Future<Output = Answered> + Send> {
        let admitted = self.admit(&request);
        Box::new(async move {
            let (response, worker) = admitted?.run(request, options.unwrap_or_default()).await?;
            Ok((response, Box::new(kept(worker)) as Io))
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }

    // What goes wrong is told where it is handled, and there in words of our own.

    fn p2_error_from_hyper(&mut self, _: &hyper::Error) -> ErrorCode {
        ErrorCode::HttpProtocolError
    }

    fn p2_error_from_connect(&mut self, _: &std::io::Error) -> ErrorCode {
        ErrorCode::ConnectionRefused
    }

    fn p2_error_from_tls(&mut self, _: &std::io::Error) -> ErrorCode {
        ErrorCode::TlsProtocolError
    }
}

/// Keeps a connection going until it ends or nobody wants it any more.
async fn kept(worker: Worker) -> Result<(), Error> {
    Pin::from(Box::new(worker)).await;
    Ok(())
}
