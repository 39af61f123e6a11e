//! What must be true of every ledger.

/// Whether the counters of every run are the sums of its cells.
pub(crate) const SUMS: &str = "select coalesce(bool_and(
        r.cells_total = c.total and r.cells_done = c.done and r.cells_split = c.split and r.cells_failed = c.failed and r.cells_pending = c.pending
        and r.requests = c.attempts and r.cells_truncated = c.truncated), false)
    from crawl_run r join (select crawl_run_id, count(*) as total, count(*) filter (where status = 'done') as done,
        count(*) filter (where status = 'split') as split, count(*) filter (where status = 'failed') as failed, count(*) filter (where status = 'pending') as pending,
        sum(attempts) as attempts, count(*) filter (where truncated) as truncated from crawl_cell group by 1) c
    using (crawl_run_id)";
