//! `berth volume export` and `import`: a volume's files as a tar.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::PathBuf;

use berth_contract::{Class, Error};
use berth_sys::error::Explain as _;

use crate::cli::shared::write_archive;
use crate::cli::{Arguments, Context, Group, Outcome, Verb};

pub(super) const EXPORT: Verb = Verb::new::<Export>(
    "export",
    Group::VolumesAndNetworks,
    "Write a volume's files as a tar",
    "[OPTIONS] VOLUME",
)
.examples("berth volume export -o data.tar data\nberth volume export data | zstd > data.tar.zst");

pub(super) const IMPORT: Verb = Verb::new::<Import>(
    "import",
    Group::VolumesAndNetworks,
    "Fill an empty volume with a tar's files",
    "VOLUME [FILE|-]",
)
.examples("berth volume create copy && berth volume import copy data.tar.zst");

/// The arguments of `volume export`.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// Write to this file in place of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// The volume
    #[arg(value_name = "VOLUME", required = true, hide = true)]
    volume: String,
}

impl Arguments for Export {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        // Told before a file is made for nothing.
        engine.volume(&self.volume)?;
        let hint = "berth volume export -o FILE VOLUME";
        write_archive(self.output.as_deref(), hint, |sink| {
            engine.export_volume(&self.volume, sink)
        })?;
        Ok(0)
    }
}

/// The arguments of `volume import`.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// The volume
    #[arg(value_name = "VOLUME", required = true, hide = true)]
    volume: String,

    /// The archive; standard input when it is - or left away
    #[arg(value_name = "FILE|-", hide = true)]
    file: Option<PathBuf>,
}

impl Arguments for Import {
    fn run(self, context: &Context) -> Outcome {
        let source: Box<dyn Read> = match self.file.filter(|path| path.as_os_str() != "-") {
            Some(path) => {
                Box::new(File::open(&path).explain(|| format!("cannot read {}", path.display()))?)
            }
            None if io::stdin().is_terminal() => {
                return Err(Error::new(Class::Invalid, "there is no archive to read")
                    .caused_by("standard input is a terminal")
                    .hint("berth volume import VOLUME FILE"));
            }
            None => Box::new(io::stdin().lock()),
        };
        context.engine()?.import_volume(&self.volume, source)?;
        Ok(0)
    }
}
