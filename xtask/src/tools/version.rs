//! Versions as tools print them, compared to the oldest that will do.

use std::fmt;

/// A released version. A candidate (`2.15.1-RC.1`) is taken for older than its release: see [`Version::found_in`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u32, pub(crate) u32, pub(crate) u32);

/// What a tool says that it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    version: Version,
    candidate: bool,
}

impl Version {
    /// Reads the first word that is a version: `nats-server: v2.15.1`, `cargo-deny 0.20.2`.
    pub(crate) fn found_in(printed: &str) -> Option<Found> {
        printed.split_whitespace().find_map(|word| {
            let word = word.strip_prefix('v').unwrap_or(word);
            // A build's name after `+` says nothing about its age.
            let word = word.split('+').next()?;
            let (numbers, candidate) = word
                .split_once('-')
                .map_or((word, false), |(numbers, _)| (numbers, true));
            let mut numbers = numbers.split('.').map(str::parse::<u32>);
            let version = Version(
                numbers.next()?.ok()?,
                numbers.next()?.ok()?,
                numbers.next()?.ok()?,
            );
            numbers
                .next()
                .is_none()
                .then_some(Found { version, candidate })
        })
    }
}

impl Found {
    /// Whether it is the oldest that will do or newer.
    pub(crate) fn reaches(&self, oldest: Version) -> bool {
        self.version > oldest || (self.version == oldest && !self.candidate)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl fmt::Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}{}",
            self.version,
            if self.candidate { " (a candidate)" } else { "" }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows which printed versions will do where 2.15.1 is asked for.
    #[test]
    fn a_printed_version_reaches_the_oldest_or_not() {
        let oldest = Version(2, 15, 1);
        for (printed, reaches) in [
            ("nats-server: v2.15.1", Some(true)),
            ("nats-server: v2.15.2-RC.1", Some(true)),
            ("nats-server: v3.0.0", Some(true)),
            ("nats-server: v2.15.1+build.7", Some(true)),
            ("nats-server: v2.15.1-RC.1", Some(false)),
            ("nats-server: v2.9.23", Some(false)),
            ("cargo-deny 0.20.2", Some(false)),
            ("nats-server: v2.15", None),
            ("nats-server: v2.15.1.4", None),
            ("no version at all", None),
            ("", None),
        ] {
            let found = Version::found_in(printed);
            assert_eq!(
                found.map(|found| found.reaches(oldest)),
                reaches,
                "{printed:?}"
            );
        }
    }
}
