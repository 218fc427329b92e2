//! From a directory to a layer's archive: the reverse of unpacking.
//!
//! The same files give the same bytes: names are sorted, times are whole seconds, nothing of the host
//! but what an archive means to say is written. overlayfs's marks become whiteouts again.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, Read as _, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use berth_sys::file::{Directory, Kind, Links, Metadata};
use tar::{EntryType, Header};

use super::mark::{WHITEOUT, is_opaque};

/// The longest name a header has room for; a longer one is a PAX record.
const NAME_ROOM: usize = 100;
/// The largest number of seven octal digits.
const ID_ROOM: u32 = 0o777_7777;
/// The largest size of eleven octal digits.
const SIZE_ROOM: u64 = 0o777_7777_7777;

/// How deep directories may lie in each other: each level takes a descriptor and some of the stack.
const DEPTH: usize = 900;

/// What an archive leaves out or changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct WriteOptions {
    /// Whether it is a layer, in which some names and files are marks of what is gone; elsewhere they are what
    /// they are.
    pub(crate) is_layer: bool,
    /// Whether the root directory has an entry of its own.
    pub(crate) with_root: bool,
    /// Later times become this one: seconds since the epoch.
    pub(crate) latest: Option<i64>,
}

/// Writes everything in a directory and returns the bytes of its files.
pub(crate) fn write(root: &Directory, sink: impl Write, options: WriteOptions) -> io::Result<u64> {
    let mut writer = Writer {
        archive: tar::Builder::new(sink),
        options,
        links: HashMap::new(),
        size: 0,
        depth: 0,
    };
    if options.with_root {
        let metadata = root.own_metadata()?;
        writer.entry(root, OsStr::new("."), b"./", &metadata)?;
    }
    writer.directory(root, b"")?;
    writer.archive.into_inner()?.flush()?;
    Ok(writer.size)
}

struct Writer<W: Write> {
    archive: tar::Builder<W>,
    options: WriteOptions,
    /// Where the first name of a file with several was written.
    links: HashMap<(u64, u64), Vec<u8>>,
    size: u64,
    depth: usize,
}

impl<W: Write> Writer<W> {
    fn directory(&mut self, directory: &Directory, prefix: &[u8]) -> io::Result<()> {
        self.depth += 1;
        if self.depth > DEPTH {
            let reason = format!("directories lie more than {DEPTH} deep");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        let mut names = directory.names()?;
        names.sort_unstable();
        for name in names {
            let Some(metadata) = directory.metadata(&name)? else {
                continue;
            };
            let mut path = prefix.to_vec();
            let is_layer = self.options.is_layer;
            if is_layer && metadata.kind == WHITEOUT {
                path.extend_from_slice(b".wh.");
                path.extend_from_slice(name.as_bytes());
                self.mark(&path)?;
                continue;
            }
            if is_layer && name.as_bytes().starts_with(b".wh.") {
                let reason = format!(
                    "the name {} means a deleted file in a layer",
                    Path::new(&name).display()
                );
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
            path.extend_from_slice(name.as_bytes());
            if metadata.kind != Kind::Directory {
                self.entry(directory, &name, &path, &metadata)?;
                continue;
            }
            path.push(b'/');
            self.entry(directory, &name, &path, &metadata)?;
            let inner = directory.directory(Path::new(&name), Links::Refused)?;
            if is_layer && is_opaque(directory, &name)? {
                let mut mark = path.clone();
                mark.extend_from_slice(b".wh..wh..opq");
                self.mark(&mark)?;
            }
            self.directory(&inner, &path)?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// An empty file that means something by its name.
    fn mark(&mut self, path: &[u8]) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_size(0);
        header.set_mode(0);
        header.set_mtime(0);
        self.append(header, path, Records::default(), io::empty())
    }

    fn entry(
        &mut self,
        directory: &Directory,
        name: &OsStr,
        path: &[u8],
        metadata: &Metadata,
    ) -> io::Result<()> {
        let mut header = Header::new_ustar();
        // What has no content says so too: an empty field is no number to a strict reader.
        header.set_size(0);
        header.set_mode(metadata.mode);
        let mut records = Records::default();
        records.number(b"uid", metadata.uid, |id| header.set_uid(u64::from(id)));
        records.number(b"gid", metadata.gid, |id| header.set_gid(u64::from(id)));
        let latest = self.options.latest.unwrap_or(i64::MAX);
        let time = metadata.modified.seconds.min(latest);
        match u64::try_from(time) {
            Ok(time) if time <= SIZE_ROOM => header.set_mtime(time),
            _ => records.add(b"mtime", time.to_string().as_bytes()),
        }
        if metadata.kind != Kind::Directory && metadata.links > 1 {
            let inode = (metadata.device, metadata.inode);
            if let Some(first) = self.links.get(&inode) {
                header.set_entry_type(EntryType::Link);
                records.link(&mut header, &first.clone());
                return self.append(header, path, records, io::empty());
            }
            self.links.insert(inode, path.to_vec());
        }
        for (key, value) in directory.attributes(name)? {
            if is_kept(&key) {
                let key = [b"SCHILY.xattr.", key.as_bytes()].concat();
                records.add(&key, &value);
            }
        }
        match metadata.kind {
            Kind::Directory => header.set_entry_type(EntryType::Directory),
            Kind::Symlink => {
                header.set_entry_type(EntryType::Symlink);
                records.link(&mut header, directory.read_link(name)?.as_bytes());
            }
            Kind::CharacterDevice(major, minor) => {
                header.set_entry_type(EntryType::Char);
                header.set_device_major(major)?;
                header.set_device_minor(minor)?;
            }
            Kind::BlockDevice(major, minor) => {
                header.set_entry_type(EntryType::Block);
                header.set_device_major(major)?;
                header.set_device_minor(minor)?;
            }
            Kind::Fifo => header.set_entry_type(EntryType::Fifo),
            // A socket is of a program that runs; archives have no word for it.
            Kind::Socket => return Ok(()),
            Kind::File => return self.file(directory, name, (header, path, records)),
        }
        self.append(header, path, records, io::empty())
    }

    fn file(
        &mut self,
        directory: &Directory,
        name: &OsStr,
        (mut header, path, mut records): (Header, &[u8], Records),
    ) -> io::Result<()> {
        let file = directory.file(Path::new(name), Links::Refused)?;
        // Of the open file: what is written must fit what was said.
        let size = file.metadata()?.len();
        header.set_entry_type(EntryType::Regular);
        header.set_size(size.min(SIZE_ROOM));
        if size > SIZE_ROOM {
            records.add(b"size", size.to_string().as_bytes());
        }
        self.size += size;
        let mut rest = file.take(size);
        self.append(header, path, records, &mut rest)?;
        if rest.limit() > 0 {
            return Err(io::Error::other("a file became shorter while it was read"));
        }
        Ok(())
    }

    fn append(
        &mut self,
        mut header: Header,
        path: &[u8],
        mut records: Records,
        content: impl io::Read,
    ) -> io::Result<()> {
        if path.len() > NAME_ROOM {
            records.add(b"path", path);
        }
        let room = path.len().min(NAME_ROOM);
        if let Some(ustar) = header.as_ustar_mut() {
            ustar.name[..room].copy_from_slice(&path[..room]);
        }
        header.set_cksum();
        if !records.0.is_empty() {
            let mut extension = Header::new_ustar();
            extension.set_entry_type(EntryType::XHeader);
            extension.set_mode(0);
            extension.set_mtime(0);
            extension.set_size(records.0.len() as u64);
            if let Some(ustar) = extension.as_ustar_mut() {
                ustar.name[..14].copy_from_slice(b"PaxHeaders.0/x");
            }
            extension.set_cksum();
            self.archive.append(&extension, records.0.as_slice())?;
        }
        self.archive.append(&header, content)
    }
}

/// PAX records: `length key=value\n`, the length counting itself.
#[derive(Default)]
struct Records(Vec<u8>);

impl Records {
    fn add(&mut self, key: &[u8], value: &[u8]) {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        self.0.extend_from_slice(format!("{length} ").as_bytes());
        self.0.extend_from_slice(key);
        self.0.push(b'=');
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }

    fn number(&mut self, key: &[u8], id: u32, set: impl FnOnce(u32)) {
        if id > ID_ROOM {
            self.add(key, id.to_string().as_bytes());
        }
        set(id.min(ID_ROOM));
    }

    fn link(&mut self, header: &mut Header, target: &[u8]) {
        if target.len() > NAME_ROOM {
            self.add(b"linkpath", target);
        }
        let room = target.len().min(NAME_ROOM);
        if let Some(ustar) = header.as_ustar_mut() {
            ustar.linkname[..room].copy_from_slice(&target[..room]);
        }
    }
}

/// Attributes that belong to a file wherever it lies: not overlayfs's marks, nor a host's labels.
fn is_kept(key: &OsStr) -> bool {
    let key = key.as_bytes();
    (key.starts_with(b"user.") && !key.starts_with(b"user.overlay."))
        || key == b"security.capability"
        || key.starts_with(b"system.posix_acl_")
}
