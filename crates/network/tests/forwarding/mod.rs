//! What the host passes on besides containers' packets.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use berth_network::Protocol;
use berth_sys::netlink::route::{Route, Step};

use crate::engine::{Engine, publish, request};
use crate::guest::{Guest, ask, uplink};
use crate::{HOST, OUTSIDE};

/// A host whose own filter drops forwarded packets, as Docker and ufw leave it.
pub(crate) fn beside(outside: &Guest) {
    let nft = |arguments: &[&str]| Command::new("nft").args(arguments).output();
    let filter = "add table ip filter; \
         add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }";
    if !nft(&[filter]).is_ok_and(|output| output.status.success()) {
        println!("  SKIPPED: nft(8) is missing");
        return;
    }
    let forward = || {
        let listed = nft(&["list", "chain", "ip", "filter", "FORWARD"]).unwrap();
        String::from_utf8(listed.stdout).unwrap()
    };
    let before = forward();
    let engine = Engine::new();
    let (guest, attachment, _lock) =
        engine.run(&request(11, vec![publish(Protocol::Tcp, 8080, 80)]));
    guest.serve();
    guest.run(|| drop(ask((OUTSIDE, 80), "beyond the filter")));
    outside.run(|| drop(ask((HOST, 8080), "through the filter")));
    attachment.detach().unwrap();
    engine.network.dismantle(&|| Ok(false)).unwrap();
    engine.network.dismantle(&|| Ok(false)).unwrap();
    assert_eq!(forward(), before);
    let bridge = nft(&["list", "tables"]).unwrap();
    let tables = String::from_utf8(bridge.stdout).unwrap().lines().count();
    nft(&["delete", "table", "ip", "filter"]).unwrap();
    println!("  {tables} tables of other engines stay");
}

/// A host that passes nothing on until its first container needs it, and then only what is the containers'.
pub(crate) fn switched_on(outside: &Guest) {
    const SWITCH: &str = "/proc/sys/net/ipv4/ip_forward";
    const SWITCH6: &str = "/proc/sys/net/ipv6/conf/all/forwarding";
    let (own, address) = (
        Ipv4Addr::new(198, 51, 100, 1),
        Ipv4Addr::new(198, 51, 100, 9),
    );
    let stranger = uplink("uplink1", own, address);
    let passes = |wanted: bool| {
        stranger.run(|| {
            let patience = Duration::from_millis(if wanted { 5000 } else { 300 });
            let found = TcpStream::connect_timeout(&SocketAddr::new(OUTSIDE.into(), 80), patience);
            assert_eq!(found.is_ok(), wanted, "{found:?}");
        });
    };
    for (guest, gateway) in [(outside, HOST), (&stranger, own)] {
        // The other one has it already.
        guest.run(|| {
            drop(
                Route::open()
                    .unwrap()
                    .configure(&[Step::Gateway(gateway.into())]),
            );
        });
    }
    let policy = |family: &str| {
        let listed = Command::new("nft")
            .args(["list", "chain", family, "filter", "FORWARD"])
            .output();
        listed.map_or_else(
            |_| String::new(),
            |listed| String::from_utf8(listed.stdout).unwrap(),
        )
    };
    // The first engine in this namespace found IPv6 switched off.
    let forget = || {
        for family in ["ip", "ip6"] {
            let delete = ["delete", "table", family, "filter"];
            drop(Command::new("nft").args(delete).output());
        }
    };
    forget();
    for before in ["1", "0"] {
        fs::write(SWITCH, before).unwrap();
        fs::write(SWITCH6, before).unwrap();
        passes(before == "1");
        let engines = [Engine::new(), Engine::new()];
        let kept = engines.each_ref().map(|engine| {
            let (guest, attachment, lock) =
                engine.run(&request(12, vec![publish(Protocol::Tcp, 0, 80)]));
            assert_eq!(fs::read_to_string(SWITCH).unwrap().trim(), "1");
            passes(before == "1");
            guest.serve();
            let port = attachment.attached().ports[0].host_port;
            guest.run(|| drop(ask((OUTSIDE, 80), "out")));
            outside.run(|| drop(ask((HOST, port), "in")));
            (guest, attachment, lock)
        });
        // The second engine found it switched on, and is let through by its own rules.
        let (first, ..) = &kept[0];
        first.run(|| drop(ask((OUTSIDE, 80), "still out")));
        for family in ["ip", "ip6"] {
            assert_eq!(
                policy(family).contains("policy drop"),
                before == "0",
                "{family}"
            );
        }
        for (engine, (_guest, attachment, _lock)) in engines.iter().zip(kept) {
            attachment.detach().unwrap();
            assert!(engine.network.dismantle(&|| Ok(false)).unwrap());
        }
        passes(before == "1");
    }
    forget();
}
