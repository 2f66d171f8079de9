//! Fails the build where RocksDB is another version than the one that our readers of its files were written for.
//!
//! `disk/` reads and cuts RocksDB's log and manifest itself. What these look like is not
//! part of RocksDB's interface: no signature changes when the bytes do. So the version stands here, and an update of the crate is refused
//! until someone has looked. What to compare between the two versions of RocksDB: `db/log_format.h`, `db/log_writer.cc`, `db/log_reader.cc`,
//! `db/version_edit.h`, and whether the torture tests pass (`make torture`).

use std::{env, fs, path::Path};

/// The version that was looked at.
const ROCKSDB: &str = "11.8.1";

fn main() {
    for variable in ["ROCKSDB_LIB_DIR", "ROCKSDB_INCLUDE_DIR"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    match version() {
        Ok(found) if found == ROCKSDB => {}
        Ok(found) => println!(
            "cargo::error=RocksDB is {found}, and our readers of its log and manifest were written for {ROCKSDB}: compare the files that \
             src/store/build.rs names, then write the new version there"
        ),
        Err(error) => println!("cargo::error=the version of RocksDB cannot be told, and it must be {ROCKSDB}: {error}"),
    }
}

/// The version in the header of the RocksDB that is linked.
fn version() -> Result<String, String> {
    // As the crate librocksdb-sys looks for it: its own sources, or a library of the system.
    let include = match (env::var("ROCKSDB_INCLUDE_DIR"), env::var_os("ROCKSDB_LIB_DIR")) {
        (Ok(include), _) => include,
        (Err(_), Some(_)) => return Err("ROCKSDB_LIB_DIR is set, ROCKSDB_INCLUDE_DIR is not".to_owned()),
        (Err(_), None) => {
            let sources = env::var("DEP_ROCKSDB_CARGO_MANIFEST_DIR").map_err(|error| format!("sources of librocksdb-sys: {error}"))?;
            sources + "/rocksdb/include"
        }
    };
    let header = Path::new(&include).join("rocksdb/version.h");
    println!("cargo::rerun-if-changed={}", header.display());
    let text = fs::read_to_string(&header).map_err(|error| format!("{}: {error}", header.display()))?;
    let number = |name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix("#define ")?.strip_prefix(name)?.split_whitespace().next());
        found.map(str::to_owned).ok_or_else(|| format!("{} has no {name}", header.display()))
    };
    Ok([number("ROCKSDB_MAJOR")?, number("ROCKSDB_MINOR")?, number("ROCKSDB_PATCH")?].join("."))
}
