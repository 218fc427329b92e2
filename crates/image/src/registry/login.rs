//! Logging in: a login is only kept once the registry took it.

use berth_contract::{Class, Error, Result};
use reqwest::header::WWW_AUTHENTICATE;
use reqwest::{Method, StatusCode};

use super::access::Access;
use super::challenge::Challenge;
use super::client::{Client, REPLY_LIMIT, Request};
use super::credentials::Login;
use super::failure::Failure;
use crate::progress::Silent;

/// Shows a login to a registry and says what to keep: the login itself, or the token it was changed for.
///
/// # Errors
/// Class `Denied` if the registry does not take it, `Unavailable` if it does not answer.
pub fn login(registry: &str, login: &Login, access: &Access) -> Result<Login> {
    let runtime = super::transport::runtime()?;
    let endpoint = access.registries.whole_registry(registry)?;
    let client = Client::with_login(&endpoint, access, &Silent, Some(login.clone()))?;
    runtime
        .block_on(present(&client, login))
        .map_err(|failure| {
            let denied = matches!(
                failure.status,
                Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
            );
            let class = if denied {
                Class::Denied
            } else {
                Class::Unavailable
            };
            Error::new(class, format!("cannot log in to {registry}")).caused_by(failure)
        })
}

async fn present(client: &Client<'_>, login: &Login) -> Result<Login, Failure> {
    // Without the login first: whoever lets everybody in has not looked at it.
    let mut request = Request::new(Method::GET, client.registry_url("")?);
    let (response, _) = client.first(&mut request, None).await?;
    if response.status() != StatusCode::UNAUTHORIZED {
        let response = client.accept(&request, response).await?;
        let body = client.body(response, REPLY_LIMIT, &request.url).await?;
        Failure::unless_page(&request.method, &request.url, &body)?;
        return Ok(login.clone());
    }
    let challenges = response.headers().get_all(WWW_AUTHENTICATE).iter();
    let challenges: Vec<Challenge> = challenges
        .filter_map(|value| Challenge::parse(value.to_str().ok()?))
        .collect();
    let bearer = challenges
        .iter()
        .find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
    let refresh = match bearer {
        Some(challenge) => client.refresh_token(challenge).await?,
        None => None,
    };
    let response = client.send(&request).await?;
    drop(response);
    Ok(match refresh {
        Some(token) => Login::IdentityToken {
            username: login.username().to_owned(),
            token,
        },
        None => login.clone(),
    })
}
