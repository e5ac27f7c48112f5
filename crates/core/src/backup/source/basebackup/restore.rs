//! Restoring a base backup: to the data folder of a drill, with its tablespaces beside it.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{MANIFEST, tar_files};
use crate::{
    backup::{
        Backup, BackupSource, Finding, Format, error_text,
        reading::Reader,
        restored::{Place, Recovery, Restored, Supply},
        tool,
        wal::Archive,
    },
    progress::meter::Meter,
    throwaway::ServerPrograms,
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
    let (path, format) = (combined(reader, place, backup, path).await?, backup.format);
    let bounds = if backup.parents.is_empty() { bounds } else { path.clone() };
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
                // What a manifest lists was held against it where the links lead to.
                let is_listed = path.join(MANIFEST).is_file();
                let copy = Copying { tablespaces: &tablespaces, bounds: &bounds, is_listed };
                copy.data(&path, &data, meter)?;
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

/// Where the whole data folder of `backup` at `path` lies: made of an incremental one and those on which it builds.
async fn combined(
    reader: &Reader<'_>,
    place: &Place<'_>,
    backup: &Backup,
    path: &Path,
) -> Result<PathBuf, Finding> {
    if backup.begun.from.is_none() {
        return Ok(path.to_path_buf());
    }
    let all = || backup.parents.iter().chain([backup]);
    let is_linked =
        |folder: &Path| fs::read_dir(folder.join("pg_tblspc")).is_ok_and(|mut links| links.next().is_some());
    let unfit = all()
        .find(|one| one.format != Some(Format::DataFolder) || one.path.as_deref().is_some_and(is_linked));
    if let Some(one) = unfit {
        let text = format!(
            "{} is of tar files or has tablespaces, and incremental backups are combined here of folders without: unpack them, and give --file",
            one.name
        );
        return Err(Finding::unknown("restore", text));
    }
    let version = backup.server_version.as_deref().and_then(|version| version.parse().ok());
    let settings = reader.config.backup.throwaway();
    let programs = ServerPrograms::find(&settings, version, 0, reader.progress).await?;
    let whole = place.scratch("combined")?.join("data");
    let paths = all().filter_map(|one| one.path.as_deref().map(Path::as_os_str));
    let mut args: Vec<OsString> = paths.map(Into::into).collect();
    args.extend(["--no-sync".into(), "--output".into(), whole.clone().into()]);
    // It can only make a manifest of the whole from that of the last part.
    let has_manifest = backup.path.as_deref().is_some_and(|path| path.join(super::MANIFEST).exists());
    args.extend((!has_manifest).then(|| "--no-manifest".into()));
    let combine = programs.program("pg_combinebackup").within(reader.config.backup.timeout);
    tool::restored(combine.text(args, reader.progress).await?)?;
    Ok(whole)
}

/// How a data folder is copied.
struct Copying<'a> {
    /// Where tablespaces become folders.
    tablespaces: &'a Path,
    /// Links may lead to what is inside of it.
    bounds: &'a Path,
    /// Whether those of tablespaces may lead elsewhere.
    is_listed: bool,
}

impl Copying<'_> {
    /// Copies the folder `from`; links to tablespaces become folders of the drill.
    fn data(&self, from: &Path, to: &Path, meter: &Arc<Meter>) -> Result<(), Finding> {
        let failed = |error: io::Error| {
            Finding::unknown("restore", format!("can't be copied: {}", error_text(&error)))
        };
        fs::create_dir_all(to).map_err(failed)?;
        for entry in fs::read_dir(from).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let (kind, source, target) =
                (entry.file_type().map_err(failed)?, entry.path(), to.join(entry.file_name()));
            if kind.is_dir() {
                self.data(&source, &target, meter)?;
            } else if kind.is_symlink() {
                let real = source.canonicalize().unwrap_or_default();
                let is_tablespace = self.is_listed && from.ends_with("pg_tblspc");
                if !real.is_dir() || !(is_tablespace || real.starts_with(self.bounds)) {
                    return Err(leads_out(&source));
                }
                let copy = self.tablespaces.join(entry.file_name());
                self.data(&real, &copy, meter)?;
                std::os::unix::fs::symlink(&copy, &target).map_err(failed)?;
            } else if kind.is_file() {
                meter.add(fs::copy(&source, &target).map_err(failed)?);
            }
        }
        Ok(())
    }
}

fn leads_out(link: &Path) -> Finding {
    let leads = fs::read_link(link).unwrap_or_default();
    let text = format!(
        "holds a link that leads out of the backups' folder, maybe to a live server's data: {} to {}; make the backup with --tablespace-mapping into that folder, or as tar",
        link.display(),
        leads.display()
    );
    Finding::unknown("restore", text)
}
