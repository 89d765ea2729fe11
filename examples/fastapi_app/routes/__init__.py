"""The routes that are this application's own. All others are made by the library."""
