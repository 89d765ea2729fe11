"""What evara_core promises about speed, measured."""
