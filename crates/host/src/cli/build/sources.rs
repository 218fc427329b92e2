//! The values of `--secret`, `--ssh`, `--build-context` and `--output`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use berth_contract::{Class, Error, Result};
use berth_host::build::dockerfile::context_name;
use berth_host::build::{Destination, NamedContext, Output, Secret, is_remote};
use berth_image::{DocumentStyle, urls_without_secrets};

use super::caches::{compression, nothing_else};
use super::keys::KeyAgent;
use crate::cli::Environment;
use crate::cli::parse::{fields, truth};

pub(super) fn invalid(flag: &str, text: &str, reason: impl Into<String>) -> Error {
    Error::new(Class::Invalid, format!("invalid value {text:?} for {flag}"))
        .caused_by(reason.into())
}

/// `key=value` fields; a field without `=` is its key.
pub(super) fn keys(flag: &str, text: &str) -> Result<BTreeMap<String, String>> {
    let fields = fields(text).map_err(|reason| invalid(flag, text, reason))?;
    let pair = |field: &String| match field.split_once('=') {
        Some((key, value)) => (key.trim().to_ascii_lowercase(), value.to_owned()),
        None => (field.trim().to_ascii_lowercase(), String::new()),
    };
    Ok(fields.iter().map(pair).collect())
}

/// `id=NAME[,src=FILE|env=VARIABLE]`; without either the variable of that name, else the file.
pub(super) fn secrets(
    texts: &[String],
    environment: &Environment,
) -> Result<BTreeMap<String, Secret>> {
    let mut secrets = BTreeMap::new();
    for text in texts {
        let mut keys = keys("--secret", text)?;
        let kind = keys.remove("type");
        let source = keys.remove("src").or_else(|| keys.remove("source"));
        let variable = keys.remove("env");
        let id = keys
            .remove("id")
            .or_else(|| variable.clone())
            .or_else(|| {
                source
                    .as_ref()
                    .and_then(|path| path.rsplit('/').next().map(str::to_owned))
            })
            .filter(|id| !id.is_empty())
            .ok_or_else(|| invalid("--secret", text, "it has no id"))?;
        if let Some(unknown) = keys.keys().next() {
            return Err(invalid(
                "--secret",
                text,
                format!("unexpected key {unknown:?}"),
            ));
        }
        let of_variable = |name: &str| {
            environment
                .owned(name)
                .map(|value| Secret::Value(value.into_bytes()))
        };
        let secret = match (kind.as_deref(), source, variable) {
            (None | Some("file"), Some(path), None) => Secret::File(PathBuf::from(path)),
            (None | Some("env"), None, Some(name)) => of_variable(&name)
                .ok_or_else(|| invalid("--secret", text, format!("{name} is not set")))?,
            (Some("env"), Some(name), None) => of_variable(&name)
                .ok_or_else(|| invalid("--secret", text, format!("{name} is not set")))?,
            (None, None, None) => {
                of_variable(&id).unwrap_or_else(|| Secret::File(PathBuf::from(&id)))
            }
            _ => return Err(invalid("--secret", text, "it takes either src or env")),
        };
        if let Secret::File(path) = &secret
            && let Err(error) = std::fs::metadata(path)
        {
            return Err(invalid(
                "--secret",
                text,
                format!("{}: {error}", path.display()),
            ));
        }
        secrets.insert(id, secret);
    }
    Ok(secrets)
}

/// `default`, `ID`, `ID=SOCKET`, `ID=KEY,…`; and the agents that were started for keys.
pub(super) fn agents(
    texts: &[String],
    environment: &Environment,
) -> Result<(BTreeMap<String, PathBuf>, Vec<KeyAgent>)> {
    let mut agents = BTreeMap::new();
    let mut started = Vec::new();
    for text in texts {
        let (id, socket) = match text.split_once('=') {
            Some((id, paths)) => {
                let paths: Vec<PathBuf> = paths.split(',').map(PathBuf::from).collect();
                if paths.len() > 1 || paths.iter().all(|path| path.is_file()) {
                    let agent = KeyAgent::start(&paths)?;
                    agents.insert(id.to_owned(), agent.socket());
                    started.push(agent);
                    continue;
                }
                (id, paths.into_iter().next())
            }
            None => (text.as_str(), environment.path("SSH_AUTH_SOCK")),
        };
        let socket = socket.ok_or_else(|| invalid("--ssh", text, "SSH_AUTH_SOCK is not set"))?;
        let metadata = std::fs::metadata(&socket)
            .map_err(|error| invalid("--ssh", text, format!("{}: {error}", socket.display())))?;
        if !std::os::unix::fs::FileTypeExt::is_socket(&metadata.file_type()) {
            return Err(invalid(
                "--ssh",
                text,
                format!("{} is no agent's socket and no key", socket.display()),
            ));
        }
        agents.insert(id.to_owned(), socket);
    }
    Ok((agents, started))
}

/// `NAME=DIRECTORY`, `NAME=docker-image://IMAGE`, `NAME=oci-layout://DIRECTORY`, `NAME=URL`.
pub(super) fn contexts(texts: &[String]) -> Result<BTreeMap<String, NamedContext>> {
    let mut contexts = BTreeMap::new();
    for text in texts {
        let (name, source) = text
            .split_once('=')
            .ok_or_else(|| invalid("--build-context", text, "it must be NAME=SOURCE"))?;
        let image = source
            .strip_prefix("docker-image://")
            .or_else(|| source.strip_prefix("container-image://"))
            // As Podman's own transport is written.
            .or_else(|| source.strip_prefix("docker://"));
        let context = if image == Some("scratch") {
            NamedContext::Scratch
        } else if let Some(image) = image {
            NamedContext::Image(image.to_owned())
        } else if let Some(layout) = source.strip_prefix("oci-layout://") {
            NamedContext::Image(layout_image(text, layout)?)
        } else if is_remote(source) {
            NamedContext::Remote(source.to_owned())
        } else if source.contains("://") {
            let shown = urls_without_secrets(source);
            let message = format!("cannot use the context {shown}");
            return Err(Error::new(Class::Unsupported, message).hint(
                "a directory, a URL, docker-image://IMAGE or oci-layout://DIRECTORY can be used",
            ));
        } else {
            let path = std::path::absolute(source)
                .map_err(|error| invalid("--build-context", text, error.to_string()))?;
            if !path.is_dir() {
                return Err(invalid(
                    "--build-context",
                    text,
                    format!("{source} is not a directory"),
                ));
            }
            NamedContext::Directory(path)
        };
        contexts.insert(context_name(name), context);
    }
    Ok(contexts)
}

/// `DIRECTORY[:TAG][@DIGEST]` of an OCI layout as the transport that is read like an image.
fn layout_image(text: &str, layout: &str) -> Result<String> {
    let (rest, digest) = match layout.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (layout, None),
    };
    let tagged = rest.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'));
    let (path, tag) = tagged.map_or((rest, None), |(path, tag)| (path, Some(tag)));
    let path = std::path::absolute(path)
        .map_err(|error| invalid("--build-context", text, error.to_string()))?;
    if !path.join("index.json").is_file() {
        let reason = format!("{} is not an OCI layout", path.display());
        return Err(invalid("--build-context", text, reason));
    }
    let path = path.display();
    Ok(match (digest, tag) {
        (Some(digest), _) => format!("oci:{path}:@{digest}"),
        (None, Some(tag)) => format!("oci:{path}:{tag}"),
        (None, None) => format!("oci:{path}"),
    })
}

/// What `--output` asks for.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    pub(super) outputs: Vec<Output>,
    /// What the image is called beside what `--tag` says.
    pub(super) names: Vec<String>,
    /// Whether files that are newer than the time that is given get that time.
    pub(super) rewrite_timestamp: bool,
    /// Whose documents describe the image, if it is said.
    pub(super) documents: Option<DocumentStyle>,
}

/// `type=T[,dest=PATH]`, or a directory, or `-` for an archive on standard output.
pub(super) fn outputs(texts: &[String]) -> Result<Outputs> {
    let mut found = Outputs::default();
    for text in texts {
        let output = if text == "-" {
            Output::Tar(Destination::Stdout)
        } else if text.is_empty() {
            return Err(invalid("--output", text, "it names no directory"));
        } else if text.contains('=') {
            output(text, &mut found)?
        } else {
            Output::Local(PathBuf::from(text))
        };
        found.outputs.push(output);
    }
    Ok(found)
}

fn output(text: &str, found: &mut Outputs) -> Result<Output> {
    let flag = "--output";
    let mut keys = keys(flag, text)?;
    let kind = keys.remove("type").unwrap_or_default();
    let place = keys.remove("dest").or_else(|| keys.remove("destination"));
    let is_image = matches!(kind.as_str(), "image" | "registry" | "oci" | "docker");
    let says_documents = keys.contains_key("oci-mediatypes");
    let mut is = |key: &str, default: bool, fits: bool| match keys.remove(key) {
        Some(_) if !fits => Err(invalid(flag, text, format!("it takes no {key}"))),
        Some(value) => truth(&value).map_err(|reason| invalid(flag, text, reason)),
        None => Ok(default),
    };
    let has_registry = matches!(kind.as_str(), "image" | "registry");
    let pushes = is("push", kind == "registry", has_registry)?;
    let is_tar = is("tar", true, kind == "oci")?;
    found.rewrite_timestamp |= is("rewrite-timestamp", false, kind != "wasm")?;
    if says_documents {
        found.documents = Some(match is("oci-mediatypes", true, is_image)? {
            true => DocumentStyle::Oci,
            false => DocumentStyle::Docker,
        });
    }
    if let Some(names) = keys.remove("name") {
        if !is_image {
            return Err(invalid(flag, text, "only an image has a name"));
        }
        let names = names.split(',').filter(|name| !name.is_empty());
        found.names.extend(names.map(str::to_owned));
    }
    let compression = match pushes {
        true => compression(flag, text, &mut keys)?,
        false => None,
    };
    nothing_else(flag, text, &keys)?;
    let archive = |place: Option<String>| match place.as_deref() {
        None | Some("-") => Destination::Stdout,
        Some(path) => Destination::File(PathBuf::from(path)),
    };
    Ok(match (kind.as_str(), place) {
        ("image" | "registry" | "wasm", Some(_)) => {
            return Err(invalid(flag, text, "it takes no dest"));
        }
        ("image" | "registry", None) if pushes => Output::Push(compression),
        ("image" | "registry" | "docker", None) => Output::Image,
        ("wasm", None) => Output::Wasm,
        ("local", Some(path)) => Output::Local(PathBuf::from(path)),
        ("oci", Some(path)) if !is_tar => Output::OciDirectory(PathBuf::from(path)),
        ("local", None) => return Err(invalid(flag, text, "it needs dest=DIRECTORY")),
        ("oci", None) if !is_tar => return Err(invalid(flag, text, "it needs dest=DIRECTORY")),
        ("tar", place) => Output::Tar(archive(place)),
        ("oci", place) => Output::Oci(archive(place)),
        ("docker", place) => Output::Docker(archive(place)),
        (other, _) => return Err(invalid(flag, text, format!("there is no type {other:?}"))),
    })
}
