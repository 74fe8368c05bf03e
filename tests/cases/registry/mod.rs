//! Images that come from registries: good ones, ones that lie, and none at all.

mod faulty;
mod made;
mod real;
mod server;

use super::Case;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = faulty::cases();
    cases.extend(real::cases());
    cases
}
