//! Token servers: what they are asked for, and who is given a login.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use berth_image::{Login, PullOptions};

use crate::closure::{Answer, serve};
use crate::content::{Content, me, pull_from};

/// What a registry says beside where its token server is.
const SCOPE: &str = r#",service="s",scope="repository:team/app:pull""#;

#[test]
fn bearer_tokens_are_fetched_with_the_scope_asked_for() {
    let content = Content::new();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let address = serve(move |request| {
        if request.path.starts_with("/token") {
            let login = request
                .headers
                .get("authorization")
                .cloned()
                .unwrap_or_default();
            seen.lock().unwrap().push((
                request.path.clone(),
                login,
                String::from_utf8(request.body.clone()).unwrap(),
            ));
            return Answer::new(200, br#"{"token":"abc","expires_in":300}"#);
        }
        if request.shows("Bearer abc") {
            return content.answer(request);
        }
        Answer::challenge(request, SCOPE)
    });
    assert!(pull_from(&address, &PullOptions::default()).unwrap().1);
    let mut options = PullOptions::default();
    options.access.credentials.insert(&address, me());
    pull_from(&address, &options).unwrap();
    options.access.credentials.insert(
        &address,
        Login::IdentityToken {
            username: "me".into(),
            token: "refresh".into(),
        },
    );
    pull_from(&address, &options).unwrap();
    let asked = asked.lock().unwrap();
    // One token serves all requests of a pull.
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(
        asked[0].0.contains("scope=repository%3Ateam%2Fapp%3Apull"),
        "{asked:?}"
    );
    assert_eq!(asked[0].1, "");
    assert_eq!(asked[1].1, "Basic bWU6c2VjcmV0");
    assert!(
        asked[2].2.contains("grant_type=refresh_token")
            && asked[2].2.contains("refresh_token=refresh")
    );
}

#[test]
fn a_token_that_ends_during_a_pull_is_renewed() {
    let content = Content::new();
    let issued = AtomicUsize::new(0);
    let address = serve(move |request| {
        if request.path.starts_with("/token") {
            let token = issued.fetch_add(1, Ordering::SeqCst) + 1;
            return Answer::new(200, format!(r#"{{"token":"t{token}"}}"#).as_bytes());
        }
        // Every token is good for one answer.
        let last = format!("Bearer t{}", issued.load(Ordering::SeqCst));
        if request.shows(&last) && issued.load(Ordering::SeqCst) % 2 == 1 {
            issued.fetch_add(1, Ordering::SeqCst);
            return content.answer(request);
        }
        Answer::challenge(request, "")
    });
    pull_from(&address, &PullOptions::default()).unwrap_or_else(|error| panic!("{error:?}"));
}

#[test]
fn a_token_server_that_speaks_oauth_alone_gets_the_password_by_post() {
    let content = Content::new();
    let forms = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&forms);
    let address = serve(move |request| {
        if request.path.starts_with("/token") {
            if request.method == "GET" {
                return Answer::new(405, b"");
            }
            let kind = request.headers["content-type"].clone();
            let form = String::from_utf8(request.body.clone()).unwrap();
            seen.lock().unwrap().push((kind, form));
            return Answer::new(200, br#"{"access_token":"abc","expires_in":300}"#);
        }
        if request.shows("Bearer abc") {
            return content.answer(request);
        }
        Answer::challenge(request, SCOPE)
    });
    let mut options = PullOptions::default();
    options.access.credentials.insert(&address, me());
    pull_from(&address, &options).unwrap();
    let forms = forms.lock().unwrap();
    assert_eq!(forms.len(), 1, "{forms:?}");
    assert_eq!(forms[0].0, "application/x-www-form-urlencoded");
    for field in [
        "grant_type=password",
        "username=me",
        "password=secret",
        "service=s",
        "client_id=berth",
        "scope=repository%3Ateam%2Fapp%3Apull",
    ] {
        assert!(
            forms[0].1.split('&').any(|part| part == field),
            "{field}: {forms:?}"
        );
    }
}

#[test]
fn credentials_do_not_follow_a_redirect_to_another_host() {
    let content = Arc::new(Content::new());
    let leaked = Arc::new(AtomicUsize::new(0));
    let (theirs, count) = (Arc::clone(&content), Arc::clone(&leaked));
    let elsewhere = serve(move |request| {
        count.fetch_add(
            usize::from(request.headers.contains_key("authorization")),
            Ordering::SeqCst,
        );
        theirs.answer(request)
    });
    let address = serve(move |request| {
        if !request.headers.contains_key("authorization") {
            return Answer::new(401, b"").header("www-authenticate", "Basic realm=\"r\"");
        }
        if request.path.contains("/blobs/") {
            let location = format!("http://{elsewhere}{}", request.path);
            return Answer::new(307, b"").header("location", location);
        }
        content.answer(request)
    });
    let mut options = PullOptions::default();
    options.access.credentials.insert(&address, me());
    pull_from(&address, &options).unwrap();
    assert_eq!(leaked.load(Ordering::SeqCst), 0);
}
