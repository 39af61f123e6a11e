//! Checks the owners of the schema and of the objects in it. A role that may create objects there could create a table, a
//! function or an operator that our statements would use, and that would run with our rights.

use sqlx::{Connection, Executor, PgConnection};

use super::{Error, Target};

/// Checks that the schema and all objects in it belong to trusted roles. It is called before any object of the schema is used.
///
/// Trusted roles are the role of the connection, superusers, members of the role of the connection, `database.owner`, and the
/// members of `sanggwond_owner` (`deploy/roles.sql`). If the role of the connection is a superuser, membership of that group
/// is not enough, because a role that may only create roles could have granted it. Membership of our role in the owner's
/// role proves nothing: before PostgreSQL 15 every role may make other roles its members.
pub(super) async fn verify(connection: &mut PgConnection, target: &Target) -> Result<(), Error> {
    let mut transaction = connection.begin().await?;
    // This query itself must use built-in functions only.
    transaction.execute("set local search_path = pg_catalog, pg_temp").await?;
    let found = sqlx::query!(
        r#"with us as (
             select oid, rolname, rolsuper from pg_roles where rolname in (current_user, session_user)
         ), trusted as (
             select oid from pg_roles role
             where rolsuper or rolname = $1
             or exists (select from us where pg_has_role(role.oid, us.oid, 'member'))
             or not exists (select from us where rolsuper) and exists (
                 select from pg_roles owners
                 where owners.rolname = 'sanggwond_owner' and pg_has_role(role.oid, owners.oid, 'member'))
         ), schema as (
             select oid from pg_namespace where nspname = 'sanggwond'
         ), object as (
             select 'pg_namespace'::regclass::oid as class, oid, 0 as rank from schema
             union all
             select d.classid, d.objid, 1
             from schema join pg_depend d on d.refclassid = 'pg_namespace'::regclass and d.refobjid = schema.oid
             union all
             -- Whoever may make triggers on a table of ours names a function of another schema.
             select 'pg_proc'::regclass, t.tgfoid, 2
             from schema join pg_class c on c.relnamespace = schema.oid join pg_trigger t on t.tgrelid = c.oid
             where not t.tgisinternal
             union all
             -- A table that refers to one of ours is changed with it, and its deferred triggers fire as our role.
             select 'pg_class'::regclass, f.conrelid, 2
             from schema join pg_class c on c.relnamespace = schema.oid join pg_constraint f on f.confrelid = c.oid
         ), stranger as (
             select shown.type, shown.identity, quote_ident(pg_get_userbyid(owned.refobjid)) as owner
             from object
             -- What was made with the server has no owner here.
             join pg_shdepend owned on owned.classid = object.class and owned.objid = object.oid and owned.deptype = 'o'
                 and owned.dbid = (select oid from pg_database where datname = current_database())
             cross join lateral pg_identify_object(object.class, object.oid, 0) shown
             where owned.refobjid not in (select oid from trusted)
             order by rank, shown.type, shown.identity
             limit 1
         )
         select quote_ident(current_user) as "role!",
             coalesce((select has_schema_privilege(oid, 'usage') from schema), true) as "may_use!",
             (select format('%s %s', type, identity) from stranger) as object,
             (select owner from stranger) as owner"#,
        target.owner()
    )
    .fetch_one(&mut *transaction)
    .await?;
    transaction.rollback().await?;
    match (found.object, found.owner) {
        _ if !found.may_use => Err(Error::MayNotUseSchema(found.role)),
        (Some(object), Some(owner)) => Err(Error::Stranger { object, owner, role: found.role }),
        _ => Ok(()),
    }
}
