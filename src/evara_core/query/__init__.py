"""What a caller asks of a list, apart from how it is answered."""
