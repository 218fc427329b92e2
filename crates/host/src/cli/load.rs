//! `berth load`: images out of an archive.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, Result};
use berth_image::{LoadOptions, Loaded, Platform};

use super::progress::{PullProgress, Style};
use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Load>(
    "load",
    Group::Images,
    "Load images from an archive",
    "[OPTIONS]",
)
.examples(
    "berth load -i busybox.tar\n\
     berth load -i layout/\n\
     ssh other berth save busybox | berth load",
);

/// The flags of `load`.
#[derive(Debug, clap::Args)]
pub(crate) struct Load {
    /// Read this file or directory in place of standard input; gzip, zstd, xz and bzip2 are recognised
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Of images for several platforms, load only this one (can be repeated)
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_delimiter = ',')]
    platform: Vec<String>,
    /// Do not show the progress
    #[arg(short, long)]
    quiet: bool,
}

impl Arguments for Load {
    fn run(self, context: &Context) -> Outcome {
        let options = LoadOptions {
            platforms: platforms(&self.platform)?,
            select: None,
        };
        let style = if self.quiet { Style::None } else { Style::Auto };
        let progress = PullProgress::new(context.screen, style);
        let engine = context.engine()?;
        let loaded = match self.input.as_deref().filter(|path| path.is_dir()) {
            Some(directory) => engine.load_path(directory, &options, &progress),
            None => {
                let source = source(self.input.as_deref(), "berth load -i FILE")?;
                engine.load(source, &options, &progress)
            }
        };
        progress.clear();
        context.screen.data(&lines(&loaded?))?;
        Ok(0)
    }
}

/// What was loaded, as Docker prints it.
pub(crate) fn lines(loaded: &[Loaded]) -> String {
    let mut text = String::new();
    for image in loaded {
        if image.names.is_empty() {
            text.push_str(&format!("Loaded image ID: {}\n", image.id));
        }
        for name in &image.names {
            text.push_str(&format!("Loaded image: {}\n", name.familiar()));
        }
    }
    text
}

/// The values of `--platform`.
pub(super) fn platforms(values: &[String]) -> Result<Vec<Platform>> {
    values.iter().map(|value| value.parse()).collect()
}

/// The bytes of a file, or of standard input unless somebody would have to type them.
pub(super) fn source(path: Option<&Path>, instead: &str) -> Result<Box<dyn Read>> {
    match path.filter(|path| *path != Path::new("-")) {
        Some(path) => {
            let file = File::open(path).map_err(|error| {
                let class = match error.kind() {
                    io::ErrorKind::NotFound => Class::NotFound,
                    io::ErrorKind::PermissionDenied => Class::Denied,
                    _ => Class::Invalid,
                };
                Error::new(class, format!("cannot open {}", path.display())).caused_by(error)
            })?;
            Ok(Box::new(file))
        }
        None if io::stdin().is_terminal() => Err(Error::new(
            Class::Invalid,
            "cannot read an archive from a terminal",
        )
        .hint(format!("use {instead}, or pipe the archive in"))),
        None => Ok(Box::new(io::stdin().lock())),
    }
}
