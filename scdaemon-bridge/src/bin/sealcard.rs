//! The person's command.

use std::process::ExitCode;

/// Freed memory holds no password and no grant.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> = zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    if let Err(error) = sealcard_bridge::os::shield() {
        eprintln!("error: the process can't be shielded: {error}");
        return ExitCode::FAILURE;
    }
    sealcard_bridge::os::adopt_session();
    sealcard_bridge::cli::main()
}
