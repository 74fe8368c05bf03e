//! Which of Debian's packages has a kernel, told from the packages' names.

/// A kernel to look for: the newest of its series and flavour.
pub(crate) struct Kernel {
    /// The first numbers of its release, as many as matter.
    pub(crate) series: &'static str,
    pub(crate) flavour: Flavour,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Flavour {
    /// For virtual machines: the smallest package.
    Cloud,
    Standard,
    RealTime,
}

impl Flavour {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cloud => "cloud",
            Self::Standard => "standard",
            Self::RealTime => "rt",
        }
    }

    /// How a package's name ends.
    fn ending(self, architecture: &str) -> String {
        match self {
            Self::Standard => format!("-{architecture}"),
            other => format!("-{}-{architecture}", other.name()),
        }
    }
}

impl Kernel {
    /// The packages that may hold this kernel, best first. Since 6.19 the image is in `linux-binary-…`, and
    /// `linux-image-…` is empty.
    pub(crate) fn packages<'a>(&self, names: &'a str, architecture: &str) -> Vec<&'a str> {
        let series = numbers(self.series);
        let mut found: Vec<(Vec<u32>, bool, &str)> = Vec::new();
        for name in names.lines() {
            let Some((release, is_binary)) = self.release(name, architecture) else { continue };
            let numbers = numbers(release);
            // A name with fewer numbers is that of an empty package for the newest one.
            if numbers.len() > 2 && numbers.starts_with(&series) {
                found.push((numbers, is_binary, name));
            }
        }
        found.sort();
        found.into_iter().rev().map(|(_, _, name)| name).collect()
    }

    fn release<'a>(&self, name: &'a str, architecture: &str) -> Option<(&'a str, bool)> {
        let binary = name.strip_prefix("linux-binary-");
        let rest = binary.or_else(|| name.strip_prefix("linux-image-"))?;
        let release = rest.strip_suffix(&self.flavour.ending(architecture))?;
        let is_other_flavour =
            release.split('-').any(|part| part.starts_with(|first: char| first.is_ascii_alphabetic()));
        (!is_other_flavour).then_some((release, binary.is_some()))
    }
}

/// `6.12.115+deb13.1` → 6, 12, 115, 13, 1.
fn numbers(release: &str) -> Vec<u32> {
    release.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &str = "\
linux-image-amd64
linux-image-6.1-cloud-amd64
linux-image-5.10.0-46-cloud-amd64
linux-image-6.1.0-0.deb11.52-cloud-amd64
linux-image-6.1.0-9-cloud-amd64
linux-image-6.1.0-56-cloud-amd64
linux-image-6.1.0-56-cloud-amd64-dbg
linux-image-6.1.0-56-amd64
linux-image-6.1.0-56-rt-amd64
linux-image-6.12.118+deb13-cloud-amd64
linux-image-7.3.4+deb13-cloud-amd64
linux-image-7.3.4+deb13-cloud-amd64-unsigned
linux-binary-7.3.4+deb13-cloud-amd64
";

    #[track_caller]
    fn check(series: &'static str, flavour: Flavour, expected: &[&str]) {
        assert_eq!(Kernel { series, flavour }.packages(NAMES, "amd64"), expected);
    }

    #[test]
    fn the_newest_package_of_a_series_and_flavour_comes_first() {
        check(
            "6.1",
            Flavour::Cloud,
            &[
                "linux-image-6.1.0-56-cloud-amd64",
                "linux-image-6.1.0-9-cloud-amd64",
                "linux-image-6.1.0-0.deb11.52-cloud-amd64",
            ],
        );
        check("6.1", Flavour::Standard, &["linux-image-6.1.0-56-amd64"]);
        check("6.1", Flavour::RealTime, &["linux-image-6.1.0-56-rt-amd64"]);
        check("5.10.0-46", Flavour::Cloud, &["linux-image-5.10.0-46-cloud-amd64"]);
        check(
            "7.3",
            Flavour::Cloud,
            &["linux-binary-7.3.4+deb13-cloud-amd64", "linux-image-7.3.4+deb13-cloud-amd64"],
        );
        check("5.1", Flavour::Cloud, &[]);
    }
}
