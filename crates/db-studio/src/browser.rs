//! Starts the person's browser, where there is one.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use tempfile::NamedTempFile;

/// Opens `url` in a browser.
///
/// The link holds a secret, and a process's arguments can be read by everybody on the machine; so the browser is
/// given a file that only this user can read and that sends it on. The file is gone when the value is dropped.
/// Nothing is wrong when there is no browser: the link is printed too.
pub(crate) fn open(url: &str) -> Option<NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix("stockfoil-studio-").suffix(".html").tempfile().ok()?;
    file.write_all(forward(url).as_bytes()).ok()?;
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut child = Command::new(opener)
        .arg(file.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .inspect_err(|error| log::info!("no browser was started: {opener}: {error}"))
        .ok()?;
    std::thread::spawn(move || child.wait());
    Some(file)
}

fn forward(url: &str) -> String {
    let markup = maud::html! {
        (maud::DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="referrer" content="no-referrer";
                meta http-equiv="refresh" content={ "0;url=" (url) };
                title { "Stockfoil studio" }
            }
            body { a href=(url) { "Open the studio" } }
        }
    };
    markup.into_string()
}
