//! A way to the server that counts how often each user asks and waits for an answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use super::TestDatabase;

/// The version of the protocol in a message that opens a session. What else comes without a type asks for encryption.
const SESSION: u32 = 3 << 16;

/// Round trips by the name of the user: how each began.
#[derive(Clone, Default)]
struct Counts(Arc<Mutex<HashMap<String, Vec<String>>>>);

/// So many characters of a statement tell which one it is.
const TOLD: usize = 300;

/// Listens as long as the test's runtime.
pub struct RoundTrips {
    url: String,
    counts: Counts,
}

impl RoundTrips {
    pub async fn to(database: &TestDatabase) -> RoundTrips {
        let options: PgConnectOptions = database.url().parse().expect("a URL");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let name = options.get_database().expect("a database").to_owned();
        let user = options.get_username().to_owned();
        let counts = Counts::default();
        tokio::spawn(accept(listener, options, counts.clone()));
        RoundTrips {
            url: format!("postgres://{user}@127.0.0.1:{port}/{name}?sslmode=disable"),
            counts,
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Those of the roles of a subscription.
    pub fn of(&self, subscription: &str) -> u64 {
        let counts = self.counts.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts
            .iter()
            .filter(|(user, _)| user.contains(subscription))
            .map(|(_, asked)| asked.len() as u64)
            .sum()
    }

    /// What the roles of a subscription asked, after so many round trips.
    pub fn asked(&self, subscription: &str, after: u64) -> String {
        let counts = self.counts.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_it = counts
            .iter()
            .filter(|(user, _)| user.contains(subscription));
        let asked = of_it.flat_map(|(_, asked)| asked).skip(after as usize);
        asked.map(|one| format!("\n  {one}")).collect()
    }
}

impl Counts {
    fn add(&self, user: &str, body: &[u8]) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = String::from_utf8_lossy(body).chars().take(TOLD).collect();
        counts.entry(user.to_owned()).or_default().push(told);
    }
}

async fn accept(listener: TcpListener, options: PgConnectOptions, counts: Counts) {
    while let Ok((client, _)) = listener.accept().await {
        let (options, counts) = (options.clone(), counts.clone());
        tokio::spawn(async move {
            let port = options.get_port();
            match options.get_socket() {
                Some(directory) => {
                    let path = directory.join(format!(".s.PGSQL.{port}"));
                    let server = UnixStream::connect(path).await.expect("the server");
                    pass_on(client, server, counts).await;
                }
                None => {
                    let host = options.get_host().to_owned();
                    let server = TcpStream::connect((host, port)).await.expect("the server");
                    pass_on(client, server, counts).await;
                }
            }
        });
    }
}

async fn pass_on<S>(client: TcpStream, server: S, counts: Counts)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    client.set_nodelay(true).expect("an option of every socket");
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let answers = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
    });
    let mut session = Session::default();
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length) = from_client.read(&mut piece).await
        && length > 0
    {
        session.look_at(&piece[..length], &counts);
        if to_server.write_all(&piece[..length]).await.is_err() {
            break;
        }
    }
    let _ = to_server.shutdown().await;
    let _ = answers.await;
}

/// What a client has said that is not looked at yet, and who it is.
#[derive(Default)]
struct Session {
    user: Option<String>,
    pending: Vec<u8>,
}

impl Session {
    fn look_at(&mut self, piece: &[u8], counts: &Counts) {
        self.pending.extend_from_slice(piece);
        while let Some((kind, body)) = self.next_message() {
            match (kind, &self.user) {
                (None, _) => self.user = user(&body).or(self.user.take()),
                // A query in text, or the end of what was sent before an answer is wanted.
                (Some(b'Q' | b'S'), Some(user)) => counts.add(user, &body),
                _ => {}
            }
        }
    }

    /// The next whole message: its type, which the first ones have not, and its body.
    fn next_message(&mut self) -> Option<(Option<u8>, Vec<u8>)> {
        let typed = usize::from(self.user.is_some());
        let length = self.pending.get(typed..typed + 4)?;
        let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
        if self.pending.len() < typed + length {
            return None;
        }
        let message: Vec<u8> = self.pending.drain(..typed + length).collect();
        let kind = (typed == 1).then_some(message[0]);
        Some((kind, message[typed + 4..].to_vec()))
    }
}

/// The user of a message that opens a session.
fn user(body: &[u8]) -> Option<String> {
    let (version, rest) = body.split_at_checked(4)?;
    if u32::from_be_bytes(version.try_into().ok()?) != SESSION {
        return None;
    }
    let words: Vec<&[u8]> = rest.split(|byte| *byte == 0).collect();
    let named = words.chunks(2).find(|pair| pair[0] == b"user")?;
    Some(String::from_utf8_lossy(named.get(1)?).into_owned())
}
