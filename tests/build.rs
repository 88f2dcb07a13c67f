//! Compiles the service of the gRPC peers with protox, so that nobody needs protoc.

use std::error::Error;

const FILE: &str = "grpc/talk.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={FILE}");
    let descriptors = protox::compile([FILE], ["."])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
