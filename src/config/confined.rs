//! Reads the schema and script files that a configuration names, and no others.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::{At, Code, Diagnostic, Source};

/// Largest file that is read; a schema or a script beyond it is a mistake.
const MAX_BYTES: u64 = 256 * 1024;

/// Reads the file `name` of `folder`.
///
/// The name is one file name without any separator, and the file it leads to must lie in the folder, also after
/// symbolic links: a configuration that its author may write never reads what its server may read.
///
/// # Errors
/// A [`Diagnostic`] at the name: a bad name, a file that is missing, elsewhere, too large or not UTF-8.
pub fn read_confined(folder: &Path, name: &At<String>) -> Result<Source, Diagnostic> {
    let fault = |detail: String| {
        Diagnostic::error(Code::BadFile, name.span, format!("`{}` {detail}", name.value.escape_debug()))
    };
    if !is_file_name(name) {
        return Err(fault("is not a file name".into()).help("A-Z a-z 0-9 . _ - without a leading dot, no folders"));
    }
    let path = folder.join(&name.value);
    let text = read_within(folder, &path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            fault(format!("is not in `{}`", folder.display())).did_you_mean(name, siblings(folder).iter().map(|s| &**s))
        }
        _ => fault(format!("cannot be read from `{}`: {error}", folder.display())),
    })?;
    Ok(Source::new(path, text.into()))
}

fn is_file_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(allowed)
}

fn read_within(folder: &Path, path: &Path) -> io::Result<String> {
    let real = path.canonicalize()?;
    if !real.starts_with(folder.canonicalize()?) {
        return Err(io::Error::other("it is a link out of that folder"));
    }
    let mut text = String::new();
    // One byte more than allowed tells a file that is too large from one that just fits.
    let size = File::open(&real)?.take(MAX_BYTES + 1).read_to_string(&mut text)? as u64;
    if size > MAX_BYTES {
        return Err(io::Error::other(format!("it is larger than {} KiB", MAX_BYTES / 1024)));
    }
    Ok(text)
}

/// The file names to suggest from; none when the folder itself cannot be read.
fn siblings(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Span;

    fn read(folder: &Path, name: &str) -> Result<Source, Diagnostic> {
        read_confined(folder, &At::new(name.to_owned(), Span::default()))
    }

    #[test]
    fn a_file_of_the_folder_is_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("order.updated.json"), "{}").unwrap();
        let source = read(folder.path(), "order.updated.json").unwrap();
        assert_eq!((&*source.text, source.path), ("{}", folder.path().join("order.updated.json")));
        let close = read(folder.path(), "order.update.json").unwrap_err();
        assert_eq!(close.help.as_deref(), Some("did you mean `order.updated.json`?"));
    }

    #[test]
    fn nothing_leads_out_of_the_folder() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "s").unwrap();
        let folder = outside.path().join("schemas");
        std::fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), folder.join("link")).unwrap();
        for name in ["", ".", "..", "../secret", "/etc/passwd", ".hidden", "a/b", "a\\b", "a\0", "é", "link"] {
            assert!(read(&folder, name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_file_is_small_text() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("fits"), vec![b' '; 256 * 1024]).unwrap();
        std::fs::write(folder.path().join("large"), vec![b' '; 256 * 1024 + 1]).unwrap();
        std::fs::write(folder.path().join("binary"), [0xff]).unwrap();
        assert!(read(folder.path(), "fits").is_ok());
        assert!(read(folder.path(), "large").unwrap_err().message.contains("larger than 256 KiB"));
        assert!(read(folder.path(), "binary").is_err());
        assert!(read(folder.path(), "missing").unwrap_err().message.contains("is not in"));
    }
}
