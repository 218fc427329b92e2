//! What an image's layers hold: archives of files, or a wasm module as it is.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use berth_contract::{Class, Digest, Error, Result};

use crate::documents::{Configuration, Descriptor, Manifest, media};
use crate::image::Image;

/// Config of a Spin application.
const SPIN: &str = "application/vnd.fermyon.spin.";

/// An image's layers, told apart.
#[derive(Debug)]
pub(crate) struct Content<'a> {
    /// Tar archives with their diff ids, bottom first.
    pub(crate) archives: Vec<(&'a Descriptor, Digest)>,
    /// The first raw wasm module.
    pub(crate) module: Option<&'a Descriptor>,
    /// How many raw wasm modules there are.
    pub(crate) modules: usize,
}

impl<'a> Content<'a> {
    /// Tells the layers apart by their media types.
    ///
    /// Configs of images that hold modules list a diff id for every layer or for the archives only
    /// (runwasi has done both); an archive without one counts as not compressed.
    pub(crate) fn of(manifest: &'a Manifest, config: &Configuration) -> Self {
        let mut modules = manifest
            .layers
            .iter()
            .filter(|layer| media::is_module(&layer.media_type));
        let module = modules.next();
        let diff_ids = &config.rootfs.diff_ids;
        let every = diff_ids.len() == manifest.layers.len();
        let archives = manifest.layers.iter().enumerate();
        let archives = archives.filter(|(_, layer)| media::is_archive(&layer.media_type));
        let archives = archives.enumerate().map(|(rank, (position, layer))| {
            let diff_id = diff_ids.get(if every { position } else { rank });
            (layer, diff_id.unwrap_or(&layer.digest).clone())
        });
        Self {
            archives: archives.collect(),
            module,
            modules: modules.count() + usize::from(module.is_some()),
        }
    }
}

/// Refuses what is no image at all, before any layer of it is fetched.
pub(crate) fn check_manifest(manifest: &Manifest, name: &str) -> Result<()> {
    let config = manifest.config.media_type.as_str();
    let refuse = |reason: String, hint: &str| {
        let error = Error::new(
            Class::Unsupported,
            format!("{name} is not an image that can be run"),
        );
        Err(error.caused_by(reason).hint(hint))
    };
    if config.starts_with(SPIN)
        || manifest
            .artifact_type
            .as_deref()
            .is_some_and(|t| t.starts_with(SPIN))
    {
        return refuse(
            "it is a Spin application".into(),
            "run its component by itself: push the .wasm as a wasm artifact, or COPY it into an image",
        );
    }
    let foreign = manifest.layers.iter().find(|layer| {
        media::is_foreign(&layer.media_type)
            || !(media::is_archive(&layer.media_type) || media::is_module(&layer.media_type))
    });
    match foreign {
        Some(layer) => refuse(
            format!("one of its layers is {:?}", layer.media_type),
            &format!("berth artifact pull {name}"),
        ),
        None => Ok(()),
    }
}

/// Refuses wasm artifacts that hold nothing to run.
pub(crate) fn check(image: &Image) -> Result<()> {
    let content = Content::of(image.manifest(), image.config());
    let Some(module) = image.module() else {
        return Ok(());
    };
    let refuse = |reason: String, hint: &str| {
        let short = image.id().short();
        Err(
            Error::new(Class::Unsupported, format!("cannot run image {short}"))
                .caused_by(reason)
                .hint(hint),
        )
    };
    if content.modules > 1 {
        return refuse(
            format!(
                "it holds {} wasm modules and does not say which is its program",
                content.modules
            ),
            "compose them into one component",
        );
    }
    let file = File::open(&module).map_err(|error| {
        Error::new(Class::Internal, format!("cannot read {}", module.display())).caused_by(error)
    })?;
    if matches!(is_interface_package(file), Ok(true)) {
        return refuse(
            "it is an interface package: WIT types without code".into(),
            "run an artifact that implements them",
        );
    }
    Ok(())
}

/// Whether a component holds neither a core module (section 1) nor another component (section 4).
fn is_interface_package(mut file: File) -> std::io::Result<bool> {
    let mut head = [0_u8; 8];
    file.read_exact(&mut head)?;
    if head[..4] != *b"\0asm" || head[6..] != [1, 0] {
        return Ok(false);
    }
    let mut kind = [0_u8; 1];
    while file.read(&mut kind)? == 1 {
        if matches!(kind[0], 1 | 4) {
            return Ok(false);
        }
        let mut size: u32 = 0;
        for shift in (0..35).step_by(7) {
            let mut byte = [0_u8; 1];
            file.read_exact(&mut byte)?;
            size |= u32::from(byte[0] & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        file.seek(SeekFrom::Current(i64::from(size)))?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_component_without_code_is_an_interface_package() {
        let component = |sections: &[u8]| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(b"\0asm\x0d\0\x01\0").unwrap();
            file.write_all(sections).unwrap();
            file.seek(SeekFrom::Start(0)).unwrap();
            is_interface_package(file).unwrap()
        };
        assert!(component(&[]));
        assert!(component(&[0, 2, 9, 9, 7, 1, 0]));
        assert!(!component(&[0, 2, 9, 9, 1, 1, 0]));
        assert!(!component(&[0, 0x80, 0, 4, 0]));
    }
}
