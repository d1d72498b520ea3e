//! When credentials and certificates end, and whether that is so soon that somebody is to be told.

use std::collections::BTreeMap;

use der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use der::{Decode, Reader, SliceReader, Tag, TagNumber};
use serde::Serialize;

use crate::time::Time;

const DAY_S: i64 = 24 * 60 * 60;
/// What ends within so long is told. Whoever renews does so earlier: cert-manager and agents after two thirds and a half of a life.
const SOON_S: i64 = 7 * DAY_S;

/// What ends some day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A user of the bus.
    Credentials,
    /// The certificate that we show to NATS servers.
    Certificate,
    /// The authorities that certificates of NATS servers may be signed by.
    Authority,
    /// The certificate that HTTP is served with.
    HttpCertificate,
    /// The authorities that whoever asks over HTTP must have a certificate of.
    HttpAuthority,
}

impl What {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Credentials,
        Self::Certificate,
        Self::Authority,
        Self::HttpCertificate,
        Self::HttpAuthority,
    ];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Certificate => "certificate",
            Self::Authority => "authority",
            Self::HttpCertificate => "http_certificate",
            Self::HttpAuthority => "http_authority",
        }
    }

    fn shown(self) -> &'static str {
        match self {
            Self::Credentials => "the credentials",
            Self::Certificate => "the certificate for the bus",
            Self::Authority => "the authority of the bus's certificates",
            Self::HttpCertificate => "the certificate of HTTP",
            Self::HttpAuthority => "the authority of HTTP's clients",
        }
    }
}

/// From when to when something counts, Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first second.
    pub begins_at: i64,
    /// The second at which it counts no more.
    pub ends_at: i64,
}

impl Span {
    /// Whether it ends within 7 days, or within a third of its life where that is less, or has ended.
    pub fn ends_soon(self, now: i64) -> bool {
        let life = self.ends_at.saturating_sub(self.begins_at).max(0);
        self.ends_at.saturating_sub(now) < SOON_S.min(life / 3)
    }

    /// From when to when a certificate counts (DER, RFC 5280 section 4.1); none where that cannot be read.
    pub fn of_certificate(certificate: &[u8]) -> Option<Self> {
        let mut parts = SliceReader::new(inside(AnyRef::from_der(certificate).ok()?)?).ok()?;
        let mut fields = SliceReader::new(inside(AnyRef::decode(&mut parts).ok()?)?).ok()?;
        let mut field = || AnyRef::decode(&mut fields).ok();
        let first = field()?;
        let version = Tag::ContextSpecific {
            constructed: true,
            number: TagNumber::N0,
        };
        if der::Tagged::tag(&first) == version {
            // The serial number, which stands first where there is no version.
            field()?;
        }
        let (_algorithm, _issuer) = (field()?, field()?);
        let mut times = SliceReader::new(inside(field()?)?).ok()?;
        let span = Self {
            begins_at: seconds(&mut times)?,
            ends_at: seconds(&mut times)?,
        };
        times.is_finished().then_some(span)
    }
}

fn inside(any: AnyRef<'_>) -> Option<&[u8]> {
    (der::Tagged::tag(&any) == Tag::Sequence).then(|| any.value())
}

fn seconds(times: &mut SliceReader<'_>) -> Option<i64> {
    let time = AnyRef::decode(times).ok()?;
    let since = match der::Tagged::tag(&time) {
        Tag::UtcTime => time.decode_as::<UtcTime>().ok()?.to_unix_duration(),
        Tag::GeneralizedTime => time.decode_as::<GeneralizedTime>().ok()?.to_unix_duration(),
        _ => return None,
    };
    i64::try_from(since.as_secs()).ok()
}

/// Something that ends, and the file in which it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// What it is.
    pub what: What,
    /// The file.
    pub file: String,
    /// From when to when it counts.
    pub span: Span,
}

impl Expiry {
    /// Of several certificates in one file that which ends next and has not ended; that which ended last where all have.
    pub fn of_certificates<'a>(
        what: What,
        file: &str,
        certificates: impl Iterator<Item = &'a [u8]>,
        now: i64,
    ) -> Option<Self> {
        let spans: Vec<Span> = certificates.filter_map(Span::of_certificate).collect();
        let living = spans.iter().filter(|span| span.ends_at > now);
        let next = living.min_by_key(|span| span.ends_at);
        let span = next.or_else(|| spans.iter().max_by_key(|span| span.ends_at))?;
        Some(Self {
            what,
            file: file.to_owned(),
            span: *span,
        })
    }

    /// What somebody is to be told about it; none while it counts for long enough.
    pub fn warning(&self, now: i64) -> Option<String> {
        let Self { what, file, span } = self;
        if !span.ends_soon(now) {
            return None;
        }
        let at = Time(span.ends_at.saturating_mul(1_000)).rfc3339();
        let next = match what {
            What::Credentials => "fleetcast auth renew FILE",
            What::Certificate | What::HttpCertificate => {
                "fleetcast tls issue NAME, or your own tool"
            }
            What::Authority | What::HttpAuthority => {
                "a file with the next authority beside it, then other certificates"
            }
        };
        let when = match span.ends_at - now {
            left if left <= 0 => "have ended".to_owned(),
            left if left < 2 * DAY_S => format!("end in {} hours", left / 3_600),
            left => format!("end in {} days", left / DAY_S),
        };
        let when = match what {
            What::Credentials => when,
            _ => when.replacen("have", "has", 1).replacen("end ", "ends ", 1),
        };
        Some(format!(
            "{} in {file} {when} ({at}); next: {next}",
            what.shown()
        ))
    }
}

/// What was told of what ends soon: each thing at once, and then once a day.
#[derive(Debug, Clone, Default)]
pub struct Told(BTreeMap<(What, String), i64>);

impl Told {
    /// The warnings that are due at `now`, of all that there is.
    pub fn due(&mut self, expiries: &[Expiry], now: i64) -> Vec<String> {
        let mut due = Vec::new();
        for expiry in expiries {
            let key = (expiry.what, expiry.file.clone());
            match expiry.warning(now) {
                None => drop(self.0.remove(&key)),
                Some(warning) => {
                    if self.0.get(&key).is_none_or(|told| now - told >= DAY_S) {
                        self.0.insert(key, now);
                        due.push(warning);
                    }
                }
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn a_warning_is_given_at_once_and_then_once_a_day() {
        let expiry = |ends_at| Expiry {
            what: What::Credentials,
            file: "a".to_owned(),
            span: Span {
                begins_at: NOW - 100 * DAY_S,
                ends_at,
            },
        };
        let (old, renewed) = ([expiry(NOW + 3 * DAY_S)], [expiry(NOW + 90 * DAY_S)]);
        let mut told = Told::default();
        let mut count = |expiries: &[Expiry], now: i64| told.due(expiries, now).len();
        for (expiries, after, expected) in [
            (&old, 0, 1),
            (&old, 5, 0),
            (&old, DAY_S - 1, 0),
            (&old, DAY_S, 1),
            (&renewed, DAY_S + 5, 0),
            (&old, DAY_S + 10, 1),
        ] {
            assert_eq!(count(expiries, NOW + after), expected, "{after}");
        }
    }

    #[test]
    fn what_ends_within_a_week_or_a_third_of_its_life_is_told() {
        for (life, left, soon) in [
            (365 * DAY_S, 8 * DAY_S, false),
            (365 * DAY_S, 7 * DAY_S, false),
            (365 * DAY_S, 7 * DAY_S - 1, true),
            (12 * 3_600, 4 * 3_600, false),
            (12 * 3_600, 4 * 3_600 - 1, true),
            (30 * DAY_S, -1, true),
            (0, 0, false),
            (0, -1, true),
        ] {
            let span = Span {
                begins_at: NOW + left - life,
                ends_at: NOW + left,
            };
            assert_eq!(span.ends_soon(NOW), soon, "{life} {left}");
        }
    }

    #[test]
    fn a_warning_says_what_when_and_what_to_do() {
        let warning = |what, left: i64| {
            let span = Span {
                begins_at: NOW - 400 * DAY_S,
                ends_at: NOW + left,
            };
            let file = "/keys/a".to_owned();
            Expiry { what, file, span }.warning(NOW)
        };
        assert_eq!(warning(What::Credentials, 30 * DAY_S), None);
        for (what, left, said) in [
            (
                What::Credentials,
                5 * DAY_S + 9,
                "the credentials in /keys/a end in 5 days (2027-01-20T08:00:09Z); next: fleetcast auth renew FILE",
            ),
            (
                What::Certificate,
                DAY_S,
                "the certificate for the bus in /keys/a ends in 24 hours (2027-01-16T08:00:00Z); next: fleetcast tls issue NAME, or your own tool",
            ),
            (
                What::Authority,
                0,
                "the authority of the bus's certificates in /keys/a has ended (2027-01-15T08:00:00Z); next: a file with the next authority beside it, then other certificates",
            ),
        ] {
            assert_eq!(warning(what, left).as_deref(), Some(said));
        }
    }

    /// A certificate as far as it is read: what stands in an unsigned one, with the fields before its validity.
    fn certificate(version: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
        let wrap = |tag: u8, parts: &[&[u8]]| {
            let inner = parts.concat();
            let length = u8::try_from(inner.len()).expect("short");
            [&[tag, length], inner.as_slice()].concat()
        };
        let (serial, algorithm, issuer) =
            (&[2, 1, 5][..], wrap(0x30, &[]), wrap(0x30, &[&[0x31, 0]]));
        let validity = wrap(0x30, &[from, to]);
        let fields = wrap(0x30, &[version, serial, &algorithm, &issuer, &validity]);
        wrap(0x30, &[&fields, &wrap(0x30, &[])])
    }

    #[test]
    fn the_times_of_a_certificate_are_read_in_both_forms() {
        let utc = b"\x17\x0d270115080000Z";
        let general = b"\x18\x0f20570115080000Z";
        let of = |version: &[u8], to: &[u8]| Span::of_certificate(&certificate(version, utc, to));
        for version in [&[][..], &[0xa0, 3, 2, 1, 2]] {
            let span = of(version, general).expect("read");
            assert_eq!(
                (span.begins_at, span.ends_at),
                (NOW, NOW + 946_771_200),
                "{version:?}"
            );
        }
        let whole = certificate(&[0xa0, 3, 2, 1, 2], utc, general);
        for cut in 0..whole.len() {
            assert_eq!(Span::of_certificate(&whole[..cut]), None, "{cut}");
        }
        assert_eq!(of(&[], b"\x17\x0d271315080000Z"), None, "the 13th month");
        assert_eq!(of(&[], &[2, 1, 5]), None, "a number");
    }

    #[test]
    fn of_several_the_next_to_end_counts() {
        let of = |year: &str| {
            let to = format!("\x18\x0f{year}0115080000Z");
            certificate(&[], b"\x17\x0d200115080000Z", to.as_bytes())
        };
        let next = |years: &[&str]| {
            let all: Vec<Vec<u8>> = years.iter().map(|year| of(year)).collect();
            let all = all.iter().map(Vec::as_slice);
            let found = Expiry::of_certificates(What::Authority, "ca", all, NOW)?;
            Some(Time(found.span.ends_at * 1_000).rfc3339())
        };
        let year = |year: &str| Some(format!("{year}-01-15T08:00:00Z"));
        assert_eq!(next(&["2060", "2030", "2026"]), year("2030"));
        assert_eq!(next(&["2025", "2026"]), year("2026"));
        assert_eq!(next(&[]), None);
    }
}
