//! Bodies: MessagePack with field names is written, MessagePack and JSON are read, both compressed with zstd over 1 KB.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::Read;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::envelope::{DATACONTENTTYPE, DecodeError, ENCODING, Headers, malformed};

/// Bodies longer than this are compressed, bytes.
const COMPRESS_OVER: usize = 1024;
/// zstd's level: its default, where speed and size meet.
const LEVEL: i32 = 3;
/// The longest body that is read, decompressed, bytes: an object of 3 MiB, with room for what stands around it.
pub const BODY_LIMIT: usize = 3 * 1024 * 1024 + 64 * 1024;

/// MessagePack's content type.
pub const MSGPACK: &str = "application/msgpack";
/// JSON's content type.
pub const JSON: &str = "application/json";

/// zstd's tables, kept by each thread: made anew for each message they cost more than compressing it does.
struct Zstd {
    compressor: zstd::bulk::Compressor<'static>,
    decompressor: zstd::bulk::Decompressor<'static>,
}

thread_local! {
    static ZSTD: RefCell<Option<Zstd>> = RefCell::new(Zstd::new().ok());
}

impl Zstd {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            compressor: zstd::bulk::Compressor::new(LEVEL)?,
            decompressor: zstd::bulk::Decompressor::new()?,
        })
    }

    /// Does `what` with the thread's own; none where that fails or they cannot be had.
    fn with<T>(what: impl FnOnce(&mut Self) -> std::io::Result<T>) -> Option<T> {
        ZSTD.with_borrow_mut(|zstd| what(zstd.as_mut()?).ok())
    }
}

/// Writes `body` in MessagePack and says in `headers` how.
pub fn encode<T: Serialize>(body: &T, headers: &mut Headers) -> Vec<u8> {
    let bytes = rmp_serde::to_vec_named(body)
        .expect("our own bodies have only named fields and string keys");
    headers.set(DATACONTENTTYPE, MSGPACK);
    compress(bytes, headers)
}

/// Compresses `bytes` where that pays and says so in `headers`.
pub fn compress(bytes: Vec<u8>, headers: &mut Headers) -> Vec<u8> {
    if bytes.len() > COMPRESS_OVER
        && let Some(compressed) = Zstd::with(|zstd| zstd.compressor.compress(&bytes))
        && compressed.len() < bytes.len()
    {
        headers.set(ENCODING, "zstd");
        return compressed;
    }
    bytes
}

/// The bytes of a body, decompressed up to `limit`.
///
/// # Errors
/// Where the encoding is not known, the bytes are no zstd, or there are more than `limit`.
pub fn decompress<'a>(
    payload: &'a [u8],
    headers: &Headers,
    limit: usize,
) -> Result<Cow<'a, [u8]>, DecodeError> {
    let bytes = match headers.get(ENCODING) {
        None => Cow::Borrowed(payload),
        Some("zstd") => {
            let said = zstd::zstd_safe::get_frame_content_size(payload).ok();
            let said = said.flatten().and_then(|said| usize::try_from(said).ok());
            let whole = said
                .filter(|said| *said <= limit)
                .and_then(|said| Zstd::with(|zstd| zstd.decompressor.decompress(payload, said)));
            Cow::Owned(match whole {
                Some(bytes) => bytes,
                // It does not say how long it is, or says something untrue, or too much.
                None => decompress_in_steps(payload, limit)?,
            })
        }
        Some(other) => return Err(malformed(ENCODING, other)),
    };
    if bytes.len() > limit {
        Err(DecodeError::TooLarge { limit })
    } else {
        Ok(bytes)
    }
}

fn decompress_in_steps(payload: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    zstd::stream::read::Decoder::new(payload)
        .and_then(|decoder| decoder.take(most).read_to_end(&mut bytes))
        .map_err(|error| DecodeError::Body(format!("no zstd: {error}")))?;
    Ok(bytes)
}

/// Reads a body that says in `headers` how it is written.
///
/// # Errors
/// Where it is too large, of another content type, or malformed.
pub fn decode<T: DeserializeOwned>(payload: &[u8], headers: &Headers) -> Result<T, DecodeError> {
    let bytes = decompress(payload, headers, BODY_LIMIT)?;
    match headers.required(DATACONTENTTYPE)? {
        MSGPACK => {
            rmp_serde::from_slice(&bytes).map_err(|error| DecodeError::Body(error.to_string()))
        }
        JSON => {
            serde_json::from_slice(&bytes).map_err(|error| DecodeError::Body(error.to_string()))
        }
        other => Err(malformed(DATACONTENTTYPE, other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleetcast_core::document::Document;
    use serde_json::json;

    #[test]
    fn long_bodies_are_compressed_and_come_back() {
        for length in [10, 5_000] {
            let document = Document::from_value(&json!({"data": {"text": "x".repeat(length)}}));
            let mut headers = Headers::default();
            let payload = encode(&document, &mut headers);
            assert_eq!(headers.get(ENCODING).is_some(), length > COMPRESS_OVER);
            assert_eq!(decode::<Document>(&payload, &headers), Ok(document));
        }
    }

    #[test]
    fn a_small_body_that_swells_is_stopped_at_the_limit() {
        let mut headers = Headers::default();
        let payload = compress(vec![0; BODY_LIMIT + 1], &mut headers);
        assert!(payload.len() < 10_000);
        assert_eq!(
            decompress(&payload, &headers, BODY_LIMIT),
            Err(DecodeError::TooLarge { limit: BODY_LIMIT })
        );
    }

    #[test]
    fn hostile_bytes_are_refused() {
        let plain = Headers::default().with(DATACONTENTTYPE, MSGPACK);
        let zstd = plain.clone().with(ENCODING, "zstd");
        let odd = plain.clone().with(ENCODING, "lzma");
        for (payload, headers) in [
            (&b"\xc1"[..], &plain),
            (b"{}", &zstd),
            (b"", &zstd),
            (b"", &odd),
            (b"", &Headers::default()),
        ] {
            assert!(decode::<Vec<String>>(payload, headers).is_err());
        }
    }
}
