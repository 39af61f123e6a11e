//! `migrate`: bring the tables up to date.

use super::{Context, Exit, print};
use crate::app::{Database, Obstacle};
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
        print(&format!("the tables of {name} are up to date"));
        return Ok(());
    };
    let Some(mut lock) = database.store.try_lock().await? else { return Err(Obstacle::Busy.into()) };
    let migrated = database.store.migrate(&mut lock).await;
    lock.release().await;
    migrated?;
    print(&format!("{missing} migrations applied to {name}"));
    Ok(())
}
