//! Compiles `weir/v1/*.proto` with protox, so that nobody needs protoc.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;

use tonic_prost_build::FileDescriptorSet;

const FILES: [&str; 3] = ["weir/v1/resource.proto", "weir/v1/report.proto", "weir/v1/discovery.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    tonic_prost_build::configure()
        .build_transport(false)
        // Versions are hashes of the encoded bytes: maps must encode in one order.
        .btree_map(".")
        // Hold what is in Secrets: src/convert/{plugin,tls}.rs show them without.
        .skip_debug(["weir.v1.PluginUse", "weir.v1.KeyPair"])
        .compile_fds(descriptors.clone())?;
    compile_encoded(descriptors)
}

/// The service once more, with a Delta of resources that are encoded already (`src/encoded.rs`).
fn compile_encoded(descriptors: FileDescriptorSet) -> Result<(), Box<dyn Error>> {
    let folder = Path::new(&env::var("OUT_DIR")?).join("encoded");
    fs::create_dir_all(&folder)?;
    tonic_prost_build::configure()
        .build_transport(false)
        .extern_path(".weir.v1.Delta", "crate::encoded::Delta")
        .extern_path(".weir.v1", "crate::pb")
        .out_dir(folder)
        .compile_fds(descriptors)?;
    Ok(())
}
