//! A command of WASI 0.3: each first argument is one thing it can do.

use std::net::Ipv4Addr;

use wasip3::cli::{environment, exit, stderr, stdin, stdout};
use wasip3::clocks::monotonic_clock;
use wasip3::filesystem::preopens;
use wasip3::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};
use wasip3::http::client;
use wasip3::http::types::{Fields, Request, Response, Scheme};
use wasip3::sockets::ip_name_lookup::resolve_addresses;
use wasip3::sockets::types::{IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket};
use wasip3::{spawn_local, wit_future, wit_stream};

struct Command;
wasip3::cli::command::export!(Command);

async fn say(text: String) {
    let (mut writer, reader) = wit_stream::new();
    let written = stdout::write_via_stream(reader);
    let rest = writer.write_all(text.into_bytes()).await;
    assert!(rest.is_empty());
    drop(writer);
    written.await.unwrap();
}

impl wasip3::exports::cli::run::Guest for Command {
    async fn run() -> Result<(), ()> {
        let arguments = environment::get_arguments();
        let argument = |index: usize| arguments.get(index).map_or("", String::as_str);
        match argument(1) {
            "about" => {
                let names: Vec<String> = preopens::get_directories().into_iter().map(|(_, name)| name).collect();
                let text = format!(
                    "{arguments:?}\n{:?}\n{:?}\n{names:?}\n",
                    environment::get_environment(),
                    environment::get_initial_cwd()
                );
                say(text).await;
            }
            "exit" => exit::exit_with_code(argument(2).parse().unwrap()),
            "fail" => return Err(()),
            "trap" => std::process::abort(),
            "spin" => loop {
                std::hint::black_box(());
            },
            "sleep" => {
                say("ready\n".into()).await;
                monotonic_clock::wait_for(1_000_000_000_000).await;
            }
            "cat" => {
                let (input, done) = stdin::read_via_stream();
                let written = stdout::write_via_stream(input);
                written.await.unwrap();
                done.await.unwrap();
            }
            "read" => {
                say("ready\n".into()).await;
                let (mut input, _) = stdin::read_via_stream();
                input.read(Vec::with_capacity(1)).await;
            }
            "error" => {
                let (mut writer, reader) = wit_stream::new();
                let written = stderr::write_via_stream(reader);
                writer.write_all(b"to stderr\n".to_vec()).await;
                drop(writer);
                written.await.unwrap();
            }
            "write" => {
                let (root, _) = preopens::get_directories().remove(0);
                let opened = root
                    .open_at(PathFlags::empty(), argument(2).to_owned(), OpenFlags::CREATE, DescriptorFlags::WRITE)
                    .await;
                match opened {
                    Ok(file) => {
                        let (mut writer, reader) = wit_stream::new();
                        let written = file.write_via_stream(reader, 0);
                        writer.write_all(b"from p3\n".to_vec()).await;
                        drop(writer);
                        written.await.unwrap();
                        say("written\n".into()).await;
                    }
                    Err(error) => say(format!("{error:?}\n")).await,
                }
            }
            "rename" | "link" | "remove" => {
                let (root, _) = preopens::get_directories().remove(0);
                let (one, other) = (argument(2).to_owned(), argument(3).to_owned());
                let result = match argument(1) {
                    "rename" => root.rename_at(one, &root, other).await,
                    "link" => root.link_at(PathFlags::empty(), one, &root, other).await,
                    _ => root.remove_directory_at(one).await,
                };
                match result {
                    Ok(()) => say("done\n".into()).await,
                    Err(error) => say(format!("{error:?}\n")).await,
                }
            }
            "echo" => {
                let socket = TcpSocket::create(IpAddressFamily::Ipv4).unwrap();
                let address = Ipv4SocketAddress { port: 7777, address: (0, 0, 0, 0) };
                socket.bind(IpSocketAddress::Ipv4(address)).unwrap();
                let mut connections = socket.listen().unwrap();
                say("ready\n".into()).await;
                while let Some(connection) = connections.next().await {
                    spawn_local(async move {
                        let (input, done) = connection.receive();
                        connection.send(input).await.ok();
                        done.await.ok();
                    });
                }
            }
            "resolve" => match resolve_addresses(argument(2).to_owned()).await {
                Ok(addresses) => {
                    let addresses: Vec<_> = addresses
                        .into_iter()
                        .map(|address| match address {
                            IpAddress::Ipv4((a, b, c, d)) => Ipv4Addr::new(a, b, c, d).to_string(),
                            IpAddress::Ipv6(_) => "v6".to_owned(),
                        })
                        .collect();
                    say(format!("{addresses:?}\n")).await;
                }
                Err(error) => say(format!("{error:?}\n")).await,
            },
            "get" => {
                let (end, trailers) = wit_future::new(|| Ok(None));
                drop(end);
                let (request, _sent) = Request::new(Fields::new(), None, trailers, None);
                let scheme = if argument(2) == "https" { Scheme::Https } else { Scheme::Http };
                request.set_scheme(Some(&scheme)).unwrap();
                request.set_authority(Some(argument(3))).unwrap();
                request.set_path_with_query(Some(argument(4))).unwrap();
                match client::send(request).await {
                    Ok(response) => {
                        let status = response.get_status_code();
                        let (_, done) = wit_future::new(|| Ok(()));
                        let (body, _trailers) = Response::consume_body(response, done);
                        let body = body.collect().await;
                        say(format!("{status} {}\n", String::from_utf8_lossy(&body))).await;
                    }
                    Err(error) => say(format!("{error:?}\n")).await,
                }
            }
            other => panic!("no such thing: {other}"),
        }
        Ok(())
    }
}
