//! Compiles the `.proto` files with a pure-Rust compiler, so that no `protoc` binary is needed.

const PUBLIC: &str = "vibectl/llm_proxy/llm_proxy.proto";
const FLEET: &str = "vibectl/fleet/v1/fleet.proto";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for file in [PUBLIC, FLEET] {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile([PUBLIC, FLEET], ["."])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    let mut public = protox::Compiler::new(["."])?;
    public.open_file(PUBLIC)?;
    let written = std::path::Path::new(&std::env::var("OUT_DIR")?).join("llm_proxy.descriptors");
    std::fs::write(written, public.encode_file_descriptor_set())?;
    Ok(())
}
