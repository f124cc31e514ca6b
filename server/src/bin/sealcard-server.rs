//! `sealcard-server`: see [`sealcard_server::cli`].

use std::process::ExitCode;

// Passwords and tokens pass through buffers of many libraries; whatever is freed is wiped.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> = zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    if let Err(error) = sealcard_server::memory::shield() {
        eprintln!("error: the process can't be shielded: {error}");
        return ExitCode::FAILURE;
    }
    sealcard_server::memory::return_large_blocks();
    sealcard_server::cli::main()
}
