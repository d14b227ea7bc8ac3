-- Without INHERIT a role does not have the rights of the roles that it makes and looks after.
SELECT r.rolname::text AS role, r.rolsuper OR (r.rolcreaterole AND r.rolinherit) AS may_make_roles
FROM pg_catalog.pg_roles r
WHERE r.rolname = current_user
