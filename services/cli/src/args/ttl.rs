//! How long credentials and tokens count, as it is typed.

use std::time::Duration;

use super::duration;

/// How long a credential counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ttl {
    /// So long.
    For(Duration),
    /// Until it is revoked.
    Never,
}

pub(crate) fn ttl(text: &str) -> Result<Ttl, String> {
    match text {
        "never" => Ok(Ttl::Never),
        text => duration(text).map(Ttl::For),
    }
}
