//! `carob image`: archives in and out, and lists. The store is the agent's.

use std::process::ExitCode;

use anyhow::Context;
use hyper::Method;
use jiff::Timestamp;
use serde_json::Value;

use super::{
    archive,
    client::{Client, Payload, query},
    output::{self, say},
    pull, sink,
    table::Table,
    why::bytes,
};
use crate::columns::age;

const IMAGES: &str = "/carob/v1/images";
/// Digits of an id that are enough to tell images apart, as docker shows them.
const SHORT_ID: usize = 12;

/// Pull, load, list, verify, export, remove and prune images
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Image {
    /// Load the images of a `docker save` or OCI archive
    Load {
        /// The archive, the folder of an OCI layout, or - for standard input
        #[arg(value_name = "FILE|DIR|-")]
        archive: String,
    },
    /// Pull images from their registries
    Pull {
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
    },
    /// List the images
    Ls,
    /// Compare what is on the disk with the digests of images; 1 if something is damaged
    Verify {
        /// Only this image
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Write images to an archive that carob, docker and podman can load
    Export {
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
        /// The archive, or - for standard output
        #[arg(short, long, value_name = "FILE|-", default_value = "-")]
        output: String,
    },
    /// Remove images that no pod needs: those without a name
    Prune {
        /// Those with a name too
        #[arg(long)]
        all: bool,
    },
    /// Show what images take of the disk
    Df,
    /// Remove an image by name or id
    Rm {
        #[arg(value_name = "NAME")]
        name: String,
    },
}

impl Image {
    pub(super) async fn run(self, client: &Client, now: Timestamp) -> anyhow::Result<ExitCode> {
        match self {
            Self::Load { archive } => {
                let payload = Payload::Stream(archive::stream(&archive)?);
                let answer = client.call(Method::POST, IMAGES, payload).await?;
                say(&images(&answer).iter().map(loaded).collect::<String>())?;
            }
            Self::Pull { names } => return pull::run(client, &names).await,
            Self::Ls => say(&list(images(&client.fetch(IMAGES).await?), now).render(output::width()))?,
            Self::Verify { name } => {
                let answer = client.fetch(&format!("{IMAGES}/verify{}", query(&[("name", name)]))).await?;
                let found = images(&answer);
                say(&verified(found).render(output::width()))?;
                return Ok(if found.iter().all(is_whole) { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            Self::Export { names, output } => {
                let path = format!("{IMAGES}/export{}", query(&[("names", Some(names.join(",")))]));
                export(client, &path, &output).await?;
            }
            Self::Prune { all } => {
                let path = format!("{IMAGES}/prune{}", query(&[("all", all.then(|| "true".to_owned()))]));
                let answer = client.call(Method::POST, &path, Payload::Nothing).await?;
                say(&pruned(images(&answer)))?;
            }
            Self::Df => say(&room(&client.fetch(&format!("{IMAGES}/df")).await?).render(output::width()))?,
            Self::Rm { name } => {
                let path = format!("{IMAGES}{}", query(&[("name", Some(name.clone()))]));
                client.call(Method::DELETE, &path, Payload::Nothing).await?;
                say(&format!("removed {name}\n"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn export(client: &Client, path: &str, output: &str) -> anyhow::Result<()> {
    let mut file = sink::open(output)?;
    let mut body = client.send(Method::GET, path, Payload::Nothing).await?.into_body();
    while let Some(piece) =
        client.piece(&mut body).await.context("the archive is cut off; the agent's log says why")?
    {
        file.write(&piece)?;
    }
    Ok(file.commit()?)
}

fn is_whole(image: &Value) -> bool {
    texts(&image["damage"]).is_empty()
}

/// What is wrong comes last: it is long.
fn verified(images: &[Value]) -> Table {
    let mut table = Table::new(["NAME", "IMAGE ID", "STATE", "WHY"]);
    for image in images {
        let (damage, counted) = (texts(&image["damage"]), texts(&image["counted"]));
        let (state, why) = match (damage.as_slice(), counted.as_slice()) {
            ([], []) => ("whole", String::new()),
            ([], layers) => (
                "counted",
                format!(
                    "number and size of the files are right; load it again to have a digest of {}",
                    layers.join(", ")
                ),
            ),
            (damage, _) => ("damaged", damage.join("; ")),
        };
        table.row([names(image).join(" "), short_id(image), state.to_owned(), why]);
    }
    table
}

fn images(answer: &Value) -> &[Value] {
    answer["items"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// An image without a name has a line all the same.
fn names(image: &Value) -> Vec<&str> {
    let names = texts(&image["names"]);
    if names.is_empty() { vec!["<none>"] } else { names }
}

fn short_id(image: &Value) -> String {
    let id = image["id"].as_str().unwrap_or_default();
    id.strip_prefix("sha256:").unwrap_or(id).chars().take(SHORT_ID).collect()
}

fn loaded(image: &Value) -> String {
    match texts(&image["names"]).as_slice() {
        [] => format!("loaded {}\n", image["id"].as_str().unwrap_or_default()),
        names => names.iter().map(|name| format!("loaded {name}\n")).collect(),
    }
}

/// What went, and how much room that made.
fn pruned(images: &[Value]) -> String {
    let line = |image: &Value| format!("removed {} {}\n", names(image).join(" "), short_id(image));
    let lines: String = images.iter().map(line).collect();
    let freed = images.iter().filter_map(|image| image["size"].as_u64()).sum();
    format!("{lines}{} freed\n", bytes(freed))
}

fn room(answer: &Value) -> Table {
    let mut table = Table::new(["WHAT", "COUNT", "SIZE"]);
    for (what, field) in [
        ("images", "images"),
        ("images that no pod needs", "reclaimable"),
        ("layers", "layers"),
        ("layers of several images", "shared"),
        ("half-done work", "leftovers"),
    ] {
        let number = |part: &str| answer[field][part].as_u64().unwrap_or(0);
        table.row([what.to_owned(), number("count").to_string(), bytes(number("bytes"))]);
    }
    table
}

/// A row for each name.
fn list(images: &[Value], now: Timestamp) -> Table {
    let mut table = Table::new(["NAME", "IMAGE ID", "CREATED", "SIZE"]);
    for image in images {
        let id = short_id(image);
        let created = match age::since(image["created"].as_str(), now) {
            age if age.starts_with('<') => age,
            age => format!("{age} ago"),
        };
        let size = bytes(image["size"].as_u64().unwrap_or(0));
        for name in names(image) {
            table.row([name.to_owned(), id.clone(), created.clone(), size.clone()]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_image_is_whole_counted_or_damaged() {
        let image = |name: &str, damage: Value, counted: Value| json!({"names": [name], "id": "sha256:0123456789abcdef", "damage": damage, "counted": counted});
        let images = [
            image("a:1", json!([]), json!([])),
            image("b:1", json!([]), json!(["sha256:77"])),
            image("c:1", json!(["its layer sha256:88: \"etc/os\" has 0 bytes, not 5"]), json!(["sha256:77"])),
        ];
        let expected = "\
NAME   IMAGE ID       STATE     WHY
a:1    0123456789ab   whole
b:1    0123456789ab   counted   number and size of the files are right; load it again to have a digest of sha256:77
c:1    0123456789ab   damaged   its layer sha256:88: \"etc/os\" has 0 bytes, not 5
";
        assert_eq!(verified(&images).render(None), expected);
        assert_eq!(images.map(|image| is_whole(&image)), [true, true, false]);
    }

    #[test]
    fn room_is_told_by_what_it_is_taken_for() {
        let amount = |count: u64| json!({"count": count, "bytes": count << 20});
        let answer = json!({"images": amount(3), "reclaimable": amount(1), "layers": amount(7),
                            "shared": amount(2), "leftovers": amount(0)});
        let expected = "\
WHAT                       COUNT   SIZE
images                     3       3Mi
images that no pod needs   1       1Mi
layers                     7       7Mi
layers of several images   2       2Mi
half-done work             0       0
";
        assert_eq!(room(&answer).render(None), expected);
        let gone = [
            json!({"names": ["a:1", "b:1"], "id": "sha256:0123456789abcdef", "size": 1 << 20}),
            json!({"names": [], "id": "sha256:fedcba9876543210", "size": 1 << 19}),
        ];
        assert_eq!(pruned(&gone), "removed a:1 b:1 0123456789ab\nremoved <none> fedcba987654\n1.5Mi freed\n");
    }

    #[test]
    fn images_are_listed_by_name() {
        let images = [
            json!({"names": ["docker.io/library/busybox:1", "localhost/b:2"], "id": "sha256:0123456789abcdef",
                   "size": 4_300_000_u64, "created": "2026-11-13T10:00:00Z"}),
            json!({"names": [], "id": "sha256:fedcba9876543210", "size": 0, "created": null}),
        ];
        let expected = "\
NAME                          IMAGE ID       CREATED     SIZE
docker.io/library/busybox:1   0123456789ab   10d ago     4.1Mi
localhost/b:2                 0123456789ab   10d ago     4.1Mi
<none>                        fedcba987654   <unknown>   0
";
        assert_eq!(list(&images, "2026-11-23T10:00:00Z".parse().unwrap()).render(None), expected);
        let told: String = images.iter().map(loaded).collect();
        assert_eq!(
            told,
            "loaded docker.io/library/busybox:1\nloaded localhost/b:2\nloaded sha256:fedcba9876543210\n"
        );
    }
}
