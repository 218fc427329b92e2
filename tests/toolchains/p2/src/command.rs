//! A command of WASI 0.2: each first argument is one thing it can do, as in `p3`.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, ToSocketAddrs};
use std::time::Duration;

use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, IncomingResponse, OutgoingRequest, Scheme};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let argument = |index: usize| arguments.get(index).map_or("", String::as_str);
    match argument(1) {
        "spin" => loop {
            std::hint::black_box(());
        },
        "sleep" => {
            println!("ready");
            std::thread::sleep(Duration::from_secs(1000));
        }
        "read" => {
            println!("ready");
            std::io::stdin().read_exact(&mut [0]).unwrap();
        }
        "echo" => {
            let listener = TcpListener::bind("0.0.0.0:7777").unwrap();
            println!("ready");
            listener.accept().unwrap();
        }
        "write" => say(fs::write(argument(2), "from p2\n")),
        "rename" => say(fs::rename(argument(2), argument(3))),
        "link" => say(fs::hard_link(argument(2), argument(3))),
        "remove" => say(fs::remove_dir(argument(2))),
        "resolve" => match (argument(2), 0).to_socket_addrs() {
            Ok(addresses) => println!("{:?}", addresses.map(|address| address.ip()).collect::<Vec<_>>()),
            Err(error) => println!("{error}"),
        },
        "get" => get(argument(2), argument(3), argument(4)),
        other => panic!("no such thing: {other}"),
    }
}

fn say(result: std::io::Result<()>) {
    match result {
        Ok(()) => println!("done"),
        Err(error) => println!("errno {}", error.raw_os_error().unwrap_or_default()),
    }
}

fn get(scheme: &str, authority: &str, path: &str) {
    let request = OutgoingRequest::new(Fields::new());
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    request.set_scheme(Some(&scheme)).unwrap();
    request.set_authority(Some(authority)).unwrap();
    request.set_path_with_query(Some(path)).unwrap();
    let answer = outgoing_handler::handle(request, None).and_then(|future| {
        future.subscribe().block();
        future.get().unwrap().unwrap()
    });
    match answer {
        Ok(response) => println!("{} {}", response.status(), text(&response)),
        Err(error) => println!("{error:?}"),
    }
}

fn text(response: &IncomingResponse) -> String {
    let body = response.consume().unwrap();
    let stream = body.stream().unwrap();
    let mut bytes = Vec::new();
    while let Ok(part) = stream.blocking_read(1 << 16) {
        bytes.extend(part);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
