//! The `historian` program: everything is in the library, see [`historian::cli`].

fn main() -> std::process::ExitCode {
    historian::cli::main()
}
