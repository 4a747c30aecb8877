//! The kernel's TCP sockets, asked about one by one: `NETLINK_SOCK_DIAG` (sock_diag(7)).
//!
//! `/proc/net/tcp` shows all of them, and for that the kernel looks through its whole table of connections,
//! which has up to half a million places however few there are: milliseconds for each look. This finds a
//! connection by its hash, and what listens in a table of its own.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use rustix::net::{
    connect,
    netlink::{SocketAddrNetlink, SOCK_DIAG},
    recv, send, socket_with, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType,
};

// linux/netlink.h, linux/sock_diag.h
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_MULTI: u16 = 0x2;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_DUMP_INTR: u16 = 0x10;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// Bytes of a `nlmsghdr`.
const HEAD: usize = 16;
// linux/inet_diag.h, netinet/tcp_states.h
const IPPROTO_TCP: u8 = 6;
const TCP_LISTEN: u8 = 10;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// Bytes of a `nlmsghdr` with an `inet_diag_req_v2`, and of an `inet_diag_msg`.
const REQUEST: usize = 72;
const ANSWER: usize = 72;
/// Room for what the kernel gives at once.
const PIECE: usize = 32 << 10;

/// A socket as the kernel tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    state: u8,
    local: SocketAddr,
    uid: u32,
}

/// What listens on a TCP port, and whose it is.
///
/// # Errors
/// The kernel does not tell: it was built without this, for example.
pub fn listeners(port: u16) -> io::Result<Vec<(SocketAddr, u32)>> {
    let at_port = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
    let mut all = Vec::new();
    for family in [AF_INET, AF_INET6] {
        let found = ask(&request(NLM_F_DUMP, family, at_port, None))?;
        let found = found.into_iter().filter(|it| it.state == TCP_LISTEN);
        all.extend(found.map(|it| (it.local, it.uid)));
    }
    Ok(all)
}

/// The user who owns the end of a connection that has these addresses.
///
/// # Errors
/// There is none, or the kernel does not tell.
pub fn owner(local: SocketAddr, remote: SocketAddr) -> io::Result<u32> {
    let family = match local.ip() {
        IpAddr::V4(_) => AF_INET,
        IpAddr::V6(_) => AF_INET6,
    };
    let found = ask(&request(0, family, local, Some(remote)))?;
    // Where there is no such connection, it names who would get it.
    let mut ends = found.iter().filter(|it| it.state != TCP_LISTEN);
    ends.next()
        .map(|it| it.uid)
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// About a connection; without a remote address, about all that listens on the local port.
fn request(flags: u16, family: u8, local: SocketAddr, remote: Option<SocketAddr>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(REQUEST);
    bytes.extend(u32::try_from(REQUEST).unwrap_or_default().to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    // The number of the request, and of whom it is from: the kernel knows.
    bytes.extend([0; 8]);
    bytes.extend([family, IPPROTO_TCP, 0, 0]);
    bytes.extend((1u32 << TCP_LISTEN).to_ne_bytes());
    bytes.extend(local.port().to_be_bytes());
    bytes.extend(remote.map_or(0, |remote| remote.port()).to_be_bytes());
    for address in [Some(local), remote] {
        let mut place = [0; 16];
        match address.map(|address| address.ip()) {
            Some(IpAddr::V4(ip)) => place[..4].copy_from_slice(&ip.octets()),
            Some(IpAddr::V6(ip)) => place = ip.octets(),
            None => {}
        }
        bytes.extend(place);
    }
    // Any interface, and no cookie.
    bytes.extend([0; 4]);
    bytes.extend([0xff; 8]);
    bytes
}

fn ask(request: &[u8]) -> io::Result<Vec<Found>> {
    let (family, kind) = (AddressFamily::NETLINK, SocketType::DGRAM);
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, Some(SOCK_DIAG))?;
    // To the kernel: from then on nobody else can send to it.
    connect(&socket, &SocketAddrNetlink::new(0, 0))?;
    send(&socket, request, SendFlags::empty())?;
    let mut found = Vec::new();
    let mut piece = vec![0; PIECE];
    loop {
        // The kernel has answered by now: it does so within `send` and `recv`.
        let (count, length) = recv(&socket, &mut piece[..], RecvFlags::DONTWAIT)?;
        if length > count {
            return Err(garbled());
        }
        if read(&piece[..count], &mut found)? {
            return Ok(found);
        }
    }
}

/// Reads some messages; whether they were the last ones.
fn read(mut bytes: &[u8], found: &mut Vec<Found>) -> io::Result<bool> {
    while !bytes.is_empty() {
        let length = word(bytes, 0)? as usize;
        let (kind, flags) = (half(bytes, 4)?, half(bytes, 6)?);
        let body = bytes.get(HEAD..length).ok_or_else(garbled)?;
        match kind {
            NLMSG_ERROR | NLMSG_DONE => {
                // A negative number of an error; the end of a list has 0.
                let code = word(body, 0)?.cast_signed();
                return match (kind, code) {
                    (NLMSG_DONE, 0..) => Ok(true),
                    _ => Err(io::Error::from_raw_os_error(code.saturating_neg())),
                };
            }
            SOCK_DIAG_BY_FAMILY => {
                if flags & NLM_F_DUMP_INTR != 0 {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                found.push(socket(body)?);
                // One that is no part of a list is all.
                if flags & NLM_F_MULTI == 0 {
                    return Ok(true);
                }
            }
            _ => return Err(garbled()),
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// An `inet_diag_msg`.
fn socket(body: &[u8]) -> io::Result<Found> {
    let body: &[u8; ANSWER] = body.first_chunk().ok_or_else(garbled)?;
    let port = u16::from_be_bytes([body[4], body[5]]);
    let mut address = [0; 16];
    address.copy_from_slice(&body[8..24]);
    let ip = match body[0] {
        AF_INET => IpAddr::from([address[0], address[1], address[2], address[3]]),
        AF_INET6 => IpAddr::from(address),
        _ => return Err(garbled()),
    };
    Ok(Found {
        state: body[1],
        local: SocketAddr::new(ip, port),
        uid: word(body, 64)?,
    })
}

fn word(bytes: &[u8], at: usize) -> io::Result<u32> {
    let part = bytes.get(at..).and_then(|rest| rest.first_chunk());
    part.map(|part| u32::from_ne_bytes(*part))
        .ok_or_else(garbled)
}

fn half(bytes: &[u8], at: usize) -> io::Result<u16> {
    let part = bytes.get(at..).and_then(|rest| rest.first_chunk());
    part.map(|part| u16::from_ne_bytes(*part))
        .ok_or_else(garbled)
}

fn garbled() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the kernel's answer about a socket cannot be read",
    )
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn sockets_of_both_families_are_found() {
        let own = rustix::process::geteuid().as_raw();
        for (bind, to) in [
            ("127.0.0.1:0", "127.0.0.1"),
            ("[::1]:0", "::1"),
            ("[::]:0", "127.0.0.1"),
        ] {
            let Ok(listener) = TcpListener::bind(bind) else {
                // A machine without IPv6.
                continue;
            };
            let address = listener.local_addr().unwrap();
            assert_eq!(listeners(address.port()).unwrap(), [(address, own)]);
            let to = SocketAddr::new(to.parse().unwrap(), address.port());
            let stream = TcpStream::connect(to).unwrap();
            let _accepted = listener.accept().unwrap();
            let here = stream.local_addr().unwrap();
            assert_eq!(owner(here, to).unwrap(), own);
            assert_eq!(owner(to, here).unwrap(), own);
            // The same port of another connection.
            let other = SocketAddr::new(here.ip(), here.port() ^ 1);
            assert!(owner(to, other).is_err());
            drop(listener);
            assert_eq!(listeners(address.port()).unwrap(), []);
        }
    }

    #[test]
    fn answers_that_are_none() {
        let message = |kind: u16, flags: u16, body: &[u8]| {
            let length = u32::try_from(HEAD + body.len()).unwrap();
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(flags.to_ne_bytes());
            bytes.extend([0; 8]);
            bytes.extend(body);
            bytes
        };
        let mut socket = [0; ANSWER];
        (socket[0], socket[1]) = (AF_INET, TCP_LISTEN);
        let mut found = Vec::new();
        let one = message(SOCK_DIAG_BY_FAMILY, NLM_F_MULTI, &socket);
        let end = message(NLMSG_DONE, NLM_F_MULTI, &[0; 4]);
        assert!(!read(&one, &mut found).unwrap());
        assert!(read(&[one.clone(), end].concat(), &mut found).unwrap());
        assert_eq!(found.len(), 2);
        let refused = message(NLMSG_DONE, 0, &(-2i32).to_ne_bytes());
        let error = read(&refused, &mut found).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        for odd in [
            &one[..20],
            &one[..3],
            &[0; 16][..],
            &message(SOCK_DIAG_BY_FAMILY, 0, &socket[..60]),
            &message(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP_INTR, &socket),
            &message(NLMSG_ERROR, 0, &[]),
            &message(99, 0, &socket),
        ] {
            assert!(read(odd, &mut found).is_err(), "{odd:?}");
        }
    }
}
