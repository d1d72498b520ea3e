//! What a connection and a request may cost.

use std::time::Duration;

/// What a connection may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many connections may be open; others wait until one ends.
    pub connections: usize,
    /// How long the head of a request may take, and how long a connection may say nothing between two.
    pub head: Duration,
    /// How long a head may be, bytes.
    pub head_bytes: usize,
    /// How long a body may take to arrive.
    pub body: Duration,
    /// How long a connection may be used; whoever has more to ask connects anew.
    pub lifetime: Duration,
    /// How long a request may still take when the connection or the service ends.
    pub last_request: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            head: Duration::from_secs(10),
            head_bytes: 32 * 1024,
            body: Duration::from_secs(20),
            lifetime: Duration::from_secs(300),
            last_request: Duration::from_secs(30),
        }
    }
}
