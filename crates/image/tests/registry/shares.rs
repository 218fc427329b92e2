//! One client does not keep the others out, however many connections it opens.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream};

use crate::served::Served;
use crate::through::run;

const CONNECTIONS: usize = 8;

async fn connect(from: [u8; 4], to: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let from = SocketAddr::from((Ipv4Addr::from(from), 0));
    socket.bind(from).unwrap();
    socket.connect(to.parse().unwrap()).await.unwrap()
}

#[test]
fn one_address_does_not_hold_all_connections() {
    let served = Served::with(|options| {
        options.connections = CONNECTIONS;
        // Silence ends none of them during the test.
        options.patience = Duration::from_secs(3600);
    });
    run(async |http| {
        let mut greedy = Vec::new();
        for _ in 0..3 * CONNECTIONS {
            greedy.push(connect([127, 0, 0, 2], &served.address).await);
        }
        let answer = http.get(format!("http://{}/v2/", served.address));
        assert_eq!(answer.send().await.unwrap().status(), 200);
        // Who has its share is hung up on, and gets a place again when it leaves one.
        let mut last = greedy.pop().unwrap();
        assert!(last.read_u8().await.is_err(), "there is no place");
        greedy.clear();
        let again = reqwest::Client::builder()
            .no_proxy()
            .local_address(Some(Ipv4Addr::new(127, 0, 0, 2).into()))
            .build()
            .unwrap();
        let url = format!("http://{}/v2/", served.address);
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < Duration::from_secs(60));
            // It takes a moment until the server has seen that they left.
            if let Ok(answer) = again.get(&url).send().await {
                assert_eq!(answer.status(), 200);
                break;
            }
        }
    });
}
