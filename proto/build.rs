//! Generates `historian.v1` with protox (no `protoc` needed), and its proto3-JSON forms with pbjson.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const FILES: [&str; 9] = ["tag", "sample", "write", "query", "flight", "collector", "admin", "access", "annotation"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=historian");
    let files = FILES.map(|name| format!("historian/v1/{name}.proto"));
    let descriptors = protox::compile(&files, ["."])?;
    let encoded = descriptors.encode_to_vec();
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin"), &encoded)?;
    let mut config = prost_build::Config::new();
    config.enable_type_names(); // full names, for the type_url of an Any
    // The JSON forms need the well-known types of pbjson, so prost must not put its own in their place.
    tonic_prost_build::configure()
        .compile_well_known_types(true)
        .extern_path(".google.protobuf", "::pbjson_types")
        .compile_fds_with_config(descriptors, config)?;
    pbjson_build::Builder::new().register_descriptors(&encoded)?.preserve_proto_field_names().build(&[".historian.v1"])?;
    Ok(())
}
