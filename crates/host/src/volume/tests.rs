//! Volumes are made, filled and removed once.

use berth_image::Merged;

use super::*;
use crate::config::Config;

struct Scratch(Paths);

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(self.0.data()));
    }
}

fn scratch(name: &str) -> Scratch {
    let data = std::env::temp_dir().join(format!("berth-volume-{name}-{}", std::process::id()));
    drop(fs::remove_dir_all(&data));
    fs::create_dir_all(&data).unwrap();
    Scratch(Paths::new(&Config {
        run: data.join("run"),
        programs: data.clone(),
        executable: data.join("berth"),
        prefer: None,
        data,
    }))
}

fn volume(name: &str) -> Volume {
    Volume {
        name: name.parse().unwrap(),
        created: 1,
        labels: BTreeMap::new(),
        anonymous: false,
        options: BTreeMap::new(),
    }
}

#[test]
fn made_once_filled_once_removed() {
    let scratch = scratch("once");
    let paths = &scratch.0;
    let volume = volume("data");
    assert!(ensure(paths, &volume, None).unwrap());
    assert!(!ensure(paths, &volume, None).unwrap());
    let layer = paths.data().join("layer");
    fs::create_dir_all(layer.join("srv/sub")).unwrap();
    fs::write(layer.join("srv/sub/file"), "first").unwrap();
    let image = Merged::open(std::slice::from_ref(&layer)).unwrap();
    fill(paths, &volume.name, &image, Path::new("/srv")).unwrap();
    let file = content(paths, &volume.name).join("sub/file");
    assert_eq!(fs::read_to_string(&file).unwrap(), "first");
    fs::write(&file, "kept").unwrap();
    fill(paths, &volume.name, &image, Path::new("/srv")).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    remove(paths, &volume.name).unwrap();
    assert_eq!(
        remove(paths, &volume.name).unwrap_err().class(),
        Class::NotFound
    );
}

#[test]
fn a_killed_copy_is_started_again() {
    let scratch = scratch("killed");
    let paths = &scratch.0;
    let volume = volume("data");
    ensure(paths, &volume, None).unwrap();
    fs::create_dir_all(paths.volume(&volume.name).join("_first")).unwrap();
    fs::write(paths.volume(&volume.name).join("_first/half"), "x").unwrap();
    let layer = paths.data().join("layer");
    fs::create_dir_all(layer.join("srv/whole")).unwrap();
    let image = Merged::open(&[layer]).unwrap();
    fill(paths, &volume.name, &image, Path::new("/srv")).unwrap();
    let data = content(paths, &volume.name);
    assert!(data.join("whole").exists() && !data.join("half").exists());
}
