//! What the guest says to the host: one JSON record a line. Both sides compile this file.

use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Record {
    /// The guest has booted and waits. Written by the guest's boot script.
    Ready { ready: bool },
    /// A case begins.
    Start { start: String },
    /// A case has ended.
    Case { case: String, ok: bool, seconds: f64, note: String },
    /// A line for the person at the terminal.
    Say { say: String },
    /// Something measured.
    Figure { figure: Figure },
    /// A text that the running case hands over. What is to be checked in it the host knows by its name.
    Text { name: String, text: String },
    /// The case goes on after the guest's next boot.
    Boot { boot: Next },
    /// The host pulls the plug at a moment of its own within this time, and boots again. The case goes on until then.
    Cut { cut_within_ms: u64 },
    /// What the case is to be told in all later boots, however this one ends. One word.
    Note { note: String },
    /// All that was asked for has been done. Without it the run failed.
    Done { done: bool },
}

/// A line of `cargo xtask bench`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    /// Also of what, and how it was come by.
    pub(crate) unit: String,
    /// The figure of the same run that it is compared with.
    pub(crate) peer: Option<String>,
    /// The value in multiples of that.
    pub(crate) ratio: Option<f64>,
}

/// What a guest is told of the boot it begins.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// The long form of long cases.
    pub(crate) full: bool,
    /// How often it has been booted for this case before.
    pub(crate) boot: u32,
    /// For what a case leaves to chance.
    pub(crate) seed: u64,
    /// What the case has noted in earlier boots, the oldest first.
    pub(crate) notes: Vec<String>,
}

impl Told {
    /// As words of a command line.
    pub(crate) fn words(&self) -> Vec<String> {
        let Self { full, boot, seed, notes } = self;
        let mut words = vec![format!("--boot={boot}"), format!("--seed={seed}")];
        words.extend(full.then(|| "--full".to_owned()));
        words.extend(notes.iter().map(|note| format!("--note={note}")));
        words
    }
}

/// How the guest leaves its boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Next {
    /// It shuts down in order; the host waits for that.
    Reboot,
    /// The host pulls the plug.
    Cut,
}

/// One line of `carob-tests list`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Listed {
    /// `area::name`.
    pub(crate) case: String,
    pub(crate) mode: Mode,
    /// Seconds the case may take in the guest.
    pub(crate) limit: u64,
}

/// What machine a case wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// One restored guest for all such cases of an area, one after the other.
    Shared,
    /// A restored guest of its own: it kills the agent, fills disks or otherwise spoils the guest.
    Alone,
    /// A cold boot on a disk of its own, and boots again when it says so.
    Reboot,
    /// A cold boot of the arm64 guest, which has no systemd.
    Arm64,
    /// A restored guest of its own, whose agent programs of the host speak with once the case has ended well in the guest.
    Client,
}
