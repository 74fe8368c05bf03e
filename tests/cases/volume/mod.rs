//! Volumes, seen from inside the containers that have them and from the box.

mod files;
mod images;
mod spread;

use std::time::Duration;

use super::Case;
use crate::wire::Mode;

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case { name, mode: Mode::Shared, limit: Duration::from_secs(180), run };
    vec![
        case("an_image_is_a_volume_for_reading_only", images::volume),
        case("a_variable_comes_from_a_file_of_an_init_container", files::variables),
        case("files_and_subpaths_belong_to_whom_they_must", files::owners),
        case("what_is_mounted_below_is_read_only_if_that_is_asked", spread::read_only),
        case("what_the_box_mounts_later_is_seen_if_that_is_asked", spread::from_the_box),
        case("what_a_container_mounts_is_on_the_box_if_that_is_asked", spread::to_the_box),
    ]
}
