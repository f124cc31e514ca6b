//! The person's command.

use std::process::ExitCode;

/// Freed memory holds no password and no grant.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> = zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    sealcard_bridge::os::adopt_session();
    sealcard_bridge::cli::main()
}
