//! `carob image`: archives in, a list out. The store is the agent's.

use std::process::ExitCode;

use hyper::Method;
use jiff::Timestamp;
use serde_json::Value;

use super::{
    age,
    client::{Client, Payload, query},
    output::{self, say},
    pull, source,
    table::Table,
    why::bytes,
};

const IMAGES: &str = "/carob/v1/images";
/// Digits of an id that are enough to tell images apart, as docker shows them.
const SHORT_ID: usize = 12;

/// Pull, load, list and remove images
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Image {
    /// Load the images of a `docker save` or OCI archive
    Load {
        /// The archive, or - for standard input
        #[arg(value_name = "FILE|-")]
        archive: String,
    },
    /// Pull images from their registries
    Pull {
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
    },
    /// List the images
    Ls,
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
                let payload = Payload::Stream(source::stream(&archive)?);
                let answer = client.call(Method::POST, IMAGES, payload).await?;
                say(&images(&answer).iter().map(loaded).collect::<String>())?;
            }
            Self::Pull { names } => return pull::run(client, &names).await,
            Self::Ls => say(&list(images(&client.fetch(IMAGES).await?), now).render(output::width()))?,
            Self::Rm { name } => {
                let path = format!("{IMAGES}{}", query(&[("name", Some(name.clone()))]));
                client.call(Method::DELETE, &path, Payload::Nothing).await?;
                say(&format!("removed {name}\n"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn images(answer: &Value) -> &[Value] {
    answer["items"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn names(image: &Value) -> Vec<&str> {
    image["names"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn loaded(image: &Value) -> String {
    match names(image).as_slice() {
        [] => format!("loaded {}\n", image["id"].as_str().unwrap_or_default()),
        names => names.iter().map(|name| format!("loaded {name}\n")).collect(),
    }
}

/// A row for each name; an image without one has a row all the same.
fn list(images: &[Value], now: Timestamp) -> Table {
    let mut table = Table::new(&["NAME", "IMAGE ID", "CREATED", "SIZE"]);
    for image in images {
        let id = image["id"].as_str().unwrap_or_default();
        let id: String = id.strip_prefix("sha256:").unwrap_or(id).chars().take(SHORT_ID).collect();
        let created = match age::since(image["created"].as_str(), now) {
            age if age.starts_with('<') => age,
            age => format!("{age} ago"),
        };
        let size = bytes(image["size"].as_u64().unwrap_or(0));
        let names = names(image);
        let names = if names.is_empty() { vec!["<none>"] } else { names };
        for name in names {
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
