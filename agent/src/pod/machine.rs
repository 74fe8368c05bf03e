//! The box that the pods run on.

/// What the box says of itself. Empty is what it does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    /// machine-id(5): of this installation.
    pub(crate) id: String,
    /// Of the hardware.
    pub(crate) uuid: String,
    /// What it runs, for people.
    pub(crate) os: String,
}
