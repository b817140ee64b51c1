//! Compiles the `.proto` files with a pure-Rust compiler, so that no `protoc` binary is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["vibectl/llm_proxy/llm_proxy.proto", "vibectl/fleet/v1/fleet.proto"];
    for file in files {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(files, ["."])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
