//! Argument vector and environment of a container's main process, by Kubernetes' rules.

use std::collections::BTreeMap;

use super::ImageDefaults;
use crate::pod::{Container, Streams, expand::expand};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// `command` replaces ENTRYPOINT and CMD, `args` replaces CMD; `$(NAME)` in both is expanded.
pub(crate) fn argv(
    container: &Container,
    image: &ImageDefaults,
    env: &BTreeMap<String, String>,
) -> Vec<String> {
    let expanded = |words: &[String]| words.iter().map(|word| expand(word, env)).collect::<Vec<_>>();
    let entrypoint =
        if container.command.is_empty() { image.entrypoint.clone() } else { expanded(&container.command) };
    let rest = match (container.args.is_empty(), container.command.is_empty()) {
        (false, _) => expanded(&container.args),
        (true, true) => image.cmd.clone(),
        (true, false) => Vec::new(),
    };
    [entrypoint, rest].concat()
}

/// The image's variables below the container's own; PATH and HOSTNAME are never missing. HOME is `security`'s.
pub(crate) fn environment(
    own: &BTreeMap<String, String>,
    image: &ImageDefaults,
    hostname: &str,
    streams: Streams,
) -> Vec<String> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    all.insert("PATH".to_owned(), PATH.to_owned());
    if streams == Streams::Terminal {
        all.insert("TERM".to_owned(), "xterm".to_owned());
    }
    all.insert("HOSTNAME".to_owned(), hostname.to_owned());
    all.extend(image.env.iter().cloned());
    all.extend(own.clone());
    all.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_and_args_meet_the_images_words() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let image = ImageDefaults { entrypoint: words("e"), cmd: words("c d"), ..ImageDefaults::default() };
        let rows = [
            ("", "", "e c d"),
            ("x y", "", "x y"),
            ("", "a", "e a"),
            ("x", "a b", "x a b"),
            ("$(V)", "$(V)", "7 7"),
        ];
        for (command, args, expected) in rows {
            let container = Container { command: words(command), args: words(args), ..blank() };
            let env = BTreeMap::from([("V".to_owned(), "7".to_owned())]);
            assert_eq!(argv(&container, &image, &env), words(expected), "{command:?} {args:?}");
        }
    }

    #[test]
    fn the_containers_variables_win_over_the_image() {
        let env = [("A", "1"), ("I", "mine")];
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let image = ImageDefaults {
            env: [("I", "image"), ("J", "$(A)")].map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec(),
            ..ImageDefaults::default()
        };
        let all = environment(&env, &image, "h", Streams::Pipes);
        let path = format!("PATH={PATH}");
        assert_eq!(all, ["A=1", "HOSTNAME=h", "I=mine", "J=$(A)", path.as_str()]);
        let all = environment(&env, &image, "h", Streams::Terminal);
        assert_eq!(all.last().map(String::as_str), Some("TERM=xterm"), "as containerd has it");
    }

    pub(super) fn blank() -> Container {
        Container::default()
    }
}
