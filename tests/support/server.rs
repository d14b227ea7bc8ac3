//! Small HTTP servers, good and bad, for what processors send.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::repository;

/// What a server does with every request.
#[derive(Clone)]
pub enum Answers {
    /// This status line and these headers, and this body.
    With(&'static str, String),
    /// The request again, as the body of the answer.
    WithTheRequest,
    Never,
    EndlessHeaders,
    EndlessBody,
    /// A body of one byte now and then.
    Drip,
    /// Half of a body.
    Half,
}

/// A server of this process. Gone when it is dropped.
pub struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    connected: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Server {
    pub async fn start(answers: Answers) -> Server {
        Server::at("127.0.0.1:0", answers).await
    }

    /// At an address with a port; 0 is any.
    pub async fn at(address: &str, answers: Answers) -> Server {
        Server::serve(address, answers, None).await
    }

    /// With the certificate of the tests, which is for `localhost` and `127.0.0.1`.
    pub async fn with_tls(answers: Answers) -> Server {
        let folder = repository().join("tests/tls");
        let chain = CertificateDer::pem_file_iter(folder.join("server.pem"));
        let chain = chain
            .expect("a file")
            .map(|found| found.expect("a certificate"));
        let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).expect("a key");
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain.collect(), key)
            .expect("a certificate with its key");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Server::serve("127.0.0.1:0", answers, Some(acceptor)).await
    }

    async fn serve(address: &str, answers: Answers, tls: Option<TlsAcceptor>) -> Server {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connected = Arc::new(AtomicUsize::new(0));
        let (seen_by, counted) = (Arc::clone(&seen), Arc::clone(&connected));
        let serving = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                counted.fetch_add(1, Ordering::Relaxed);
                let (answers, seen, tls) = (answers.clone(), Arc::clone(&seen_by), tls.clone());
                // Who goes away in the middle is no failure of the server.
                tokio::spawn(async move {
                    match tls {
                        None => answer(stream, &answers, &seen).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => answer(stream, &answers, &seen).await,
                            Err(_) => Ok(()),
                        },
                    }
                });
            }
        });
        Server {
            address,
            seen,
            connected,
            serving,
        }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `http://address:port`.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests that have come, each as its text.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no panic holds it").clone()
    }

    /// How often somebody has connected.
    pub fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answers: &Answers,
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let request = read(&mut stream).await?;
    seen.lock()
        .expect("no panic holds it")
        .push(request.clone());
    match answers {
        Answers::With(head, body) => write(&mut stream, head, body).await,
        Answers::WithTheRequest => write(&mut stream, "HTTP/1.1 200 OK", &request).await,
        Answers::Never => std::future::pending().await,
        Answers::EndlessHeaders => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            loop {
                stream.write_all(b"x-more: and-more-and-more\r\n").await?;
            }
        }
        Answers::EndlessBody => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
                .await?;
            loop {
                stream.write_all(&[b'x'; 16 * 1024]).await?;
            }
        }
        Answers::Half => {
            let half = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";
            stream.write_all(half).await?;
            stream.flush().await?;
            std::future::pending().await
        }
        Answers::Drip => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
                .await?;
            loop {
                stream.write_all(b"x").await?;
                stream.flush().await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    head: &str,
    body: &str,
) -> std::io::Result<()> {
    let text = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

/// Head and body of a request. The body is read as far as `content-length` says.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|text| text.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                return Ok(text.into_owned());
            }
        }
        let mut piece = [0; 16 * 1024];
        match stream.read(&mut piece).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&piece[..count]),
        }
    }
}
