//! The authorities, on a real directory; and what can be read of certificates that are damaged.
#![expect(clippy::disallowed_methods, reason = "damages the files of authorities")]

use std::{fs, sync::Arc};

use tokio_rustls::rustls::{RootCertStore, crypto, pki_types::UnixTime, server::WebPkiClientVerifier};

use super::*;

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn alice() -> Subject {
    Subject { user: "alice".to_owned(), group: "carob:view".to_owned() }
}

/// Authorities in a directory of their own.
fn authorities(name: &str) -> (PathBuf, Authorities) {
    let dir = std::env::temp_dir().join(format!("carob-pki-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    let authorities = Authorities::open(&dir).unwrap();
    (dir, authorities)
}

fn der(granted: &Granted) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(granted.certificate.as_bytes()).unwrap()
}

/// Whether the box would believe that certificate at a moment.
fn believed(
    authorities: &Authorities,
    certificate: &CertificateDer<'_>,
    at: Timestamp,
) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    roots.add(authorities.of_clients().clone()).unwrap();
    let provider = Arc::new(crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(at.as_second().unsigned_abs()));
    verifier.verify_client_cert(certificate, &[], at).map(drop).map_err(|fault| fault.to_string())
}

#[test]
fn an_authority_outlives_its_agent_and_ends_with_its_successor() {
    let (dir, first) = authorities("outlives");
    let granted = der(&first.grant(&alice(), 10, now()).unwrap());
    let mut second = Authorities::open(&dir).unwrap();
    assert_eq!(second.of_server(), first.of_server());
    assert_eq!(believed(&second, &granted, now()), Ok(()));
    second.disown_clients().unwrap();
    for authorities in [&second, &Authorities::open(&dir).unwrap()] {
        assert!(believed(authorities, &granted, now()).is_err());
        assert_eq!(authorities.of_server(), first.of_server());
    }
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_certificate_is_good_from_the_beginning_of_time_to_its_end() {
    let (dir, authorities) = authorities("ends");
    let granted = der(&authorities.grant(&alice(), 10, now()).unwrap());
    for (at, good) in [
        ("1970-01-02T00:00:00Z", true),
        ("2026-12-02T23:59:59Z", true),
        ("2026-12-03T00:00:01Z", false),
        ("2036-12-03T00:00:00Z", false),
    ] {
        let found = believed(&authorities, &granted, at.parse().unwrap());
        assert_eq!(found.is_ok(), good, "{at}: {found:?}");
    }
    let shown = authorities.show(&["box".to_owned(), "192.0.2.1".to_owned()], now()).unwrap();
    assert!(believed(&authorities, &shown.certificate, now()).is_err(), "a server is no client");
    assert_eq!(shown.renew, "2027-01-22T12:00:00Z".parse().unwrap());
    let fault = authorities.show(&["b\u{f6}x".to_owned()], now()).unwrap_err().to_string();
    assert!(fault.contains("b\u{f6}x"), "{fault}");
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_damaged_authority_is_named_and_not_replaced() {
    let (dir, authorities) = authorities("damaged");
    let path = dir.join(CLIENTS.file);
    let whole = fs::read_to_string(&path).unwrap();
    let server = fs::read_to_string(dir.join(SERVER.file)).unwrap();
    let certificate = whole.find("-----BEGIN CERTIFICATE").unwrap();
    let mixed = format!("{}{}", &whole[..certificate], authorities.of_server());
    let rows: [(&[u8], &str); 6] = [
        (b"", "does not begin with a key"),
        (b"\xff\xfe", "is no text"),
        (&whole.as_bytes()[..certificate], "no certificate in it"),
        (&whole.as_bytes()[certificate..], "does not begin with a key"),
        (&whole.as_bytes()[..certificate + 60], "certificate cannot be read"),
        (mixed.as_bytes(), "for another key"),
    ];
    for (bytes, expected) in rows {
        fs::write(&path, bytes).unwrap();
        let fault = Authorities::open(&dir).unwrap_err().to_string();
        assert!(fault.contains(expected) && fault.contains(&*path.to_string_lossy()), "{fault}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    assert_eq!(fs::read_to_string(dir.join(SERVER.file)).unwrap(), server);
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_subject_is_read_and_damage_is_no_subject() {
    let (dir, authorities) = authorities("subject");
    let long = Subject { user: "x".repeat(300), group: "carob:admin".to_owned() };
    for who in [alice(), Subject { user: "j\u{fc}rgen".to_owned(), ..alice() }, long] {
        let certificate = der(&authorities.grant(&who, 1, now()).unwrap());
        assert_eq!(subject(&certificate), Some(who));
        for length in 0..certificate.len() {
            subject(&certificate[..length]);
        }
    }
    assert_eq!(subject(authorities.of_clients()), None, "it has no organization");
    for garbage in [&[][..], &[0x30], &[0x30, 0x84, 1, 1, 1, 1], &[0x30, 0x80], &[0x30, 3, 0x30, 0x83, 0xff]]
    {
        assert_eq!(subject(garbage), None);
    }
    fs::remove_dir_all(&dir).unwrap();
}
