//! Core's own view of a test's database.

use stockfoil_core::{config::Config, db::Db, model::Model, settings::Environment};
use testkit::TestDb;

/// The model of `db` under the configuration file `file`.
pub(crate) async fn of(db: &TestDb, file: &str) -> Model {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stockfoil.toml");
    std::fs::write(&path, file).unwrap();
    let config = Config::load(Some(&path), Environment::of([("DATABASE_URL", &db.url())])).unwrap();
    let connection = Db::connect(config.connect_options().unwrap(), "test").await.unwrap();
    config.mapping.resolve(&connection).await.unwrap()
}
