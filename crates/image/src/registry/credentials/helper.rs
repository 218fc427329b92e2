//! `docker-credential-NAME`: a program that keeps secrets, spoken to over its standard streams
//! (docker-credential-helpers).

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use berth_contract::{Class, Error, Result};
use serde::{Deserialize, Serialize};

use super::Login;

/// The user name of a login that is an identity token.
const TOKEN_USER: &str = "<token>";
/// What every helper says for a registry it knows nothing of, on standard output.
const UNKNOWN: &str = "credentials not found in native keychain";
/// No secret is longer.
const REPLY_LIMIT: u64 = 1 << 20;

/// What `get` answers and `store` takes.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    #[serde(rename = "ServerURL", default)]
    server: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// The login a helper keeps for a server, if any.
pub(super) fn get(name: &str, programs: &[PathBuf], server: &str) -> Result<Option<Login>> {
    let Some(output) = call(name, programs, "get", server.as_bytes())? else {
        return Ok(None);
    };
    let entry: Entry = serde_json::from_slice(&output).map_err(|error| {
        failed(name, "get", "its answer is no JSON object").hint(error.to_string())
    })?;
    if entry.username.is_empty() && entry.secret.is_empty() {
        return Ok(None);
    }
    Ok(Some(if entry.username == TOKEN_USER {
        Login::IdentityToken {
            username: entry.username,
            token: entry.secret,
        }
    } else {
        Login::Password {
            username: entry.username,
            password: entry.secret,
        }
    }))
}

/// Gives a helper a login to keep.
pub(super) fn store(name: &str, programs: &[PathBuf], server: &str, login: &Login) -> Result<()> {
    let (username, secret) = match login {
        Login::Password { username, password } => (username.clone(), password.clone()),
        Login::IdentityToken { token, .. } | Login::RegistryToken(token) => {
            (TOKEN_USER.to_owned(), token.clone())
        }
    };
    let entry = Entry {
        server: server.to_owned(),
        username,
        secret,
    };
    call(name, programs, "store", &crate::documents::to_json(&entry)).map(drop)
}

/// Makes a helper forget a server; whether it knew it is not always told.
pub(super) fn erase(name: &str, programs: &[PathBuf], server: &str) -> Result<()> {
    call(name, programs, "erase", server.as_bytes()).map(drop)
}

/// Runs a helper; `None` if it knows nothing of the server.
fn call(name: &str, programs: &[PathBuf], verb: &str, input: &[u8]) -> Result<Option<Vec<u8>>> {
    let program = format!("docker-credential-{name}");
    if name.contains('/') {
        return Err(failed(name, verb, "its name has a slash"));
    }
    let path = programs.iter().map(|directory| directory.join(&program));
    let Some(path) = path.clone().find(|path| path.is_file()) else {
        return Err(
            failed(name, verb, "no directory of PATH has it").hint(format!(
                "install {program}, or take it out of the login file"
            )),
        );
    };
    let cannot = |error: std::io::Error| failed(name, verb, &error.to_string());
    let mut child = Command::new(path)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(cannot)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its input says why on its own.
        drop(stdin.write_all(input));
    }
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout
            .take(REPLY_LIMIT)
            .read_to_end(&mut output)
            .map_err(cannot)?;
    }
    let mut complaint = String::new();
    if let Some(stderr) = child.stderr.take() {
        // Words that are no text are not worth telling.
        drop(stderr.take(4096).read_to_string(&mut complaint));
    }
    let status = child.wait().map_err(cannot)?;
    if status.success() {
        return Ok(Some(output));
    }
    let said = String::from_utf8_lossy(&output);
    if said.contains(UNKNOWN) || complaint.contains(UNKNOWN) {
        return Ok(None);
    }
    let words = if said.trim().is_empty() {
        complaint.trim()
    } else {
        said.trim()
    };
    Err(failed(
        name,
        verb,
        if words.is_empty() {
            "it failed without a word"
        } else {
            words
        },
    ))
}

fn failed(name: &str, verb: &str, reason: &str) -> Error {
    let message = format!("the credential helper docker-credential-{name} cannot {verb} a login");
    Error::new(Class::Unavailable, message).caused_by(reason.to_owned())
}
