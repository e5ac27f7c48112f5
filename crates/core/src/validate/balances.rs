//! What `migrate-balance` and `backfill-balances` claim, and whether anything of it is there.

use sqlx::PgConnection;

use super::Checks;
use crate::{
    Error,
    balance::{self, State},
    db::Context as _,
    migration,
    model::Model,
    org_id::OrgId,
};

impl Checks {
    /// Whether anything of the balances is there: one of their parts, or a record of them. An adopted table is the
    /// application's, and was there before.
    pub(super) async fn balances_begun(
        &mut self,
        session: &mut PgConnection,
        model: &Model,
    ) -> Result<bool, Error> {
        let objects = balance::objects(model);
        let parts = balance::inspect(session, &objects).await?;
        let is_ours =
            |object: &balance::Object| object.kind != balance::Kind::Table || !model.balances.is_adopted;
        let has_parts = parts.iter().any(|(object, state)| is_ours(object) && *state != State::Missing);
        if has_parts || balance::is_recorded(session).await? {
            return Ok(true);
        }
        self.skip(
            "balances",
            model.balances.table.plain(),
            "not there yet: no table, function, trigger or record of balances",
            "migrate-balance, then backfill-balances",
        );
        Ok(false)
    }

    pub(super) async fn balances(&mut self, session: &mut PgConnection, model: &Model) -> Result<(), Error> {
        for (who, is_everybody) in migration::balance::uncounted(session, model).await? {
            let evidence = format!(
                "{who} writes with session_replication_role = replica: no entry of theirs is counted"
            );
            let remedy = "ALTER DATABASE or ROLE ... RESET session_replication_role, then reconcile-balances";
            let ledger = model.ledger.table.plain();
            match is_everybody {
                true => self.add("uncounted", ledger, false, evidence, remedy),
                // A role that loads what is counted otherwise may mean it.
                false => self.warn("uncounted", ledger, evidence, remedy),
            }
        }
        for (keeper, table) in migration::balance::keepers(session, model).await? {
            self.add(
                "keepers",
                format!("{keeper} of {table}"),
                false,
                format!(
                    "writes {} beside Stockfoil's triggers: each entry counts twice",
                    model.balances.table.plain()
                ),
                "ALTER TABLE ... DISABLE TRIGGER (or RULE) it, then reconcile-balances --fix-large",
            );
        }
        let objects = balance::objects(model);
        for (object, state) in balance::inspect(session, &objects).await? {
            // What serves the balances and holds none of them may have another text in an older release, or be new.
            let serves = matches!(
                object.kind,
                balance::Kind::Function
                    | balance::Kind::Query
                    | balance::Kind::Trigger
                    | balance::Kind::Index
                    | balance::Kind::Statistics
            );
            let is_of_release = serves
                && (matches!(state, State::Altered(_))
                    || state == State::Missing && self.is_of_another_release());
            let evidence = match &state {
                State::Intact => "there, with its definition".to_owned(),
                State::Missing => "it is not there".to_owned(),
                State::Unwanted => match object.kind {
                    balance::Kind::Query => "it is there, though [ledger] created_at is false",
                    balance::Kind::Record => "it is there, though [balances] hot is not \"queue\"",
                    _ => "it is there, though [ledger] replicated is false",
                }
                .to_owned(),
                State::Altered(how) => format!("it is not as it should be: {how}"),
            };
            let name = format!("{} {}", object.kind.as_str(), object.name.as_str());
            self.add_of(
                is_of_release,
                ("balances", name),
                state == State::Intact,
                evidence,
                "migrate-balance, then reconcile-balances",
            );
        }
        Ok(())
    }

    pub(super) async fn backfill(
        &mut self,
        session: &mut PgConnection,
        model: &Model,
        organizations: bool,
    ) -> Result<(), Error> {
        let object = "stockfoil.backfill";
        let there: bool = sqlx::query_scalar(
            "SELECT to_regclass($1) IS NOT NULL AND to_regclass('stockfoil.backfill') IS NOT NULL",
        )
        .bind(model.balances.table.to_string())
        .fetch_one(&mut *session)
        .await
        .context("look for the state of the backfill")?;
        if !there || !organizations {
            self.add(
                "backfill",
                object,
                false,
                "there are no balances to look at".into(),
                "migrate-balance, then backfill-balances",
            );
            return Ok(());
        }
        let missing = balance::not_backfilled(session, model).await?;
        let evidence = match missing.as_slice() {
            [] => "every organization was backfilled and verified, or came after the triggers".to_owned(),
            missing => {
                let names: Vec<&str> = missing.iter().map(OrgId::as_str).collect();
                format!("not yet: {}", names.join(", "))
            }
        };
        self.add("backfill", object, missing.is_empty(), evidence, "backfill-balances");
        Ok(())
    }
}
