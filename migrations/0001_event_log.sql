CREATE SCHEMA projectionist;
