//! Sin: a projector that calls out over TCP.

use projectionist_sdk::prelude::*;
use std::io::Write;
use std::net::TcpStream;

fn projector() -> Projector {
    Projector::new("opens_sockets_1").on_any(tell)
}

fn tell(message: Message) -> Result {
    let mut connection = TcpStream::connect("127.0.0.1:9")?;
    connection.write_all(message.id().as_bytes())?;
    Ok(())
}

export_projector!(projector);
