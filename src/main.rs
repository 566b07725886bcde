//! The one binary: `maestro run` is the daemon, everything else a client of its broker.

fn main() -> std::process::ExitCode {
    maestro::cli::main()
}
