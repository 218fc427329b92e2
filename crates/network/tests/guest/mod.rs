//! A process in a network namespace of its own that stands in for a container.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{
    IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket,
};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use berth_contract::{Exit, Signal};
use berth_sys::clone::{self, Child};
use berth_sys::namespace::{self, Namespaces};
use berth_sys::netlink::route::{Cable, Prefix, Route, Step};
use berth_sys::{fd, pidfd, pipe, process};

/// The stand-in; killed when dropped, with the servers in it.
pub(crate) struct Guest {
    first: Child,
    servers: std::cell::RefCell<Vec<Child>>,
}

impl Guest {
    /// A process in a new network namespace that does nothing.
    pub(crate) fn spawn() -> Self {
        let first = clone::spawn(Namespaces::NETWORK, None, || {
            process::die_with_parent().unwrap();
            // A real guest executes a program, which closes what it inherited: the host's ports, say.
            fd::close_all_but(&[]).unwrap();
            let (reader, _writer) = pipe::pair().unwrap();
            fd::wait_readable(reader.as_fd(), None).unwrap();
            0
        })
        .unwrap();
        Self {
            first,
            servers: std::cell::RefCell::new(Vec::new()),
        }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.first.pid
    }

    /// Runs something in the guest's namespace and waits for it.
    pub(crate) fn run(&self, body: impl FnOnce()) {
        let child = self.enter(&[], body);
        let exit = pidfd::wait(child.pidfd.as_fd()).unwrap();
        assert_eq!(exit, Exit::Code { code: 0 });
    }

    fn enter(&self, keep: &[i32], body: impl FnOnce()) -> Child {
        let file = fs::File::open(format!("/proc/{}/ns/net", self.pid())).unwrap();
        clone::spawn(Namespaces::empty(), None, || {
            process::die_with_parent().unwrap();
            namespace::join(&file, Namespaces::NETWORK).unwrap();
            fd::close_all_but(keep).unwrap();
            body();
            0
        })
        .unwrap()
    }

    /// Answers on TCP 80 and UDP 53, over both versions of IP; returns once it does.
    pub(crate) fn serve(&self) {
        let (reader, writer) = pipe::pair().unwrap();
        let server = self.enter(&[fd::number(&writer)], || serve(&writer));
        fd::wait_readable(reader.as_fd(), None).unwrap();
        self.servers.borrow_mut().push(server);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        for child in self.servers.borrow().iter().chain([&self.first]) {
            drop(pidfd::signal(&child.pidfd, Signal::KILL));
            drop(pidfd::wait(child.pidfd.as_fd()));
        }
    }
}

fn serve(ready: &OwnedFd) {
    let listener = TcpListener::bind("[::]:80").unwrap();
    let socket = UdpSocket::bind("[::]:53").unwrap();
    let udp = std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, client)) = socket.recv_from(&mut buffer) {
            let mut answer = b"hello ".to_vec();
            answer.extend_from_slice(&buffer[..length]);
            drop(socket.send_to(&answer, client));
        }
    });
    pipe::write(ready, b"x").unwrap();
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        std::thread::spawn(move || {
            let from = stream.peer_addr().map(|peer| peer.ip().to_canonical());
            let mut text = String::new();
            if stream.read_to_string(&mut text).is_ok()
                && let Ok(from) = from
            {
                drop(write!(stream, "hello {text} from {from}"));
            }
        });
    }
    drop(udp.join());
}

/// Says something over TCP, ends, and reads the answer to its end.
pub(crate) fn ask(address: impl ToSocketAddrs, text: &str) -> String {
    let address = address.to_socket_addrs().unwrap().next().unwrap();
    let patience = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&address, patience)
        .unwrap_or_else(|error| panic!("{address}: {error}"));
    stream.set_read_timeout(Some(patience)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .unwrap_or_else(|error| panic!("{address}: {error}"));
    assert!(answer.starts_with("hello "), "{address}: {answer:.40}");
    answer
}

/// Says something over UDP and reads one answer.
pub(crate) fn ask_udp(address: impl ToSocketAddrs, text: &str) -> String {
    let address = address.to_socket_addrs().unwrap().next().unwrap();
    let any: IpAddr = if address.is_ipv4() { "0.0.0.0" } else { "::" }
        .parse()
        .unwrap();
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    socket.connect(address).unwrap();
    socket.send(text.as_bytes()).unwrap();
    let mut buffer = [0; 2048];
    let length = socket
        .recv(&mut buffer)
        .unwrap_or_else(|error| panic!("{address}: {error}"));
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

/// Gives this namespace an uplink with one neighbour beyond it.
pub(crate) fn uplink(link: &str, own: Ipv4Addr, neighbour: Ipv4Addr) -> Guest {
    let mut route = Route::open().unwrap();
    let mac = |address: Ipv4Addr| {
        let [.., third, last] = address.octets();
        [2, 0, 0, 0, third, last]
    };
    route.create_bridge(link, mac(own), 1500).unwrap();
    let index = route.link(link).unwrap().unwrap().index;
    let address = Prefix {
        address: own.into(),
        length: 24,
    };
    route
        .configure(&[Step::Up(1), Step::Address(index, address), Step::Up(index)])
        .unwrap();
    let outside = Guest::spawn();
    let namespace = fs::File::open(format!("/proc/{}/ns/net", outside.pid())).unwrap();
    let cable = Cable {
        name: &link.replace("link", ""),
        bridge: index,
        peer: "eth0",
        mac: mac(neighbour),
        mtu: 1500,
    };
    route.lay_cable(&cable, &namespace).unwrap();
    outside.run(|| {
        let mut route = Route::open().unwrap();
        let index = route.link("eth0").unwrap().unwrap().index;
        let address = Prefix {
            address: neighbour.into(),
            length: 24,
        };
        let up = [Step::Up(1), Step::Address(index, address), Step::Up(index)];
        route.configure(&up).unwrap();
    });
    outside.serve();
    outside
}
