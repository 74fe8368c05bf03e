//! What a program leaves as the reason of its end: a file bound into its container, or the end of its log. The kubelet's
//! rules (container/runtime.go, kuberuntime_container.go `getTerminationMessage`). What it means is nobody's business here.
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{log, oci::Bind, places::Places};
use crate::pod::{Access, AttemptId, Container, PodName, Propagation, termination::Policy};

/// How much of the file is read: its end.
const FILE_LIMIT: u64 = 4096;
/// How much of the log is read: its last lines, and of those the end.
const LOG_LINES: usize = 80;
const LOG_LIMIT: usize = 2048;
/// How much of the log is kept with an end by a signal.
const FLIGHT_LINES: usize = 10;
const FLIGHT_LIMIT: usize = 1024;

/// Where a container's last words are to be found, remembered beside its bundle: the pod may be gone by then.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    file: PathBuf,
    /// The log, if that is to be read when the file is empty.
    log: Option<PathBuf>,
    /// The log; absent in what an older agent wrote.
    output: Option<PathBuf>,
}

/// Makes the file and says where it is to appear, if anywhere.
pub(super) fn prepare(
    places: &Places,
    pod: &PodName,
    id: &AttemptId,
    wanted: &Container,
) -> io::Result<Option<Bind>> {
    let termination = &wanted.termination;
    let file = places.upper(id).join("termination-log");
    File::create(&file)?;
    // Whoever the container's user is.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666))?;
    let output = places.log(pod, id);
    let log = (termination.policy == Policy::FallbackToLogsOnError).then(|| output.clone());
    let note = Note { file: file.clone(), log, output: Some(output) };
    fs::write(note_of(&places.attempt(id)), serde_json::to_vec(&note)?)?;
    // A volume that is mounted there goes first.
    let taken = wanted.mounts.iter().any(|mount| mount.path == termination.path);
    let bind = Bind {
        source: file,
        target: termination.path.clone(),
        access: Access::ReadWrite,
        propagation: Propagation::None,
    };
    Ok((!taken && !termination.path.is_empty()).then_some(bind))
}

fn note_of(attempt: &Path) -> PathBuf {
    attempt.join("last-words.json")
}

/// How the program ended, as far as its last words are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Well,
    Badly,
}

/// What the program of an attempt has left, after all its output is in the log.
pub(super) fn read(places: &Places, id: &AttemptId, ending: Ending) -> io::Result<Option<String>> {
    let Some(note) = Note::of(places, id)? else { return Ok(None) };
    let mut words = end_of(&note.file)?;
    if let (true, Ending::Badly, Some(log)) = (words.is_empty(), ending, &note.log) {
        words = log::last_output(log, LOG_LINES, LOG_LIMIT)?;
    }
    Ok((!words.is_empty()).then(|| String::from_utf8_lossy(&words).into_owned()))
}

/// The last output of an attempt, whatever it was asked to leave as its reason.
pub(super) fn output(places: &Places, id: &AttemptId) -> io::Result<Option<String>> {
    let Some(log) = Note::of(places, id)?.and_then(|note| note.output) else { return Ok(None) };
    let words = log::last_output(&log, FLIGHT_LINES, FLIGHT_LIMIT)?;
    Ok((!words.is_empty()).then(|| String::from_utf8_lossy(&words).into_owned()))
}

impl Note {
    /// `None`: the attempt was started by an agent that did not write one.
    fn of(places: &Places, id: &AttemptId) -> io::Result<Option<Self>> {
        match fs::read(note_of(&places.attempt(id))) {
            Ok(note) => Ok(Some(serde_json::from_slice(&note)?)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }
}

fn end_of(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let from = file.metadata()?.len().saturating_sub(FILE_LIMIT);
    let mut file = file;
    file.seek(SeekFrom::Start(from))?;
    let mut words = Vec::new();
    file.take(FILE_LIMIT).read_to_end(&mut words)?;
    Ok(words)
}
