//! `berth images --tree`: every image with what it has for each platform.

use std::fmt::Write as _;

use berth_contract::Result;
use berth_host::Engine;
use berth_host::format::{human, table};
use berth_image::{Image, Reference, Tree};

/// The tree of all images that `wanted` chooses by their name.
///
/// # Errors
/// The images cannot be listed.
pub(super) fn render(engine: &Engine, wanted: &dyn Fn(&Reference) -> bool) -> Result<String> {
    let mut text = String::from("IMAGE\tID\tDISK USAGE\tCONTENT SIZE\tEXTRA\n");
    let in_use = engine.images_in_use();
    for tree in engine.store().forest()? {
        let names: Vec<String> = match tree.names.as_slice() {
            [] => vec!["<untagged>".to_owned()],
            names if names.iter().any(wanted) => names.iter().map(Reference::familiar).collect(),
            _ => continue,
        };
        let used = |image: &Image| in_use.contains(&image.id().to_string());
        let extra = if tree.images().any(used) { "U" } else { "" };
        let (disk, content) = size(&tree);
        let id = match tree.leaves.as_slice() {
            [leaf] if !tree.is_list => leaf.image.as_ref().map_or("", |image| image.id().short()),
            _ => tree.target.short(),
        };
        for name in names {
            // Writing to a string cannot fail.
            let _always_ok = writeln!(
                text,
                "{name}\t{id}\t{}\t{}\t{extra}",
                human::size(disk),
                human::size(content)
            );
        }
        if !tree.is_list {
            continue;
        }
        for (position, leaf) in tree.leaves.iter().enumerate() {
            let branch = match position + 1 == tree.leaves.len() {
                true => "└─",
                false => "├─",
            };
            let (disk, content) = leaf.image.as_ref().map_or((0, 0), size_of);
            let extra = if leaf.image.as_ref().is_some_and(used) {
                "U"
            } else {
                ""
            };
            let _always_ok = writeln!(
                text,
                "{branch} {}\t{}\t{}\t{}\t{extra}",
                leaf.platform,
                leaf.digest.short(),
                human::size(disk),
                human::size(content)
            );
        }
    }
    Ok(table::align(&text))
}

/// Bytes of what is extracted and of what was received.
fn size_of(image: &Image) -> (u64, u64) {
    let content = image.content_size();
    (content.saturating_add(image.size()), content)
}

fn size(tree: &Tree) -> (u64, u64) {
    let sizes = tree.images().map(size_of);
    sizes.fold((0, 0), |sum, own| {
        (sum.0.saturating_add(own.0), sum.1.saturating_add(own.1))
    })
}
