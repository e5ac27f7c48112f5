//! Restoring a base backup: to the data folder of a drill, with its tablespaces beside it.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use super::tar_files;
use crate::{
    backup::{
        Backup, BackupSource, Finding, Format, error_text,
        reading::Reader,
        restored::{Place, Recovery, Restored, Supply},
        wal::Archive,
    },
    progress::meter::Meter,
};

/// Copies or unpacks the backup at `path` to the drill's data folder, and stages the WAL of its archive.
pub(in crate::backup::source) async fn restore(
    reader: &Reader<'_>,
    place: &Place<'_>,
    source: Option<&BackupSource>,
    backup: &Backup,
    path: &Path,
) -> Result<Restored, Finding> {
    let (data, tablespaces) = (place.data(), place.scratch("tablespaces")?);
    // Links to other folders of the source are the backup's own tablespaces.
    let bounds = source.map_or(path, |source| source.path.as_path()).to_path_buf();
    let wal_path = source.and_then(|source| source.wal_path.clone());
    let (path, format) = (path.to_path_buf(), backup.format);
    let recovery = reader
        .blocking(move |meter| -> Result<Recovery, Finding> {
            let failed = |error: io::Error| {
                Finding::unknown("restore", format!("can't be copied: {}", error_text(&error)))
            };
            if format == Some(Format::DataTar) {
                let parts = tar_files::Parts::look(&path).map_err(failed)?;
                parts.unpack(&data, &tablespaces, meter).map_err(failed)?;
            } else {
                let bounds = bounds.canonicalize().map_err(failed)?;
                copy_data(&path, &data, &tablespaces, &bounds, meter)?;
            }
            fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).map_err(failed)?;
            let Some(place) = wal_path else { return Ok(Recovery::default()) };
            let archive = Archive::look(&place).map_err(failed)?;
            let holdings = Some(archive.holdings(&place));
            Ok(Recovery { supply: Supply::Folder(Arc::new(archive)), holdings })
        })
        .await??;
    Ok(Restored::Data(recovery))
}

/// Copies a data folder; links to tablespaces inside of `bounds` become folders of the drill.
fn copy_data(
    from: &Path,
    to: &Path,
    tablespaces: &Path,
    bounds: &Path,
    meter: &Arc<Meter>,
) -> Result<(), Finding> {
    let failed =
        |error: io::Error| Finding::unknown("restore", format!("can't be copied: {}", error_text(&error)));
    fs::create_dir_all(to).map_err(failed)?;
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (kind, source, target) =
            (entry.file_type().map_err(failed)?, entry.path(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy_data(&source, &target, tablespaces, bounds, meter)?;
        } else if kind.is_symlink() {
            let real = source.canonicalize().unwrap_or_default();
            if !real.is_dir() || !real.starts_with(bounds) {
                let leads = fs::read_link(&source).unwrap_or_default();
                let text = format!(
                    "holds a link that leads out of the backups' folder, maybe to a live server's data: {} to {}; make the backup with --tablespace-mapping into that folder, or as tar",
                    source.display(),
                    leads.display()
                );
                return Err(Finding::unknown("restore", text));
            }
            let copy = tablespaces.join(entry.file_name());
            copy_data(&real, &copy, tablespaces, bounds, meter)?;
            std::os::unix::fs::symlink(&copy, &target).map_err(failed)?;
        } else if kind.is_file() {
            meter.add(fs::copy(&source, &target).map_err(failed)?);
        }
    }
    Ok(())
}
