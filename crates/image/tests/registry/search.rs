//! Docker Hub's search.

use std::sync::{Arc, Mutex};

use berth_image::{Access, search};

use crate::closure::{Answer, serve};

#[test]
fn docker_hubs_search_is_read_page_by_page() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let address = serve(move |request| {
        log.lock().unwrap().push(request.path.clone());
        let page = if request.path.ends_with("page=1") {
            0..100
        } else {
            100..130
        };
        // As index.docker.io writes it.
        let results: Vec<_> = page
            .map(|number| {
                serde_json::json!({
                    "name": format!("team/tool{number}"),
                    "description": if number % 2 == 0 { Some("it works") } else { None },
                    "is_automated": false, "is_trusted": false,
                    "is_official": number == 0, "star_count": 130 - number,
                })
            })
            .collect();
        let reply = serde_json::json!({
            "num_pages": 2, "num_results": 130, "page_size": 100, "page": 1, "query": "tool",
            "results": results,
        });
        Answer::new(200, reply.to_string().as_bytes())
    });
    let found = search(&format!("{address}/tool"), 120, &Access::default()).unwrap();
    assert_eq!(found.len(), 120);
    assert_eq!(found[0].name, format!("{address}/team/tool0"));
    assert_eq!((found[0].stars, found[0].official), (130, true));
    assert_eq!(
        (found[0].description.as_str(), found[1].description.as_str()),
        ("it works", "")
    );
    let asked = asked.lock().unwrap();
    assert_eq!(
        *asked,
        [
            "/v1/search?q=tool&n=100&page=1",
            "/v1/search?q=tool&n=100&page=2"
        ]
    );
}
