//! Compiles `proto/` into OUT_DIR, in pure Rust: no protoc on the machine, nothing generated in git.

use std::{env, fs, io, path::PathBuf};

use prost::Message;

const PROTOS: [&str; 7] = [
    "berth/v1/common.proto",
    "berth/v1/ingest.proto",
    "berth/v1/episodes.proto",
    "berth/v1/advice.proto",
    "berth/v1/samples.proto",
    "berth/v1/load.proto",
    "berth/v1/trace.proto",
];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=proto/berth");
    let files = protox::compile(PROTOS, ["proto"]).map_err(io::Error::other)?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    // `compile_fds` does not write the descriptor set, which reflection and the golden test need.
    fs::write(out.join("wire.fds"), files.encode_to_vec())?;
    tonic_prost_build::configure()
        // The generated `connect` helpers would drag a transport, and with it hyper, into the contract.
        .build_transport(false)
        // Columns are not copied when a message is decoded.
        .bytes(".")
        .compile_fds(files)
}
