//! `carob image pull`: asks the agent, and shows how far it is.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use hyper::Method;
use serde_json::Value;

use super::{
    client::{Client, query},
    lines::Lines,
    output::{note, say},
    why::bytes,
};

const PULL: &str = "/carob/v1/images/pull";
/// Columns of the bar.
const BAR: u64 = 30;

/// Pulls one image after the other; fails if one of them did not come, after it has tried them all.
pub(super) async fn run(client: &Client, names: &[String]) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for name in names {
        match pull(client, name).await? {
            Ok(size) => say(&format!("pulled {name} ({})\n", bytes(size)))?,
            Err(message) => {
                note(&format!("carob: cannot pull {name}: {message}"));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// How many bytes it takes, unpacked; or why it is not here.
async fn pull(client: &Client, name: &str) -> anyhow::Result<Result<u64, String>> {
    let path = format!("{PULL}{}", query(&[("name", Some(name.to_owned()))]));
    let mut lines = Lines::of(client, Method::POST, &path).await?;
    let mut bar = Bar { shown: io::stderr().is_terminal(), blobs: BTreeMap::new() };
    while let Some(word) = lines.next().await? {
        if let Some(size) = word["done"]["size"].as_u64() {
            bar.clear();
            return Ok(Ok(size));
        }
        if let Some(message) = word["error"].as_str() {
            bar.clear();
            return Ok(Err(message.to_owned()));
        }
        bar.show(&word["progress"]);
    }
    bar.clear();
    anyhow::bail!("the agent has ended while it was pulling {name}")
}

/// One line on a terminal that is written over and over.
struct Bar {
    shown: bool,
    /// Done and size of each, in bytes.
    blobs: BTreeMap<String, (u64, u64)>,
}

impl Bar {
    fn show(&mut self, progress: &Value) {
        let number = |field: &str| progress[field].as_u64().unwrap_or(0);
        let blob = progress["blob"].as_str().unwrap_or_default().to_owned();
        self.blobs.insert(blob, (number("done"), number("size")));
        if self.shown {
            // Nobody sees it: nothing is lost.
            drop(write!(io::stderr(), "\r\x1b[K{}", self.line()));
        }
    }

    fn line(&self) -> String {
        let (done, size) = self.blobs.values().fold((0, 0), |(a, b), (done, size)| (a + done, b + size));
        let full = (done * BAR).checked_div(size).unwrap_or(0);
        let bar: String = (0..BAR).map(|column| if column < full { '#' } else { '.' }).collect();
        format!("[{bar}] {} of {}, {} blobs", bytes(done), bytes(size), self.blobs.len())
    }

    fn clear(&self) {
        if self.shown {
            drop(write!(io::stderr(), "\r\x1b[K"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_bar_is_the_sum_of_all_blobs() {
        let mut bar = Bar { shown: false, blobs: BTreeMap::new() };
        let told = [("a", 0, 3 << 20), ("b", 1 << 20, 1 << 20), ("a", 1 << 20, 3 << 20)];
        for (blob, done, size) in told {
            bar.show(&json!({"blob": blob, "done": done, "size": size}));
        }
        assert_eq!(bar.line(), "[###############...............] 2Mi of 4Mi, 2 blobs");
    }
}
