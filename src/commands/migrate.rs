//! `migrate`: applies the missing migrations.

use super::output::print;
use super::{Context, Exit};
use crate::app::Database;
use crate::clock;
use crate::store::SchemaState;

pub(super) async fn run(context: &Context) -> anyhow::Result<Exit> {
    let database = Database::open(&context.config, context.is_demo).await?;
    let migrated = migrate(&database).await;
    database.close().await;
    migrated.map(|()| Exit::Done)
}

async fn migrate(database: &Database) -> anyhow::Result<()> {
    let name = database.store.target().database();
    let SchemaState::Behind(missing) = database.store.schema_state().await? else {
        print(&format!("the tables of {name} are up to date"))?;
        return Ok(());
    };
    let mut lock = database.lock().await?;
    let migrated = database.store.migrate(&mut lock, clock::now()).await;
    lock.release().await;
    migrated?;
    print(&format!("{missing} migrations applied to {name}"))?;
    Ok(())
}
