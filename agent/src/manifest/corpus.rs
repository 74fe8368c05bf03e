//! Manifests that nobody here wrote, against what each must get. They lie beside the project and are not part of it:
//! without them this test says so and checks nothing.

#![expect(clippy::disallowed_methods, reason = "reads the manifests")]

use std::{fs, path::PathBuf};

use serde_json::Value;

use super::{
    Kind, only_later,
    yaml::{self, Document},
};

/// Fields for which a manifest that is listed as runnable is refused all the same: a Kubernetes cluster refuses it too.
const APART: &[&str] = &[
    // Kubernetes has served neither extensions/v1beta1 nor apps/v1beta2 since 1.16.
    "apiVersion",
    "spec.selector",
    // An underscore, a placeholder that was never filled in, one name for two.
    "volumes[].image",
    "metadata.name",
    "metadata.labels",
    "containers[].name",
    // A token's volume that the manifest does not declare.
    "volumeMounts[].name",
    // A kubelet that was not told to allow them refuses these as well.
    "sysctls[].name",
];

/// One row of the list.
struct Wanted {
    file: String,
    kind: String,
    name: String,
    /// The field below the pod's spec that is to be refused; `None`: it is to be accepted.
    refused: Option<String>,
}

/// What a manifest got: the fields that were refused, each with the message. A file that is no YAML has one without a field.
type Got = Vec<(String, String)>;

fn corpus() -> Option<PathBuf> {
    let dir = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpus"));
    dir.join("oracle.tsv").is_file().then_some(dir)
}

fn rows(list: &str) -> Vec<Wanted> {
    let row = |line: &str| {
        let mut cells = line.split('\t').map(str::to_owned);
        let (file, _document, kind, name, verdict) =
            (cells.next()?, cells.next()?, cells.next()?, cells.next()?, cells.next()?);
        let refused = match verdict.as_str() {
            "runnable" => None,
            other => Some(other.strip_prefix("refuse:")?.to_owned()),
        };
        Some(Wanted { file, kind, name, refused })
    };
    list.lines().skip(1).filter_map(row).collect()
}

/// The objects of a document: itself, or those of a list.
fn objects(document: &Document) -> Vec<(Value, String)> {
    match document.value["items"].as_array() {
        Some(items) => {
            items.iter().enumerate().map(|(index, item)| (item.clone(), format!("items[{index}]."))).collect()
        }
        None => vec![(document.value.clone(), String::new())],
    }
}

/// Checks the row's object, and that every fault has a place in the file.
fn judged(wanted: &Wanted, documents: &[Document]) -> Option<Got> {
    let found = documents.iter().find_map(|document| {
        let mut all = objects(document).into_iter();
        let named = all.find(|(object, _)| {
            let name = object["metadata"]["name"].as_str().unwrap_or("-");
            object["kind"] == wanted.kind.as_str() && name == wanted.name
        });
        named.map(|found| (document, found))
    });
    let (document, (object, prefix)) = found?;
    let Some(kind) = Kind::all().find(|kind| kind.name() == wanted.kind) else {
        return Some(vec![("kind".to_owned(), format!("{} is unknown", wanted.kind))]);
    };
    let late = only_later(&object).map(|(field, why)| (field.to_owned(), why.to_owned()));
    let Err(faults) = kind.check(&object) else { return Some(late.into_iter().collect()) };
    let got = faults.0.into_iter().map(|fault| {
        let spot = document.spot.find(&format!("{prefix}{}", fault.field));
        assert!(spot.value.line > 0 && spot.value.column > 0, "{}: {fault} has no place", wanted.file);
        (fault.field, fault.message)
    });
    Some(got.collect())
}

/// `spec.containers[0].image` is below the field, or around it.
fn is_about(field: &str, wanted: &str) -> bool {
    let plain =
        |text: &str| text.replace(['[', ']', '.'], " ").split_whitespace().collect::<Vec<_>>().join(" ");
    let field = field.trim_start_matches("spec.").trim_start_matches("template.spec.");
    let (field, wanted) = (plain(field), plain(wanted));
    field.starts_with(&wanted) || wanted.starts_with(&field)
}

/// `spec.containers[].image`: the field without its indices.
fn pattern(field: &str) -> String {
    let digits =
        |part: &str| part.split_once(']').map_or_else(|| part.to_owned(), |(_, rest)| format!("]{rest}"));
    let mut parts = field.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| format!("{text}[{}", digits(part)))
}

/// Whether all of this may be refused.
fn is_excused(got: &Got) -> bool {
    let is_apart = |(field, _): &(String, String)| {
        let field = pattern(field);
        APART.iter().any(|part| field.contains(part))
    };
    !got.is_empty() && got.iter().all(is_apart)
}

#[test]
fn every_manifest_of_the_corpus_gets_what_it_must() {
    let Some(dir) = corpus() else {
        println!("skipped: there is no corpus beside this project");
        return;
    };
    let list = fs::read_to_string(dir.join("oracle.tsv")).unwrap();
    let (mut right, mut apart, mut wrong) = (0, 0, Vec::new());
    for wanted in rows(&list) {
        let bytes = fs::read(dir.join(&wanted.file)).unwrap();
        let (documents, _) = yaml::documents(&wanted.file, &bytes);
        let got =
            judged(&wanted, &documents).unwrap_or_else(|| panic!("{} has no {}", wanted.file, wanted.name));
        let fits = match &wanted.refused {
            None => got.is_empty(),
            Some(field) => got.iter().any(|(at, _)| is_about(at, field)),
        };
        if fits {
            right += 1;
        } else if wanted.refused.is_none() && is_excused(&got) {
            apart += 1;
        } else {
            let Wanted { file, kind, refused, .. } = &wanted;
            wrong.push(format!("{file} {kind}: {refused:?} wanted, got {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    // README has these numbers.
    assert_eq!((right, apart), (381, 32), "as listed, refused by Kubernetes too");
}
