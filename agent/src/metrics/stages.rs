//! How long containers take to come up and to end: of the box as a whole, so that there are as few series with many pods as
//! with one.

use super::family::{Family, Series};
use crate::picture::{Picture, stages::Stage};

pub(super) fn families(picture: &Picture) -> Vec<Family> {
    let (mut start, mut stop) = (Vec::new(), Vec::new());
    for (stage, spread) in picture.stages.now() {
        match phase(stage) {
            Some(phase) => start.push(Series::new([("phase", phase)], spread)),
            None => stop.push(Series::new([], spread)),
        }
    }
    vec![
        Family::histogram(
            "carob_container_start_seconds",
            "How long containers took to come up, by phase, since this agent began.",
            start,
        ),
        Family::histogram(
            "carob_container_stop_seconds",
            "How long containers took to end after the signal that asked them to, since this agent began.",
            stop,
        ),
    ]
}

/// Of coming up; nothing for an end.
fn phase(stage: Stage) -> Option<&'static str> {
    match stage {
        Stage::Create => Some("create"),
        Stage::Record => Some("record"),
        Stage::Exec => Some("exec"),
        Stage::Started => Some("started"),
        Stage::Ready => Some("ready"),
        Stage::Stop => None,
    }
}
