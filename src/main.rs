//! The one binary, `openmsrp`.

fn main() -> std::process::ExitCode {
    openmsrp::cli::main()
}
