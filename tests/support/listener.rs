//! An address that a server listens at, goes from, and comes back to.

use interlink_cri::plugin::http::{Limits, ListenAddress, Request, Responder, Server};

use super::wait_for;

pub struct Listener {
    server: Option<Server>,
    address: ListenAddress,
}

impl Listener {
    /// Listens at an address of its own.
    pub fn start(handler: impl Fn(Request, Responder) + Clone + Send + Sync + 'static) -> Self {
        let mut listener = Self {
            server: None,
            address: "http://127.0.0.1:0".parse().expect("an address"),
        };
        listener.up(handler);
        listener
    }

    /// Listens again, at the same address.
    pub fn up(&mut self, handler: impl Fn(Request, Responder) + Clone + Send + Sync + 'static) {
        let server = wait_for("the address is free", || {
            Server::start(&self.address, Limits::default(), handler.clone()).ok()
        });
        self.address = server.address().clone();
        self.server = Some(server);
    }

    pub fn down(&mut self) {
        self.server = None;
    }

    pub fn url(&self) -> String {
        self.address.to_string()
    }
}
