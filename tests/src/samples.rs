//! Things to sign: packages and git histories.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result};

use crate::{Workstation, run, run_with_input};

const DEADLINE: Duration = Duration::from_secs(120);

impl Workstation {
    /// Builds a package with `rpmbuild -bb` and these options before it.
    ///
    /// # Errors
    /// rpmbuild failed.
    pub fn build_rpm(&self, options: &[&str]) -> Result<PathBuf> {
        let top = self.path("rpmbuild");
        let spec = self.write("t.spec", SPEC)?;
        let arguments = ["--quiet", "--define", &format!("_topdir {top}"), "-bb", &spec];
        let mut build = self.command("rpmbuild", &[options, arguments.as_slice()].concat());
        run(&mut build, DEADLINE)?.success()?;
        let mut built = fs::read_dir(format!("{top}/RPMS/noarch"))?;
        Ok(built.next().context("rpmbuild made nothing")??.path())
    }

    /// Adds a branch `topic` of so many unsigned commits to a repository that [`Self::repository`] made, and another
    /// commit to its branch `main`: `git rebase main` has to make them all anew. The branch is checked out.
    ///
    /// # Errors
    /// git failed.
    pub fn add_topic(&self, repository: &str, commits: usize) -> Result<()> {
        let commit = |number: usize| {
            let parent = if number == 0 { "from refs/heads/main^0\n" } else { "" };
            format!(
                "commit refs/heads/topic\ncommitter Ada <ada@example.org> {} +0000\ndata 4\nWork\n{parent}\
                 M 644 inline work\ndata 6\n{number:06}\n\n",
                1_700_000_000 + number
            )
        };
        let stream: String = (0..commits).map(commit).collect();
        let mut import = self.command("git", &["-C", repository, "fast-import", "--quiet"]);
        run_with_input(&mut import, stream.as_bytes(), DEADLINE)?.success()?;
        self.run("git", &["-C", repository, "commit", "--quiet", "--allow-empty", "--message", "Meanwhile"])?;
        self.run("git", &["-C", repository, "checkout", "--quiet", "topic"])?;
        Ok(())
    }
}

const SPEC: &str = "\
Name: t
Version: 1
Release: 1
Summary: A package to sign
License: MIT
BuildArch: noarch
%description
A package to sign.
%install
mkdir -p %{buildroot}/usr/share/t
echo content >%{buildroot}/usr/share/t/file
head -c 65536 /dev/urandom >%{buildroot}/usr/share/t/random
%files
/usr/share/t/file
/usr/share/t/random
";
