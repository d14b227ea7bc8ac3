SELECT r.channel FROM projectionist.ring AS r WHERE r.is_the_one
