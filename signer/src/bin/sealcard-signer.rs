//! The command `sealcard-signer`.

use std::{alloc::System, process::ExitCode};

use zeroizing_alloc::ZeroAlloc;

// What is freed is wiped, also where a library forgets to.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    // Reads FAILPOINTS.
    #[cfg(feature = "failpoints")]
    let _scenario = fail::FailScenario::setup();
    sealcard_signer::cli::main()
}
