//! The name of a header: one of ours by its number, so that looking for it compares no texts; any other as it is.

use std::cmp::Ordering;

use super::{
    CAUSATION, CORRELATION, DATACONTENTTYPE, DATAREF, DECISION, DECISION_EPOCH, DIGEST, ENCODING,
    EPOCH, ID, INCARNATION, KEY, MAC, MSG_ID, N, REVISION, SOURCE, SPECVERSION, SUBJECT, TERM,
    TIME, TYPE,
};

/// A header's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// One of [`NAMES`], by its place there.
    Known(u8),
    /// Any other.
    Other(Box<str>),
}

/// Names the known headers in the order of their bytes, and finds them by a `match`, which compares lengths first and then whole words.
macro_rules! names {
    ($($number:literal $name:ident,)*) => {
        /// The names of our own headers and of JetStream's, in the order of their bytes.
        const NAMES: &[&str] = &[$($name),*];

        fn number(name: &str) -> Option<u8> {
            match name {
                $($name => Some($number),)*
                _ => None,
            }
        }
    };
}

names! {
    0 MSG_ID,
    1 CAUSATION,
    2 CORRELATION,
    3 DATACONTENTTYPE,
    4 DATAREF,
    5 ID,
    6 SOURCE,
    7 SPECVERSION,
    8 SUBJECT,
    9 TIME,
    10 TYPE,
    11 DECISION,
    12 DECISION_EPOCH,
    13 DIGEST,
    14 ENCODING,
    15 EPOCH,
    16 INCARNATION,
    17 KEY,
    18 MAC,
    19 N,
    20 REVISION,
    21 TERM,
}

impl Name {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Known(number) => NAMES[usize::from(*number)],
            Self::Other(name) => name,
        }
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        number(name).map_or_else(|| Self::Other(name.into()), Self::Known)
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Known(one), Self::Known(other)) => one.cmp(other),
            (one, other) => one.as_str().cmp(other.as_str()),
        }
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_numbers_is_that_of_the_names() {
        assert!(NAMES.is_sorted());
        for (at, name) in NAMES.iter().enumerate() {
            assert_eq!(number(name).map(usize::from), Some(at), "{name}");
            assert_eq!(Name::from(*name).as_str(), *name);
        }
        let mut names = ["x", TYPE, "ce-", "Nats-", MSG_ID, "z", ""].map(Name::from);
        names.sort();
        let names = names.each_ref().map(Name::as_str);
        assert_eq!(names, ["", "Nats-", MSG_ID, "ce-", TYPE, "x", "z"]);
    }
}
