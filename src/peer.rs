//! Whose socket is at the other end of a connection within this machine; and what is at the path of a unix
//! socket.
//!
//! A loopback port is everybody's: whoever binds it first is who answers there. The kernel tells the owner of
//! a socket when it is asked about that one (`diag`); where it does not, it has them all in `/proc/net/tcp` and
//! `tcp6` (Documentation/networking/proc_net_tcp.rst). That of the other end of a unix socket is in SO_PEERCRED.

mod diag;

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::{
        fd::AsFd,
        unix::{fs::FileTypeExt as _, net::UnixStream},
    },
    path::Path,
};

use rustix::net::sockopt::socket_peercred;

/// The state of a socket that listens, as `/proc/net/tcp` has it.
const LISTEN: &str = "0A";

/// One TCP socket of this network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    local: SocketAddr,
    remote: SocketAddr,
    is_listening: bool,
    uid: u32,
}

/// The users who own what listens on a local TCP address, those of a wildcard address included: nobody
/// where nothing listens.
///
/// # Errors
/// The kernel's tables cannot be read.
pub fn listeners(address: SocketAddr) -> io::Result<Vec<u32>> {
    let listening = match diag::listeners(address.port()) {
        Ok(listening) => listening,
        Err(_) => listening(&entries()?),
    };
    Ok(listeners_in(&listening, address))
}

/// The user who owns the other end of a TCP connection within this machine, by its two addresses as this end
/// has them. The kernel says 0 of one that nobody has accepted yet.
///
/// # Errors
/// The kernel's tables cannot be read.
pub fn owner(own: SocketAddr, other: SocketAddr) -> io::Result<Option<u32>> {
    if let Ok(uid) = diag::owner(other, own) {
        return Ok(Some(uid));
    }
    let entries = entries()?;
    let is_it = |entry: &&Entry| entry.local == other && entry.remote == own;
    Ok(entries.iter().find(is_it).map(|entry| entry.uid))
}

/// The user at the other end of a unix socket: who has connected, or who listens.
///
/// # Errors
/// It is no connected unix socket.
pub fn unix_owner(socket: impl AsFd) -> io::Result<u32> {
    Ok(socket_peercred(socket)?.uid.as_raw())
}

/// Whether a user is root or this process's own.
pub fn is_own(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

/// The id of a user, by name or as a number, from the password file.
pub fn user_id(name: &str) -> Option<u32> {
    id_in("/etc/passwd", name)
}

/// The id of a group, by name or as a number, from the group file.
pub fn group_id(name: &str) -> Option<u32> {
    id_in("/etc/group", name)
}

/// The third field of the line that begins with a name, as both files have it; else the name as a number.
fn id_in(file: &str, name: &str) -> Option<u32> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let listed = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name))
            .then(|| fields.nth(1)?.parse().ok())
            .flatten()
    });
    listed.or_else(|| name.parse().ok())
}

/// What is at the path of a unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtPath {
    /// Nothing.
    Nothing,
    /// Something else than a socket.
    NoSocket,
    /// A socket that somebody listens on.
    Live,
    /// A socket that nobody listens on any more: a killed process leaves its own behind.
    Dead,
}

/// Looks what is at the path of a unix socket.
///
/// # Errors
/// It cannot be found out.
pub fn socket_at(path: &Path) -> io::Result<AtPath> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(AtPath::Nothing),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => return Ok(AtPath::NoSocket),
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Ok(AtPath::Live),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(AtPath::Dead),
        Err(error) => Err(error),
    }
}

/// What listens, and whose it is.
fn listening(entries: &[Entry]) -> Vec<(SocketAddr, u32)> {
    let listening = entries.iter().filter(|entry| entry.is_listening);
    listening.map(|entry| (entry.local, entry.uid)).collect()
}

fn listeners_in(listening: &[(SocketAddr, u32)], address: SocketAddr) -> Vec<u32> {
    let wanted = plain(address.ip());
    let takes = |(local, _): &&(SocketAddr, u32)| {
        let bound = plain(local.ip());
        let fits = bound == wanted
            || bound == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
            || bound == IpAddr::V4(Ipv4Addr::UNSPECIFIED) && wanted.is_ipv4();
        local.port() == address.port() && fits
    };
    let uids = listening.iter().filter(takes).map(|(_, uid)| *uid);
    uids.collect()
}

fn entries() -> io::Result<Vec<Entry>> {
    let mut text = fs::read_to_string("/proc/net/tcp")?;
    match fs::read_to_string("/proc/net/tcp6") {
        Ok(more) => text.push_str(&more),
        // A kernel without IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(text.lines().filter_map(parse).collect())
}

/// One line: `sl local_address rem_address st tx:rx tr:when retrnsmt uid ...`. None for a headline.
fn parse(line: &str) -> Option<Entry> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = address(fields.next()?)?;
    let remote = address(fields.next()?)?;
    let is_listening = fields.next()? == LISTEN;
    let uid = fields.nth(3)?.parse().ok()?;
    Some(Entry {
        local,
        remote,
        is_listening,
        uid,
    })
}

/// `0100007F:1F90`: words of the address as the machine has them in memory, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        Some(
            u32::from_str_radix(ip.get(at..at + 8)?, 16)
                .ok()?
                .to_ne_bytes(),
        )
    };
    let ip = match ip.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let mut bytes = [0; 16];
            for (number, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(number * 8)?);
            }
            plain(IpAddr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// An IPv4 address as such, also where a socket of IPv6 has it.
fn plain(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// As a machine with a little-endian processor shows it.
    #[cfg(target_endian = "little")]
    #[test]
    fn lines_of_the_kernel() {
        let head =
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid";
        assert_eq!(parse(head), None);
        let rest = "00000000:00000000 00:00000000 00000000 65534        0 28034 1 0 100 0 0 10 0";
        let of = |local: &str, remote: &str, state: &str| {
            parse(&format!("   0: {local} {remote} {state} {rest}")).expect("a line")
        };
        let listener = of("0100007F:1F90", "00000000:0000", "0A");
        assert_eq!(listener.local, "127.0.0.1:8080".parse().unwrap());
        assert!(listener.is_listening);
        assert_eq!(listener.uid, 65534);
        let six = "00000000000000000000000001000000";
        let connected = of(&format!("{six}:0050"), &format!("{six}:C000"), "01");
        assert_eq!(connected.local, "[::1]:80".parse().unwrap());
        assert!(!connected.is_listening);
        let mapped = "0000000000000000FFFF00000100007F";
        let mapped = of(&format!("{mapped}:0050"), &format!("{six}:C000"), "01");
        assert_eq!(mapped.local, "127.0.0.1:80".parse().unwrap());
        for odd in ["", "0:", "0: x y", "0: 0100007F:1F90 0:0 0A"] {
            assert_eq!(parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn who_listens_on_an_address() {
        let entry = |local: &str, uid| Entry {
            local: local.parse().unwrap(),
            remote: "0.0.0.0:0".parse().unwrap(),
            is_listening: true,
            uid,
        };
        let entries = [
            entry("127.0.0.1:80", 1),
            entry("0.0.0.0:80", 2),
            entry("[::]:80", 3),
            entry("[::1]:80", 4),
            entry("127.0.0.1:81", 5),
            Entry {
                is_listening: false,
                ..entry("127.0.0.1:80", 6)
            },
        ];
        let of = |address: &str| listeners_in(&listening(&entries), address.parse().unwrap());
        assert_eq!(of("127.0.0.1:80"), [1, 2, 3]);
        assert_eq!(of("[::1]:80"), [3, 4]);
        assert!(of("127.0.0.1:82").is_empty());
    }

    #[test]
    fn own_sockets_are_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let own = rustix::process::geteuid().as_raw();
        assert_eq!(listeners(address).unwrap(), [own]);
        let stream = TcpStream::connect(address).unwrap();
        let _accepted = listener.accept().unwrap();
        let here = stream.local_addr().unwrap();
        assert_eq!(owner(here, address).unwrap(), Some(own));
        assert_eq!(owner(address, here).unwrap(), Some(own));
        // The table of all has them, too.
        let entries = entries().unwrap();
        let of = |local, remote| {
            let is_it = |entry: &&Entry| entry.local == local && entry.remote == remote;
            entries.iter().find(is_it).map(|entry| entry.uid)
        };
        assert_eq!(of(here, address), Some(own));
        assert_eq!(of(address, here), Some(own));
        assert!(entries
            .iter()
            .any(|entry| entry.is_listening && entry.local == address));
        drop(listener);
        assert!(listeners(address).unwrap().is_empty());
        assert!(is_own(0) && is_own(own) && !is_own(u32::MAX));
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(unix_owner(&one).unwrap(), own);
    }

    #[test]
    fn users_by_name_or_number() {
        assert_eq!(user_id("root"), Some(0));
        assert_eq!(user_id("1234"), Some(1234));
        assert_eq!(user_id("no-such-user"), None);
        assert_eq!(group_id("root"), Some(0));
        assert_eq!(group_id("no-such-group"), None);
    }
}
