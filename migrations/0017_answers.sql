-- What the API sends is limited: the length of texts, and the number of cells that follow from its counts.

alter table crawl_run add texts_cut bigint not null default 0;
comment on column crawl_run.texts_cut is 'Texts that were stored without their end: names of more than 200 characters, other fields of more than 500.';
comment on column crawl_run.documents_rejected is 'Documents that were not stored because they had no usable id, no position or no UTF-8, or lay outside the area that was asked for.';

alter table crawl_cell add parent_no integer;
comment on column crawl_cell.parent_no is 'The cell that was divided into this one and others; null: the cell was planned.';
