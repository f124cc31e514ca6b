//! The real signer, built beside the tests of the server so that they need no other package's build.

use std::process::ExitCode;

fn main() -> ExitCode {
    sealcard_signer::cli::main()
}
