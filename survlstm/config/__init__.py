"""Config schemas, composition, validation and instantiation."""
