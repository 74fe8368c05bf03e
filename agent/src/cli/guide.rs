//! `carob completion` and `carob man`: what the command line says of itself, to shells and in manual pages.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Command;
use clap_complete::{aot, generate};

use super::output::say_bytes;

/// What is asked of the command line itself, and neither of the agent nor of the box.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Print what a shell reads to complete words: source <(carob completion bash)
    Completion {
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Write the manual pages into a folder, such as /usr/local/share/man/man1
    Man {
        /// It is made if it is not there
        #[arg(value_name = "FOLDER")]
        to: PathBuf,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Fish,
    Zsh,
}

impl Shell {
    fn script(self, mut line: Command) -> Vec<u8> {
        let mut script = Vec::new();
        match self {
            Self::Bash => generate(aot::Bash, &mut line, "carob", &mut script),
            Self::Fish => generate(aot::Fish, &mut line, "carob", &mut script),
            Self::Zsh => generate(aot::Zsh, &mut line, "carob", &mut script),
        }
        script
    }
}

impl Verb {
    /// About this command line.
    #[expect(clippy::disallowed_methods, reason = "writes the folder named on the command line")]
    pub(crate) fn run(self, line: Command) -> anyhow::Result<ExitCode> {
        match self {
            Self::Completion { shell } => drop(say_bytes(&shell.script(line))?),
            Self::Man { to } => {
                let made = fs::create_dir_all(&to).and_then(|()| clap_mangen::generate_to(line, &to));
                made.with_context(|| format!("write manual pages into {}", to.display()))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "looks at what was written")]

    use clap::{CommandFactory, Parser, ValueEnum};

    use super::*;

    #[derive(Parser)]
    #[command(name = "carob", version)]
    struct Line {
        #[command(subcommand)]
        _verb: crate::cli::Verb,
    }

    #[test]
    fn every_verb_has_a_page_and_is_completed_in_each_shell() {
        let dir = std::env::temp_dir().join(format!("carob-man-{}", std::process::id()));
        Verb::Man { to: dir.clone() }.run(Line::command()).unwrap();
        let line = Line::command();
        let verbs: Vec<&str> = line.get_subcommands().map(Command::get_name).collect();
        assert!(verbs.len() > 10);
        for shell in Shell::value_variants() {
            let script = shell.script(Line::command());
            let script = String::from_utf8(script).unwrap();
            assert!(verbs.iter().all(|verb| script.contains(verb)), "{shell:?}");
        }
        for verb in verbs {
            let page = fs::read_to_string(dir.join(format!("carob-{verb}.1"))).unwrap();
            assert!(page.contains(".SH SYNOPSIS"), "{page}");
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
