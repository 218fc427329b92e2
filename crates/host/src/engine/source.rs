//! What a container is made from: an image of the store or a registry, a wasm file, or a directory.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use berth_contract::{Class, Digest, Error, ImageFacts, ProgramKind, Result};
use berth_image::{
    ContainerConfig as ImageDefaults, Image, Merged, Platform, PullOptions, PullPolicy, Reference,
    Silent, Store, Transport,
};
use berth_sys::error::Explain as _;

use super::options::{CreateOptions, LayerStack, Preference};
use crate::api::types::CreateRequest;
use crate::hello;

/// What a container is made from.
#[derive(Debug)]
pub(super) enum Source {
    /// An image.
    Image(Box<Image>),
    /// A wasm file of the host (`berth run ./app.wasm`).
    File(Program),
    /// A directory that is the root file system (`--rootfs`).
    Directory(PathBuf),
    /// The layers of a stage that is being built.
    Stack(LayerStack),
}

/// A wasm file of the host.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    kind: ProgramKind,
    /// What is called in place of its own entry: what stands behind `#`.
    function: Option<String>,
    is_text: bool,
}

/// Where a container's module is to be had.
#[derive(Debug)]
pub(super) enum Module {
    /// In the store, under its digest.
    Stored(PathBuf, Digest),
    /// In the user's own file, which may change or go.
    Loose(PathBuf),
    /// The same, in text form.
    Text(PathBuf),
}

impl Source {
    /// Finds what the request names; pulls an image when the policy says so.
    pub(super) fn find(
        store: &Store,
        request: &CreateRequest,
        options: &CreateOptions<'_>,
    ) -> Result<Self> {
        if let Some(stack) = options.stack {
            return Ok(Self::Stack(stack.clone()));
        }
        let text = request.config.image.as_str();
        if let Some(directory) = &request.rootfs {
            refuse_unsigned(&directory.to_string_lossy(), options)?;
            return Self::directory(directory);
        }
        if text.is_empty() {
            return Err(Error::new(Class::Invalid, "no image is named"));
        }
        if text.starts_with('/') || text.starts_with("./") || text.starts_with("../") {
            refuse_unsigned(text, options)?;
            return Self::file(text, request.wat);
        }
        if request.wat {
            return Err(
                Error::new(Class::Invalid, format!("cannot run {text} with --wat"))
                    .caused_by("it is no path of a file")
                    .hint(format!("berth run --wat ./{text}")),
            );
        }
        let image = image(store, text, options)?;
        image.mark_used();
        Ok(Self::Image(Box::new(image)))
    }

    fn directory(path: &Path) -> Result<Self> {
        if !path.is_absolute() {
            return Err(Error::new(
                Class::Invalid,
                format!(
                    "the root file system {} is not an absolute path",
                    path.display()
                ),
            ));
        }
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Ok(Self::Directory(path.to_owned())),
            Ok(_) => Err(Error::new(
                Class::Invalid,
                format!("the root file system {} is not a directory", path.display()),
            )),
            Err(error) => {
                Err(error).explain(|| format!("cannot use {} as root file system", path.display()))
            }
        }
    }

    fn file(text: &str, is_text: bool) -> Result<Self> {
        let (path, function) = match text.split_once('#') {
            // A file's own name may have the sign in it.
            Some((path, function)) if !Path::new(text).exists() => (path, Some(function)),
            _ => (text, None),
        };
        let explain = || format!("cannot run the file {path}");
        let metadata = fs::metadata(path).explain(explain)?;
        if metadata.is_dir() {
            return Err(Error::new(Class::Invalid, explain())
                .caused_by("it is a directory")
                .hint("to run a root file system, use --rootfs"));
        }
        let mut head = Vec::new();
        let file = fs::File::open(path).explain(explain)?;
        file.take(256).read_to_end(&mut head).explain(explain)?;
        let kind = match ProgramKind::from_head(&head) {
            kind if kind.is_wasm() && is_text => {
                return Err(Error::new(Class::Invalid, explain())
                    .caused_by("it is no text but a module already")
                    .hint("leave --wat out"));
            }
            kind if kind.is_wasm() => kind,
            // What it becomes is seen when it is assembled.
            _ if is_text => ProgramKind::WasmModule,
            kind => {
                let refused = Error::new(Class::Unsupported, explain());
                return Err(if kind == ProgramKind::Unknown && looks_like_text(&head) {
                    refused
                        .caused_by("it is wasm in text form")
                        .hint(format!("berth run --wat {text}"))
                } else {
                    refused
                        .caused_by("only wasm files can be run without an image")
                        .hint("put it into an image, or use --rootfs DIR")
                });
            }
        };
        Ok(Self::File(Program {
            path: path.into(),
            kind,
            function: function.map(str::to_owned),
            is_text,
        }))
    }

    /// The image's id; empty for what is no image.
    pub(super) fn id(&self) -> String {
        match self {
            Self::Image(image) => image.id().to_string(),
            Self::File(_) | Self::Directory(_) | Self::Stack(_) => String::new(),
        }
    }

    /// The image's defaults.
    pub(super) fn defaults(&self) -> ImageDefaults {
        match self {
            Self::Image(image) => {
                let mut defaults = image.config().config.clone();
                if image.module().is_some()
                    && defaults.entrypoint.is_none()
                    && defaults.cmd.is_none()
                {
                    let name = image.names().first().map(Reference::familiar_name);
                    let name = name.as_deref().and_then(|name| name.rsplit('/').next());
                    defaults.entrypoint = Some(vec![name.unwrap_or("module.wasm").to_owned()]);
                }
                defaults
            }
            Self::File(program) => {
                let name = program
                    .path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                ImageDefaults {
                    entrypoint: Some(vec![name]),
                    ..ImageDefaults::default()
                }
            }
            Self::Directory(_) | Self::Stack(_) => ImageDefaults::default(),
        }
    }

    /// The layers, topmost first.
    pub(super) fn layers(&self, empty: &Path) -> Vec<PathBuf> {
        match self {
            Self::Image(image) => image.layers(),
            Self::File(_) => vec![empty.to_owned()],
            Self::Directory(path) => vec![path.clone()],
            Self::Stack(stack) => stack.layers.clone(),
        }
    }

    /// The files a guest will see, without mounting anything.
    pub(super) fn files(&self, empty: &Path) -> Result<Merged> {
        Merged::open(&self.layers(empty))
    }

    /// The wasm module that is the program whatever the command says.
    pub(super) fn module(&self) -> Option<Module> {
        match self {
            Self::Image(image) => {
                let digest = image.module_digest()?;
                Some(Module::Stored(image.module()?, digest.clone()))
            }
            Self::File(program) if program.is_text => Some(Module::Text(program.path.clone())),
            Self::File(program) => Some(Module::Loose(program.path.clone())),
            Self::Directory(_) | Self::Stack(_) => None,
        }
    }

    /// The function that a file's name goes on with.
    pub(super) fn function(&self) -> Option<&str> {
        match self {
            Self::File(program) => program.function.as_deref(),
            Self::Image(_) | Self::Directory(_) | Self::Stack(_) => None,
        }
    }

    /// What dispatch looks at.
    pub(super) fn facts(&self, program: Option<ProgramKind>) -> Result<ImageFacts> {
        let host = Platform::host();
        let plain = |platform: Platform, program| ImageFacts {
            config_media_type: String::new(),
            os: platform.os,
            architecture: platform.architecture,
            annotations: std::collections::BTreeMap::new(),
            program,
        };
        match self {
            Self::Image(image) => {
                image.check_runnable()?;
                Ok(image.facts(program))
            }
            Self::File(file) => {
                let wasm = Platform::new("wasi", "wasm");
                Ok(plain(wasm, Some(file.kind.clone())))
            }
            Self::Directory(_) => Ok(plain(host, program)),
            Self::Stack(stack) => Ok(plain(stack.platform.clone(), program)),
        }
    }
}

/// Whether a file begins as wasm in text form does: with a parenthesis, behind comments perhaps.
fn looks_like_text(head: &[u8]) -> bool {
    let head = head.trim_ascii_start();
    head.starts_with(b"(") || head.starts_with(b";;")
}

/// An image by name, pulled when the policy says so. Without a platform that was asked for, the preferred
/// kind is tried first, and the other one taken where the image has no such leg.
pub(super) fn image(store: &Store, text: &str, options: &CreateOptions<'_>) -> Result<Image> {
    let platform = options.platform.as_deref().map(str::parse).transpose()?;
    if platform.is_none() && options.prefer == Some(Preference::Wasm) {
        let wasm = Some(Platform::new("wasi", "wasm"));
        match image_for(store, text, wasm, options) {
            // It is here or in its registry, but not as wasm.
            Err(error) if error.class() == Class::NotFound => {}
            outcome => return outcome,
        }
    }
    image_for(store, text, platform, options)
}

/// An image for a platform, or for this host; `hello` is built in.
fn image_for(
    store: &Store,
    text: &str,
    platform: Option<Platform>,
    options: &CreateOptions<'_>,
) -> Result<Image> {
    if let Some(transport) = Transport::parse(text)? {
        refuse_unsigned(text, options)?;
        let progress = options.progress.unwrap_or(&Silent);
        let platforms = platform.clone().into_iter().collect();
        let loaded = berth_image::load_transport(store, &transport, platforms, progress)?;
        return store.find(loaded.id.as_str(), platform.as_ref());
    }
    if wants_signature(options) {
        return pull(store, text, platform, options);
    }
    if options.pull != PullPolicy::Always && options.pull != PullPolicy::Newer {
        match store.find(text, platform.as_ref()) {
            Err(error) if error.class() == Class::NotFound => {}
            Err(error) => return Err(error),
            Ok(image) => {
                image.ensure_unpacked()?;
                return Ok(image);
            }
        }
    }
    if text == hello::NAME {
        hello::install(store)?;
        return store.find(text, platform.as_ref());
    }
    pull(store, text, platform, options)
}

fn wants_signature(options: &CreateOptions<'_>) -> bool {
    options
        .pull_options
        .is_some_and(|pull| !pull.keys.is_empty())
}

/// Refuses what cannot be signed where a signature is asked for.
fn refuse_unsigned(what: &str, options: &CreateOptions<'_>) -> Result<()> {
    match wants_signature(options) {
        false => Ok(()),
        true => Err(berth_image::unsigned(what)),
    }
}

fn pull(
    store: &Store,
    text: &str,
    platform: Option<Platform>,
    options: &CreateOptions<'_>,
) -> Result<Image> {
    let pull_options = PullOptions {
        policy: options.pull,
        platform,
        ..options.pull_options.cloned().unwrap_or_default()
    };
    let progress = options.progress.unwrap_or(&Silent);
    let mut candidates = pull_options.access.candidates(text)?.into_iter().peekable();
    loop {
        let Some(reference) = candidates.next() else {
            return Err(Error::new(
                Class::NotFound,
                format!("no such image: {text}"),
            ));
        };
        match berth_image::pull(store, &reference, &pull_options, progress) {
            Err(error)
                if candidates.peek().is_some()
                    && matches!(error.class(), Class::NotFound | Class::Denied) => {}
            pulled => return pulled.map(|pulled| pulled.image),
        }
    }
}
