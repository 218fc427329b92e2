//! `berth save`: images into an archive.

use std::io::{self, IsTerminal as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, Result};
use berth_host::Engine;
use berth_image::{ArchiveFormat, Destination, SaveOptions};
use berth_sys::error::Explain as _;
use berth_sys::unnamed_file::UnnamedFile;

use crate::cli::load::platforms;
use crate::cli::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Save>(
    "save",
    Group::Images,
    "Write images to an archive that Docker and OCI tools read",
    "[OPTIONS] IMAGE [IMAGE...]",
)
.examples(
    "berth save -o busybox.tar busybox:1.36\n\
     berth save app:1 app:2 | zstd > apps.tar.zst\n\
     berth save --format oci-dir -o layout app:1",
);

/// How `--format` is spelled; the names are Podman's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A tar for Docker of any age.
    DockerArchive,
    /// A tar of an OCI layout.
    OciArchive,
    /// A directory with an OCI layout.
    OciDir,
    /// A directory of one image, as skopeo's dir: has it.
    DockerDir,
}

/// The flags of `save`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "Docker's and Podman's flags")]
pub(crate) struct Save {
    /// The images, by name or id; a name without a tag means all tags
    #[arg(value_name = "IMAGE", required = true, hide = true)]
    images: Vec<String>,
    /// Write to this file, or directory, in place of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Save only the image for this platform (can be repeated)
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_delimiter = ',')]
    platform: Vec<String>,
    /// Write this format alone, in place of one archive that everything reads
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<Format>,
    /// Accepted for Podman's sake: several images are always kept apart
    #[arg(short, long)]
    multi_image_archive: bool,
    /// Write layers without compression; digests change with it
    #[arg(long)]
    uncompressed: bool,
    /// Say nothing; berth says nothing anyway
    #[arg(short, long)]
    quiet: bool,
}

impl Arguments for Save {
    fn run(self, context: &Context) -> Outcome {
        let options = SaveOptions {
            format: match self.format {
                None => ArchiveFormat::Combined,
                Some(Format::DockerArchive) => ArchiveFormat::DockerArchive,
                Some(Format::OciArchive) => ArchiveFormat::OciArchive,
                Some(Format::OciDir) => ArchiveFormat::OciDirectory,
                Some(Format::DockerDir) => ArchiveFormat::DockerDirectory,
            },
            platforms: platforms(&self.platform)?,
            uncompressed: self.uncompressed,
            name: None,
        };
        let output = self
            .output
            .as_deref()
            .filter(|path| *path != Path::new("-"));
        save(&context.engine()?, &self.images, &options, output)?;
        Ok(0)
    }
}

/// Writes images to a file, a directory, or standard output.
pub(crate) fn save(
    engine: &Engine,
    images: &[String],
    options: &SaveOptions,
    output: Option<&Path>,
) -> Result<()> {
    match output {
        Some(path) if options.format.is_directory() => {
            engine.save(images, options, Destination::Directory(path))
        }
        None if options.format.is_directory() => Err(Error::new(
            Class::Invalid,
            "a directory cannot go to standard output",
        )
        .hint("name it: --output DIR")),
        None if io::stdout().is_terminal() => Err(Error::new(
            Class::Invalid,
            "cannot write an archive to a terminal",
        )
        .hint("use --output FILE, or redirect standard output")),
        None => engine.save(
            images,
            options,
            Destination::Stream(&mut io::stdout().lock()),
        ),
        Some(path) => to_file(engine, images, options, path),
    }
}

/// A file appears when it is complete; pipes and devices are written as they are.
fn to_file(engine: &Engine, images: &[String], options: &SaveOptions, path: &Path) -> Result<()> {
    let explain = || format!("cannot write {}", path.display());
    let special = std::fs::metadata(path).is_ok_and(|metadata| {
        let kind = metadata.file_type();
        kind.is_fifo() || kind.is_char_device() || kind.is_block_device()
    });
    if special {
        let opened = std::fs::File::options().write(true).open(path);
        let mut file = opened.explain(explain)?;
        return engine.save(images, options, Destination::Stream(&mut file));
    }
    let mut file = UnnamedFile::create(path).explain(explain)?;
    engine.save(images, options, Destination::Stream(file.file()))?;
    file.publish().explain(explain)
}
