//! Secrets as they lie on the disk: encrypted, with a key in a file of its own beside the database. A copy of the one
//! without the other says nothing. Who holds both, or root's rights on the box, reads all.
//!
//! Each is bound to its name and uid: a row that was put in the place of another cannot be read.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};
use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::{Error, Key, Kind, writer::Fault};
use crate::keyfile;

/// What a sealed body begins with; JSON begins otherwise. The number is that of the method: AES-256-GCM, nonce first.
const MARK: &str = "sealed:1:";
const KEY_LENGTH: usize = 32;
/// On a secret that cannot be read: why.
const UNREADABLE: &str = "carob.dev/unreadable";

/// Whether this is all that is left of a secret whose key is lost.
pub(crate) fn is_unreadable(object: &Value) -> bool {
    object["metadata"]["annotations"].get(UNREADABLE).is_some()
}

/// The key, and where it is.
#[derive(Debug)]
pub(super) struct Seal {
    path: PathBuf,
    key: Mutex<Option<LessSafeKey>>,
}

impl Seal {
    /// With the key that lies beside the database, if one does.
    pub(super) fn beside(database: &Path) -> Result<Self, Error> {
        let path = database.with_file_name("secrets.key");
        let bytes = keyfile::read(&path).map_err(Error::SecretsKey)?;
        let key = bytes.and_then(|bytes| UnboundKey::new(&AES_256_GCM, &bytes).ok()).map(LessSafeKey::new);
        Ok(Self { path, key: Mutex::new(key) })
    }

    /// The column's text for a body.
    pub(super) fn text(&self, db: &Connection, key: &Key, uid: &str, body: &Value) -> Result<String, Fault> {
        if key.kind != Kind::Secret {
            return Ok(body.to_string());
        }
        let mut body = body.clone();
        if let Some(annotations) = body.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
            annotations.remove(UNREADABLE);
        }
        self.know_key(db)?;
        let sealed = self.encrypted(body.to_string().into_bytes(), key, uid);
        let sealed = sealed.ok_or_else(|| Error::Seal(key.clone()))?;
        Ok(format!("{MARK}{}", STANDARD_NO_PAD.encode(sealed)))
    }

    /// The body of a column's text. Of a secret that cannot be read only what is known without it.
    pub(super) fn body(&self, text: &str, key: &Key, uid: &str, revision: u64) -> serde_json::Result<Value> {
        let Some(sealed) = text.strip_prefix(MARK) else { return serde_json::from_str(text) };
        let opened = STANDARD_NO_PAD.decode(sealed).ok().and_then(|sealed| self.decrypted(sealed, key, uid));
        match opened {
            Some(body) => serde_json::from_slice(&body),
            None => Ok(self.remains(key, uid, revision)),
        }
    }

    fn remains(&self, key: &Key, uid: &str, revision: u64) -> Value {
        let why = format!(
            "the key that it was written with is not in {}: put that file back, or delete this secret",
            self.path.display()
        );
        json!({
            "apiVersion": "v1",
            "kind": key.kind.name(),
            "metadata": {
                "namespace": key.namespace,
                "name": key.name,
                "uid": uid,
                "resourceVersion": revision.to_string(),
                "annotations": {UNREADABLE: why},
            },
        })
    }

    /// Makes a key if there is none. Not while something is there that another key must open.
    fn know_key(&self, db: &Connection) -> Result<(), Fault> {
        let mut known = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_some() {
            return Ok(());
        }
        if sealed_rows(db)? > 0 {
            return Err(Error::LostKey { path: self.path.clone() }.into());
        }
        let random = || -> Option<[u8; KEY_LENGTH]> {
            let mut bytes = [0; KEY_LENGTH];
            SystemRandom::new().fill(&mut bytes).ok()?;
            Some(bytes)
        };
        let bytes = random().ok_or_else(|| Error::LostKey { path: self.path.clone() })?;
        keyfile::write(&self.path, &bytes).map_err(Error::SecretsKey)?;
        *known = UnboundKey::new(&AES_256_GCM, &bytes).ok().map(LessSafeKey::new);
        Ok(())
    }

    fn encrypted(&self, mut bytes: Vec<u8>, key: &Key, uid: &str) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let cipher = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        let whose = Aad::from(whose(key, uid));
        let nonce_value = Nonce::assume_unique_for_key(nonce);
        cipher.as_ref()?.seal_in_place_append_tag(nonce_value, whose, &mut bytes).ok()?;
        Some([&nonce[..], &bytes].concat())
    }

    fn decrypted(&self, mut sealed: Vec<u8>, key: &Key, uid: &str) -> Option<Vec<u8>> {
        let (nonce, bytes) = sealed.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let cipher = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = cipher.as_ref()?.open_in_place(nonce, Aad::from(whose(key, uid)), bytes).ok()?;
        Some(opened.to_vec())
    }

    /// Seals what a carob before this one has written openly, and has no trace of it left in the file. Once; also if
    /// the power is cut in between.
    pub(super) fn seal_open_rows(&self, db: &mut Connection) -> Result<(), Fault> {
        let due: u32 =
            db.query_row("SELECT count(*) FROM chore WHERE name = 'seal'", [], |row| row.get(0))?;
        if due == 0 {
            return Ok(());
        }
        let transaction = db.transaction()?;
        let rewritten = self.seal_all(&transaction)?;
        transaction.commit()?;
        if rewritten > 0 {
            // Pages that are free now, and the log, still hold what was there.
            db.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")?;
        }
        db.execute("DELETE FROM chore WHERE name = 'seal'", [])?;
        Ok(())
    }

    fn seal_all(&self, db: &Connection) -> Result<usize, Fault> {
        let mut query = db.prepare("SELECT namespace, name, uid, body FROM object WHERE kind = ?1")?;
        let kind = Kind::Secret;
        let rows = query.query_map([kind.name()], |row| {
            let key = Key { kind, namespace: row.get("namespace")?, name: row.get("name")? };
            Ok((key, row.get::<_, String>("uid")?, row.get::<_, String>("body")?))
        })?;
        let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
        let open: Vec<_> = rows.into_iter().filter(|(_, _, body)| !body.starts_with(MARK)).collect();
        for (key, uid, text) in &open {
            let body = serde_json::from_str(text).map_err(|_| Error::Seal(key.clone()))?;
            let sealed = self.text(db, key, uid, &body)?;
            let named = params![key.kind.name(), key.namespace, key.name, sealed];
            db.execute(
                "UPDATE object SET body = ?4 WHERE kind = ?1 AND namespace = ?2 AND name = ?3",
                named,
            )?;
        }
        Ok(open.len())
    }
}

fn sealed_rows(db: &Connection) -> rusqlite::Result<u32> {
    let sealed = format!("{MARK}*");
    db.prepare_cached("SELECT count(*) FROM object WHERE kind = ?1 AND body GLOB ?2")?
        .query_row(params![Kind::Secret.name(), sealed], |row| row.get(0))
}

/// What a sealed body belongs to. No part of a name has a zero byte.
fn whose(key: &Key, uid: &str) -> Vec<u8> {
    [key.kind.name(), &key.namespace, &key.name, uid].join("\0").into_bytes()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "looks into the files of a store")]

    use std::fs;

    use super::*;
    use crate::store::{Store, scratch::Scratch};

    const WORD: &str = "hunter2-hunter2";

    fn secret(name: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"namespace": "default", "name": name, "uid": format!("uid-{name}")},
            "data": {"word": WORD},
        })
    }

    /// Whether any file of the store has the word in it.
    fn told(scratch: &Scratch) -> bool {
        let database = scratch.database();
        let files = [database.clone(), database.with_extension("db-wal")].map(fs::read);
        let holds = |bytes: &Vec<u8>| bytes.windows(WORD.len()).any(|part| part == WORD.as_bytes());
        files.iter().flatten().any(holds)
    }

    #[tokio::test]
    async fn a_secret_is_read_again_and_not_in_the_file() {
        let scratch = Scratch::new();
        for number in 0..2 {
            let store = Store::open(&scratch.database()).unwrap();
            let name = format!("s{number}");
            let made = store.objects().create(Kind::Secret, secret(&name)).await.unwrap();
            let objects = store.objects();
            assert_eq!(objects.get(Kind::Secret, "default", &name).await.unwrap(), Some(made.clone()));
            let same = objects.replace(Kind::Secret, made.clone(), None).await.unwrap();
            assert_eq!(same, made, "nothing has changed");
            let (all, _) = objects.list(Kind::Secret, None).await.unwrap();
            assert!(
                all.len() == number + 1 && all.iter().all(|each| each["data"]["word"] == WORD),
                "{all:?}"
            );
            assert!(!told(&scratch));
        }
        assert!(!told(&scratch), "after the last agent's end");
    }

    #[tokio::test]
    async fn what_an_older_carob_wrote_openly_is_sealed_and_leaves_no_trace() {
        let scratch = Scratch::new();
        let older = Connection::open(scratch.database()).unwrap();
        crate::store::scratch::older(&older, 5);
        for name in ["a", "b", "gone"] {
            let uid = format!("uid-{name}");
            let row = params!["Secret", "default", name, uid, 1, secret(name).to_string()];
            older.execute("INSERT INTO object VALUES (?1, ?2, ?3, ?4, ?5, ?6)", row).unwrap();
        }
        older.execute("DELETE FROM object WHERE name = 'gone'", []).unwrap();
        drop(older);
        assert!(told(&scratch));
        let store = Store::open(&scratch.database()).unwrap();
        assert!(!told(&scratch));
        let found = store.objects().get(Kind::Secret, "default", "a").await.unwrap().unwrap();
        assert_eq!(found["data"]["word"], WORD);
    }

    #[tokio::test]
    async fn without_its_key_a_secret_can_only_be_deleted_and_all_else_lives_on() {
        for spoil in [
            |path: &Path| fs::remove_file(path),
            |path: &Path| fs::write(path, [7; 32]),
            |path: &Path| fs::write(path, "short"),
        ] {
            let scratch = Scratch::new();
            let store = Store::open(&scratch.database()).unwrap();
            store.objects().create(Kind::Secret, secret("s")).await.unwrap();
            let pod = crate::store::scratch::pod("p");
            store.objects().create(Kind::Pod, pod).await.unwrap();
            drop(store);
            let path = scratch.database().with_file_name("secrets.key");
            spoil(&path).unwrap();
            let objects = Store::open(&scratch.database()).unwrap().objects();
            let (secrets, _) = objects.list(Kind::Secret, None).await.unwrap();
            let found = &secrets[0];
            assert!(is_unreadable(found) && found.get("data").is_none(), "{found}");
            assert_eq!(
                (&found["metadata"]["name"], &found["metadata"]["resourceVersion"]),
                (&json!("s"), &json!("1"))
            );
            let why = found["metadata"]["annotations"][UNREADABLE].as_str().unwrap();
            assert!(why.contains(&*path.to_string_lossy()), "{why}");
            assert!(objects.get(Kind::Pod, "default", "p").await.unwrap().is_some());
            let another_key = fs::read(&path).is_ok_and(|bytes| bytes.len() == KEY_LENGTH);
            let written = objects.create(Kind::Secret, secret("t")).await;
            match written {
                Ok(_) => assert!(another_key),
                Err(fault) => {
                    let fault = fault.to_string();
                    assert!(!another_key && fault.contains(&*path.to_string_lossy()), "{fault}");
                }
            }
            objects.remove(Kind::Secret, "default", "s", "uid-s").await.unwrap();
            objects.create(Kind::Secret, secret("u")).await.unwrap();
            let again = objects.get(Kind::Secret, "default", "u").await.unwrap().unwrap();
            assert_eq!(again["data"]["word"], WORD);
        }
    }

    #[tokio::test]
    async fn a_row_in_the_place_of_another_cannot_be_read() {
        let scratch = Scratch::new();
        let store = Store::open(&scratch.database()).unwrap();
        for name in ["a", "b"] {
            store.objects().create(Kind::Secret, secret(name)).await.unwrap();
        }
        drop(store);
        let db = Connection::open(scratch.database()).unwrap();
        db.execute(
            "UPDATE object SET body = (SELECT body FROM object WHERE name = 'b') WHERE name = 'a'",
            [],
        )
        .unwrap();
        drop(db);
        let (all, _) =
            Store::open(&scratch.database()).unwrap().objects().list(Kind::Secret, None).await.unwrap();
        assert_eq!(all.iter().map(is_unreadable).collect::<Vec<_>>(), [true, false]);
    }
}
