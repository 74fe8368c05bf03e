//! Debian for the guest: the archive this machine's apt is set up with, and packages from it, without touching
//! this machine's package lists.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::tool::{Tool, tool};

/// The guest's release. Its kernel is the oldest that is wanted often, its systemd the oldest that is supported.
pub(crate) const SUITE: &str = "bookworm";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Overrides the archive of this machine's apt, e.g. on Ubuntu or for a mirror in the house.
const MIRROR: &str = "CAROB_DEBIAN_MIRROR";

/// The archive and, if there is one, the security archive next to it.
#[derive(Debug, PartialEq)]
pub(crate) struct Archive {
    main: String,
    security: Option<String>,
}

impl Archive {
    pub(crate) fn of_this_machine() -> Result<Self> {
        if let Some(main) = env::var(MIRROR).ok().filter(|uri| !uri.is_empty()) {
            return Ok(Self { main, security: None });
        }
        let format = "$(REPO_URI) $(RELEASE) $(COMPONENT)";
        let targets = tool("apt-get").args(["indextargets", "--format", format, "Created-By: Packages"]);
        Self::among(&targets.output()?).with_context(|| {
            format!("apt on this machine knows no Debian archive: name one with {MIRROR}=http://…/debian")
        })
    }

    /// `targets`: one `URI RELEASE COMPONENT` a line.
    fn among(targets: &str) -> Option<Self> {
        let (mut main, mut security) = (None, None);
        for line in targets.lines() {
            let [uri, release, "main"] = line.split_whitespace().collect::<Vec<_>>()[..] else { continue };
            let uri = uri.trim_end_matches('/');
            if uri.ends_with("/debian") && !release.contains('-') {
                main.get_or_insert(uri.to_owned());
            } else if uri.contains("debian-security") && release.ends_with("-security") {
                security.get_or_insert(uri.to_owned());
            }
        }
        Some(Self { main: main?, security })
    }

    /// The guest's release as lines of a sources.list.
    pub(crate) fn sources(&self) -> Vec<String> {
        self.sources_of(SUITE)
    }

    fn sources_of(&self, suite: &str) -> Vec<String> {
        let line = |uri: &str, suite: &str| format!("deb [signed-by={KEYRING}] {uri} {suite} main");
        let security = self.security.iter().filter(|_| !suite.ends_with("-backports"));
        let security = security.map(|uri| line(uri, &format!("{suite}-security")));
        [line(&self.main, suite)].into_iter().chain(security).collect()
    }
}

/// apt with lists and a cache of its own, for packages of one architecture.
pub(crate) struct PrivateApt {
    dir: PathBuf,
    architecture: &'static str,
}

impl PrivateApt {
    /// Knows the packages of the guest's release.
    pub(crate) fn new(archive: &Archive, dir: PathBuf, architecture: &'static str) -> Result<Self> {
        Self::of(archive, &[SUITE], dir, architecture)
    }

    /// Knows the packages of several releases.
    pub(crate) fn of(
        archive: &Archive,
        suites: &[&str],
        dir: PathBuf,
        architecture: &'static str,
    ) -> Result<Self> {
        for name in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(name)).with_context(|| format!("create {}/{name}", dir.display()))?;
        }
        let sources: Vec<String> = suites.iter().flat_map(|suite| archive.sources_of(suite)).collect();
        fs::write(dir.join("sources.list"), sources.join("\n") + "\n")?;
        fs::write(dir.join("status"), "")?;
        let apt = Self { dir, architecture };
        apt.tool("apt-get").arg("update").run()?;
        Ok(apt)
    }

    /// The names of all packages that start with `prefix`, one a line.
    pub(crate) fn package_names(&self, prefix: &str) -> Result<String> {
        self.tool("apt-cache").args(["pkgnames", prefix]).output()
    }

    /// Unpacks the files of a package.
    pub(crate) fn unpack(&self, package: &str, to: &Path) -> Result<()> {
        unpack_file(&self.download(package)?, to)
    }

    /// The file of a package.
    pub(crate) fn download(&self, package: &str) -> Result<PathBuf> {
        self.tool("apt-get").args(["download", package]).dir(&self.dir).run()?;
        let start = format!("{package}_");
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(start.as_bytes()) {
                return Ok(entry.path());
            }
        }
        bail!("apt-get download {package} left no .deb")
    }

    fn tool(&self, program: &str) -> Tool {
        let at = |name: &str| self.dir.join(name).display().to_string();
        tool(program).args([
            format!("-oAPT::Architecture={}", self.architecture),
            format!("-oAPT::Architectures={}", self.architecture),
            format!("-oDir::Etc::sourcelist={}", at("sources.list")),
            "-oDir::Etc::sourceparts=/dev/null".to_owned(),
            format!("-oDir::State::lists={}", at("lists")),
            format!("-oDir::State::status={}", at("status")),
            format!("-oDir::Cache={}", at("cache")),
            // The unprivileged download user may not enter a root's cache directory.
            "-oAPT::Sandbox::User=".to_owned(),
        ])
    }
}

/// Unpacks the files of a package that was downloaded.
pub(super) fn unpack_file(package: &Path, to: &Path) -> Result<()> {
    tool("dpkg-deb").arg("-x").arg(package).arg(to).run()
}

/// The kernel release (`6.1.0-…`) of an unpacked kernel package.
pub(crate) fn release(modules: &Path) -> Result<String> {
    let mut entries = fs::read_dir(modules).with_context(|| format!("read {}", modules.display()))?;
    let entry = entries.next().context("the kernel package has no modules")??;
    Ok(entry.file_name().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(targets: &str, main: Option<&str>, security: Option<&str>) {
        let expected = main.map(|main| Archive { main: main.into(), security: security.map(Into::into) });
        assert_eq!(Archive::among(targets), expected);
    }

    #[test]
    fn the_archive_is_the_one_apt_is_set_up_with() {
        check("", None, None);
        check("http://a/apt/ bookworm main\n", None, None);
        check(
            "http://a/debian/ trixie-backports main\nhttp://b/debian trixie main",
            Some("http://b/debian"),
            None,
        );
        check(
            "http://a/debian/ bookworm main\nhttp://a/debian-security/ bookworm-security main\n",
            Some("http://a/debian"),
            Some("http://a/debian-security"),
        );
        check("http://a/debian/ bookworm contrib", None, None);
    }
}
