SELECT a.id FROM projectionist.roles_amiss() a
