//! The network against the real kernel, in a network namespace of its own: nothing outside is touched.
//!
//! ```text
//! outside 203.0.113.9 ─── uplink0 203.0.113.1 [this process: "the host"] bridge ─── containers
//! ```

#![expect(clippy::panic, reason = "a test: it names the address that failed")]
#![expect(
    clippy::unwrap_used,
    reason = "a test: every failure is a bug, and the line says which"
)]
#![expect(clippy::print_stdout, reason = "no harness prints what was tested")]

mod engine;
mod forwarding;
mod guest;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use berth_contract::{Class, Signal};
use berth_network::{Mode, Protocol, Publish, Request};
use berth_sys::clone::{self, Child};
use berth_sys::namespace::{self, Namespaces};
use berth_sys::netlink::route::{Route, Step};
use berth_sys::{pidfd, pipe};

use engine::{Engine, id, publish, request};
use forwarding::{beside, switched_on};
use guest::{Guest, ask, ask_udp, uplink};

const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);

fn main() {
    if !Path::new("/proc/self/ns/net").exists() || namespace::unshare(Namespaces::NETWORK).is_err()
    {
        println!("SKIPPED: the network tests need root");
        return;
    }
    let outside = uplink("uplink0", HOST, OUTSIDE);
    for (name, test) in [
        (
            "twenty at once get twenty addresses",
            twenty_at_once as fn(&Guest),
        ),
        ("containers reach each other, the gateway and beyond", reach),
        ("published ports answer everywhere", ports),
        ("a network costs little", cost),
        ("the proxy keeps half-closed and many connections", proxy),
        ("a host filter that drops is passed", beside),
        (
            "forwarding is switched on for containers alone",
            switched_on,
        ),
        ("conflicts are refused and leave nothing", conflicts),
        ("a lost container is released", lost),
        ("no network is lo alone", none),
    ] {
        test(&outside);
        println!("test {name} ... ok");
    }
}

fn twenty_at_once(_: &Guest) {
    let engine = Engine::new();
    let (reader, writer) = pipe::pair().unwrap();
    let (hold, release) = pipe::pair().unwrap();
    let children: Vec<Child> = (0..20_u8)
        .map(|number| {
            clone::spawn(Namespaces::empty(), None, || {
                let (_guest, attachment, _lock) = engine.run(&request(number, Vec::new()));
                let address = attachment.attached().endpoints[0].address;
                pipe::write(&writer, &address.octets()).unwrap();
                // Until the test has heard from all: nobody must get an address given back.
                berth_sys::fd::wait_readable(hold.as_fd(), None).unwrap();
                u8::from(attachment.detach().is_err())
            })
            .unwrap()
        })
        .collect();
    let mut addresses = Vec::new();
    while addresses.len() < 20 {
        berth_sys::fd::wait_readable(reader.as_fd(), None).unwrap();
        let mut octets = [0; 4];
        assert_eq!(pipe::read(&reader, &mut octets).unwrap(), 4);
        addresses.push(Ipv4Addr::from(octets));
    }
    pipe::write(&release, b"x").unwrap();
    for child in children {
        let exit = pidfd::wait(child.pidfd.as_fd()).unwrap();
        assert_eq!(exit, berth_contract::Exit::Code { code: 0 });
    }
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 20);
    assert_eq!(engine.leftovers(), [""; 0]);
}

fn reach(outside: &Guest) {
    let engine = Engine::new();
    let (first, one, _lock_one) = engine.run(&request(1, Vec::new()));
    let (second, other, _lock_other) = engine.run(&request(2, Vec::new()));
    first.serve();
    let endpoint = one.attached().endpoints[0].clone();
    let gateway = endpoint.gateway;
    assert_ne!(endpoint.address, other.attached().endpoints[0].address);
    // The host to the container, over both versions of IP.
    ask((endpoint.address, 80), "host");
    let six = endpoint.address6.unwrap();
    ask((six, 80), "host6");
    // A container to the other, with its own address as the source.
    let source = IpAddr::from(other.attached().endpoints[0].address);
    second.run(|| {
        let answer = ask((endpoint.address, 80), "neighbour");
        assert!(answer.ends_with(&format!(" from {source}")), "{answer}");
        ask((six, 80), "neighbour6");
        // Beyond the host the host's address is seen.
        let answer = ask((OUTSIDE, 80), "beyond");
        assert!(answer.ends_with(&format!(" from {HOST}")), "{answer}");
        // The gateway answers (nobody listens there: refused at once, not lost).
        let refused = TcpStream::connect((gateway, 9)).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    });
    // A neighbour of the host that routes to us on purpose reaches no unpublished port.
    outside.run(|| {
        let mut route = Route::open().unwrap();
        route.configure(&[Step::Gateway(HOST.into())]).unwrap();
        let address = SocketAddr::new(endpoint.address.into(), 80);
        assert!(TcpStream::connect_timeout(&address, Duration::from_millis(300)).is_err());
    });
    one.detach().unwrap();
    other.detach().unwrap();
    assert_eq!(engine.leftovers(), [""; 0]);
    drop(engine.directory);
}

/// Prints what one container's network costs, beside the making of its namespace.
fn cost(_: &Guest) {
    let engine = Engine::new();
    let mut medians: [Vec<Duration>; 3] = Default::default();
    for number in 0..50 {
        let guest = Guest::spawn();
        let _lock = engine.lock(&id(number));
        let begin = Instant::now();
        let reservation = engine
            .network
            .reserve(&request(number, Vec::new()))
            .unwrap();
        let reserved = Instant::now();
        let attachment = reservation.attach(guest.pid()).unwrap();
        let attached = Instant::now();
        attachment.detach().unwrap();
        medians[0].push(reserved - begin);
        medians[1].push(attached - reserved);
        medians[2].push(attached.elapsed());
    }
    for (name, times) in ["reserve", "attach", "detach"].iter().zip(&mut medians) {
        times.sort();
        println!("  {name}: median {:?}, best {:?}", times[25], times[0]);
    }
}

fn ports(outside: &Guest) {
    let engine = Engine::new();
    let published = vec![
        publish(Protocol::Tcp, 8080, 80),
        publish(Protocol::Udp, 5353, 53),
        publish(Protocol::Tcp, 0, 80),
        Publish {
            host_address: Some(HOST.into()),
            ..publish(Protocol::Tcp, 8081, 80)
        },
        Publish {
            host_address: Some(Ipv4Addr::LOCALHOST.into()),
            ..publish(Protocol::Tcp, 8082, 80)
        },
    ];
    let (guest, attachment, _lock) = engine.run(&request(3, published));
    guest.serve();
    let endpoint = attachment.attached().endpoints[0].clone();
    let random = attachment
        .attached()
        .ports
        .iter()
        .find(|port| !matches!(port.host_port, 8080..=8082 | 5353))
        .unwrap()
        .host_port;
    for address in ["127.0.0.1", "::1", "203.0.113.1"] {
        let address: IpAddr = address.parse().unwrap();
        ask((address, 8080), "port");
        ask((address, random), "random");
        assert_eq!(ask_udp((address, 5353), "datagram"), "hello datagram");
    }
    ask((endpoint.gateway, 8080), "gateway");
    ask((endpoint.gateway6.unwrap(), 8080), "gateway6");
    ask((HOST, 8081), "one address");
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, 8081)).is_err());
    ask((Ipv4Addr::LOCALHOST, 8082), "loopback alone");
    assert!(TcpStream::connect((HOST, 8082)).is_err());
    outside.run(|| {
        // The container sees who asks.
        let answer = ask((HOST, 8080), "outside");
        assert!(answer.ends_with(&format!(" from {OUTSIDE}")), "{answer}");
        ask((HOST, 8081), "outside");
        assert_eq!(ask_udp((HOST, 5353), "outside"), "hello outside");
        assert!(TcpStream::connect((HOST, 8082)).is_err());
    });
    // A neighbour, and the container itself, through the host's address.
    let (neighbour, other, _other_lock) = engine.run(&request(4, Vec::new()));
    for guest in [&neighbour, &guest] {
        guest.run(|| {
            ask((HOST, 8080), "hairpin");
            ask((endpoint.gateway, 8080), "hairpin");
        });
    }
    other.detach().unwrap();
    attachment.detach().unwrap();
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, 8080)).is_err());
    assert_eq!(engine.leftovers(), [""; 0]);
}

fn proxy(_: &Guest) {
    let engine = Engine::new();
    let (guest, attachment, _lock) =
        engine.run(&request(5, vec![publish(Protocol::Tcp, 8080, 80)]));
    guest.serve();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
    // `ask` ends its direction before it reads, so each of these is half-closed for a while.
    let begin = Instant::now();
    for _ in 0..1000 {
        ask(address, "again");
    }
    println!("  1000 requests one after another: {:?}", begin.elapsed());
    let long = "x".repeat(8 << 20);
    assert!(ask(address, &long).starts_with(&format!("hello {long}")));
    // Open and silent connections do not stop others.
    let silent: Vec<TcpStream> = (0..200)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    ask(address, "among the silent");
    drop(silent);
    ask(address, "after the silent");
    // A container that is not listening: the connection ends, and the proxy goes on.
    drop(guest);
    let mut nothing = String::new();
    let mut stream = TcpStream::connect(address).unwrap();
    drop(std::io::Read::read_to_string(&mut stream, &mut nothing));
    assert_eq!(nothing, "");
    attachment.detach().unwrap();
}

fn conflicts(_: &Guest) {
    let engine = Engine::new();
    let (_guest, attachment, _lock) =
        engine.run(&request(6, vec![publish(Protocol::Tcp, 8080, 80)]));
    let second = request(
        7,
        vec![
            publish(Protocol::Tcp, 9090, 80),
            publish(Protocol::Tcp, 8080, 80),
        ],
    );
    let error = engine.network.reserve(&second).unwrap_err();
    assert_eq!(
        (error.class(), error.to_string()),
        (Class::Conflict, "port 8080 is already in use".into())
    );
    drop(UdpSocket::bind("0.0.0.0:9090").unwrap());
    let mut fixed = request(8, Vec::new());
    let Mode::Networks(joins) = &mut fixed.mode else {
        return;
    };
    joins[0].address = Some(attachment.attached().endpoints[0].address);
    assert_eq!(
        engine.network.reserve(&fixed).unwrap_err().class(),
        Class::Conflict
    );
    attachment.detach().unwrap();
    assert_eq!(engine.leftovers(), [""; 0]);
}

fn lost(_: &Guest) {
    let engine = Engine::new();
    let (reader, writer) = pipe::pair().unwrap();
    let monitor = clone::spawn(Namespaces::empty(), None, || {
        let _all = engine.run(&request(
            9,
            vec![
                publish(Protocol::Tcp, 8080, 80),
                publish(Protocol::Udp, 8080, 80),
            ],
        ));
        pipe::write(&writer, b"x").unwrap();
        drop(berth_sys::fd::wait_readable(monitor_never(), None));
        0
    })
    .unwrap();
    berth_sys::fd::wait_readable(reader.as_fd(), None).unwrap();
    assert_eq!(
        engine
            .network
            .release(&id(1))
            .map_err(|error| error.to_string()),
        Ok(())
    );
    assert_ne!(engine.leftovers(), [""; 0]);
    pidfd::signal(&monitor.pidfd, Signal::KILL).unwrap();
    pidfd::wait(monitor.pidfd.as_fd()).unwrap();
    // The proxy dies with the monitor; the port is free once it has.
    let deadline = Instant::now() + Duration::from_secs(5);
    while std::net::TcpListener::bind("0.0.0.0:8080").is_err() {
        assert!(Instant::now() < deadline, "the proxy outlives the monitor");
        std::thread::yield_now();
    }
    engine.network.release(&id(9)).unwrap();
    engine.network.release(&id(9)).unwrap();
    assert_eq!(engine.leftovers(), [""; 0]);
}

/// A descriptor that never becomes readable.
fn monitor_never() -> std::os::fd::BorrowedFd<'static> {
    let (reader, writer) = pipe::pair().unwrap();
    let reader: &'static std::os::fd::OwnedFd = Box::leak(Box::new(reader));
    berth_sys::fd::leak(writer);
    reader.as_fd()
}

fn none(_: &Guest) {
    let engine = Engine::new();
    let request = Request {
        container: id(10),
        mode: Mode::None,
        publish: Vec::new(),
    };
    let reservation = engine.network.reserve(&request).unwrap();
    let guest = Guest::spawn();
    let attachment = reservation.attach(guest.pid()).unwrap();
    assert!(attachment.attached().endpoints.is_empty());
    guest.serve();
    guest.run(|| {
        ask((Ipv4Addr::LOCALHOST, 80), "myself");
        assert!(Route::open().unwrap().link("eth0").unwrap().is_none());
    });
    attachment.detach().unwrap();
    let published = Request {
        publish: vec![publish(Protocol::Tcp, 1, 1)],
        ..request
    };
    assert_eq!(
        engine.network.validate(&published).unwrap_err().class(),
        Class::Invalid
    );
}
