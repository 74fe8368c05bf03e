//! Where a program may leave word of why it ended. Plain data.

/// `terminationMessagePath` and `terminationMessagePolicy` of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Termination {
    /// In the container; a file is mounted there. Empty: nowhere.
    pub(crate) path: String,
    pub(crate) policy: Policy,
}

/// What is read when the program has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    File,
    /// The end of the log if the file is empty and the program failed.
    FallbackToLogsOnError,
}

impl Default for Termination {
    fn default() -> Self {
        Self { path: "/dev/termination-log".to_owned(), policy: Policy::File }
    }
}
