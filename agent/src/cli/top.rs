//! `carob top`: what pods and the box use now, in kubectl's columns.

use std::process::ExitCode;

use serde_json::Value;

use super::{
    Scope,
    client::{Client, Error, encoded, query},
    output::{self, note, say},
    table::Table,
};
use crate::{columns::text, manifest::Quantity};

const METRICS: &str = "/apis/metrics.k8s.io/v1beta1";
const MEBI: u64 = 1 << 20;

/// Show what pods or the box use now
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Top {
    /// What pods use
    #[command(visible_aliases = ["pods", "po"])]
    Pod(Pods),
    /// What the box uses, and how much that is of what pods may have
    #[command(visible_aliases = ["nodes", "no"])]
    Node,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Pods {
    /// Only this one
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    scope: Scope,
    /// Those of every namespace
    #[arg(short = 'A', long, conflicts_with_all = ["name", "namespace"])]
    all_namespaces: bool,
    /// Only those with these labels (key=value, key!=value)
    #[arg(short = 'l', long, conflicts_with = "name")]
    selector: Option<String>,
    /// Each container on a line of its own
    #[arg(long)]
    containers: bool,
}

impl Top {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<ExitCode> {
        let table = match self {
            Self::Pod(pods) => pods.table(&pods.used(client).await?),
            Self::Node => {
                let nodes = client.fetch("/api/v1/nodes").await?;
                node(&client.fetch(&format!("{METRICS}/nodes")).await?["items"][0], &nodes["items"][0])
            }
        };
        match table {
            Some(table) => say(&table.render(output::width()))?,
            None => note("Nothing is measured yet"),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What is used of a processor, in thousandths, and of memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Amounts {
    cpu: u64,
    memory: u64,
}

impl Amounts {
    fn read(resources: &Value) -> Self {
        let quantity = |what: &str| Quantity::parse(resources[what].as_str()?);
        Self {
            cpu: quantity("cpu").map_or(0, |cpu| cpu.thousandths()),
            memory: quantity("memory").map_or(0, |memory| memory.units()),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self { cpu: self.cpu + other.cpu, memory: self.memory + other.memory }
    }

    fn cells(self) -> [String; 2] {
        [format!("{}m", self.cpu), format!("{}Mi", self.memory / MEBI)]
    }
}

impl Pods {
    async fn used(&self, client: &Client) -> Result<Vec<Value>, Error> {
        let pods = match self.all_namespaces {
            true => format!("{METRICS}/pods"),
            false => format!("{METRICS}/namespaces/{}/pods", encoded(&self.scope.namespace)),
        };
        if let Some(name) = &self.name {
            return Ok(vec![client.fetch(&format!("{pods}/{}", encoded(name))).await?]);
        }
        let path = pods + &query(&[("labelSelector", self.selector.clone())]);
        match client.fetch(&path).await?["items"].take() {
            Value::Array(items) => Ok(items),
            _ => Ok(Vec::new()),
        }
    }

    /// None without a row.
    fn table(&self, pods: &[Value]) -> Option<Table> {
        let first: &[&str] = if self.containers { &["POD", "NAME"] } else { &["NAME"] };
        let namespace = self.all_namespaces.then_some("NAMESPACE");
        let heading = namespace.iter().chain(first).chain(&["CPU(cores)", "MEMORY(bytes)"]);
        let mut table = Table::new(heading.copied());
        for pod in pods {
            let namespace = self.all_namespaces.then(|| text(&pod["metadata"]["namespace"]));
            let name = text(&pod["metadata"]["name"]);
            let containers = pod["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
            let used = |container: &Value| Amounts::read(&container["usage"]);
            let rows: Vec<(Option<String>, Amounts)> = if self.containers {
                containers.iter().map(|one| (Some(text(&one["name"])), used(one))).collect()
            } else {
                vec![(None, containers.iter().map(used).fold(Amounts::default(), Amounts::plus))]
            };
            for (container, amounts) in rows {
                let names = namespace.iter().cloned().chain([name.clone()]).chain(container);
                table.row(names.chain(amounts.cells()));
            }
        }
        (!pods.is_empty()).then_some(table)
    }
}

fn node(used: &Value, node: &Value) -> Option<Table> {
    let name = used["metadata"]["name"].as_str()?;
    let (used, all) = (Amounts::read(&used["usage"]), Amounts::read(&node["status"]["allocatable"]));
    let share = |part: u64, all: u64| format!("{}%", (100 * part).checked_div(all).unwrap_or(0));
    let [cpu, memory] = used.cells();
    let mut table = Table::new(["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"]);
    table.row([name.to_owned(), cpu, share(used.cpu, all.cpu), memory, share(used.memory, all.memory)]);
    Some(table)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        pods: Pods,
    }

    #[test]
    fn what_pods_use_is_summed_or_told_by_container() {
        let pod = json!({"metadata": {"name": "web", "namespace": "shop"}, "containers": [
            {"name": "a", "usage": {"cpu": "1500000n", "memory": "1024Ki"}},
            {"name": "b", "usage": {"cpu": "2m", "memory": "2Mi"}},
        ]});
        let rows: [(&[&str], &str); 3] = [
            (&["top"], "NAME   CPU(cores)   MEMORY(bytes)\nweb    4m           3Mi\n"),
            (
                &["top", "--containers"],
                "POD   NAME   CPU(cores)   MEMORY(bytes)\nweb   a      2m           1Mi\nweb   b      2m           2Mi\n",
            ),
            (
                &["top", "-A"],
                "NAMESPACE   NAME   CPU(cores)   MEMORY(bytes)\nshop        web    4m           3Mi\n",
            ),
        ];
        for (words, expected) in rows {
            let table = Line::parse_from(words).pods.table(std::slice::from_ref(&pod));
            assert_eq!(table.map(|table| table.render(None)).as_deref(), Some(expected), "{words:?}");
        }
        assert!(Line::parse_from(["top"]).pods.table(&[]).is_none());
    }

    #[test]
    fn the_box_is_told_with_its_shares() {
        let used =
            json!({"metadata": {"name": "box"}, "usage": {"cpu": "500000000n", "memory": "1048576Ki"}});
        let whole = json!({"status": {"allocatable": {"cpu": "2", "memory": "4Gi"}}});
        let expected = "NAME   CPU(cores)   CPU(%)   MEMORY(bytes)   MEMORY(%)\nbox    500m         25%      1024Mi          25%\n";
        assert_eq!(node(&used, &whole).map(|table| table.render(None)).as_deref(), Some(expected));
        assert!(node(&json!(null), &whole).is_none());
    }
}
