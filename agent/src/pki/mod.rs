//! Who vouches for whom on the network: an authority for this box, whose certificate clients are given, and one for
//! clients, whose certificates the box believes. Makes keys and certificates; does not say what their holders may do.
//!
//! There are two authorities so that all clients can be shut out by a new one while none of them has to learn anew whom to
//! believe. An authority's key and certificate lie in one file, so that a power cut cannot part them. The box's own key is
//! made anew by each agent and is never on the disk. All certificates begin in 1970: the clock of a box that has just been
//! switched on may be wrong by decades.

mod subject;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, date_time_ymd,
};
use sha2::{Digest, Sha256};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject};

pub(crate) use self::subject::{Subject, subject};
use crate::keyfile;

/// How long the box's own certificate is good, in days, and how long before its end a new one is due.
const SERVER_DAYS: u16 = 90;
const RENEWED_DAYS: u16 = 30;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the keys of an authority are out of reach")]
    File(#[source] keyfile::Error),
    #[error("{} is not what carob wrote there, {what}: put it back, or remove it to have a new one", path.display())]
    Damaged { path: PathBuf, what: &'static str },
    #[error("cannot make a certificate")]
    Make(#[source] rcgen::Error),
    #[error("{name:?} cannot be in a certificate: it is neither a host name nor an address")]
    Name {
        name: String,
        #[source]
        source: rcgen::Error,
    },
}

/// The two authorities.
#[derive(Debug)]
pub(crate) struct Authorities {
    dir: PathBuf,
    server: Authority,
    clients: Authority,
}

/// What a server shows, and until when it should be shown.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: PrivatePkcs8KeyDer<'static>,
    /// From then on a new one is due.
    pub(crate) renew: Timestamp,
}

/// What a client is given, in PEM.
pub(crate) struct Granted {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authorities {
    /// Those in `dir`; what is missing is made.
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        Ok(Self {
            dir: dir.to_owned(),
            server: Authority::open(dir, &SERVER)?,
            clients: Authority::open(dir, &CLIENTS)?,
        })
    }

    /// By which clients know this box, in PEM.
    pub(crate) fn of_server(&self) -> &str {
        &self.server.pem
    }

    /// By which this box knows clients.
    pub(crate) fn of_clients(&self) -> &CertificateDer<'static> {
        &self.clients.certificate
    }

    /// A new key for this box, and a certificate that it goes by all of `names`.
    pub(crate) fn show(&self, names: &[String], now: Timestamp) -> Result<Shown, Error> {
        let mut params = CertificateParams::default();
        for name in names {
            let named = CertificateParams::new([name.clone()]);
            let named = named.map_err(|source| Error::Name { name: name.clone(), source })?;
            params.subject_alt_names.extend(named.subject_alt_names);
        }
        params.distinguished_name = titled("carob");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let (certificate, key) = self.server.vouch(params, SERVER_DAYS, now)?;
        let renew = later(now, SERVER_DAYS - RENEWED_DAYS);
        Ok(Shown { certificate: certificate.der().clone(), key: key.serialize_der().into(), renew })
    }

    /// A key and a certificate for a client, good for so many days.
    pub(crate) fn grant(&self, who: &Subject, days: u16, now: Timestamp) -> Result<Granted, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = titled(&who.user);
        params.distinguished_name.push(DnType::OrganizationName, who.group.as_str());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let (certificate, key) = self.clients.vouch(params, days, now)?;
        Ok(Granted { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// No certificate that a client has is good any more.
    pub(crate) fn disown_clients(&mut self) -> Result<(), Error> {
        self.clients = Authority::make(&self.dir.join(CLIENTS.file), &CLIENTS)?;
        Ok(())
    }
}

/// Who an authority is.
struct Office {
    file: &'static str,
    name: &'static str,
}

const SERVER: Office = Office { file: "server-authority.pem", name: "carob: authority of this box" };
const CLIENTS: Office = Office { file: "client-authority.pem", name: "carob: authority of its clients" };

impl Office {
    /// Its name has a part of its key's hash: a client of an earlier one is then told that nobody knows who vouches for
    /// it, and not that a signature is wrong.
    fn params(&self, key: &KeyPair) -> CertificateParams {
        let hash = Sha256::digest(key.der_bytes());
        let hash: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let mut params = CertificateParams::default();
        params.distinguished_name = titled(&format!("{} {hash}", self.name));
        params.not_before = date_time_ymd(1970, 1, 1);
        // "No well-defined expiration date": RFC 5280, 4.1.2.5.
        params.not_after = date_time_ymd(9999, 12, 31);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
    }
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

/// Without the key.
impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("certificate", &self.pem).finish_non_exhaustive()
    }
}

impl Authority {
    fn open(dir: &Path, office: &Office) -> Result<Self, Error> {
        let path = dir.join(office.file);
        let Some(bytes) = keyfile::read(&path).map_err(Error::File)? else {
            return Self::make(&path, office);
        };
        let damaged = |what| Error::Damaged { path: path.clone(), what };
        let text = str::from_utf8(&bytes).map_err(|_| damaged("it is no text"))?;
        let key = KeyPair::from_pem(text).map_err(|_| damaged("it does not begin with a key"))?;
        let pem = text.find("-----BEGIN CERTIFICATE").map(|at| text[at..].to_owned());
        let pem = pem.ok_or_else(|| damaged("there is no certificate in it"))?;
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes());
        let certificate = certificate.map_err(|_| damaged("its certificate cannot be read"))?;
        let public = key.der_bytes();
        if !certificate.windows(public.len()).any(|part| part == public) {
            return Err(damaged("its certificate is for another key"));
        }
        Ok(Self { issuer: Issuer::new(office.params(&key), key), certificate, pem })
    }

    fn make(path: &Path, office: &Office) -> Result<Self, Error> {
        let key = KeyPair::generate().map_err(Error::Make)?;
        let made = office.params(&key).self_signed(&key).map_err(Error::Make)?;
        let (pem, certificate) = (made.pem(), made.der().clone());
        keyfile::write(path, format!("{}{pem}", key.serialize_pem()).as_bytes()).map_err(Error::File)?;
        Ok(Self { issuer: Issuer::new(office.params(&key), key), certificate, pem })
    }

    /// Makes a key, and vouches for its holder until the midnight before so many days are over.
    fn vouch(
        &self,
        mut params: CertificateParams,
        days: u16,
        now: Timestamp,
    ) -> Result<(Certificate, KeyPair), Error> {
        let end = TimeZone::UTC.to_datetime(later(now, days));
        let [month, day] = [end.month(), end.day()].map(i8::cast_unsigned);
        params.not_before = date_time_ymd(1970, 1, 1);
        params.not_after = date_time_ymd(end.year().into(), month, day);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Strict clients (Python's, since 3.13) ask for it.
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(Error::Make)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(Error::Make)?;
        Ok((certificate, key))
    }
}

fn later(now: Timestamp, days: u16) -> Timestamp {
    now.saturating_add((i64::from(days) * 24).hours()).unwrap_or(Timestamp::MAX)
}

fn titled(name: &str) -> DistinguishedName {
    let mut title = DistinguishedName::new();
    title.push(DnType::CommonName, name);
    title
}
