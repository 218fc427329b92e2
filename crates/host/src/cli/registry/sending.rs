//! Sending an image to a registry, or to a place outside of any: what `push` and `manifest push` share.

use std::path::{Path, PathBuf};

use berth_contract::{Class, Digest, Error, Result};
use berth_host::Engine;
use berth_image::{
    Compression, DocumentStyle, Event, Progress, Provided, PushOptions, Pushed, Recompression,
    Reference, SaveOptions, Selector, Transport,
};

use super::access::{RegistryFlags, access};
use crate::cli::image::save::save;
use crate::cli::progress::{PullProgress, Style};
use crate::cli::{Context, Outcome, Screen};

/// The flags that say from where to where, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Sending {
    /// What to send, by name or id
    #[arg(
        value_name = "NAME[:TAG]|IMAGE|FILE.wasm",
        required = true,
        hide = true
    )]
    image: String,
    /// Its name in the registry, where it has another one here
    #[arg(value_name = "DESTINATION", hide = true)]
    destination: Option<String>,
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
    /// How hard to compress
    #[arg(long, value_name = "LEVEL")]
    compression_level: Option<i32>,
    /// Compress layers that are compressed otherwise, too
    #[arg(long)]
    force_compression: bool,
    #[command(flatten)]
    registry: RegistryFlags,
}

/// What of the image is sent; by default all that its name leads to.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// Every name of the repository.
    pub(crate) all_tags: bool,
    /// Of images for several platforms, this one alone.
    pub(crate) platform: Option<String>,
    /// The program of a wasm image alone, as an artifact.
    pub(crate) program: bool,
    /// In whose documents; without, in those it has.
    pub(crate) style: Option<DocumentStyle>,
}

/// Whose documents a word of Podman's means.
pub(crate) fn document_style(text: &str) -> Option<DocumentStyle> {
    match text {
        "oci" => Some(DocumentStyle::Oci),
        "v2s2" | "docker" => Some(DocumentStyle::Docker),
        _ => None,
    }
}

impl Sending {
    /// Sends it.
    pub(crate) fn run(&self, context: &Context, part: &Part) -> Outcome {
        let engine = context.engine()?;
        if let Some(transport) = self.transport()? {
            return self.place(context, &engine, (&transport, part));
        }
        let file = wasm_file(&self.image);
        if file.is_some() {
            self.refuse_for_file(part)?;
        }
        let targets = self.targets(&engine, file.is_some(), part)?;
        let named = targets
            .iter()
            .map(|(_, destination)| destination.to_string());
        let options = PushOptions {
            platform: part.platform.as_deref().map(str::parse).transpose()?,
            access: access(context, &self.registry, named)?,
            compression: self.compression()?,
            style: part.style,
        };
        for (source, destination) in targets {
            let repository = destination.name();
            if !self.quiet {
                let line = format!("The push refers to repository [{repository}]\n");
                context.screen.data(&line)?;
            }
            let shown = Shown::new(context.screen, self.style(), &destination);
            let pushed = match file {
                Some(path) => engine.push_wasm(path, &destination, &options, &shown),
                None if part.program => {
                    engine.push_wasm_image(&source, &destination, &options, &shown)
                }
                None => engine.push(&source, &destination, &options, &shown),
            };
            shown.line.clear();
            self.tell(context, &destination, &pushed?)?;
        }
        Ok(0)
    }

    /// A module is sent as it is, for no platform: what says otherwise would not be done.
    fn refuse_for_file(&self, part: &Part) -> Result<()> {
        let given = [
            ("--format", part.program || part.style.is_some()),
            ("--platform", part.platform.is_some()),
            ("--compression-format", self.compression_format.is_some()),
        ];
        match given.iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((flag, _)) => {
                let message = format!("{flag} means nothing for {}", self.image);
                Err(Error::new(Class::Invalid, message).hint(format!("leave {flag} away")))
            }
        }
    }

    /// What is pushed, as it was written.
    pub(crate) fn image(&self) -> &str {
        &self.image
    }

    /// Lets the registry not show who it is.
    pub(crate) fn trust_anybody(&mut self) {
        self.registry.tls_verify = false;
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
    fn place(
        &self,
        context: &Context,
        engine: &Engine,
        (transport, part): (&Transport, &Part),
    ) -> Outcome {
        let refuse = |flag: &str| {
            let message = format!("{flag} means nothing for {}", transport.path.display());
            Err(Error::new(Class::Invalid, message).hint(format!("leave {flag} away")))
        };
        if part.all_tags {
            return refuse("--all-tags");
        }
        if self.compression_format.is_some() {
            return refuse("--compression-format");
        }
        if part.program || part.style.is_some() {
            return refuse("--format");
        }
        if wasm_file(&self.image).is_some() {
            let message = format!("cannot push {} to a directory or archive", self.image);
            return Err(Error::new(Class::Invalid, message)
                .caused_by("a wasm file goes to a registry, or is copied as it is"));
        }
        let options = SaveOptions {
            format: transport.format,
            platforms: part
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
    fn targets(
        &self,
        engine: &Engine,
        is_file: bool,
        part: &Part,
    ) -> Result<Vec<(String, Reference)>> {
        let image = &self.image;
        if part.all_tags {
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
pub(super) fn wasm_file(text: &str) -> Option<&Path> {
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
