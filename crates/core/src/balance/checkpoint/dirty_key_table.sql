-- Keys whose entries were updated or deleted since they were sealed, or that a run saw differ; a row without a key stands
-- for all of them.
-- Locks: takes only what it creates.
CREATE TABLE IF NOT EXISTS stockfoil.dirty_key (
    id       bigint PRIMARY KEY DEFAULT nextval('stockfoil.dirty_key_id_seq'),
    org      {org.type},
    item     {item.type},
    location {location.type},
    lot      {lot.type},
    -- The run that saw it differ; none where a trigger saw it change.
    run_id   bigint
)
