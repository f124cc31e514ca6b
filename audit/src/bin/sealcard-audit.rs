//! The auditor's command.

fn main() -> std::process::ExitCode {
    sealcard_audit::main()
}
