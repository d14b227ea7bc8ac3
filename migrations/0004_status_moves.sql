-- The statuses of a subscription, held by PostgreSQL as well: whoever changes a row by hand, and whatever a mistake of the
-- host would write, keeps to the table of host/subscription.

CREATE TABLE projectionist.status_moves (
    from_status text   COLLATE "C" NOT NULL,
    to_status   text   COLLATE "C" NOT NULL,
    run_modes   text[] NOT NULL,
    PRIMARY KEY (from_status, to_status),
    CONSTRAINT a_move_changes_something CHECK (from_status <> to_status)
);
COMMENT ON TABLE projectionist.status_moves IS
    'Which status may follow which, in which run modes: Status::may_become of host/subscription, compared by a test.';

INSERT INTO projectionist.status_moves (from_status, to_status, run_modes) VALUES
    ('New', 'Booting', '{from-beginning,once,from-position}'),
    ('New', 'Active', '{from-beginning,from-now,once,from-position}'),
    ('New', 'Error(New)', '{from-beginning,from-now,once,from-position}'),
    ('New', 'Detached(New)', '{from-beginning,from-now,once,from-position}'),
    ('Booting', 'Active', '{from-beginning,from-now,from-position}'),
    ('Booting', 'Finished', '{once}'),
    ('Booting', 'Paused(Booting)', '{from-beginning,from-now,once,from-position}'),
    ('Booting', 'Error(Booting)', '{from-beginning,from-now,once,from-position}'),
    ('Booting', 'Detached(Booting)', '{from-beginning,from-now,once,from-position}'),
    ('Active', 'Booting', '{from-beginning,from-now,once,from-position}'),
    ('Active', 'Finished', '{once}'),
    ('Active', 'Paused(Active)', '{from-beginning,from-now,once,from-position}'),
    ('Active', 'Error(Active)', '{from-beginning,from-now,once,from-position}'),
    ('Active', 'Detached(Active)', '{from-beginning,from-now,once,from-position}'),
    ('Finished', 'Booting', '{from-beginning,from-now,once,from-position}'),
    ('Finished', 'Active', '{from-beginning,from-now,once,from-position}'),
    ('Finished', 'Detached(Active)', '{from-beginning,from-now,once,from-position}'),
    ('Paused(New)', 'New', '{from-beginning,from-now,once,from-position}'),
    ('Paused(New)', 'Detached(New)', '{from-beginning,from-now,once,from-position}'),
    ('Paused(Booting)', 'Booting', '{from-beginning,from-now,once,from-position}'),
    ('Paused(Booting)', 'Detached(Booting)', '{from-beginning,from-now,once,from-position}'),
    ('Paused(Active)', 'Active', '{from-beginning,from-now,once,from-position}'),
    ('Paused(Active)', 'Paused(Booting)', '{from-beginning,from-now,once,from-position}'),
    ('Paused(Active)', 'Detached(Active)', '{from-beginning,from-now,once,from-position}'),
    ('Error(New)', 'New', '{from-beginning,from-now,once,from-position}'),
    ('Error(New)', 'Paused(New)', '{from-beginning,from-now,once,from-position}'),
    ('Error(New)', 'Detached(New)', '{from-beginning,from-now,once,from-position}'),
    ('Error(Booting)', 'Booting', '{from-beginning,from-now,once,from-position}'),
    ('Error(Booting)', 'Paused(Booting)', '{from-beginning,from-now,once,from-position}'),
    ('Error(Booting)', 'Detached(Booting)', '{from-beginning,from-now,once,from-position}'),
    ('Error(Active)', 'Booting', '{from-beginning,from-now,once,from-position}'),
    ('Error(Active)', 'Active', '{from-beginning,from-now,once,from-position}'),
    ('Error(Active)', 'Paused(Active)', '{from-beginning,from-now,once,from-position}'),
    ('Error(Active)', 'Detached(Active)', '{from-beginning,from-now,once,from-position}'),
    ('Detached(New)', 'New', '{from-beginning,from-now,once,from-position}'),
    ('Detached(Booting)', 'Booting', '{from-beginning,from-now,once,from-position}'),
    ('Detached(Active)', 'Active', '{from-beginning,from-now,once,from-position}');

-- Runs as its owner, so that whoever may change a status need not be able to read the moves.
CREATE FUNCTION projectionist.check_status_move() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    was     CONSTANT text := CASE WHEN TG_OP = 'UPDATE' THEN OLD.status || coalesce('(' || OLD.resume || ')', '') END;
    becomes CONSTANT text := NEW.status || coalesce('(' || NEW.resume || ')', '');
BEGIN
    IF TG_OP = 'INSERT' AND becomes <> 'New' THEN
        RAISE EXCEPTION 'the subscription % cannot begin as %', NEW.id, becomes
            USING ERRCODE = 'PJ006', HINT = 'It begins as New: its setup has to run first.';
    END IF;
    IF TG_OP = 'UPDATE' AND NOT EXISTS (
        SELECT FROM projectionist.status_moves m
         WHERE m.from_status = was AND m.to_status = becomes
           AND NEW.run_mode = ANY (m.run_modes)) THEN
        RAISE EXCEPTION 'the subscription % cannot go from % to % in the run mode %', NEW.id, was, becomes, NEW.run_mode
            USING ERRCODE = 'PJ006', HINT = 'Use the verbs of projectionist; projectionist.status_moves lists what can follow what.';
    END IF;
    RETURN NEW;
END $body$;
REVOKE ALL ON FUNCTION projectionist.check_status_move() FROM PUBLIC;

CREATE TRIGGER begins_as_new BEFORE INSERT ON projectionist.subscriptions
    FOR EACH ROW EXECUTE FUNCTION projectionist.check_status_move();

CREATE TRIGGER changes_as_the_rules_allow BEFORE UPDATE OF status, resume ON projectionist.subscriptions
    FOR EACH ROW WHEN ((OLD.status, OLD.resume) IS DISTINCT FROM (NEW.status, NEW.resume))
    EXECUTE FUNCTION projectionist.check_status_move();
