//! Annotations that are carob's own. There are no others.

/// `"false"`: an OOM kill takes one process, not the container. `NAME` may follow after a dot
/// (`carob.dev/oom-group.NAME`) to say it of one container only.
pub(crate) const OOM_GROUP: &str = "carob.dev/oom-group";
/// `"true"`: memory that is asked for is protected, and who nears its limit is slowed down.
pub(crate) const MEMORY_QOS: &str = "carob.dev/memory-qos";
/// `"true"`: who ignores SIGTERM is not waited for. May name a container, as `OOM_GROUP`.
pub(crate) const KILL_DEAF: &str = "carob.dev/kill-if-sigterm-ignored";
/// `"oom=Never,kill=Always"`: whether a failure leads to another attempt, by its cause. May name a container.
pub(crate) const RESTART: &str = "carob.dev/restart";
/// `"oom=1m,crash=5s..2m"`: how long the next attempt waits after a failure, by its cause. May name a container.
pub(crate) const BACKOFF: &str = "carob.dev/backoff";
/// `"Retain"`: what lies in a claim stays when the claim is deleted. `"Delete"` if it is not there.
pub(crate) const RECLAIM: &str = "carob.dev/reclaim-policy";
/// Set by carob on pods that come from the manifest folder: the file's path.
pub(crate) const MANIFEST: &str = "carob.dev/manifest";
