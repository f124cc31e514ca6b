//! Completion by shells: the program itself answers at each Tab.

use std::io::{self, Write as _};

use clap::{Command, ValueEnum};
use clap_complete::{CompleteEnv, env::Shells};

/// The variable by which a script says for which shell it asks.
const VARIABLE: &str = "COMPLETE";

/// A shell that can complete commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

/// How the scripts are installed, for the help of `completions`. The name of the program takes the place of `NAME`.
pub const INSTALL: &str = "\
The script runs this program at each Tab. Packages bring it.

Examples:
  NAME completions bash \\
    > ~/.local/share/bash-completion/completions/NAME
  NAME completions zsh > ~/.zfunc/_NAME
  NAME completions fish \\
    > ~/.config/fish/completions/NAME.fish

bash needs the package bash-completion. zsh needs these lines in ~/.zshrc:
  fpath=(~/.zfunc $fpath)
  autoload -U compinit; compinit";

/// Answers a shell that asks what can follow, and ends the process then. Returns in all other cases.
pub fn answer_shell(command: impl Fn() -> Command) {
    CompleteEnv::with_factory(command).var(VARIABLE).complete();
}

impl Shell {
    const fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Elvish => "elvish",
            Self::Fish => "fish",
            Self::Powershell => "powershell",
            Self::Zsh => "zsh",
        }
    }

    /// The script that makes this shell ask `program` at each Tab.
    ///
    /// # Errors
    /// Never for the shells that there are.
    pub fn script(self, program: &str) -> io::Result<Vec<u8>> {
        let mut script = Vec::new();
        let shells = Shells::builtins();
        let shell = shells.completer(self.name()).ok_or(io::ErrorKind::Unsupported)?;
        shell.write_registration(VARIABLE, program, program, program, &mut script)?;
        if self == Self::Zsh {
            // zsh loads the script at the first Tab, and then waits for an answer to that Tab.
            let function = format!("_clap_dynamic_completer_{}", program.replace('-', "_"));
            writeln!(script, "[[ ${{funcstack[1]}} == _{program} ]] && {function}")?;
        }
        Ok(script)
    }

    /// Prints the script.
    ///
    /// # Errors
    /// If standard output can't be written. A reader that went away is no error.
    pub fn print_script(self, program: &str) -> io::Result<()> {
        match io::stdout().write_all(&self.script(program)?) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }
}
