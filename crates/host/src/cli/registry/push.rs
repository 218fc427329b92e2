//! `berth push`: sends images to registries.

use std::path::{Path, PathBuf};

use berth_contract::{Class, Digest, Error, Result};
use berth_host::Engine;
use berth_image::{
    Compression, Event, Progress, Provided, PushOptions, Pushed, Recompression, Reference,
    SaveOptions, Selector, Transport,
};

use super::access::{RegistryFlags, access};
use crate::cli::image::save::save;
use crate::cli::progress::{PullProgress, Style};
use crate::cli::{Arguments, Context, Group, Outcome, Screen, Verb};

pub(crate) const VERB: Verb = Verb::new::<Push>(
    "push",
    Group::Images,
    "Send images, artifacts, or a wasm file, to a registry",
    "[OPTIONS] NAME[:TAG]|IMAGE|FILE.wasm [DESTINATION]",
)
.examples(
    "berth push registry.example.com/team/app:1\n\
     berth push app registry.example.com/team/app:1\n\
     berth push ./app.wasm registry.example.com/team/app:1\n\
     berth push --format wasm app registry.example.com/team/app:1",
)
.refusing(&[
    (
        "--disable-content-trust",
        "digests are always verified; leave it away",
    ),
    ("--sign-by", "sign it with cosign after the push"),
    ("--sign-by-sigstore", "sign it with cosign after the push"),
    (
        "--encryption-key",
        "layers cannot be encrypted; leave it away",
    ),
    (
        "--encrypt-layer",
        "layers cannot be encrypted; leave it away",
    ),
]);

/// The flags of `push`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "Docker's and Podman's flags")]
pub(crate) struct Push {
    /// The image or artifact by name or id, or a wasm file
    #[arg(
        value_name = "NAME[:TAG]|IMAGE|FILE.wasm",
        required = true,
        hide = true
    )]
    image: String,
    /// Its name in the registry, where it has another one here
    #[arg(value_name = "DESTINATION", hide = true)]
    destination: Option<String>,
    /// Push every name of the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Of images for several platforms, push this one alone
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    /// Print the name alone, when it is there
    #[arg(short, long)]
    quiet: bool,
    /// How to show the progress
    #[arg(long, value_name = "STYLE", value_enum, default_value_t)]
    progress: Style,
    /// Write the digest of what was pushed to this file
    #[arg(long, value_name = "FILE")]
    digestfile: Option<PathBuf>,
    /// Compress layers that are not compressed: gzip or zstd
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    compression_format: Option<Compression>,
    /// wasm: push the program of a wasm image alone, as an artifact
    #[arg(long, value_name = "wasm", value_parser = manifest_format)]
    format: Option<()>,
    /// How hard to compress
    #[arg(long, value_name = "LEVEL")]
    compression_level: Option<i32>,
    /// Compress layers that are compressed otherwise, too
    #[arg(long)]
    force_compression: bool,
    #[command(flatten)]
    registry: RegistryFlags,
}

impl Arguments for Push {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        if let Some(transport) = self.transport()? {
            return self.place(context, &engine, &transport);
        }
        let options = PushOptions {
            platform: self.platform.as_deref().map(str::parse).transpose()?,
            access: access(context, &self.registry)?,
            compression: self.compression()?,
        };
        let file = wasm_file(&self.image);
        for (source, destination) in self.targets(&engine, file.is_some())? {
            let repository = destination.name();
            if !self.quiet {
                let line = format!("The push refers to repository [{repository}]\n");
                context.screen.data(&line)?;
            }
            let shown = Shown::new(context.screen, self.style(), &destination);
            let pushed = match file {
                Some(path) => engine.push_wasm(path, &destination, &options, &shown),
                None if self.format.is_some() => {
                    engine.push_wasm_image(&source, &destination, &options, &shown)
                }
                None => engine.push(&source, &destination, &options, &shown),
            };
            shown.line.clear();
            self.tell(context, &destination, &pushed?)?;
        }
        Ok(0)
    }
}

impl Push {
    /// What is pushed, as it was written.
    pub(crate) fn image(&self) -> &str {
        &self.image
    }

    /// The same push to a registry that need not show who it is.
    pub(crate) fn unverified(mut self) -> Self {
        self.registry.tls_verify = false;
        self
    }

    fn style(&self) -> Style {
        if self.quiet {
            Style::None
        } else {
            self.progress
        }
    }

    /// The place outside of any registry that is pushed to, if one is.
    fn transport(&self) -> Result<Option<Transport>> {
        match &self.destination {
            Some(text) => Transport::parse_target(text),
            None => Ok(None),
        }
    }

    /// Writes an image to such a place, under the name that its end says.
    fn place(&self, context: &Context, engine: &Engine, transport: &Transport) -> Outcome {
        let refuse = |flag: &str| {
            let message = format!("{flag} means nothing for {}", transport.path.display());
            Err(Error::new(Class::Invalid, message).hint(format!("leave {flag} away")))
        };
        if self.all_tags {
            return refuse("--all-tags");
        }
        if self.compression_format.is_some() {
            return refuse("--compression-format");
        }
        if self.format.is_some() {
            return refuse("--format");
        }
        if wasm_file(&self.image).is_some() {
            let message = format!("cannot push {} to a directory or archive", self.image);
            return Err(Error::new(Class::Invalid, message)
                .caused_by("a wasm file goes to a registry, or is copied as it is"));
        }
        let options = SaveOptions {
            format: transport.format,
            platforms: self
                .platform
                .iter()
                .map(|text| text.parse())
                .collect::<Result<_>>()?,
            uncompressed: false,
            name: match &transport.select {
                Some(Selector::Name(name)) => Some(name.clone()),
                Some(Selector::Position(_) | Selector::Digest(_)) | None => None,
            },
        };
        let image = engine
            .store()
            .find(&self.image, options.platforms.first())?;
        save(
            engine,
            std::slice::from_ref(&self.image),
            &options,
            Some(&transport.path),
        )?;
        if let Some(file) = &self.digestfile {
            write_digest(file, image.target())?;
        }
        if self.quiet {
            context
                .screen
                .data(&format!("{}\n", transport.path.display()))?;
        }
        Ok(0)
    }

    fn compression(&self) -> Result<Option<Recompression>> {
        let Some(format) = self.compression_format else {
            if self.compression_level.is_some() || self.force_compression {
                return Err(
                    Error::new(Class::Invalid, "cannot tell how to compress the layers")
                        .hint("add --compression-format gzip or zstd"),
                );
            }
            return Ok(None);
        };
        let compression = Recompression {
            compression: format,
            level: self.compression_level,
            force: self.force_compression,
        };
        compression.check()?;
        Ok(Some(compression))
    }

    /// What is pushed, and as what.
    fn targets(&self, engine: &Engine, is_file: bool) -> Result<Vec<(String, Reference)>> {
        let image = &self.image;
        if self.all_tags {
            if self.destination.is_some() || is_file {
                let message = "--all-tags takes the name of a repository and nothing else";
                return Err(Error::new(Class::Invalid, message));
            }
            if image
                .rsplit('/')
                .next()
                .is_some_and(|last| last.contains([':', '@']))
            {
                return Err(
                    Error::new(Class::Invalid, "cannot push all tags of one image")
                        .caused_by(format!("{image} names a tag or digest"))
                        .hint("leave the tag away"),
                );
            }
            let names = engine.names_in(&Reference::parse(image)?)?;
            if names.is_empty() {
                return Err(
                    Error::new(Class::NotFound, format!("no image is called {image}"))
                        .hint("berth images"),
                );
            }
            return Ok(names
                .into_iter()
                .map(|name| (name.to_string(), name))
                .collect());
        }
        let destination = match &self.destination {
            Some(text) => text.strip_prefix("docker://").unwrap_or(text),
            None if is_file => {
                return Err(Error::new(
                    Class::Invalid,
                    format!("cannot tell where to push {image}"),
                )
                .hint(format!("berth push {image} REGISTRY/NAME:TAG")));
            }
            None => image,
        };
        Ok(vec![(image.clone(), Reference::parse(destination)?)])
    }

    fn tell(&self, context: &Context, destination: &Reference, pushed: &Pushed) -> Result<()> {
        if let Some(file) = &self.digestfile {
            write_digest(file, &pushed.digest)?;
        }
        if pushed.partial {
            context.warn("only one image of the index was pushed, because the others are not here");
        }
        if self.quiet {
            return context.screen.data(&format!("{destination}\n"));
        }
        let tag = destination.tag().unwrap_or("latest");
        let (digest, size) = (&pushed.digest, pushed.size);
        context
            .screen
            .data(&format!("{tag}: digest: {digest} size: {size}\n"))
    }
}

fn write_digest(file: &Path, digest: &Digest) -> Result<()> {
    std::fs::write(file, digest.as_str()).map_err(|error| {
        let message = format!("cannot write the digest to {}", file.display());
        Error::new(Class::Invalid, message).caused_by(error)
    })
}

/// The line on the terminal, and Docker's sentence for each layer.
struct Shown {
    line: PullProgress,
    speaks: bool,
}

impl Shown {
    fn new(screen: Screen, style: Style, destination: &Reference) -> Self {
        let line = PullProgress::new(screen, style);
        line.pushing(&destination.familiar());
        let speaks = !matches!(style, Style::None | Style::Json);
        Self { line, speaks }
    }
}

impl Progress for Shown {
    fn event(&self, event: &Event<'_>) {
        self.line.event(event);
        if let Event::Pushed { layer, how } = event
            && self.speaks
        {
            let how = match how {
                Provided::Existed => "Layer already exists".to_owned(),
                Provided::Mounted(from) => format!("Mounted from {from}"),
                Provided::Uploaded => "Pushed".to_owned(),
            };
            let text = format!("{}: {how}\n", layer.short());
            // A reader that has left does not stop the push.
            drop(self.line.beside_the_line(|screen| screen.data(&text)));
        }
    }
}

/// A file that is meant by its path: no image can be called so.
fn wasm_file(text: &str) -> Option<&Path> {
    let path = Path::new(text);
    let named = text.starts_with(['/', '.']) || text.ends_with(".wasm");
    (named && path.is_file()).then_some(path)
}

fn format(text: &str) -> Result<Compression, String> {
    match text {
        "gzip" => Ok(Compression::Gzip),
        "zstd" => Ok(Compression::Zstd),
        "zstd:chunked" => Err("zstd:chunked is not written; use zstd".into()),
        _ => Err("use gzip or zstd".into()),
    }
}

fn manifest_format(text: &str) -> Result<(), String> {
    match text {
        "wasm" => Ok(()),
        _ => Err("an image keeps its manifest's type; leave it away, or say wasm".into()),
    }
}
