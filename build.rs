//! Generates the CRI's messages, service traits and clients from `proto/`, without protoc.

#[path = "build/services.rs"]
mod services;
#[path = "build/shapes.rs"]
mod shapes;

use std::{env, error::Error, fs, path::PathBuf};

const PROTO: &str = "proto/cri/v1/api.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=build");
    protobuf_codegen::Codegen::new()
        .pure()
        .include("proto")
        .input(PROTO)
        // What a message could tell about itself, and its text form, are a megabyte of the program.
        .customize(protobuf_codegen::Customize::default().lite_runtime(true))
        .cargo_out_dir("cri")
        .run()?;

    // grpcio's own compiler targets another version of protobuf, so the services are written
    // from the descriptor here.
    let parsed = protobuf_parse::Parser::new()
        .pure()
        .include("proto")
        .input(PROTO)
        .parse_and_typecheck()?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let files = || {
        let all = parsed.file_descriptors.iter();
        all.filter(|file| !file.service.is_empty())
    };
    let code: String = files().map(services::generate).collect::<Result<_, _>>()?;
    fs::write(out.join("services.rs"), code)?;
    let code: String = files().map(shapes::generate).collect::<Result<_, _>>()?;
    fs::write(out.join("shapes.rs"), code)?;
    leave_out_parts_of_grpc();
    Ok(())
}

/// Links what says which parts of the gRPC C core there are: see `build/grpc_parts.cc`.
fn leave_out_parts_of_grpc() {
    cc::Build::new()
        .cpp(true)
        .std("c++11")
        .file("build/grpc_parts.cc")
        .cargo_metadata(false)
        .compile("grpc_parts");
    let out = env::var("OUT_DIR").unwrap_or_default();
    println!("cargo::rustc-link-search=native={out}");
    // Whole, so that it is there before the core's own is looked for.
    println!("cargo::rustc-link-lib=static:+whole-archive=grpc_parts");
}
