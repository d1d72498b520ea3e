//! A certificate authority in a folder, for a fleet that has none of its own: certificates of NATS servers, of HTTP, and of whoever connects.
//!
//! | file | what |
//! |---|---|
//! | `ca.crt` | the authority's certificate: whoever connects is given it; nothing secret |
//! | `ca.key` | its key, mode 0600: needed to issue, and by nothing that runs |
//! | `NAME.crt`, `NAME.key` | what was issued; a renewed certificate keeps its key, so that both fit at every moment |
//! | `issued.json` | names, hosts and ends of what was issued; nothing secret |

use std::collections::BTreeMap;
use std::fs::File;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use fleetcast_bus::credentials::{Readers, read_secret, write_secret};
use fleetcast_bus::tls;
use fleetcast_core::expiry::{Span, What};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::Error;

const DAY_S: i64 = 24 * 60 * 60;
/// How long the authority counts.
const CA_DAYS: i64 = 3_650;
/// A certificate counts from a little earlier on, for clocks that are behind.
const EARLIER_S: i64 = 5 * 60;
/// The authority's own name among the files.
const CA: &str = "ca";
/// How long a name may be, bytes: it stands in a file name, and in a certificate, where RFC 5280 allows 64.
const NAME_LIMIT: usize = 64;

/// A certificate authority, as its folder has it.
pub struct Certificates {
    folder: PathBuf,
    issued: BTreeMap<String, Issued>,
    // Held while the folder is open: two commands at the same time would forget each other's certificates.
    _lock: File,
}

/// A certificate that was issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// The DNS names and addresses that it is for; none for one that only connects.
    pub hosts: Vec<String>,
    /// When it was issued, Unix seconds.
    pub issued_at: i64,
    /// When it ends, Unix seconds.
    pub ends_at: i64,
}

impl Issued {
    /// Whether it ends soon, or has ended.
    pub fn ends_soon(&self, now: i64) -> bool {
        let (begins_at, ends_at) = (self.issued_at, self.ends_at);
        Span { begins_at, ends_at }.ends_soon(now)
    }
}

impl Certificates {
    /// Makes an authority in a new folder.
    ///
    /// # Errors
    /// Where there is one already, or the folder cannot be written.
    pub fn init(folder: &Path, now: i64) -> Result<Self, Error> {
        use std::os::unix::fs::DirBuilderExt;
        if Self::is_there(folder) {
            return Err(Error::Refused(format!(
                "there is a certificate authority in {} already: a new one would make every certificate that it issued useless; name another folder with --dir",
                folder.display()
            )));
        }
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(Error::io(folder))?;
        let new = Self {
            folder: folder.to_owned(),
            issued: BTreeMap::new(),
            _lock: crate::authority::lock(folder)?,
        };
        let key = KeyPair::generate().map_err(malformed)?;
        let mut params = ca_params(&key);
        params.not_before = at(now - EARLIER_S)?;
        params.not_after = at(now + CA_DAYS * DAY_S)?;
        params.serial_number = Some(serial());
        let certificate = params.self_signed(&key).map_err(malformed)?;
        write_secret(&new.key(CA), key.serialize_pem().as_bytes())?;
        new.save()?;
        // Last: without it the folder counts as empty.
        new.write(&new.certificate(CA), &certificate.pem())?;
        Ok(new)
    }

    /// Whether there is an authority in a folder.
    pub fn is_there(folder: &Path) -> bool {
        folder.join("ca.crt").exists()
    }

    /// Opens the folder of an authority, for one process at a time.
    ///
    /// # Errors
    /// Where there is none, or it cannot be read.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        if !Self::is_there(folder) {
            return Err(Error::Refused(format!(
                "there is no certificate authority in {dir}; next: fleetcast tls init --dir {dir}",
                dir = folder.display()
            )));
        }
        let lock = crate::authority::lock(folder)?;
        let path = folder.join("issued.json");
        let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
        let issued = serde_json::from_slice(&bytes)
            .map_err(|error| Error::Malformed(format!("{}: {error}", path.display())))?;
        Ok(Self {
            folder: folder.to_owned(),
            issued,
            _lock: lock,
        })
    }

    /// Opens the authority in a folder, or makes it.
    ///
    /// # Errors
    /// Where it cannot be read or written.
    pub fn open_or_init(folder: &Path, now: i64) -> Result<Self, Error> {
        match Self::is_there(folder) {
            true => Self::open(folder),
            false => Self::init(folder, now),
        }
    }

    /// Issues a certificate that servers and clients may use, or renews one: with its key, and for its hosts where `hosts` is empty.
    ///
    /// # Errors
    /// Where a name or a host is none, or the authority's key cannot be read.
    pub fn issue(
        &mut self,
        name: &str,
        hosts: &[String],
        ttl_s: u64,
        now: i64,
    ) -> Result<&Issued, Error> {
        check_name(name)?;
        let known = self.issued.get(name);
        let hosts = match (hosts, known) {
            ([], Some(known)) => known.hosts.clone(),
            (hosts, _) => hosts.to_vec(),
        };
        let ca = self.read_key(CA)?;
        let key = match self.key(name).exists() {
            true => self.read_key(name)?,
            false => KeyPair::generate().map_err(malformed)?,
        };
        let ends_at = now.saturating_add(i64::try_from(ttl_s).unwrap_or(i64::MAX));
        let mut params = CertificateParams::default();
        params.subject_alt_names = hosts
            .iter()
            .map(|host| subject(host))
            .collect::<Result<_, _>>()?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = at(now - EARLIER_S)?;
        params.not_after = at(ends_at)?;
        params.serial_number = Some(serial());
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // NATS servers of one cluster are clients of each other.
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let issuer = Issuer::new(ca_params(&ca), ca);
        let certificate = params.signed_by(&key, &issuer).map_err(malformed)?;
        if known.is_none() || !self.key(name).exists() {
            write_secret(&self.key(name), key.serialize_pem().as_bytes())?;
        }
        self.write(&self.certificate(name), &certificate.pem())?;
        let issued = Issued {
            hosts,
            issued_at: now,
            ends_at,
        };
        self.issued.insert(name.to_owned(), issued);
        self.save()?;
        Ok(&self.issued[name])
    }

    /// From when to when the authority counts; none where its certificate cannot be read.
    pub fn span(&self, now: i64) -> Option<Span> {
        let expiry = tls::expiry(What::Authority, &self.authority(), now)?;
        Some(expiry.span)
    }

    /// Issues a certificate under a new key for somebody who only connects, and who is to keep that key: whoever gets it calls [`Certificates::forget_key`].
    ///
    /// # Errors
    /// Where the name is none or that of a server's certificate, or the authority's key cannot be read.
    pub fn issue_apart(&mut self, name: &str, ttl_s: u64, now: i64) -> Result<&Issued, Error> {
        if self
            .issued
            .get(name)
            .is_some_and(|known| !known.hosts.is_empty())
        {
            return Err(Error::Refused(format!(
                "{name} is a server's certificate in {}: whoever only connects gets none with its names",
                self.folder.display()
            )));
        }
        check_name(name)?;
        self.forget_key(name)?;
        self.issue(name, &[], ttl_s, now)
    }

    /// Takes the key of a name out of the folder: another holds it, and the next certificate of that name gets a new one.
    ///
    /// # Errors
    /// Where it cannot be taken away.
    pub fn forget_key(&self, name: &str) -> Result<(), Error> {
        let path = self.key(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(&path)(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// What was issued, by name.
    pub fn issued(&self) -> &BTreeMap<String, Issued> {
        &self.issued
    }

    /// The authority's certificate: whoever connects is given it.
    pub fn authority(&self) -> PathBuf {
        self.certificate(CA)
    }

    /// The certificate of a name.
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.crt"))
    }

    /// The key of a name.
    pub fn key(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.key"))
    }

    fn read_key(&self, name: &str) -> Result<KeyPair, Error> {
        let path = self.key(name);
        let text = read_secret(&path, Readers::Owner)?;
        KeyPair::from_pem(&text)
            .map_err(|error| Error::Malformed(format!("{}: {error}", path.display())))
    }

    fn save(&self) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(&self.issued)
            .expect("a map with strings as keys always serializes");
        self.write(&self.folder.join("issued.json"), &text)
    }

    /// Writes what everybody may read, in one step.
    fn write(&self, path: &Path, text: &str) -> Result<(), Error> {
        use std::os::unix::fs::PermissionsExt;
        let next = path.with_extension("next");
        std::fs::write(&next, text).map_err(Error::io(&next))?;
        let everybody = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(&next, everybody).map_err(Error::io(&next))?;
        std::fs::rename(&next, path).map_err(Error::io(path))
    }
}

/// What the authority is called follows from its key, so that a certificate can be issued without reading its own.
fn ca_params(key: &KeyPair) -> CertificateParams {
    let mut params = CertificateParams::default();
    let id = params.key_identifier(key);
    let id: String = id
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("Fleetcast CA {id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn subject(host: &str) -> Result<SanType, Error> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let is_name = |name: &str| {
        name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        })
    };
    let refused = || {
        Error::Refused(format!(
            "{host:?} is no host: a DNS name (nats.example.com), one with a wildcard in front (*.nats.example.com), or an address, without a port"
        ))
    };
    if host.len() > 253 || !is_name(host.strip_prefix("*.").unwrap_or(host)) {
        return Err(refused());
    }
    host.try_into().map(SanType::DnsName).map_err(|_| refused())
}

fn check_name(name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let fits = !name.is_empty() && name.len() <= NAME_LIMIT && name.chars().all(plain);
    if !fits || name.starts_with('.') || name == CA || name == "issued" {
        return Err(Error::Refused(format!(
            "{name:?} is no name of a certificate: 1 to {NAME_LIMIT} letters, digits, and -._, and not {CA} or issued"
        )));
    }
    Ok(())
}

fn serial() -> SerialNumber {
    let mut bytes = [0; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the system has randomness");
    // Positive, and not shorter: RFC 5280, section 4.1.2.2.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn at(seconds: i64) -> Result<OffsetDateTime, Error> {
    // A certificate cannot say a later time: RFC 5280, section 4.1.2.5.
    let last = 253_402_300_799;
    OffsetDateTime::from_unix_timestamp(seconds.min(last))
        .map_err(|error| Error::Malformed(error.to_string()))
}

fn malformed(error: rcgen::Error) -> Error {
    Error::Malformed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_793_541_780;

    #[test]
    fn what_is_renewed_keeps_its_key_and_its_hosts() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("tls");
        let mut made = Certificates::init(&dir, NOW).expect("made");
        let hosts = ["nats-1", "*.nats.svc", "127.0.0.1", "::1"].map(str::to_owned);
        let first = made
            .issue("nats", &hosts, 3_600, NOW)
            .expect("issued")
            .clone();
        assert_eq!(
            (first.hosts.as_slice(), first.ends_at),
            (&hosts[..], NOW + 3_600)
        );
        let read = |path: PathBuf| std::fs::read_to_string(path).expect("read");
        let (key, certificate) = (read(made.key("nats")), read(made.certificate("nats")));
        assert!(
            Certificates::init(&dir, NOW).is_err_and(|why| why.to_string().contains("already"))
        );
        let life = made.span(NOW).expect("the authority's certificate is read");
        assert_eq!(
            (life.begins_at, life.ends_at),
            (NOW - EARLIER_S, NOW + CA_DAYS * DAY_S)
        );
        drop(made);

        let mut again = Certificates::open(&dir).expect("opened");
        let renewed = again.issue("nats", &[], 7_200, NOW + 60).expect("renewed");
        assert_eq!(
            (renewed.hosts.as_slice(), renewed.ends_at),
            (&hosts[..], NOW + 7_260)
        );
        assert_eq!(read(again.key("nats")), key);
        assert_ne!(read(again.certificate("nats")), certificate);
        // Another key, where the old one is taken away.
        std::fs::remove_file(again.key("nats")).expect("removed");
        again.issue("nats", &[], 60, NOW).expect("issued");
        assert_ne!(read(again.key("nats")), key);
        for secret in ["nats", CA] {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(again.key(secret))
                .expect("there")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{secret}");
        }
    }

    #[test]
    fn what_is_issued_for_somebody_else_leaves_no_key_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut made = Certificates::init(folder.path(), NOW).expect("made");
        let read = |path: PathBuf| std::fs::read_to_string(path).expect("read");
        let issued = made.issue_apart("agent-eu-1", 60, NOW).expect("issued");
        assert!(issued.hosts.is_empty());
        let first = read(made.key("agent-eu-1"));
        made.issue_apart("agent-eu-1", 60, NOW).expect("again");
        assert_ne!(read(made.key("agent-eu-1")), first, "another key");
        made.forget_key("agent-eu-1").expect("forgotten");
        made.forget_key("agent-eu-1").expect("twice is once");
        assert!(!made.key("agent-eu-1").exists() && made.certificate("agent-eu-1").exists());
        made.issue("nats", &["nats".to_owned()], 60, NOW)
            .expect("issued");
        let key = read(made.key("nats"));
        let refused = made.issue_apart("nats", 60, NOW).expect_err("refused");
        assert!(refused.to_string().contains("a server's"), "{refused}");
        assert_eq!(read(made.key("nats")), key, "the server's key stays");
    }

    #[test]
    fn a_name_or_a_host_that_is_none_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut made = Certificates::init(folder.path(), NOW).expect("made");
        for name in ["", "ca", "issued", "../up", "a/b", ".x", &"x".repeat(65)] {
            assert!(made.issue(name, &[], 60, NOW).is_err(), "{name:?}");
        }
        for host in [
            "",
            "nats:4222",
            "tls://nats",
            "a b",
            "-a",
            "a..b",
            "*.*.a",
            "a.*",
        ] {
            let refused = made.issue("nats", &[host.to_owned()], 60, NOW);
            assert!(
                refused.is_err_and(|why| why.to_string().contains("is no host")),
                "{host:?}"
            );
        }
        assert!(made.issued().is_empty());
    }
}
