-- The active organizations that have a user of this address, or that such a user is a member of, for a sign-in before the organization is known; none where there are no
-- people. Nobody may call it who was not granted it, the application's role neither: it tells of every organization.
-- Locks: what it creates or replaces.
CREATE OR REPLACE FUNCTION stockfoil.orgs_of_user(address text) RETURNS SETOF text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT o.id::text FROM {organizations} AS o WHERE o.is_active AND o.id IN ({has_user}) ORDER BY o.id;
END
$body$
