//! Invariants of the ledger (`crawl_cell`).

use super::Stage;

/// Every counter of a run that differs from the sum over its cells; its canaries are requests without a cell.
const WRONG_COUNTERS: &str =
    "select format('run %s: %s is %s, but its cells add up to %s', crawl_run_id, counter, counted, summed)
    from crawl_run r join (select crawl_run_id, count(*) as total, count(*) filter (where status = 'done') as done,
            count(*) filter (where status = 'split') as split, count(*) filter (where status = 'failed') as failed,
            count(*) filter (where status = 'pending') as pending, sum(attempts) as attempts,
            count(*) filter (where truncated) as truncated from crawl_cell group by 1) c using (crawl_run_id),
        lateral (select coalesce((canaries ->> 'requests')::int, 0) as sent) canary,
        lateral (values ('cells_total', r.cells_total, c.total), ('cells_done', r.cells_done, c.done),
            ('cells_split', r.cells_split, c.split), ('cells_failed', r.cells_failed, c.failed),
            ('cells_pending', r.cells_pending, c.pending), ('requests', r.requests, c.attempts + canary.sent),
            ('cells_truncated', r.cells_truncated, c.truncated)) as pair (counter, counted, summed)
    where counted is distinct from summed
    union all select 'no run has cells' where not exists (select from crawl_cell)";

/// The counters of all runs that differ from the sums over their cells, each as a sentence.
pub(crate) async fn wrong_counters(stage: &Stage) -> Vec<String> {
    stage.texts(WRONG_COUNTERS).await
}
