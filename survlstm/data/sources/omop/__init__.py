"""Records in the OMOP common data model (CDM 5.3 and 5.4), in files and databases."""
