//! A request through `wasi:http/outgoing-handler`, and its answer.

use super::url::Parts;
use super::{Answer, HttpError};
use std::time::Duration;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme, http_error_code,
};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

/// Bytes that are asked for at a time.
const PIECE_BYTES: u64 = 64 * 1024;

/// Where a request goes.
pub(super) struct Target<'a> {
    pub method: &'a str,
    pub url: &'a str,
    pub parts: Parts<'a>,
}

pub(super) fn send(
    target: &Target<'_>,
    headers: Vec<(String, Vec<u8>)>,
    body: Option<Vec<u8>>,
    timeout: Option<Duration>,
) -> Result<Answer, HttpError> {
    let request = OutgoingRequest::new(fields(headers, body.as_deref())?);
    address(&request, target)?;
    let out = match &body {
        None => None,
        Some(_) => Some(
            request
                .body()
                .map_err(|()| unanswered("the body was taken"))?,
        ),
    };
    let options = timeout.map(options);
    let answering = outgoing_handler::handle(request, options).map_err(HttpError::NoAnswer)?;
    let written = match (out, body) {
        (Some(out), Some(body)) => write(out, &body),
        _ => Ok(()),
    };
    answering.subscribe().block();
    let answered = answering.get().ok_or(unanswered("it is not there yet"))?;
    let answered = answered.map_err(|()| unanswered("it was taken"))?;
    let response = match (answered, written) {
        (Ok(response), _) => response,
        // Why the server is gone says more than that it is.
        (Err(code), _) => return Err(HttpError::NoAnswer(code)),
    };
    let headers = response.headers().entries();
    let status = response.status();
    Ok(Answer {
        status,
        headers,
        body: read(&response)?,
    })
}

fn fields(headers: Vec<(String, Vec<u8>)>, body: Option<&[u8]>) -> Result<Fields, HttpError> {
    let fields = Fields::new();
    let length = body.map(|body| body.len().to_string().into_bytes());
    let length = length.map(|length| ("content-length".to_owned(), length));
    for (name, value) in headers.into_iter().chain(length) {
        let appended = fields.append(&name, &value);
        appended.map_err(|_| HttpError::BadHeader(name))?;
    }
    Ok(fields)
}

fn address(request: &OutgoingRequest, target: &Target<'_>) -> Result<(), HttpError> {
    let Parts {
        is_tls,
        authority,
        path,
    } = target.parts;
    let scheme = if is_tls { Scheme::Https } else { Scheme::Http };
    // Hosts differ in what they make of an address without a path.
    let path = match path.strip_prefix('/') {
        Some(_) => path.to_owned(),
        None => format!("/{path}"),
    };
    let set = request
        .set_scheme(Some(&scheme))
        .and_then(|()| request.set_authority(Some(authority)))
        .and_then(|()| request.set_path_with_query(Some(&path)));
    set.map_err(|()| HttpError::BadUrl(target.url.to_owned()))?;
    let method = match target.method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    };
    let set = request.set_method(&method);
    set.map_err(|()| HttpError::NoAnswer(ErrorCode::HttpRequestMethodInvalid))
}

fn options(timeout: Duration) -> RequestOptions {
    let nanoseconds = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
    let options = RequestOptions::new();
    // A host that does not know one of them has its own.
    let _ = options.set_connect_timeout(Some(nanoseconds));
    let _ = options.set_first_byte_timeout(Some(nanoseconds));
    let _ = options.set_between_bytes_timeout(Some(nanoseconds));
    options
}

/// Writes as long as somebody takes it: a server may have its answer before it has read everything.
fn write(body: OutgoingBody, bytes: &[u8]) -> Result<(), StreamError> {
    if let Ok(stream) = body.write() {
        write_all(&stream, bytes)?;
    }
    // What is wrong with it shows in the answer.
    let _ = OutgoingBody::finish(body, None);
    Ok(())
}

fn write_all(stream: &OutputStream, mut bytes: &[u8]) -> Result<(), StreamError> {
    let ready = stream.subscribe();
    while !bytes.is_empty() {
        ready.block();
        let room = usize::try_from(stream.check_write()?).unwrap_or(usize::MAX);
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        stream.write(now)?;
        bytes = later;
    }
    Ok(())
}

fn read(response: &IncomingResponse) -> Result<Vec<u8>, HttpError> {
    let body = response.consume();
    let body = body.map_err(|()| unanswered("the body was taken"))?;
    let stream = body.stream();
    let stream = stream.map_err(|()| unanswered("the body was taken"))?;
    let bytes = read_all(&stream);
    // The stream goes before the body that it belongs to.
    drop(stream);
    drop::<IncomingBody>(body);
    bytes
}

fn read_all(stream: &InputStream) -> Result<Vec<u8>, HttpError> {
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(PIECE_BYTES) {
            Ok(piece) => bytes.extend(piece),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(error)) => {
                let code = http_error_code(&error);
                let code = code.unwrap_or(ErrorCode::InternalError(Some(error.to_debug_string())));
                return Err(HttpError::NoAnswer(code));
            }
        }
    }
}

fn unanswered(why: &str) -> HttpError {
    HttpError::NoAnswer(ErrorCode::InternalError(Some(why.to_owned())))
}
