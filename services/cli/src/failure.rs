//! How a command ends when it does not end well, as an exit status: 1 refused or not converged, 2 wrong usage, 3 cannot reach the bus.

use std::process::ExitCode;

use fleetcast_aggregator::client;

/// Why a command did not end well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something was refused or did not converge, and all is said already.
    Said,
    /// Something was refused or did not work.
    Refused(String),
    /// The arguments do not fit together.
    Usage(String),
    /// The bus cannot be reached.
    Unreachable(String),
}

impl Failure {
    /// Tells the person, and gives the exit status.
    pub(crate) fn report(self) -> ExitCode {
        let (text, status) = match self {
            Self::Said => return ExitCode::from(1),
            Self::Refused(text) => (text, 1),
            Self::Usage(text) => (text, 2),
            Self::Unreachable(text) => (text, 3),
        };
        eprintln!("error: {text}");
        ExitCode::from(status)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Refused(format!("{error:#}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        // A reader that has seen enough (`| head`) is no failure of ours.
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::Said
        } else {
            Self::Refused(error.to_string())
        }
    }
}

impl From<fleetcast_bus::Error> for Failure {
    fn from(error: fleetcast_bus::Error) -> Self {
        if error.is_worth_retrying() {
            Self::Unreachable(error.to_string())
        } else {
            Self::Refused(error.to_string())
        }
    }
}

impl From<fleetcast_bus::backup::Error> for Failure {
    fn from(error: fleetcast_bus::backup::Error) -> Self {
        match error {
            fleetcast_bus::backup::Error::Bus(error) => error.into(),
            other => Self::Refused(other.to_string()),
        }
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        match error {
            client::Error::NotAnswered(error) => Self::Unreachable(format!(
                "the view does not answer: {error}\nis the aggregator running? `fleetcast up` starts everything on this machine"
            )),
            client::Error::Refused(refusal) => {
                Self::Refused(format!("{}: {}", refusal.field, refusal.message))
            }
            client::Error::Malformed(error) => Self::Refused(format!(
                "the view answers in a form that this version cannot read: {error}"
            )),
        }
    }
}
