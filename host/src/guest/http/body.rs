//! The bodies of a request and of its answer, with what they may weigh and how long they may take.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::HeaderMap;
use hyper::body::{Body, Bytes, Frame, Incoming};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::{Error, WasiBody};

use super::secret::{Echoed, Guard};
use super::told::Told;

const KIB: u64 = 1024;

/// What the guest sends.
pub(super) struct Question {
    pub body: WasiBody,
    pub sent_bytes: u64,
    pub limit_kib: u64,
    /// It was cut off for its size, which is told already.
    pub is_too_large: Arc<AtomicBool>,
    pub told: Told,
}

impl Body for Question {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        let bytes = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        self.sent_bytes = self.sent_bytes.saturating_add(bytes as u64);
        if self.sent_bytes <= self.limit_kib.saturating_mul(KIB) {
            return Poll::Ready(frame);
        }
        self.is_too_large.store(true, Ordering::Relaxed);
        let too_large = self.told.exceed(
            Error::HttpRequestBodySize(Some(self.sent_bytes)),
            "http-request-kib",
            self.limit_kib,
            "sends a larger body",
        );
        Poll::Ready(Some(Err(too_large)))
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

/// A point in time that a request does not pass, and the limit that sets it.
#[derive(Clone, Copy)]
pub(super) struct Until {
    pub at: Instant,
    pub limit: &'static str,
    pub value_ms: u64,
}

/// What the server sends, as far as the guest may have it.
pub(super) struct Answer {
    body: Incoming,
    received_bytes: u64,
    limit_kib: u64,
    guard: Guard,
    trailers: Option<HeaderMap>,
    between: Duration,
    between_limit_ms: u64,
    pause: Pin<Box<Sleep>>,
    until: Until,
    end: Pin<Box<Sleep>>,
    told: Told,
    /// Given back when nothing more comes.
    places: Option<[OwnedSemaphorePermit; 2]>,
}

/// What [`Answer`] needs besides the body.
pub(super) struct AnswerLimits {
    pub limit_kib: u64,
    pub guard: Guard,
    /// Between two pieces; the guest may have asked for less than the limit.
    pub between: Duration,
    pub between_limit_ms: u64,
    pub until: Until,
    pub told: Told,
    pub places: [OwnedSemaphorePermit; 2],
}

type Piece = Option<Result<Frame<Bytes>, Error>>;

impl Answer {
    /// # Errors
    /// The server says beforehand that it is too large.
    pub fn new(body: Incoming, limits: AnswerLimits) -> Result<Answer, Error> {
        let announced = body.size_hint().lower();
        let answer = Answer {
            body,
            received_bytes: announced,
            limit_kib: limits.limit_kib,
            guard: limits.guard,
            trailers: None,
            between: limits.between,
            between_limit_ms: limits.between_limit_ms,
            pause: Box::pin(tokio::time::sleep(limits.between)),
            until: limits.until,
            end: Box::pin(tokio::time::sleep_until(limits.until.at)),
            told: limits.told,
            places: Some(limits.places),
        };
        answer.check_size()?;
        Ok(Answer {
            received_bytes: 0,
            ..answer
        })
    }

    fn check_size(&self) -> Result<(), Error> {
        if self.received_bytes <= self.limit_kib.saturating_mul(KIB) {
            return Ok(());
        }
        Err(self.told.exceed(
            Error::HttpResponseBodySize(Some(self.received_bytes)),
            "http-response-kib",
            self.limit_kib,
            "is answered with a larger body",
        ))
    }

    fn next(&mut self, context: &mut Context<'_>) -> Poll<Piece> {
        loop {
            if Instant::now() >= self.until.at {
                return Poll::Ready(Some(Err(self.too_long())));
            }
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
                return self.waits(context);
            };
            self.pause.as_mut().reset(Instant::now() + self.between);
            let frame = match frame {
                None => return Poll::Ready(self.last()),
                Some(Err(error)) => {
                    let why = format!("broke off in the middle of the answer: {error}");
                    return Poll::Ready(Some(Err(self
                        .told
                        .refuse(Error::HttpResponseIncomplete, why))));
                }
                Some(Ok(frame)) => frame,
            };
            match self.passed(frame) {
                Ok(Some(piece)) => return Poll::Ready(Some(Ok(piece))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    /// What may be handed on now that this has come.
    fn passed(&mut self, frame: Frame<Bytes>) -> Result<Option<Frame<Bytes>>, Error> {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                let looked = self.guard.look(&trailers);
                looked.map_err(|Echoed| echoed(&self.told))?;
                self.trailers = Some(trailers);
                return Ok(self.held());
            }
        };
        self.received_bytes = self.received_bytes.saturating_add(data.len() as u64);
        self.check_size()?;
        let passed = match self.guard.is_idle() {
            true => data,
            false => match self.guard.pass(&data) {
                Ok(passed) => passed.into(),
                Err(Echoed) => return Err(echoed(&self.told)),
            },
        };
        Ok((!passed.is_empty()).then(|| Frame::data(passed)))
    }

    fn held(&mut self) -> Option<Frame<Bytes>> {
        let rest = self.guard.rest();
        (!rest.is_empty()).then(|| Frame::data(rest.into()))
    }

    /// The body has ended: what was held of it, then its trailers, then nothing.
    fn last(&mut self) -> Piece {
        let held = self.held();
        held.or_else(|| self.trailers.take().map(Frame::trailers))
            .map(Ok)
    }

    fn waits(&mut self, context: &mut Context<'_>) -> Poll<Piece> {
        if self.end.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(self.too_long())));
        }
        std::task::ready!(self.pause.as_mut().poll(context));
        Poll::Ready(Some(Err(self.told.exceed(
            Error::ConnectionReadTimeout,
            "http-between-bytes-timeout-ms",
            self.between_limit_ms,
            "waits longer for the next piece of the answer",
        ))))
    }

    fn too_long(&self) -> Error {
        took_too_long(&self.told, self.until)
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Piece> {
        if self.places.is_none() {
            return Poll::Ready(None);
        }
        let piece = std::task::ready!(self.next(context));
        if !matches!(piece, Some(Ok(_))) {
            self.places = None;
        }
        Poll::Ready(piece)
    }
}

pub(super) fn took_too_long(told: &Told, until: Until) -> Error {
    told.exceed(
        Error::HttpResponseTimeout,
        until.limit,
        until.value_ms,
        "takes longer as a whole",
    )
}

pub(super) fn echoed(told: &Told) -> Error {
    told.refuse(
        Error::HttpRequestDenied,
        "is answered with the secret that the host placed into the request: the answer is withheld, since no guest is to see it",
    )
}
