//! What can go wrong on the bus, by what the caller does about it.

use fleetcast_schemas::DecodeError;

/// An error of the bus.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bus cannot be reached or does not answer: worth retrying. What was published may be stored all the same.
    #[error("the bus does not answer: {0}")]
    Unavailable(String),
    /// TLS with the bus does not come about; the text says what to do. Worth retrying: certificates are renewed while we wait.
    #[error("{0}")]
    Tls(String),
    /// Another message stands where this one was expected to go: read it and decide anew.
    #[error("another message was stored first: {0}")]
    Conflict(String),
    /// The stream is full: nothing is stored until there is room.
    #[error("the stream is full: {0}")]
    Full(String),
    /// The server is not fit: not worth retrying.
    #[error("{0}")]
    Unfit(String),
    /// A message could not be read: repeating changes nothing.
    #[error(transparent)]
    Unreadable(#[from] DecodeError),
    /// The server said no for another reason.
    #[error("{0}")]
    Refused(String),
}

impl Error {
    /// Whether the same call may work later.
    pub fn is_worth_retrying(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Tls(_) | Self::Full(_) => true,
            Self::Conflict(_) | Self::Unfit(_) | Self::Unreadable(_) | Self::Refused(_) => false,
        }
    }

    pub(crate) fn unavailable(error: impl std::fmt::Display) -> Self {
        Self::Unavailable(error.to_string())
    }

    pub(crate) fn refused(error: impl std::fmt::Display) -> Self {
        Self::Refused(error.to_string())
    }
}
