//! Secrets on the disk: not to be read there, and what becomes of them without their key.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Object;
use crate::{
    pods::{Pod, apply, one},
    world::World,
};

const DATABASE: &str = "/var/lib/carob/carob.db";
const KEY: &str = "/var/lib/carob/secrets.key";
const SECRET: &str = "/api/v1/namespaces/default/secrets/sealed";
const WORD: &str = "correct-horse-battery-staple";
/// The same as the object holds it.
const ENCODED: &str = "Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZQ==";

pub(super) fn without_trace(world: &World) -> Result<()> {
    let _secret = Object::apply(world, "secret", "sealed", &format!("data: {{ word: {ENCODED} }}\n"))?;
    let pod = Pod::apply(world, "beside", &one("beside", "sleep", "", ""))?;
    pod.await_running("main")?;
    world.stop()?;
    for file in [DATABASE.to_owned(), format!("{DATABASE}-wal")] {
        let bytes = fs::read(&file).unwrap_or_default();
        for word in [WORD, ENCODED] {
            let found = bytes.windows(word.len()).any(|part| part == word.as_bytes());
            ensure!(!found, "{file} holds the secret");
        }
    }
    let kept = Path::new(KEY).with_extension("kept");
    fs::rename(KEY, &kept).with_context(|| format!("take {KEY} away"))?;
    world.start()?;
    let object = world.read(SECRET)?;
    let why = object["metadata"]["annotations"]["carob.dev/unreadable"].as_str().unwrap_or_default();
    ensure!(why.contains(KEY) && object["data"] == Value::Null, "without its key it is {object}");
    let said = apply(world, "another", &super::object("secret", "another", "data: { a: MQ== }\n"))?;
    ensure!(said.code != Some(0) && said.stderr.contains(KEY), "another secret: {said:?}");
    pod.await_running("main")?;
    world.stop()?;
    fs::rename(&kept, KEY).with_context(|| format!("put {KEY} back"))?;
    world.start()?;
    let object = world.read(SECRET)?;
    ensure!(object["data"]["word"] == ENCODED, "with its key it is {object}");
    Ok(())
}
