//! `berth image convert`: the same image described or compressed differently.

use berth_contract::{Class, Error};
use berth_image::{Compression, Conversion, DocumentStyle, Reference};

use crate::cli::load::platforms;
use crate::cli::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Convert>(
    "convert",
    Group::Images,
    "Describe or compress an image differently, under another name",
    "[OPTIONS] IMAGE NAME[:TAG]",
)
.examples(
    "berth image convert --compression zstd app:1 app:1-zstd\n\
     berth image convert --format docker app:1 app:1-docker",
);

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Style {
    /// OCI's documents.
    Oci,
    /// Docker's documents.
    #[value(alias = "v2s2")]
    Docker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Packing {
    /// Not compressed.
    None,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

/// The flags of `image convert`.
#[derive(Debug, clap::Args)]
pub(crate) struct Convert {
    /// The image, by name or id
    #[arg(value_name = "IMAGE", required = true, hide = true)]
    image: String,
    /// What the result is called
    #[arg(value_name = "NAME[:TAG]", required = true, hide = true)]
    name: String,
    /// Whose documents describe it
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<Style>,
    /// How its layers are compressed
    #[arg(long, value_name = "COMPRESSION", value_enum)]
    compression: Option<Packing>,
    /// How hard to compress: 0 to 9 for gzip, 1 to 22 for zstd
    #[arg(long, value_name = "LEVEL", requires = "compression")]
    compression_level: Option<i32>,
    /// Convert only what the image has for this platform (can be repeated)
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_delimiter = ',')]
    platform: Vec<String>,
}

impl Arguments for Convert {
    fn run(self, context: &Context) -> Outcome {
        let levels = match self.compression {
            Some(Packing::Gzip) => 0..=9,
            Some(Packing::Zstd) => 1..=22,
            Some(Packing::None) | None => 0..=0,
        };
        if let Some(level) = self.compression_level
            && !levels.contains(&level)
        {
            let message = format!("{level} is no level of this compression");
            return Err(Error::new(Class::Invalid, message)
                .hint("gzip has the levels 0 to 9, zstd 1 to 22"));
        }
        let name = Reference::parse(&self.name)?;
        let conversion = Conversion {
            style: self.format.map(|style| match style {
                Style::Oci => DocumentStyle::Oci,
                Style::Docker => DocumentStyle::Docker,
            }),
            compression: self.compression.map(|packing| match packing {
                Packing::None => Compression::None,
                Packing::Gzip => Compression::Gzip,
                Packing::Zstd => Compression::Zstd,
            }),
            level: self.compression_level,
            platforms: platforms(&self.platform)?,
        };
        context.engine()?.convert(&self.image, &name, &conversion)?;
        context.screen.data(&format!("{name}\n"))?;
        Ok(0)
    }
}
