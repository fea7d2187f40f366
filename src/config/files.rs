//! Reads the files that make up a configuration, and those that it names, with a cap on their size.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::Code;
use super::source::shown;
use super::table::Item;

/// Most bytes in a secret, a public key or a key set.
const MAX_NAMED_FILE: u64 = 1024 * 1024;
/// Bytes of randomness in a secret that is created.
pub(super) const CREATED_BYTES: usize = 32;

/// Reads a regular file of at most `max` bytes. A pipe or a device is refused, as reading one may never end.
pub(super) fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::other(format!("it is larger than {max} bytes")));
    }
    Ok(bytes)
}

/// The path that a value names, relative to the folder of the file it stands in.
pub(super) fn named_path(item: Item<'_>) -> Option<PathBuf> {
    Some(item.cx.folder(item.span.file).join(item.text()?.value))
}

/// The text of the file that a value names, without the newline at its end. Faults name the file and never
/// what is in it.
pub(super) fn named_file(item: Item<'_>) -> Option<String> {
    let path = named_path(item)?;
    item.cx.add_input(path.clone());
    let fault = match read(&path, MAX_NAMED_FILE).map(String::from_utf8) {
        Err(error) => format!("which cannot be read: {error}"),
        Ok(Err(_)) => "which is not UTF-8".to_owned(),
        Ok(Ok(text)) => {
            let line = text.strip_suffix('\n').unwrap_or(&text);
            let line = line.strip_suffix('\r').unwrap_or(line);
            if !line.is_empty() {
                return Some(line.to_owned());
            }
            "which is empty".to_owned()
        }
    };
    item.missing(Code::BadFile, format!("names `{}`, {fault}", shown(&path)));
    None
}

/// Creates a file that holds a random secret in hex, for its owner alone to read.
///
/// It appears with its content or not at all. Of two servers that start together one is first, and both use its.
pub(super) fn create_secret(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    for byte in rand::random::<[u8; CREATED_BYTES]>() {
        write!(file, "{byte:02x}")?;
    }
    writeln!(file)?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_created_secret_is_random_private_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets/app");
        create_secret(&path).unwrap();
        let first = std::fs::read_to_string(&path).unwrap();
        assert_eq!(first.trim_end().len(), 2 * CREATED_BYTES);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        create_secret(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), first);
        create_secret(&folder.path().join("other")).unwrap();
        assert_ne!(std::fs::read_to_string(folder.path().join("other")).unwrap(), first);
    }

    #[test]
    fn what_is_too_large_or_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path(), 10).unwrap_err().to_string().contains("not a regular file"));
        let path = folder.path().join("big");
        std::fs::write(&path, [b'x'; 11]).unwrap();
        assert!(read(&path, 10).unwrap_err().to_string().contains("larger than 10 bytes"));
        assert_eq!(read(&path, 11).unwrap().len(), 11);
    }
}
