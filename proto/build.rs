//! Compiles `weir/v1/*.proto` with protox, so that nobody needs protoc.

use std::error::Error;

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
        .compile_fds(descriptors)?;
    Ok(())
}
