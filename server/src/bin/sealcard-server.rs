//! `sealcard-server`: see [`sealcard_server::cli`].

use std::process::ExitCode;

// Passwords and tokens pass through buffers of many libraries; whatever is freed is wiped.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> = zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    sealcard_server::memory::return_large_blocks();
    sealcard_server::cli::main()
}
