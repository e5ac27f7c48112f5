//! Looks at the database in a browser.

mod access;
mod address;
mod browser;
mod pages;
mod server;

use server::Server;

cli::args! {
    /// Look at the database in a browser: tables, rows, references, as one organization or as all. Read-only.
    struct Args {
        /// listen on this port of 127.0.0.1; 0 is any free one (default: 5555, or any free one if that is taken)
        #[argh(option, arg_name = "port")]
        port: Option<u16>,
        /// only print the link, start no browser
        #[argh(switch)]
        no_open: bool,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        let db = cx.connect().await?;
        let server = Server::listen(db, cx.config().mapping.clone(), args.port).await?;
        let link = server.link();
        cx.emit(&link)?;
        cx.say("db-studio: read-only; the link opens once, for one browser; Ctrl-C ends the studio");
        // Kept while the server runs: the browser reads the link from a private file.
        let _handed_over = if args.no_open { None } else { browser::open(&link.url) };
        cx.progress().begin(&format!("serving {}", link.address), None);
        server.run().await?;
        Ok(cli::Outcome::Clean)
    })
}
