"""What was measured, as a page with tables and plots. Pure: from records to text."""
