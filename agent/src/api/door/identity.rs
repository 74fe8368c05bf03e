//! Who speaks: the user at the other end of the socket, or the holder of a client certificate.

use serde::Deserialize;

use crate::pki::Subject;

/// Whoever a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Speaker {
    pub(super) user: String,
    pub(super) standing: Standing,
}

/// By what right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Root of this box, or the agent's own user.
    Root,
    /// A certificate says so.
    Granted(Role),
}

/// What a certificate allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    Admin,
    View,
    Metrics,
}

impl Role {
    const ALL: [Self; 3] = [Self::Admin, Self::View, Self::Metrics];

    /// The organization in a certificate.
    pub(super) fn group(self) -> &'static str {
        match self {
            Self::Admin => "carob:admin",
            Self::View => "carob:view",
            Self::Metrics => "carob:metrics",
        }
    }
}

impl Speaker {
    /// The user at the other end of the socket, as the kernel tells it, if that is root or our own.
    pub(super) fn on_socket(peer: Option<u32>, own: u32) -> Option<Self> {
        let uid = peer.filter(|uid| *uid == 0 || *uid == own)?;
        let user = if uid == 0 { "root".to_owned() } else { format!("uid {uid}") };
        Some(Self { user, standing: Standing::Root })
    }

    /// Whom a certificate of ours is for.
    pub(super) fn of_certificate(subject: Subject) -> Option<Self> {
        let role = Role::ALL.into_iter().find(|role| role.group() == subject.group)?;
        Some(Self { user: subject.user, standing: Standing::Granted(role) })
    }

    /// What Kubernetes calls the user's groups.
    pub(super) fn groups(&self) -> [&'static str; 2] {
        let own = match self.standing {
            Standing::Root => "carob:root",
            Standing::Granted(role) => role.group(),
        };
        [own, "system:authenticated"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_and_the_agents_own_user_may_speak_on_the_socket() {
        for (peer, own, expected) in [
            (Some(0), 0, Some("root")),
            (Some(0), 7, Some("root")),
            (Some(7), 7, Some("uid 7")),
            (Some(8), 7, None),
            (Some(8), 0, None),
            (None, 0, None),
        ] {
            let speaker = Speaker::on_socket(peer, own);
            assert!(speaker.iter().all(|speaker| speaker.standing == Standing::Root));
            assert_eq!(speaker.map(|speaker| speaker.user).as_deref(), expected, "{peer:?} {own}");
        }
    }

    #[test]
    fn a_certificate_is_for_one_role() {
        for (group, expected) in [
            ("carob:admin", Some(Role::Admin)),
            ("carob:view", Some(Role::View)),
            ("carob:metrics", Some(Role::Metrics)),
            ("carob:root", None),
            ("system:masters", None),
            ("", None),
        ] {
            let subject = Subject { user: "x".to_owned(), group: group.to_owned() };
            let speaker = Speaker::of_certificate(subject);
            let expected =
                expected.map(|role| Speaker { user: "x".to_owned(), standing: Standing::Granted(role) });
            assert_eq!(speaker, expected, "{group}");
        }
    }
}
