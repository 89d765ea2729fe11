"""No statement that goes through a guarded engine sees or changes a row outside its scope."""
