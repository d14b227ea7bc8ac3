//! The binary format of COPY, as far as the log needs it. Nothing is escaped and nothing is parsed again, which makes it the
//! fastest way in.

use time::OffsetDateTime;
use uuid::Uuid;

use super::recorded_event::POSTGRES_EPOCH_MICROS;

/// The OID of the type `text`, which is part of the format of an array.
const TEXT_OID: i32 = 25;

/// Rows on their way to the server.
pub(super) struct CopyRows {
    bytes: Vec<u8>,
}

impl CopyRows {
    pub(super) fn with_capacity(size_bytes: usize) -> CopyRows {
        let mut bytes = Vec::with_capacity(size_bytes);
        bytes.extend_from_slice(b"PGCOPY\n\xff\r\n\0");
        // No flags, and no extension of the header.
        bytes.extend_from_slice(&[0; 8]);
        CopyRows { bytes }
    }

    /// Begins a row. As many fields have to follow.
    pub(super) fn row(&mut self, fields: i16) {
        self.bytes.extend_from_slice(&fields.to_be_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.field(text.as_bytes());
    }

    pub(super) fn bigint(&mut self, number: i64) {
        self.field(&number.to_be_bytes());
    }

    pub(super) fn uuid(&mut self, id: Option<Uuid>) {
        match id {
            Some(id) => self.field(id.as_bytes()),
            None => self.bytes.extend_from_slice(&(-1i32).to_be_bytes()),
        }
    }

    pub(super) fn timestamp(&mut self, at: OffsetDateTime) {
        let micros = at.unix_timestamp_nanos() / 1_000 - i128::from(POSTGRES_EPOCH_MICROS);
        self.bigint(i64::try_from(micros).expect("years up to 9999 fit 64 bits of microseconds"));
    }

    pub(super) fn texts(&mut self, texts: &[String]) {
        let start = self.bytes.len();
        self.number(0);
        self.number(if texts.is_empty() { 0 } else { 1 });
        self.number(0);
        self.number(TEXT_OID);
        if !texts.is_empty() {
            self.number(length(texts.len()));
            self.number(1);
            for text in texts {
                self.text(text);
            }
        }
        let size = length(self.bytes.len() - start - 4);
        self.bytes[start..start + 4].copy_from_slice(&size.to_be_bytes());
    }

    /// The bytes of all rows, with the end that the format asks for.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&(-1i16).to_be_bytes());
        self.bytes
    }

    fn field(&mut self, bytes: &[u8]) {
        self.number(length(bytes.len()));
        self.bytes.extend_from_slice(bytes);
    }

    fn number(&mut self, number: i32) {
        self.bytes.extend_from_slice(&number.to_be_bytes());
    }
}

fn length(length: usize) -> i32 {
    i32::try_from(length).expect("every part of an event is limited to a few MiB")
}
