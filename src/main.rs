//! The `historian` program: everything is in the library, see [`historian::cli`].

/// Memory of Rust and of RocksDB alike: the system's allocator keeps what its arenas once needed, hundreds of megabytes after an ingest.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    historian::cli::main()
}
