//! The floor: a bare gRPC server, in a process of its own, that gives answers from memory.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::Arc,
    thread,
    time::Duration,
};

use futures_util::FutureExt as _;
use grpcio::{ChannelBuilder, EnvBuilder, ServerBuilder, ServerCredentials, ServiceBuilder};

use crate::calls::{call_name, method, Connection, RawMethod, Reads};

const SOCKET: &str = "BENCH_FLOOR_SOCKET";

/// What the process of the floor is told.
pub struct Arguments {
    socket: PathBuf,
}

impl Arguments {
    /// Those of this process, where it is one.
    pub fn of_this_process() -> Option<Self> {
        let socket = env::var_os(SOCKET)?.into();
        Some(Self { socket })
    }
}

/// Serves the answers in the files beside the socket, each named by its call, until it is killed.
pub fn serve(arguments: &Arguments) {
    let environment = Arc::new(EnvBuilder::new().cq_count(1).build());
    let mut service = ServiceBuilder::new();
    let directory = arguments.socket.parent().expect("a directory");
    for file in fs::read_dir(directory).expect("the directory") {
        let path = file.expect("a file").path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(name) = name.and_then(|name| name.strip_suffix(".answer")) else {
            continue;
        };
        let answer = fs::read(&path).expect("an answer");
        let name = format!("/runtime.v1.RuntimeService/{name}");
        // Both live as long as the process.
        let method: &'static RawMethod = Box::leak(Box::new(method(name.leak())));
        service = service.add_unary_handler(method, move |context, _request, sink| {
            context.spawn(sink.success(answer.clone()).map(|_| ()));
        });
    }
    let arguments_of_channel = ChannelBuilder::new(environment.clone())
        .max_send_message_len(64 << 20)
        .build_args();
    let mut server = ServerBuilder::new(environment)
        .register_service(service.build())
        .channel_args(arguments_of_channel)
        .build()
        .expect("a server");
    let socket = format!("unix:{}", arguments.socket.display());
    server
        .add_listening_port(socket, ServerCredentials::insecure())
        .expect("the socket");
    server.start();
    loop {
        thread::park();
    }
}

/// The running floor; it ends with this.
pub struct Floor {
    child: Child,
    pub socket: String,
}

impl Floor {
    /// One that gives the answers of these reads.
    pub fn start(directory: &Path, reads: &Reads) -> Self {
        let directory = directory.join("floor");
        fs::create_dir_all(&directory).expect("a directory");
        for read in &reads.0 {
            // Reads of one call with several filters have the same answer here.
            let call = call_name(read.method.name);
            let file = directory.join(format!("{call}.answer"));
            fs::write(file, &read.answer).expect("a file");
        }
        let socket = directory.join("floor.sock");
        let child = Command::new(env::current_exe().expect("this program"))
            .env(SOCKET, &socket)
            .spawn()
            .expect("the floor starts");
        while !socket.exists() {
            thread::sleep(Duration::from_millis(5));
        }
        let socket = socket.display().to_string();
        Connection::open(&socket);
        Self { child, socket }
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
