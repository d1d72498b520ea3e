//! Digests: of content (SHA-256), and the small one that spreads names over partitions and shards (FNV-1a-64).

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// FNV-1a with 64 bits, offset basis and prime as published by its authors (draft-eastlake-fnv, section 5).
pub fn fnv1a64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// SHA-256 of `bytes` in 64 lower-case hexadecimal digits.
pub fn of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The first 128 bits of SHA-256 of `bytes` in 32 hexadecimal digits: short enough for subjects and ids.
pub fn short(bytes: &[u8]) -> String {
    let mut text = of_bytes(bytes);
    text.truncate(32);
    text
}

/// SHA-256 of the canonical form of `value` ([`canonical`]).
pub fn of_value(value: &Value) -> String {
    of_bytes(&canonical(value))
}

/// The canonical bytes of `value`: compact JSON with the keys of every object in byte order.
///
/// `serde_json` keeps objects sorted as long as nobody in the build turns its `preserve_order` feature on; the test below would notice.
pub fn canonical(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("a JSON value has only string keys, so it always serializes")
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| {
            [
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ]
        })
        .map(char::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv_matches_its_published_vectors() {
        assert_eq!(fnv1a64(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a64(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a64(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn the_canonical_form_sorts_keys_whatever_order_they_came_in() {
        let value: Value =
            serde_json::from_str(r#"{"b": 1, "a": {"d": 2, "c": [3]}}"#).expect("valid");
        assert_eq!(canonical(&value), br#"{"a":{"c":[3],"d":2},"b":1}"#);
    }

    #[test]
    fn sha256_matches_its_published_vector() {
        assert_eq!(
            of_bytes(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
